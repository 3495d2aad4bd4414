from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import CatalogueError, GeometryError, LabelError
from napari_ssl.measures.curve_rules import counted
from napari_ssl.measures.rules import RULES, Flag, RuleLimits, check_segmentation
from napari_ssl.phantom import make_sample_member

ACDC = PRESETS["acdc"]
RV, MYO, LV = 1, 2, 3
MID = 4
"""A slice at mid-ventricle of the phantom."""


@pytest.fixture(scope="module")
def case():
    return make_sample_member(0).case  # 20 frames


@pytest.fixture
def labels(case) -> np.ndarray:
    return case.labels.copy()


def _check(case, labels, **more) -> dict[str, Flag]:
    flags = check_segmentation(labels, ACDC, case.spacing_zyx_mm, frame_interval_ms=case.frame_interval_ms, **more)
    assert all(f.rule in RULES and f.source and f.message.endswith(".") and f.unit for f in flags)
    return {f.rule: f for f in flags}


@pytest.mark.parametrize("index", [0, 6, 7, 13])  # one of each kind of heart
def test_rules_are_silent_on_good_cycles(index: int):
    member = make_sample_member(index)
    assert _check(member.case, member.case.labels) == {}


def test_every_rule_has_a_title_a_sentence_and_known_limits():
    known = {f.name for f in dataclasses.fields(RuleLimits)}
    used = [name for rule in RULES.values() for name in rule.limits]
    assert sorted(used) == sorted(known)
    assert all(rule.name == name and rule.title and rule.sentence.endswith(".") for name, rule in RULES.items())
    assert all(rule.check.__doc__ for rule in RULES.values())


def test_a_growing_myocardium_breaks_the_mass_rule(case, labels):
    for t in range(5, 10):  # gone from two slices
        labels[t, 5:7][labels[t, 5:7] == MYO] = 0
    flag = _check(case, labels)["mass"]
    volume = np.array([(frame == MYO).sum() for frame in labels])
    assert flag.value == pytest.approx(100 * np.ptp(volume) / np.median(volume)) and flag.value > flag.limit == 35
    assert set(flag.frames) <= set(range(5, 10)) and {5, 6} <= set(flag.slices)


def test_a_right_ventricle_that_hardly_pumps_breaks_the_stroke_volume_rule(case, labels):
    still = labels[case.es_frame] == RV
    labels[labels == RV] = 0
    for t in range(len(labels)):
        labels[t][still & (labels[t] == 0)] = RV
    flag = _check(case, labels)["stroke-volumes"]
    assert flag.value > 60 and "LV" in flag.message and "RV" in flag.message and len(flag.frames) >= 2


def test_ejection_fractions_out_of_range_are_told_with_their_side(case, labels):
    kept = labels[:, 4:6] == LV  # at end-systole nothing is left of the cavity but this
    emptied = labels.copy()
    emptied[case.es_frame][labels[case.es_frame] == LV] = MYO
    emptied[case.es_frame, 4:6][kept[case.es_frame] & (np.random.default_rng(0).random(kept.shape[1:]) < 0.3)] = LV
    flag = _check(case, emptied, rules=["ejection-fraction"])["ejection-fraction"]
    assert flag.value > flag.limit == 85 and "at most" in flag.message and case.es_frame in flag.frames
    frozen = np.repeat(labels[:1], len(labels), axis=0)
    frozen[3, MID][frozen[3, MID] == RV] = 0
    found = check_segmentation(
        frozen, ACDC, case.spacing_zyx_mm, rules=["ejection-fraction"], limits=RuleLimits(ef_low_percent=30.0)
    )
    assert [f.limit for f in found] == [30.0] and "RV" in found[0].message and "at least" in found[0].message


def test_the_same_ejection_fraction_rule_uses_known_phases_where_few_frames_are_labelled(case, labels):
    two = labels[[case.ed_frame, case.es_frame]]
    two[1] = two[0]
    assert _check(case, two) == {}  # nobody says which frame is which
    flags = check_segmentation(two, ACDC, case.spacing_zyx_mm, ed_frame=0, es_frame=1)
    assert [f.rule for f in flags] == ["ejection-fraction", "ejection-fraction"] and flags[0].value == 0


