"""The page of a study: what was decided, the outcomes, what failed; and its figures."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analysis.data_sets import DataSetError, load_data_set
from analysis.figures.outcomes import plot_outcomes
from analysis.figures.verdicts import plot_verdicts
from analysis.report import make_report
from tests.analysis.report.pages import Parsed, write_data_set

FEES, SECONDS = (0.001, 0.003, 0.01), (12.0, 60.0)
EVIL = '</td><script>alert(1)</script><img src="x">'


def rows_of_runs():
    """Return six points of two levers with four seeds each; the last run failed."""
    random = np.random.default_rng(3)
    rows = [
        {
            "run_id": f"{k}-{r}", "point": k, "replication": r, "seed": 9_007_199_254_740_993 + r,
            "fee": fee, "block_seconds": seconds, "noise": random.uniform(),
            "lp_net_return": 0.01 * fee + r * 1e-6, "fees_usd": 1e6 * fee / seconds,
            "status": "ok", "message": "",
        }
        for k, (fee, seconds) in enumerate((f, s) for f in FEES for s in SECONDS)
        for r in range(4)
    ]  # fmt: skip
    rows[-1] |= {"status": "error", "message": EVIL, "lp_net_return": None, "fees_usd": None}
    return pd.DataFrame(rows)


def verdict_of_runs():
    findings = [
        {
            "fee": fee, "block_seconds": seconds, "requirement": "mean(lp_net_return) >= 0.002%",
            "verdict": "PASS" if fee == 0.003 else "FAIL", "estimate": 0.01 * fee, "low": 0.0,
            "high": "inf", "runs": 4, "failed_runs": 0, "method": "BCa bootstrap",
            "worst_corner_bound": 0.0,
        }
        for fee in FEES
        for seconds in SECONDS
    ]  # fmt: skip
    return {
        "study": "small", "verdict": "FAIL", "confidence": 0.95, "multiplicity": "each alone",
        "looks": 2, "stopped": "everything is decided", "findings": findings,
        "book_response": {"fee": "hf_preserving", "block_seconds": "positions_fixed"},
        "extreme": [{"block_seconds": 12.0, "fee": 0.003, "next_value": 0.01,
                     "next_verdict": "FAIL", "bounds": ""}],
        "compared": {"reference": {"fee": 0.001}, "differences": []}, "quote": "PASS: so it is.",
    }  # fmt: skip


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """Return the parsed page of a study with a verdict."""
    folder = tmp_path_factory.mktemp("study") / "set"
    write_data_set(
        folder, rows_of_runs(), ["lp_net_return", "fees_usd"], verdict_of_runs(), n_planned=30
    )
    return Parsed(make_report(folder))


def test_the_story_has_verdict_counts_and_the_extreme_value(decided):
    for words in (
        "Of 6 settings: 2 PASS and 4 FAIL, all requirements together.",
        "The study as a whole fails, for at least one setting does.",
        "block_seconds = 12.0 and fee = 0.003; the next value, 0.01, is FAIL.",
        "Runs that failed: 1 error.",
        "PASS: so it is.",
    ):
        assert words in decided.text


def test_missing_runs_are_said_aloud(decided):
    assert "6 runs of 30 planned are missing: the sweep has not ended." in decided.text


def test_findings_and_outcomes_hold_the_exact_numbers(decided):
    headings = decided.headings["findings"]
    place = headings.index("estimate")
    found = [float(row[place][1]) for row in decided.tables["findings"]]
    assert found == [0.01 * fee for fee in FEES for _ in SECONDS]
    means = rows_of_runs().groupby(["fee", "block_seconds"])["lp_net_return"].mean()
    columns = decided.headings["outcomes-table"]
    for row in decided.tables["outcomes-table"]:
        shown = dict(zip(columns, row, strict=True))
        if shown["outcome"][0] == "lp_net_return":
            key = float(shown["fee"][1]), float(shown["block_seconds"][1])
            assert float(shown["mean"][1]) == pytest.approx(means[key], rel=1e-12)
            assert int(shown["runs"][1]) == (3 if key == (0.01, 60.0) else 4)


def test_a_failed_run_is_listed_with_its_whole_seed_and_its_message_as_text(decided):
    (row,) = decided.tables["failed-runs"]
    cells = dict(zip(decided.headings["failed-runs"], row, strict=True))
    assert cells["seed"][0] == "9007199254740996"
    assert cells["message"][0] == EVIL
    assert [tag for tag, _ in decided.tags].count("script") == 1


def test_levers_are_told_from_what_is_varied_beside_them(decided):
    kinds = {name: row["what it is"] for name, row in decided.exact("factors").items()}
    assert kinds == {"fee": "lever", "block_seconds": "lever", "noise": "varied"}


def test_without_a_verdict_the_designed_factors_span_the_plane(tmp_path):
    write_data_set(tmp_path / "set", rows_of_runs(), ["lp_net_return", "fees_usd"])
    assert load_data_set(tmp_path / "set").levers == ["fee", "block_seconds"]
    page = Parsed(make_report(tmp_path / "set"))
    assert "No verdict was given on these runs" in page.text
    assert "verdicts" not in page.attributes("id")


# --- folders that are none ------------------------------------------------------------------------


def test_a_data_set_without_runs_is_refused(tmp_path):
    write_data_set(tmp_path / "set", [], ["lp_net_return"])
    with pytest.raises(DataSetError, match="holds no runs yet; run `undertow sweep` first"):
        make_report(tmp_path / "set")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "cannot be read"),
        ("[]", "holds no names and values"),
        (json.dumps({"study": "x", "outcomes": "y"}), "has no outcomes"),
    ],
)
def test_a_broken_description_is_refused_in_one_line(content, told, tmp_path):
    write_data_set(tmp_path / "set", rows_of_runs(), ["lp_net_return"])
    (tmp_path / "set" / "study.json").write_text(content, "utf-8")
    with pytest.raises(DataSetError, match=told):
        make_report(tmp_path / "set")


def test_a_file_of_runs_that_is_cut_short_is_refused(tmp_path):
    write_data_set(tmp_path / "set", rows_of_runs(), ["lp_net_return"])
    file = tmp_path / "set" / "runs" / "0001-000000.parquet"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataSetError, match="cannot be read"):
        make_report(tmp_path / "set")


# --- figures --------------------------------------------------------------------------------------


def test_cells_of_the_plane_show_the_means_of_runs():
    rows = rows_of_runs()
    panels = plot_outcomes(rows, ["fee", "block_seconds"], "fees_usd", "USD")
    shown = panels[0].images[0].get_array()
    expected = rows.pivot_table("fees_usd", "block_seconds", "fee").to_numpy()
    np.testing.assert_allclose(shown, expected)
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["0.001", "0.003", "0.01"]


def test_fractions_are_shown_in_percent():
    rows = rows_of_runs()
    panels = plot_outcomes(rows, ["fee", "block_seconds"], "lp_net_return", "fraction")
    largest = rows.groupby(["fee", "block_seconds"])["lp_net_return"].mean().max()
    assert panels[0].images[0].get_array().max() == pytest.approx(100.0 * largest)
    bar = panels[0].figure.axes[-1]
    assert bar.get_ylabel() == "lp_net_return (%)"


def test_the_frontier_lies_between_what_passes_and_what_does_not():
    settings = pd.DataFrame([(f, s) for f in FEES for s in SECONDS], columns=["fee", "seconds"])
    rows = settings.assign(y=1.0)
    passing = settings.assign(passes=(settings["fee"] == 0.003) & (settings["seconds"] == 12.0))
    (axes,) = plot_outcomes(rows, ["fee", "seconds"], "y", "", passing)
    edges = {tuple(zip(*line.get_data(), strict=True)) for line in axes.lines}
    # the cell in column 1 of row 0: its left, right and upper side
    assert edges == {
        ((0.5, -0.5), (0.5, 0.5)),
        ((1.5, -0.5), (1.5, 0.5)),
        ((0.5, 0.5), (1.5, 0.5)),
    }


def test_further_levers_make_panels_on_one_scale():
    rows = pd.DataFrame(
        [(a, b, c, a + 10.0 * (c == "y")) for a in (1, 2) for b in (1, 2) for c in ("x", "y")],
        columns=["a", "b", "c", "value"],
    )
    panels = plot_outcomes(rows, ["a", "b", "c"], "value")
    assert [panel.get_title() for panel in panels] == ["c = x", "c = y"]
    assert {panel.images[0].get_clim() for panel in panels} == {(1.0, 12.0)}


def test_one_lever_is_a_line_of_means_within_a_band_of_runs():
    rows = pd.DataFrame({"a": np.repeat([1.0, 2.0], 21), "y": np.tile(np.arange(21.0), 2)})
    axes = plot_outcomes(rows, ["a"], "y", "USD")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [10.0, 10.0])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (1.0, 19.0)


def test_words_as_values_of_a_lever_keep_their_order():
    rows = pd.DataFrame({"a": ["b", "a"], "y": [1.0, 2.0]})
    axes = plot_outcomes(rows, ["a"], "y")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


def test_a_lever_with_many_values_is_points():
    random = np.random.default_rng(1)
    rows = pd.DataFrame(random.random((40, 3)), columns=["a", "b", "y"])
    (axes,) = plot_outcomes(rows, ["a", "b"], "y")
    assert len(axes.collections[0].get_offsets()) == 40


def test_without_levers_the_runs_are_a_histogram_and_without_values_nothing():
    rows = pd.DataFrame({"y": [1.0, 2.0, 2.5, 3.0]})
    assert sum(bar.get_height() for bar in plot_outcomes(rows, [], "y").patches) == 4
    assert plot_outcomes(rows.assign(y=np.nan), [], "y") is None


def test_verdicts_over_three_levers_are_panels():
    table = pd.DataFrame(
        [(a, b, c, "PASS") for a in (1, 2) for b in (1, 2) for c in (1, 2, 3)],
        columns=["a", "b", "c", "verdict"],
    )
    assert len(plot_verdicts(table, ["a", "b", "c"])) == 3
