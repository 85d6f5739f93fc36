"""First-passage map: when a shock reached each pool, bridge and reserve, on the token graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import seaborn as sns
from matplotlib.colors import to_hex

from analysis.figures.network import Dress, draw_tokens, ring_middles, token_graph
from analysis.series import frame_of
from analysis.style import FAINT, make_figure, styled, title
from sim.units import HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import networkx as nx
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Graph: TypeAlias = "nx.MultiGraph[Any]"

_STEPS = (5 * MINUTE, 30 * MINUTE, 2 * HOUR, 12 * HOUR, np.inf)  # upper ends, seconds
_WORDS = ("5 min", "30 min", "2 h", "12 h", "later")
_COLORS = [to_hex(color) for color in sns.color_palette("rocket", len(_STEPS) + 1)[: len(_STEPS)]]
_NEVER = "#d5d7db"


def place_graph(tables: Mapping[str, pd.DataFrame], tokens: Mapping[str, tuple[str, ...]]) -> Graph:
    """Return the token graph of a run, tokens that only lending markets have among them.

    Parameters
    ----------
    tables : record tables
    tokens : tokens of a venue as `chain/symbol`, by venue

    Returns
    -------
    as `token_graph`; tokens also have `reserves`, a tuple of `venue symbol`
    """
    pools, fills = frame_of(tables, "pools"), frame_of(tables, "fills")
    markets = frame_of(tables, "lending")
    graph = token_graph(pools, fills, frame_of(tables, "bridges"), markets, tokens)
    last = markets.drop_duplicates(["venue", "token"], keep="last").astype(
        {"venue": str, "token": str}
    )
    for token, of_token in last.groupby("token"):
        if token not in graph:
            cash = float((of_token["cash"] * of_token["oracle_price"]).sum())
            graph.add_node(token, value=cash)
        symbol = str(token).rpartition("/")[2]
        graph.nodes[token]["reserves"] = tuple(f"{venue} {symbol}" for venue in of_token["venue"])
    return graph


@styled()
def plot_first_passage(
    graph: Graph,
    passages: pd.DataFrame,
    chains: Mapping[str, float] | None = None,
    figure: Figure | None = None,
) -> Axes:
    """Plot the token graph with edges and tokens colored by when the shock reached them.

    A pool or bridge has the color of its first metric that was reached; a token that of the first
    reserve of it, or pool or bridge with it.

    Parameters
    ----------
    graph : from `place_graph`
    passages : from `analysis.contagion.first_passage.first_passages`
    chains : when each chain was reached, seconds, to be written above it
    figure : where to draw; a new one when left out
    """
    delay = passages.groupby("place")["delay"].min().to_dict()
    edges: Any = list(graph.edges(keys=True))
    of_token: dict[str, float] = {}
    words = {}
    for token, about in graph.nodes.items():
        reserves = {name: delay.get(name, np.inf) for name in about.get("reserves", ())}
        near = [delay.get(venue, np.inf) for *ends, venue in edges if token in ends]
        of_token[token] = min([*reserves.values(), *near], default=np.inf)
        lines = [f"{name.rpartition(' ')[0]}\n{_text(t)}" for name, t in reserves.items()]
        words[token] = "\n".join([token.partition("/")[2], *lines])
    of_venue = {venue: delay.get(venue, np.inf) for *_, venue in edges}
    dress = Dress(
        {token: _color(time) for token, time in of_token.items()},
        {venue: _color(time) for venue, time in of_venue.items()},
        words,
        {venue: f"{venue}\n{_text(time)}" for venue, time in of_venue.items()},
    )
    axes = draw_tokens(graph, dress, figure or make_figure(6.0))
    names = sorted({token.partition("/")[0] for token in graph})
    if chains:
        for chain, middle in zip(names, ring_middles(names), strict=True):
            axes.annotate(
                f"{chain}: {_text(chains.get(chain, np.inf))}", (middle, axes.get_ylim()[1]),
                ha="center", va="bottom", fontsize=9.5, fontweight="bold", color=FAINT,
            )  # fmt: skip
    for color, label in zip((*_COLORS, _NEVER), (*_WORDS, "never"), strict=True):
        axes.scatter([], [], s=60, color=color, label=label)
    axes.legend(
        title="first differs from the world without the shock within (area: value locked)",
        ncols=6, loc="upper left", bbox_to_anchor=(0.0, 0.0), alignment="left",
    )  # fmt: skip
    title(axes, _headline(passages))
    return axes


def _color(delay: float) -> str:
    if not np.isfinite(delay):
        return _NEVER
    return _COLORS[int(np.searchsorted(_STEPS, delay))]


def _text(delay: float) -> str:
    if not np.isfinite(delay):
        return "never"
    if delay <= 0.0:
        return "at once"
    if delay < 2 * HOUR:
        return f"{delay / MINUTE:.0f} min"
    return f"{delay / HOUR:.1f} h"


def _headline(passages: pd.DataFrame) -> str:
    first = passages.groupby("place")["delay"].min()
    reached = first[np.isfinite(first)].sort_values(kind="stable")
    if reached.empty:
        return f"The shock reached none of {len(first)} places"
    last = f"{reached.index[-1]} last, after {_text(reached.iloc[-1])}"
    return f"The shock reached {len(reached)} of {len(first)} places; {last}"
