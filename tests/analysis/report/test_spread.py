"""How far a shock came, on the page of a run: with its twin without shocks, and without."""

from __future__ import annotations

import re

import pytest

from analysis.report import make_report
from experiments.calm import without_shocks
from experiments.running import run
from experiments.scenario import load_scenario
from sim.errors import InputError
from tests.analysis.report.pages import Parsed


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Return folders of a small market whose price gaps at 20 min, and of its twin."""
    folder = tmp_path_factory.mktemp("pair")
    changes = [
        "shocks=[{at: 20m, do: {kind: price_gap, asset: ETH, change: -0.2}}]",
        "records.sample_seconds=5m",
    ]
    shocked = load_scenario("quiet-market", changes, until="1h")
    run(shocked, seed=1, out=folder / "shocked", figures=False)
    run(without_shocks(shocked), seed=1, out=folder / "calm", figures=False)
    return folder / "shocked", folder / "calm"


def test_a_pair_shows_when_the_shock_arrived(pair):
    shocked, calm = pair
    parsed = Parsed(make_report(shocked, calm=calm))
    rows = {row[0][0]: [text for text, _ in row] for row in parsed.tables["spread-table"]}
    assert rows["eth-usd"][1:4] == ["venue", "mainnet", "price"]
    assert float(rows["eth-usd"][4]) <= 5.0  # the first sample after the gap, or at it
    assert rows["mainnet"][1] == "chain"
    assert any(
        tag == "img" and re.match(r"The shock reached \d+ of \d+ places", about.get("alt") or "")
        for tag, about in parsed.tags
    )


def test_without_the_twin_the_page_says_what_it_takes(pair):
    parsed = Parsed(make_report(pair[0]))
    assert "spread-table" not in parsed.tables
    assert "--without-shocks" in " ".join(parsed.words)


def test_runs_that_are_no_pair_are_refused(pair, tmp_path):
    shocked, _ = pair
    run(load_scenario("quiet-market", until="1h"), seed=2, out=tmp_path / "other", figures=False)
    with pytest.raises(InputError, match="differ in seed"):
        make_report(shocked, calm=tmp_path / "other")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").write_text("{}", "utf-8")
    with pytest.raises(InputError, match="must both be folders of runs"):
        make_report(shocked, calm=tmp_path / "study")
