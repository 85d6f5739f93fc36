"""The token graph: tokens sized by value locked, pools and bridges as wide as their flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import networkx as nx
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from analysis.liquidity import pool_fills
from analysis.style import FAINT, INK, looks, make_figure, money, styled, title

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

Graph: TypeAlias = "nx.MultiGraph[Any]"

_LARGEST = 2_600.0  # points², the most valuable token
_WIDEST = 11.0  # points, the edge of the largest flow
_BRIDGE = "#832db6"
_ROOMY = 42.0  # points, the diameter of a token that holds its own label
_LETTER, _LINES = 0.045, 0.24  # room of a letter and of two lines, in radii of a chain's ring
_BENDS = {  # of an edge, as a share of its length, by preference
    "pool": (0.0, 0.25, -0.25, 0.45, -0.45, 0.65, -0.65, 0.85, -0.85),
    "bridge": (0.28, -0.28, 0.4, -0.4, 0.52, -0.52, 0.64, -0.64, 0.8, -0.8, 1.0, -1.0),
}
_CLEAR = 0.06  # least room between an edge and a token that it does not reach, in radii of a ring
_STEPS = np.linspace(0.0, 1.0, 41)  # of the way along an edge, where it is looked at
_SHARES = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8)  # of the way along an edge, where labels may stand


class Box(NamedTuple):
    """Room that a label takes: its middle, width and height."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        """Return whether two boxes have room in common."""
        return (
            abs(self.x - other.x) < (self.width + other.width) / 2
            and abs(self.y - other.y) < (self.height + other.height) / 2
        )


def token_graph(
    pools: pd.DataFrame,
    fills: pd.DataFrame,
    bridges: pd.DataFrame,
    markets: pd.DataFrame,
    tokens: Mapping[str, tuple[str, ...]],
) -> Graph:
    """Return the graph of tokens with what was locked at the end and what flowed.

    Parameters
    ----------
    pools, fills, bridges, markets : record tables
    tokens : tokens of a venue as `chain/symbol`, by venue

    Returns
    -------
    nodes `chain/symbol` with `value` (USD in pools, and cash of lending markets); edges, keyed by
    venue, with `flow` (USD paid in) and `kind`, pool or bridge
    """
    graph: Graph = nx.MultiGraph()
    last = pools.groupby(pools["venue"].astype(str)).last()
    pairs = _pairs(fills) | {name: pair for name, pair in tokens.items() if len(pair) == 2}
    flow = _flows(pools, fills, bridges)
    crossing = set(bridges["venue"].astype(str))
    for venue in sorted({*last.index, *crossing} & set(pairs)):
        kind = "bridge" if venue in crossing else "pool"
        graph.add_edge(
            pairs[venue][0], pairs[venue][1], venue, flow=flow.get(venue, 0.0), kind=kind
        )
    for token in graph.nodes:
        graph.nodes[token]["value"] = 0.0
    for venue, pool in last.iterrows():
        if venue in pairs:
            halves = (0.5 * pool["value_usd"],) * 2  # which token is which is known from `tokens`
            values = _split(pool) if venue in tokens else halves
            for token, value in zip(pairs[str(venue)], values, strict=True):
                graph.nodes[token]["value"] += value
    cash = (markets["cash"] * markets["oracle_price"]).groupby(markets["token"].astype(str)).last()
    for token in graph.nodes:
        graph.nodes[token]["value"] += float(cash.get(token, 0.0))
    return graph


def _pairs(fills: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return the two tokens that each venue exchanged first."""
    done = fills[(fills["status"] == "OK") & (fills["amount_out"] > 0.0)]
    first = done.drop_duplicates("venue")
    return {
        venue: tuple(sorted((token_in, token_out)))
        for venue, token_in, token_out in first[["venue", "token_in", "token_out"]].to_numpy()
        if token_in and token_out and token_in != token_out
    }


def _flows(pools: pd.DataFrame, fills: pd.DataFrame, bridges: pd.DataFrame) -> dict[str, float]:
    venues = pd.concat([pools[["venue"]].astype(str), bridges[["venue"]].astype(str)])
    done = pool_fills(fills, venues)
    flows = done.groupby(done["venue"].astype(str))["value_in"].sum()
    return {str(venue): float(value) for venue, value in flows.items()}


def _split(pool: pd.Series[float]) -> tuple[float, float]:
    """Return the value of token 0 and of token 1 in a pool, USD."""
    ratio = pool["reference_price"] if pool["reference_price"] > 0.0 else pool["price"]
    value0 = pool["reserve0"] * ratio
    whole = value0 + pool["reserve1"]
    share = value0 / whole if whole > 0.0 else 0.5
    return float(pool["value_usd"] * share), float(pool["value_usd"] * (1.0 - share))


