"""The exposure graph and the first-passage map as pictures."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from analysis.contagion.exposures import exposure_graph
from analysis.figures.exposures import plot_exposures
from analysis.figures.first_passage import place_graph, plot_first_passage
from tests.analysis.builders import crash_manifest, crash_run
from tests.analysis.contagion.books import manifest, tables


def test_every_exposure_is_an_arrow_and_every_node_has_its_name():
    graph = exposure_graph(tables(), manifest())
    axes = plot_exposures(graph)

    assert len(axes.patches) == graph.number_of_edges()
    labels = [text.get_text() for text in axes.texts]
    assert sorted(label.split("  ")[0] for label in labels) == sorted(graph)
    assert "6 largest of 6" in axes.get_title(loc="left")


def test_the_largest_of_every_kind_is_drawn():
    axes = plot_exposures(exposure_graph(tables(), manifest()), n_largest=2)

    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(words) == len(axes.patches) == 4  # claim, liquidity, issued, loan


def test_an_empty_graph_is_drawn():
    assert plot_exposures(nx.DiGraph()).get_title(loc="left").startswith("0 largest of 0")


@pytest.fixture
def graph():
    pairs = {"bridge": ("mainnet/ETH", "rollup/wETH")}
    venues = crash_manifest()["scenario"]["venues"]
    pairs |= {n: tuple(f"{v['chain']}/{t}" for t in v["tokens"]) for n, v in venues.items()
              if "tokens" in v}  # fmt: skip
    return place_graph(crash_run(), pairs)


def passages(**delays):
    return pd.DataFrame(
        {"place": list(delays), "metric": "price", "delay": list(delays.values())}
    ).replace({"place": {"lend_ETH": "lend ETH"}})


def test_tokens_and_edges_have_the_color_of_their_first_passage(graph):
    reached = passages(bridge=0.0, **{"eth-dai": 3_600.0, "lend_ETH": 100.0, "dai-usdc": np.inf})
    axes = plot_first_passage(graph, reached, {"mainnet": 0.0, "rollup": 7_200.0})

    keys = axes.get_legend()
    shown = dict(zip([t.get_text() for t in keys.get_texts()], keys.legend_handles, strict=True))
    color = {name: to_hex(handle.get_facecolor()[0]) for name, handle in shown.items()}
    nodes = next(c for c in axes.collections if len(c.get_offsets()) == len(graph))
    of_token = dict(zip(graph, map(to_hex, nodes.get_facecolors()), strict=True))
    assert of_token["rollup/ETH"] == color["5 min"]
    assert of_token["rollup/wETH"] == color["5 min"]
    assert of_token["mainnet/DAI"] == color["2 h"]
    assert of_token["mainnet/USDC"] == color["never"]
    words = [text.get_text() for text in axes.texts]
    assert "bridge\nat once" in words
    assert "mainnet: at once" in words
    assert "rollup: 2.0 h" in words
    assert axes.get_title(loc="left").startswith("The shock reached 3 of 4 places; eth-dai last")


def test_tokens_of_lending_markets_alone_stand_on_the_map_too(graph):
    assert graph.nodes["rollup/USDC"]["reserves"] == ("lend USDC",)


def test_a_shock_that_reached_nothing_is_said_to(graph):
    axes = plot_first_passage(graph, passages(bridge=np.inf))

    assert axes.get_title(loc="left") == "The shock reached none of 1 places"
