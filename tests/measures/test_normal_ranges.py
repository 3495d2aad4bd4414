"""Normal ranges: what papers print, and what is not known stays unknown."""

from __future__ import annotations

import math

import pytest

from napari_ssl.core.curve import ClinicalIndices
from napari_ssl.measures.normal_ranges import NORMAL_RANGES, Position, indexed, normal_range


@pytest.mark.parametrize(
    ("index", "sex", "per_m2", "published"),
    [
        ("lv_ef_percent", "M", False, (58, 5)),  # abstract of Petersen 2017
        ("lv_ef_percent", "F", False, (61, 5)),
        ("lv_mass_g", "M", True, (53, 9)),
        ("lv_mass_g", "F", True, (42, 7)),
        ("lv_edv_ml", "M", False, (166, 32)),  # its Table 12
        ("rv_edv_ml", "M", False, (190, 33)),  # abstract of Hudsmith 2005
        ("rv_esv_ml", "F", False, (56, 18)),
    ],
)
def test_ranges_are_mean_and_1_96_sd_of_the_paper(index, sex, per_m2, published):
    found = normal_range(index, sex, per_m2=per_m2)
    mean, sd = published
    assert (found.low, found.high) == pytest.approx((mean - 1.96 * sd, mean + 1.96 * sd))
    assert "doi 10." in found.explanation("ml") and str(found.n) in found.explanation("ml")


def test_the_papers_own_numbers_agree_with_each_other():
    """EDV − ESV is the stroke volume and SV / EDV the EF, within what rounding allows."""
    for sex in "MF":
        edv, esv, sv, ef = (normal_range(f"lv_{i}", sex).mean for i in ("edv_ml", "esv_ml", "sv_ml", "ef_percent"))
        assert edv - esv == pytest.approx(sv, abs=1.5)
        assert 100 * sv / edv == pytest.approx(ef, abs=1.0)


def test_what_could_not_be_verified_has_no_range():
    assert normal_range("lv_edv_ml", "M", per_m2=True) is None
    assert normal_range("rv_ef_percent", "F") is None
    assert normal_range("lv_edv_ml", None) is None
    with pytest.raises(ValueError, match="lv_edv_ml"):
        normal_range("lv_edv", "M")


def test_every_range_belongs_to_an_index_and_stands_once():
    keys = [(r.index, r.sex, r.per_m2) for r in NORMAL_RANGES]
    assert len(keys) == len(set(keys))
    assert {r.index for r in NORMAL_RANGES} <= set(ClinicalIndices.__dataclass_fields__)


def test_position_of_values():
    found = normal_range("lv_ef_percent", "M")
    assert found.position(30.0) is Position.BELOW
    assert found.position(58.0) is Position.WITHIN
    assert found.position(80.0) is Position.ABOVE
    assert found.position(found.low) is Position.WITHIN
    assert found.position(math.nan) is None


def test_indexing_divides_by_body_surface():
    assert indexed(160.0, 2.0) == 80.0
    assert math.isnan(indexed(160.0, None))