@styled()
def plot_network(
    graph: Graph,
    figure: Figure | None = None,
) -> Axes:
    """Plot the token graph: each chain a ring of its tokens, chains side by side.

    Parameters
    ----------
    graph : from `token_graph`
    figure : where to draw; a new one when left out
    """
    chains = sorted({token.partition("/")[0] for token in graph})
    figure = figure or make_figure(5.2 if len(graph) > 4 else 4.0)
    axes = figure.subplots()
    look = looks(chains)
    place = _layout(graph, chains)
    values = np.array([graph.nodes[token]["value"] for token in graph])
    sizes = 260.0 + _LARGEST * values / max(values.max(initial=0.0), 1e-12)
    bends = _bends(graph, place, _radii(figure, graph, place, sizes))
    _set_limits(axes, graph, place, bends)
    _draw_edges(axes, graph, place, sizes, bends)
    nx.draw_networkx_nodes(
        graph, place, ax=axes, node_size=sizes, edgecolors="white", linewidths=1.5,
        node_color=[look[token.partition("/")[0]].color for token in graph],
    )  # fmt: skip
    _label_nodes(axes, graph, place, sizes)
    for name in chains:
        axes.scatter([], [], s=60, color=look[name].color, label=name)
    _finish(axes, graph)
    return axes


def _label_nodes(
    axes: Axes, graph: Graph, place: dict[str, NDArray[np.float64]], sizes: NDArray[np.float64]
) -> None:
    """Write name and value into a token, or below it where they would cover it."""
    for token, diameter in zip(graph, np.sqrt(sizes), strict=True):
        is_wide = diameter > _ROOMY
        axes.annotate(
            f"{token.partition('/')[2]}\n{money(graph.nodes[token]['value'])}",
            (place[token][0], place[token][1]),
            xytext=(0.0, 0.0 if is_wide else -0.5 * diameter - 2.0), textcoords="offset points",
            ha="center", va="center" if is_wide else "top", fontsize=8.5, fontweight="bold",
            zorder=6, path_effects=[withStroke(linewidth=2.5, foreground="white", alpha=0.75)],
        )  # fmt: skip


def _radii(
    figure: Figure, graph: Graph, place: dict[str, NDArray[np.float64]], sizes: NDArray[np.float64]
) -> dict[str, float]:
    """Return the radius of each token as drawn, in radii of a chain's ring; somewhat too large."""
    points = np.array(list(place.values()))
    width, height = points.max(axis=0) - points.min(axis=0) + 1.4
    inches = figure.get_size_inches()
    unit = 72.0 * min(0.9 * inches[0] / width, 0.65 * inches[1] / height)  # points
    return dict(zip(graph, np.sqrt(sizes) / 2.0 / unit, strict=True))


def _bends(
    graph: Graph, place: dict[str, NDArray[np.float64]], radii: dict[str, float]
) -> dict[str, float]:
    """Return the bend of each edge, by venue, such that it passes no token that it does not reach.

    Edges of one pair bend differently. Where every bend meets a token, the one with the most room
    is taken.
    """
    bends: dict[str, float] = {}
    used: dict[tuple[str, ...], list[float]] = {}
    edges: Any = graph.edges(keys=True, data=True)
    for source, target, venue, data in edges:
        pair = tuple(sorted((source, target)))
        taken = used.setdefault(pair, [])
        every = _BENDS[data["kind"]]
        options = [bend for bend in every if bend not in taken] or list(every)
        room = [_room(pair, bend, place, radii) for bend in options]
        best = next((k for k, free in enumerate(room) if free >= _CLEAR), int(np.argmax(room)))
        bends[venue] = options[best]
        taken.append(options[best])
    return bends


def _room(
    pair: tuple[str, ...],
    bend: float,
    place: dict[str, NDArray[np.float64]],
    radii: dict[str, float],
) -> float:
    """Return the least room between an edge and the tokens, and their labels, between its ends."""
    start, end = place[pair[0]], place[pair[1]]
    course = np.array([_along(start, end, bend, share) for share in _STEPS])
    room = np.inf
    for token in place.keys() - set(pair):
        for middle in (place[token], place[token] - np.array([0.0, radii[token] + _LINES / 2])):
            away = np.hypot(*(course - middle).T).min()
            room = min(room, away - (radii[token] if middle is place[token] else _LINES / 2))
    return float(room)


