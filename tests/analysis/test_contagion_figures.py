"""Figures of a contagion analysis: every channel and party is there, in USD, with its interval."""

import pytest

from analysis.figures.contagion import draw_contagion, plot_heat_map, plot_shares
from analysis.style import make_figure

CHANNELS = ("bridge", "gas")


def interval(mean, low=None, high=None):
    return {"mean": mean, "low": low, "high": high, "standard_error": None}


@pytest.fixture
def content():
    """Bridge takes 3 from lenders and 1 from traders; gas gives lenders 2."""
    effects = [
        {"channel": "bridge", "solo": interval(3.0, 2.0, 5.0), "knock_out": interval(5.0),
         "shapley": interval(4.0, 3.0, 6.0)},
        {"channel": "gas", "solo": interval(-2.0), "knock_out": interval(-2.0),
         "shapley": interval(-2.0)},
    ]  # fmt: skip
    return {
        "channels": list(CHANNELS),
        "victims": ["lenders", "traders"],
        "effects": effects,
        "contagion": interval(2.0),
        "by_party": {
            "bridge": {"lenders": 3.0, "traders": 1.0, "liquidators": 0.0, "outside": -4.0},
            "gas": {"lenders": -2.0, "traders": 0.0, "liquidators": 0.0, "outside": 2.0},
        },
    }


def test_the_heat_map_has_a_cell_for_each_channel_and_party_that_bears_anything(content):
    axes = plot_heat_map(content, make_figure().subplots())
    assert [label.get_text() for label in axes.get_yticklabels()] == list(CHANNELS)
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "lenders", "traders", "outside"
    ]  # fmt: skip
    assert axes.images[0].get_array().tolist() == [[3.0, 1.0, -4.0], [-2.0, 0.0, 2.0]]


def test_the_bars_are_sorted_and_carry_their_intervals(content):
    axes = plot_shares(content, make_figure().subplots())
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gas", "bridge"]
    shapley = axes.containers[-1]
    assert [bar.get_width() for bar in shapley] == [-2.0, 4.0]
    (lines,) = shapley.errorbar.lines[2]
    assert [segment[:, 0].tolist() for segment in lines.get_segments()] == [[-2, -2], [3, 6]]
    assert "USD" in axes.get_xlabel()


def test_both_are_drawn_also_where_no_channel_does_anything(content, tmp_path):
    content["by_party"] = {c: dict.fromkeys(("lenders", "traders"), 0.0) for c in CHANNELS}
    drawn = draw_contagion(content, tmp_path / "figures")
    assert [path.name for path in drawn] == ["contagion_shares.png", "contagion_heat_map.png"]
    assert all(path.stat().st_size > 5_000 for path in drawn)
