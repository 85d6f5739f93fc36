"""The page of a contagion analysis."""

from __future__ import annotations

import copy
import json

import pytest

from analysis.report import make_report
from analysis.report.contagion_page import ContagionError
from tests.analysis.report.pages import Parsed


def mean(value, half=1_000.0):
    return {"mean": value, "low": value - half, "high": value + half, "standard_error": half / 2}


CONTENT = {
    "scenario": "bridge-exploit",
    "seeds": [1, 2, 4],
    "failed_seeds": [3],
    "channels": ["bridge", "gas", "lender_run"],
    "method": "exact",
    "orders_a_seed": 16,
    "worlds": 24,
    "unit": "USD",
    "confidence": 0.95,
    "direct_loss": mean(5e6),
    "loss": mean(12e6),
    "contagion": mean(7e6),
    "interaction": mean(1e6),
    "shares": {"bridge": 6 / 7, "gas": 0.0, "lender_run": 1 / 7},
    "effects": [
        {
            "channel": name, "fires_in": fires, "absorbed": 10.0,
            "solo": mean(solo), "knock_out": mean(cut), "shapley": mean(value),
        }
        for name, fires, solo, cut, value in (
            ("bridge", 1.0, 5.5e6, 6.5e6, 6e6),
            ("gas", 0.0, 0.0, 0.0, 0.0),
            ("lender_run", 1.0, 0.5e6, 1.5e6, 1e6),
        )
    ],
    "by_party": {
        "bridge": {"lenders": 4e6, "wrapped_holders": 2e6, "attacker": -6e6},
        "gas": {"lenders": 0.0, "wrapped_holders": 0.0, "attacker": 0.0},
        "lender_run": {"lenders": 1e6, "wrapped_holders": 0.0, "attacker": -1e6},
    },
    "victims": ["lenders", "wrapped_holders"],
}  # fmt: skip


def page_of(folder, content):
    (folder / "contagion.json").write_text(json.dumps(content), "utf-8")
    (folder / "study.json").write_text("{}", "utf-8")  # the worlds are a data set too
    return Parsed(make_report(folder))


@pytest.fixture
def page(tmp_path):
    return page_of(tmp_path, CONTENT)


def test_the_story_splits_the_loss_and_ranks_the_channels(page):
    for words in (
        "the victims lose $12.0m (mean of 3 seeds) when all of 3 channels are open",
        "and $5.0m when none is. The difference, $7.0m, is loss by contagion",
        "bridge: +$6.0m (85.7 % of it), 95 % interval $6.0m to $6.0m; alone +$5.5m",
        "and cutting it alone would save $6.5m.",
        "Never fired, so that their effect is exactly 0: gas.",
        "Interaction, the loss by contagion that no channel causes alone: +$1.0m",
        "Lost by contagion: lenders $5.0m and wrapped holders $2.0m.",
        "Gained by contagion: attacker $7.0m.",
        "Seeds left out because a world of theirs failed: 3.",
        "With 3 seeds, bootstrap intervals are too narrow",
    ):
        assert words in page.text
    assert page.text.index("bridge: +$6.0m") < page.text.index("lender run: +$1.0m")


def test_the_tables_hold_the_exact_numbers(page):
    effects = page.exact("effects")
    for row in CONTENT["effects"]:
        shown = effects[row["channel"]]
        assert float(shown["Shapley value (USD)"]) == row["shapley"]["mean"]
        assert float(shown["alone (USD)"]) == row["solo"]["mean"]
        share = shown["share of contagion"]
        assert float(share) == CONTENT["shares"][row["channel"]]
    parties = page.exact("by-party")
    assert float(parties["lenders"]["bridge"]) == 4e6
    assert float(parties["attacker"]["all channels"]) == -7e6
    assert parties["wrapped holders"]["side"] == "victim"


def test_without_shares_and_intervals_the_page_says_so(tmp_path):
    content = copy.deepcopy(CONTENT) | {"shares": None, "seeds": [1]}
    for row in content["effects"]:
        row["shapley"] |= {"low": None, "high": None}
    text = page_of(tmp_path, content).text
    assert "Shares are not given" in text
    assert "no interval (one seed)" in text


def test_names_are_text_here_too(tmp_path):
    evil = "<script>alert(1)</script>"
    page = page_of(tmp_path, copy.deepcopy(CONTENT) | {"scenario": evil})
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert evil in page.text


@pytest.mark.parametrize(
    ("text", "told"), [("{", "cannot be read"), ('{"scenario": "x"}', "has no seeds")]
)
def test_a_broken_analysis_is_refused(text, told, tmp_path):
    (tmp_path / "contagion.json").write_text(text, "utf-8")
    with pytest.raises(ContagionError, match=told):
        make_report(tmp_path)