def test_a_frame_of_another_size_is_a_jump_at_that_frame_and_slice(case, labels):
    labels[6, MID - 1 : MID + 2][labels[6, MID - 1 : MID + 2] == LV] = MYO
    flag = _check(case, labels)["jumps"]
    assert flag.frames == (6,) and set(flag.slices) <= {MID - 1, MID, MID + 1} and flag.value > flag.limit == 12


def test_coarse_cycles_may_bend_more(case, labels):
    coarse = labels[::2]  # 10 frames
    assert "jumps" not in _check(case, coarse)
    coarse[4, 2:7][coarse[4, 2:7] == RV] = 0
    flag = _check(case, coarse)["jumps"]
    assert flag.limit == pytest.approx(48) and flag.frames == (4,)


def test_end_systole_at_the_wrong_time_is_told_in_ms(case, labels):
    order = np.argsort([-(frame == LV).sum() for frame in labels], kind="stable")
    flag = _check(case, labels[order], rules=["phase-times"])["phase-times"]  # falls over the whole cycle
    assert flag.value == pytest.approx(19 / 20) and flag.limit == 0.65 and flag.frames == (0, 19)
    assert f"({0.95 * 20 * case.frame_interval_ms:.0f} ms)" in flag.message
    assert _check(case, labels[np.r_[10:20, 0:10]], rules=["phase-times"]) == {}  # a cycle may begin anywhere


def test_frames_without_a_structure_are_named(case, labels):
    labels[[3, 4, 9]] = np.where(labels[[3, 4, 9]] == RV, 0, labels[[3, 4, 9]])
    flag = _check(case, labels)["missing-frames"]
    assert (
        flag.frames == (3, 4, 9) and flag.value == 3 and flag.message == "RV is missing altogether in frames 3–4 and 9."
    )


def test_a_structure_drawn_in_half_of_the_frames_is_not_missed(case, labels):
    two = labels[[case.ed_frame, case.es_frame]]
    two[1][two[1] == MYO] = 0
    two[:][two == RV] = 0
    assert check_segmentation(two, ACDC, case.spacing_zyx_mm, ed_frame=0, es_frame=1) == []


def test_an_empty_slice_between_two_is_a_gap(case, labels):
    labels[7, MID] = 0
    flags = check_segmentation(labels, ACDC, case.spacing_zyx_mm, rules=["slice-gaps"])
    assert [f.message.split()[0] for f in flags] == ["RV", "Myo", "LV"]
    assert all((f.frames, f.slices, f.value) == ((7,), (MID,), 1) for f in flags)
    assert flags[0].message == f"RV has a gap between slices: frame 7, slice {MID}."


def test_a_detached_part_is_an_island(case, labels):
    for value, name in ((LV, "LV"), (MYO, "Myo"), (RV, "RV")):
        faulty = labels.copy()
        faulty[2, MID, 2:5, 2:5] = value
        flag = _check(case, faulty)["islands"]
        assert (flag.frames, flag.slices) == ((2,), (MID,)) and flag.message.startswith(name)
        assert flag.value == pytest.approx(9 * np.prod(case.spacing_zyx_mm[1:]))


def test_a_single_pixel_is_no_island(case, labels):
    labels[2, MID, 3, 3] = LV
    assert _check(case, labels) == {}


def _wall(labels, t: int, z: int) -> tuple[int, int]:
    """A pixel in the middle of the myocardium, with myocardium above and below."""
    inside = labels[t] == MYO
    solid = inside.copy()
    for shift in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)):
        solid &= np.roll(inside, shift, axis=(1, 2))
    y, x = np.argwhere(solid[z] & inside[z - 1] & inside[z + 1])[0]
    return int(y), int(x)


def test_a_hole_in_the_wall_is_found_and_one_that_opens_to_the_base_is_none(case, labels):
    y, x = _wall(labels, 11, MID)
    labels[11, MID, y, x] = 0
    limits = RuleLimits(hole_mm2=3.0)
    found = check_segmentation(labels, ACDC, case.spacing_zyx_mm, limits=limits, rules=["holes"])
    assert [(f.frames, f.slices) for f in found] == [((11,), (MID,))]
    assert found[0].value == pytest.approx(np.prod(case.spacing_zyx_mm[1:]))
    labels[11, : MID + 1, y, x] = 0
    assert check_segmentation(labels, ACDC, case.spacing_zyx_mm, limits=limits, rules=["holes"]) == []


