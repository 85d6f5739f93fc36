"""The live token graph: each chain a ring of its tokens; color is stress, size is USD."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from experiments.dashboard.feed import usd_text
from experiments.dashboard.look import (
    CALM,
    STRESSED,
    TEXT,
    UNEASY,
    plain_option,
    stress_color,
    title,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.dashboard.reading import LinkReading, Reading, TokenReading

_APART = 3.4  # between the middles of two rings, in their radii
_SMALLEST, _LARGEST = 26.0, 66.0  # pixels, tokens
_THIN, _WIDEST = 1.5, 9.0  # pixels, links
_BENDS = (0.0, 0.25, -0.25, 0.45, -0.45, 0.65, -0.65)  # of links between the same two tokens
_NAMED = 0.15  # stress from which a link shows its name


def places_of(names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return where each token `chain/symbol` stands: chains side by side, each a ring."""
    chains = list(dict.fromkeys(name.partition("/")[0] for name in names))
    places = {}
    for k, chain in enumerate(chains):
        ring = sorted(name for name in names if name.partition("/")[0] == chain)
        radius = 1.0 if len(ring) > 1 else 0.0
        for place, name in enumerate(ring):
            angle = 2.0 * math.pi * place / len(ring) - math.pi / 2.0
            x = _APART * k + radius * math.cos(angle)
            places[name] = (round(x, 4), round(radius * math.sin(angle), 4))
    return places


def graph_option(reading: Reading) -> dict[str, Any]:
    """Return the chart of the token graph."""
    places = places_of([token.name for token in reading.tokens])
    most = max((token.value for token in reading.tokens), default=0.0) or 1.0
    chains = list(dict.fromkeys(token.name.partition("/")[0] for token in reading.tokens))
    nodes = [_node(token, places[token.name], most) for token in reading.tokens]
    nodes += [_heading(chain, _APART * k) for k, chain in enumerate(chains)]
    return {
        **plain_option(),
        "title": title("Token graph"),
        "tooltip": {"confine": True},
        "visualMap": _scale(),
        "series": [
            {
                "type": "graph",
                "layout": "none",
                "data": nodes,
                "links": _edges(reading.links),
                "edgeLabel": {
                    "fontSize": 10,
                    "color": "#2b2b33",
                    "textBorderColor": "#fff",
                    "textBorderWidth": 3,
                },
                "emphasis": {"disabled": True},
            }
        ],
    }


def _scale() -> dict[str, Any]:
    """Return the color scale; it only explains, since every mark brings its own color."""
    return {
        "type": "continuous",
        "min": 0,
        "max": 1,
        "calculable": False,
        "orient": "horizontal",
        "right": 8,
        "top": 0,
        "itemWidth": 10,
        "itemHeight": 110,
        "text": ["stressed", "calm"],
        "textStyle": {"color": TEXT, "fontSize": 10},
        "inRange": {"color": [CALM, UNEASY, STRESSED]},
        "dimension": 0,
        "hoverLink": False,
    }


def _node(token: TokenReading, place: tuple[float, float], most: float) -> dict[str, Any]:
    symbol = token.name.partition("/")[2]
    size = _SMALLEST + (_LARGEST - _SMALLEST) * math.sqrt(max(token.value, 0.0) / most)
    return {
        "name": token.name,
        "x": place[0],
        "y": place[1],
        "value": round(token.stress, 3),
        "symbolSize": round(size, 1),
        "itemStyle": {"color": stress_color(token.stress), "borderColor": "#fff", "borderWidth": 2},
        "label": {
            "show": True,
            "position": "bottom",
            "distance": 3,
            "formatter": f"{symbol}\n{usd_text(token.value)}",
            "color": TEXT,
            "fontSize": 11,
            "lineHeight": 13,
        },
        "tooltip": {
            "formatter": f"{token.name}<br>{usd_text(token.value)}<br>stress {token.stress:.2f}"
        },
    }


def _heading(chain: str, x: float) -> dict[str, Any]:
    """Return the name of a chain, above its ring."""
    label = {"show": True, "position": "inside", "color": TEXT, "fontSize": 12, "fontWeight": 600}
    return {
        "name": chain,
        "x": x,
        "y": -1.75,
        "symbolSize": 0.01,
        "label": {**label, "formatter": chain},
        "tooltip": {"show": False},
    }


def _edges(links: tuple[LinkReading, ...]) -> list[dict[str, Any]]:
    most = max((link.value for link in links), default=0.0) or 1.0
    taken: dict[frozenset[str], int] = {}
    edges = []
    for link in links:
        pair = frozenset((link.source, link.target))
        taken[pair] = taken.get(pair, -1) + 1
        bend = _BENDS[taken[pair] % len(_BENDS)]
        if link.kind == "bridge":
            bend += 0.18
        edges.append(_edge(link, bend if link.source < link.target else -bend, most))
    return edges


def _edge(link: LinkReading, bend: float, most: float) -> dict[str, Any]:
    state = "halted" if link.is_halted else f"stress {link.stress:.2f}"
    return {
        "source": link.source,
        "target": link.target,
        "value": round(link.stress, 3),
        "lineStyle": {
            "color": stress_color(link.stress),
            "width": round(_THIN + _WIDEST * math.sqrt(max(link.value, 0.0) / most), 1),
            "type": "dashed" if link.kind == "bridge" else "solid",
            "curveness": round(bend, 3),
            "opacity": 0.85,
        },
        "label": {
            "show": link.is_halted or link.stress > _NAMED,
            "formatter": f"{link.venue} halted" if link.is_halted else link.venue,
        },
        "tooltip": {
            "formatter": f"{link.venue} ({link.kind})<br>{usd_text(link.value)}<br>{state}"
        },
    }
