"""What a comparison leaves for other programs and on its page, from results as runs write them."""

from __future__ import annotations

import csv

import pytest

from napari_ssl.report.comparison_page import write_comparison
from napari_ssl.report.plots import ARM_COLOURS, bland_altman_figure, curve_figure, scores_figure
from napari_ssl.rounds.comparison_table import clinical_table, efficiency_table, minutes_table, score_table

EFFICIENCY = {
    "mean_seconds": 2.5, "peak_gpu_mb": 0.0, "mean_gpu_memory_area_mb_s": 0.0, "mean_cpu_area_percent_s": 240.0,
}  # fmt: skip


def case(number, dice, *, ef=50.0):
    indices = {"lv_edv_ml": 100.0 + 10 * number, "lv_esv_ml": 50.0, "lv_ef_percent": ef}
    reference = {"lv_edv_ml": 105.0 + 10 * number, "lv_esv_ml": 45.0, "lv_ef_percent": 55.0 + number}
    return {
        "case_id": f"case{number}", "subject_id": f"case{number}", "dice": {"LV": dice},
        "indices": indices, "reference_indices": reference,
    }  # fmt: skip


def result(dices, *, ef=50.0, review=None, reviewed=(), minutes=0.0):
    return {
        "cases": [case(n, d, ef=None if ef is None and n == 0 else ef or 50.0) for n, d in enumerate(dices)],
        "efficiency": EFFICIENCY, "n_steps": 40, "training_seconds": 12.5, "peak_memory_mib": 700.0,
        "n_parameters": 1000, "device_name": "cpu", "threads": 2, "review": review, "reviewed": list(reviewed),
        "minutes": minutes, "counts": {"labelled": 2, "unlabelled": 3},
    }  # fmt: skip


INSIDE = {"step": "alternation 1 of 1: review", "accept": 2, "correct": 1, "reject": 1, "n_slices": 4, "seconds": 174.0}
NOBODYS = {"step": "review", "accept": 9, "correct": 0, "reject": 0, "n_slices": 0, "seconds": 0.0}


def document(results, *, policies=None, rounds=0, minutes=True):
    of_round = {arm: [one] for arm, one in results.items()}
    what = {
        "strategy": "supervised", "network": "res-unet", "network_parameters": {}, "parameters": {},
        "n_labelled": 2, "n_unlabelled": 3,
    }  # fmt: skip
    arms = {}
    for arm in results:
        policy = (policies or {}).get(arm, "accept-all")
        values = {"seconds_accept": 12.0, "seconds_slice": 30.0} if policy == "oracle" else {}
        arms[arm] = {**what, "policy": policy, "policy_parameters": values}
    found = {
        "napari_ssl": "0", "created_at": "2026-01-01", "study": "hearts", "baseline": next(iter(results)),
        "structures": ["LV"], "subjects": ["case0", "case1", "case2"], "arms": arms, "steps_are_equal": True,
        "failed": {}, "scores": score_table(of_round, next(iter(results)), ["LV"]),
        "clinical": clinical_table(of_round), "efficiency": efficiency_table(of_round),
        "plan": {
            "seeds": [0], "split": "test", "iterations": 40, "crf": False, "largest_component": False,
            "rounds": rounds, "policy": "oracle", "policy_parameters": {"seconds_reject": 15.0}, "common": {},
        },
        "runs": [
            {"arm": arm, "seed": 0, "labelled": ["case9"], "cases": one["cases"]} for arm, one in results.items()
        ],
    }  # fmt: skip
    return {**found, "minutes": minutes_table([of_round], ["LV"])} if minutes else found


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