def _set_limits(
    axes: Axes, graph: Graph, place: dict[str, NDArray[np.float64]], bends: dict[str, float]
) -> None:
    """Show all tokens and edges, with equal scales, so that curves bend as `_along` says."""
    tokens = np.array(list(place.values()))
    low = tokens.min(axis=0) - np.array([0.6, 0.9])
    high = tokens.max(axis=0) + np.array([0.6, 0.5])
    edges: Any = graph.edges(keys=True)
    for source, target, venue in edges:
        start, end = (place[token] for token in sorted((source, target)))
        course = np.array([_along(start, end, bends[venue], share) for share in _STEPS])
        low = np.minimum(low, course.min(axis=0) - 0.2)
        high = np.maximum(high, course.max(axis=0) + 0.2)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")


def _layout(graph: Graph, chains: list[str]) -> dict[str, NDArray[np.float64]]:
    place: dict[str, NDArray[np.float64]] = {}
    for k, chain in enumerate(chains):
        tokens = sorted(token for token in graph if token.partition("/")[0] == chain)
        ring: Any = nx.circular_layout(
            nx.empty_graph(tokens), scale=1.0 if len(tokens) > 1 else 0.0
        )
        turn = np.pi / 2 if len(tokens) > 2 else 0.0
        spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        for token, point in ring.items():
            place[token] = np.asarray(point) @ spin + np.array([3.4 * k, 0.0])
    return place


def _draw_edges(
    axes: Axes,
    graph: Graph,
    place: dict[str, NDArray[np.float64]],
    sizes: NDArray[np.float64],
    bends: dict[str, float],
) -> None:
    edges: Any = graph.edges(keys=True, data=True)
    flows = {venue: data["flow"] for _, _, venue, data in edges}
    largest = max(flows.values(), default=0.0) or 1.0
    taken = [Box(place[token][0], place[token][1], 0.6, 0.45) for token in graph]
    for source, target, venue, data in edges:
        kind = data["kind"]
        pair = tuple(sorted((source, target)))
        bend = bends[venue]
        nx.draw_networkx_edges(
            nx.MultiDiGraph([pair]), place, ax=axes, arrows=True, arrowstyle="-",
            width=1.0 + _WIDEST * flows[venue] / largest,
            edge_color=_BRIDGE if kind == "bridge" else FAINT, alpha=0.65,
            style="dashed" if kind == "bridge" else "solid",
            connectionstyle=f"arc3,rad={bend}",
            nodelist=list(graph), node_size=sizes,
        )  # fmt: skip
        course = [_along(place[pair[0]], place[pair[1]], bend, share) for share in _SHARES]
        words = f"{venue}\n{money(flows[venue])}"
        taken.append(_label_edge(axes, course, words, taken))


def _along(
    start: NDArray[np.float64], end: NDArray[np.float64], bend: float, share: float
) -> NDArray[np.float64]:
    """Return a point of the parabola that `arc3` draws, given the share of the way to its end."""
    along = end - start
    control = (start + end) / 2 + bend * np.array([along[1], -along[0]])
    rest = 1.0 - share
    point: NDArray[np.float64] = rest**2 * start + 2 * rest * share * control + share**2 * end
    return point


def _label_edge(axes: Axes, course: list[NDArray[np.float64]], words: str, taken: list[Box]) -> Box:
    """Write upon an edge, where possible clear of what is taken; return the room it takes."""
    width = _LETTER * max(map(len, words.splitlines()))
    boxes = [Box(point[0], point[1], width, _LINES) for point in course]
    box = next((b for b in boxes if not any(b.overlaps(other) for other in taken)), boxes[0])
    axes.annotate(
        words, (box.x, box.y), ha="center", va="center", fontsize=7.5, color=INK, zorder=5,
        bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85},
    )  # fmt: skip
    return box


def _finish(axes: Axes, graph: Graph) -> None:
    axes.set_axis_off()
    edges: Any = list(graph.edges(data=True))
    kinds = {data["kind"] for _, _, data in edges}
    handles, labels = axes.get_legend_handles_labels()
    if "pool" in kinds:
        handles.append(Line2D([], [], color=FAINT, lw=4))
        labels.append("pool (width: flow, USD)")
    if "bridge" in kinds:
        handles.append(Line2D([], [], color=_BRIDGE, lw=2.5, ls="--"))
        labels.append("bridge (width: flow, USD)")
    axes.legend(
        handles, labels, title="token (area: value locked, USD), by chain", ncols=2,
        loc="upper left", bbox_to_anchor=(0.0, 0.0), alignment="left", handlelength=3.2,
    )  # fmt: skip
    value = sum(graph.nodes[token]["value"] for token in graph)
    flow = sum(data["flow"] for _, _, data in edges)
    title(axes, f"{money(value)} locked in {len(graph)} tokens; {money(flow)} flowed between them")