def test_a_septum_that_is_gone_lets_the_cavities_touch(case, labels):
    heart = labels[9, MID]
    rows = np.flatnonzero((heart == RV).any(axis=1))
    middle = rows[len(rows) // 2]
    faulty = labels.copy()
    band = faulty[9, MID, middle - 2 : middle + 3]
    columns = np.flatnonzero((band == RV).any(axis=0))
    cavity = np.flatnonzero((band == LV).any(axis=0))
    low, high = (columns.max(), cavity.min()) if columns.max() < cavity.min() else (cavity.max(), columns.min())
    between = band[:, low : high + 1]
    between[between == MYO] = LV
    flags = _check(case, faulty)
    assert (flags["contact"].frames, flags["contact"].slices) == ((9,), (MID,)) and flags["contact"].value > 5


def test_an_open_ring_at_mid_ventricle_is_found_and_at_the_apex_it_is_not(case, labels):
    for z, broken in ((MID, True), (labels.shape[1] - 2, False)):
        faulty = labels.copy()
        here = faulty[1, z]
        if not (here == LV).any():
            continue
        y, _ = np.argwhere(here == LV).mean(axis=0)
        here[: int(y)][here[: int(y)] == MYO] = 0
        flags = _check(case, faulty, rules=["open-cavity"])
        assert ("open-cavity" in flags) is broken
        if broken:
            assert flags["open-cavity"].slices == (z,) and flags["open-cavity"].frames == (1,)
            assert 20 < flags["open-cavity"].value < 80


def test_limits_can_be_set_and_contradictions_are_refused(case, labels):
    labels[2, MID, 2:5, 2:5] = RV
    wide = RuleLimits(island_mm2=1000.0)
    assert check_segmentation(labels, ACDC, case.spacing_zyx_mm, limits=wide) == []
    with pytest.raises(CatalogueError, match=r"'ef_low_percent' must be below 'ef_high_percent'"):
        RuleLimits(ef_low_percent=90.0)
    with pytest.raises(CatalogueError, match=r"hole_mm2"):
        RuleLimits(hole_mm2=-1.0)
    with pytest.raises(CatalogueError, match=r"no rule 'colour'; there are mass"):
        check_segmentation(labels, ACDC, case.spacing_zyx_mm, rules=["colour"])


def test_what_cannot_be_judged_is_silent_and_what_is_no_label_map_is_refused():
    empty = np.zeros((10, 3, 8, 8), np.uint8)
    assert check_segmentation(empty, ACDC, (8.0, 1.5, 1.5)) == []
    aorta = np.zeros((10, 1, 20, 20), np.uint8)
    aorta[:, :, 5:15, 5:15] = 1
    assert check_segmentation(aorta, PRESETS["aorta"], (8.0, 1.5, 1.5)) == []
    aorta[4, 0, 5:15] = 0
    assert [f.rule for f in check_segmentation(aorta, PRESETS["aorta"], (8.0, 1.5, 1.5))] == ["jumps", "missing-frames"]
    with pytest.raises(GeometryError, match=r"labels must be \(T, Z, Y, X\)"):
        check_segmentation(empty[0], ACDC, (8.0, 1.5, 1.5))
    with pytest.raises(LabelError, match=r"not all in 0 to 9"):
        check_segmentation(empty, ACDC, (8.0, 1.5, 1.5), frames=[10])


def test_flags_survive_json(case, labels):
    import json

    labels[7, MID] = 0
    for flag in _check(case, labels).values():
        assert Flag.from_dict(json.loads(json.dumps(flag.to_dict()))) == flag


def test_numbers_are_counted_from_one_and_runs_joined():
    assert counted("frame", [4]) == "frame 4"
    assert counted("slice", [0, 1, 2, 6]) == "slices 0–2 and 6"
    assert counted("frame", range(0, 20, 2)) == "frames 0, 2, 4, 6, 8 and 5 more"
