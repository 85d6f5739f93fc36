"""The exposure graph: the largest exposures between participants, markets, pools and issuers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import networkx as nx
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke

from analysis.style import FAINT, PALETTE, make_figure, money, styled, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Graph: TypeAlias = "nx.DiGraph[Any]"

_COLUMNS = {"population": 0, "account": 0, "outside": 0, "market": 1, "pool": 1}  # others: 2
_KINDS = {  # of edges: color, line style, words
    "claim": (FAINT, "-", "claim on a market"),
    "liquidity": (PALETTE[0], "-", "share of a pool"),
    "issued": ("#832db6", "-", "token of a bridge or other issuer"),
    "loan": (PALETTE[2], "--", "loss if the borrower were liquidated now"),
}
_NODES = {"market": PALETTE[1], "pool": PALETTE[0], "bridge": "#832db6"}
_PERSON, _OTHER = "#5b5e66", PALETTE[4]
_WIDEST, _LARGEST = 9.0, 420.0  # points; points²
_SWEEPS = 8  # over the columns, to put neighbors side by side


@styled()
def plot_exposures(graph: Graph, n_largest: int = 24, figure: Figure | None = None) -> Axes:
    """Plot the largest exposures: who loses on the left, markets and pools, then issuers.

    Of each kind of exposure the largest is always among them.

    Parameters
    ----------
    graph : from `analysis.contagion.exposures.exposure_graph`
    n_largest : exposures drawn
    figure : where to draw; a new one when left out
    """
    edges = _largest(graph, n_largest)
    shown: Graph = nx.DiGraph(edges)
    column = {node: _COLUMNS.get(graph.nodes[node]["kind"], 2) for node in shown}
    place = _places(shown, column)
    tallest = max([list(column.values()).count(k) for k in range(3)], default=1)
    axes = (figure or make_figure(1.6 + 0.34 * max(tallest, 6))).subplots()
    most = max((data["value"] for *_, data in edges), default=1.0)
    for source, target, data in edges:
        color, dashes, _ = _KINDS[data["kind"]]
        bend = 0.12 if column[source] < column[target] else -0.16
        axes.add_patch(
            FancyArrowPatch(
                place[source], place[target], arrowstyle="-|>", mutation_scale=9.0,
                lw=0.8 + _WIDEST * np.sqrt(data["value"] / most), color=color, ls=dashes,
                alpha=0.55, shrinkA=6.0, shrinkB=6.0, connectionstyle=f"arc3,rad={bend}",
            )
        )  # fmt: skip
    _draw_nodes(axes, graph, place, column)
    axes.set_xlim(-0.75, 2.5)
    axes.set_ylim(0.0, 1.02)
    axes.set_axis_off()
    kinds = [kind for kind in _KINDS if any(data["kind"] == kind for *_, data in edges)]
    axes.legend(
        [Line2D([], [], color=_KINDS[k][0], ls=_KINDS[k][1], lw=3) for k in kinds],
        [_KINDS[k][2] for k in kinds], loc="upper left", bbox_to_anchor=(0.0, 0.0), ncols=2,
        title="who loses -> by whose failure (width: USD, square root)", alignment="left",
    )  # fmt: skip
    part = sum(data["value"] for *_, data in edges)
    whole = sum(data["value"] for *_, data in graph.edges(data=True))
    title(axes, f"{len(edges)} largest of {graph.number_of_edges()} exposures: "
          f"{money(part)} of {money(whole)}")  # fmt: skip
    return axes


def _largest(graph: Graph, n: int) -> list[Any]:
    """Return the n largest edges, the largest of each kind among them."""
    edges = sorted(graph.edges(data=True), key=lambda edge: -edge[2]["value"])
    first: dict[str, Any] = {}
    for edge in edges:
        first.setdefault(edge[2]["kind"], edge)
    chosen = list(first.values())
    chosen += [edge for edge in edges if edge not in chosen][: max(n - len(chosen), 0)]
    return sorted(chosen, key=lambda edge: -edge[2]["value"])


def _places(shown: Graph, column: dict[str, int]) -> dict[str, tuple[float, float]]:
    """Return where nodes stand: by column, near those that they are joined to."""
    columns = [[node for node in shown if column[node] == k] for k in range(3)]
    height = {node: _height(i, len(c)) for c in columns for i, node in enumerate(c)}
    near = shown.to_undirected()
    for _ in range(_SWEEPS):
        for nodes in columns:
            nodes.sort(key=lambda node: -np.mean([height[other] for other in near[node]]))
            height |= {node: _height(i, len(nodes)) for i, node in enumerate(nodes)}
    return {node: (float(column[node]), height[node]) for node in shown}


def _height(number: int, n: int) -> float:
    return 1.0 - (number + 0.5) / n


def _draw_nodes(
    axes: Axes, graph: Graph, place: dict[str, tuple[float, float]], column: dict[str, int]
) -> None:
    equity = {node: max(graph.nodes[node]["equity"], 0.0) for node in place}
    most = max(equity.values(), default=1.0) or 1.0
    for node, (x, y) in place.items():
        kind = graph.nodes[node]["kind"]
        color = _PERSON if column[node] == 0 else _NODES.get(kind, _OTHER)
        size = 40.0 + _LARGEST * np.sqrt(equity[node] / most)
        axes.scatter([x], [y], s=size, color=color, edgecolors="white", zorder=4)
        away = 0.5 * np.sqrt(size) + 3.0
        shift, across, along = (
            ((-away, 0.0), "right", "center"),
            ((0.0, away), "center", "bottom"),
            ((away, 0.0), "left", "center"),
        )[column[node]]
        axes.annotate(
            f"{node}  {money(graph.nodes[node]['equity'])}", (x, y), xytext=shift,
            textcoords="offset points", ha=across, va=along, fontsize=8.0, zorder=6,
            path_effects=[withStroke(linewidth=2.5, foreground="white", alpha=0.85)],
        )  # fmt: skip
