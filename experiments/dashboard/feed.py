"""What happens, as it happens: liquidations and shocks, newest first."""

from __future__ import annotations

import html
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.status import Status
from sim.units import HOUR, MINUTE, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sim.world import World

KEPT = 200  # rows
SHOWN = 12
_STYLE = "width:100%;border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums"


class Event(NamedTuple):
    """A row of the feed."""

    time: float  # s
    kind: str  # liquidation or shock
    text: str
    usd: float  # debt repaid; 0 for a shock


class Feed:
    """Collects liquidations from the engine's fills, and shocks.

    Parameters
    ----------
    world : watched; its hook for fills is taken over, what was there before is still called

    Attributes
    ----------
    rows : the last events, newest first
    n_liquidations, liquidated : number, and USD of debt repaid by them, so far
    n_fills : orders carried out so far
    """

    def __init__(self, world: World) -> None:
        self.rows: deque[Event] = deque(maxlen=KEPT)
        self.n_liquidations = 0
        self.liquidated = 0.0
        self.n_fills = 0
        self._world = world
        self._readers = world.liquidation_verbs()
        self._is_liquidation = np.isin(np.arange(len(world.verb_names)), [*self._readers])
        self._next = world.on_fills
        world.on_fills = self.take

    def take(self, fills: np.ndarray) -> None:
        """Take a batch of fills."""
        is_ok = fills["status"] == Status.OK
        self.n_fills += int(np.count_nonzero(is_ok))
        found = fills[is_ok & self._is_liquidation[fills["verb"]]]
        for verb in np.unique(found["verb"]).tolist():
            self._take_liquidations(found[found["verb"] == verb], verb)
        self._next(fills)

    def _take_liquidations(self, fills: np.ndarray, verb: int) -> None:
        world = self._world
        said = {"debt_usd": fills["value_in"], "health_factor": fills["x"]}
        said |= self._readers[verb].details(world, fills)
        self.n_liquidations += len(fills)
        self.liquidated += float(np.sum(said["debt_usd"]))
        for k in range(max(0, len(fills) - KEPT), len(fills)):
            population = world.group_names[int(said["borrower_population"][k])]
            who = f"{population} {int(said['borrower_account'][k])}"
            where = world.venue_names[int(fills["venue"][k])]
            health = float(said["health_factor"][k])
            text = f"{who} at {where}" + (f", health {health:.3f}" if health > 0.0 else "")
            debt = float(said["debt_usd"][k])
            self.rows.appendleft(Event(seconds(int(fills["time"][k])), "liquidation", text, debt))

    def add_shock(self, time: float, text: str) -> None:
        """Add a shock that has happened."""
        self.rows.appendleft(Event(time, "shock", text, 0.0))

    def newest(self, n: int = SHOWN) -> tuple[Event, ...]:
        """Return the last events, newest first; of one time shocks come before what they did."""
        return tuple(sorted(self.rows, key=lambda row: row.time, reverse=True)[:n])


def clock(time: float) -> str:
    """Return a time as hours and minutes, such as 26:05."""
    return f"{int(time // HOUR):02d}:{int(time % HOUR // MINUTE):02d}"


def usd_text(amount: float) -> str:
    """Return USD in three digits or so: $940, $12.4k, $3.10m, $2.00bn."""
    for unit, suffix in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(amount) >= unit:
            return f"${amount / unit:,.2f}{suffix}"
    return f"${amount:,.0f}"


def table_of(events: Iterable[Event]) -> str:
    """Return the rows of the feed as an HTML table; names are escaped."""
    rows = [_row(event) for event in events]
    if not rows:
        return '<p class="undertow-feed">Nothing was liquidated yet.</p>'
    return f'<table class="undertow-feed" style="{_STYLE}">{"".join(rows)}</table>'


def _row(event: Event) -> str:
    is_shock = event.kind == "shock"
    mark = "background:#832db622;font-weight:600;" if is_shock else ""
    cells: list[tuple[str, Any]] = [
        ("opacity:.7", clock(event.time)),
        ("", html.escape(event.text)),
        ("text-align:right", "" if is_shock else usd_text(event.usd)),
    ]
    line = "border-bottom:1px solid #8a8d9333;padding:4px 8px;"
    inner = "".join(f'<td style="{line}{style}">{text}</td>' for style, text in cells)
    return f'<tr style="{mark}">{inner}</tr>'