RESULTS = {
    "supervised": result([0.7, 0.8, 0.9]),
    "oracle": result([0.8, 0.85, 0.9], ef=None, reviewed=[INSIDE, NOBODYS], minutes=2.9),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    (folder / "figures").mkdir()
    (folder / "figures" / "hd95_voxel.png").write_bytes(b"of an earlier plan")
    (folder / "figures" / "mine.png").write_bytes(b"of the user")
    made = document(RESULTS, policies={"oracle": "oracle"})
    return folder, made, write_comparison(made, folder)


def test_clinical_indices_are_a_table_of_their_own_with_the_reference(written):
    folder, made, files = written
    rows = {(r["arm"], r["index"]): r for r in read(folder / "clinical.csv")}
    row = rows["supervised", "lv_edv_ml"]
    assert float(row["mean"]) == 110 and float(row["reference_mean"]) == 115
    assert float(row["bias"]) == pytest.approx(-5)
    assert float(row["absolute_error"]) == pytest.approx(5)
    assert float(row["lower_limit"]) == pytest.approx(
        made["clinical"]["lv_edv_ml"]["arms"]["supervised"]["agreement"]["lower"]
    )
    assert folder / "clinical.csv" in files
    cases = read(folder / "clinical_cases.csv")
    found = {(c["arm"], c["case"], c["index"]): (c["found"], c["reference"]) for c in cases}
    assert found["supervised", "case1", "lv_ef_percent"] == ("50.0", "56.0")
    assert found["oracle", "case0", "lv_ef_percent"] == ("", "55.0")


def test_time_memory_and_flares_measures_are_a_table(written):
    (first, second) = read(written[0] / "efficiency.csv")
    assert (first["arm"], second["arm"]) == ("supervised", "oracle")
    assert float(first["training_seconds"]) == 12.5 and float(first["peak_memory_mib"]) == 700
    assert float(first["mean_seconds"]) == 2.5 and float(first["mean_cpu_area_percent_s"]) == 240


def test_an_oracle_inside_a_run_is_on_the_page_with_its_seconds_and_minutes(written):
    folder, _, files = written
    (nobody, oracle) = read(folder / "minutes.csv")
    assert float(nobody["minutes"]) == 0 and float(oracle["minutes"]) == 2.9
    assert [float(oracle[name]) for name in ("accept", "correct", "reject", "n_slices")] == [2, 1, 1, 4]
    page = (folder / "comparison.html").read_text()
    assert "In oracle an oracle reviews inside the run. seconds accept 12, seconds slice 30" in page
    assert "times. seconds" not in page  # nobody reviews between rounds that there are not
    assert any(f.name == "dice_against_minutes.png" for f in files)


def test_an_index_that_some_subjects_lack_tells_how_many_it_stands_on(written):
    folder, made, _ = written
    assert made["clinical"]["lv_ef_percent"]["reference"] == pytest.approx({"n": 3, "mean": 56, "sd": 1})
    assert made["clinical"]["lv_ef_percent"]["arms"]["oracle"]["n"] == 2
    assert "2 of 3" in (folder / "comparison.html").read_text()


def test_the_reference_does_not_depend_on_what_the_arms_found():
    alone = clinical_table({"oracle": [RESULTS["oracle"]]})
    assert alone["lv_ef_percent"]["reference"] == pytest.approx({"n": 3, "mean": 56, "sd": 1})


def test_figures_of_an_earlier_plan_are_removed_and_others_files_left(written):
    folder, _, _ = written
    assert not (folder / "figures" / "hd95_voxel.png").exists()
    assert (folder / "figures" / "mine.png").exists()
    again = write_comparison(document(RESULTS, minutes=False), folder)
    assert not (folder / "minutes.csv").exists()
    assert not any("minutes" in f.name for f in again)


def _dots(axes):
    return {(*c.get_facecolor()[0][:3], c.get_paths()[0].vertices.tobytes()) for c in axes.collections}


def test_arms_beyond_the_colours_have_another_mark():
    n = len(ARM_COLOURS) + 3
    row = {"by_subject": {"a": 0.5, "b": 0.6}, "mean": 0.55}
    (axes,) = scores_figure({"mean": {f"arm{k}": row for k in range(n)}}, "Dice").axes
    assert len(_dots(axes)) == n
    point = {"minutes": 1.0, "dice": 0.5, "low": 0.4, "high": 0.6}
    (axes,) = curve_figure({f"arm{k}": [point, point] for k in range(n)}).axes
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == n


def test_an_arm_without_an_index_leaves_the_colours_of_the_others():
    row = clinical_table({"second": [RESULTS["supervised"]]})["lv_edv_ml"]["arms"]["second"]
    (axes,) = (
        a for a in bland_altman_figure("EDV", {"second": row}, colour_order=["first", "second"]).axes if a.get_visible()
    )
    (dots,) = axes.collections
    assert tuple(dots.get_facecolor()[0][:3]) == pytest.approx(
        tuple(int(ARM_COLOURS[1][i : i + 2], 16) / 255 for i in (1, 3, 5))
    )
