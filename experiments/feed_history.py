"""What price feeds have read: every report, and every move of the pools that feeds report.

A liquidation needs both: the last report at which its account was safe, and who moved the price
from then to the report that made it unsafe. Reports are known from their fills, to the tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sim.feeds import REPORTED, Feeds, make_feeds
from sim.status import Status

if TYPE_CHECKING:
    from sim.world import World


class Reports(NamedTuple):
    """Reports of one feed in the order in which blocks took them; the first is its start value."""

    fill: np.ndarray  # int64, (n,), 0: the start value
    active: np.ndarray  # int64, (n,), tick from which contracts read it
    observed: np.ndarray  # int64, (n,), tick at which the price was seen
    value: np.ndarray  # float64, (n,), USD


class PoolMoves(NamedTuple):
    """Moves of the marginal price of one pool, in order."""

    fill: np.ndarray  # int64, (n,)
    time: np.ndarray  # int64, (n,), tick
    move: np.ndarray  # float64, (n,), log price


class FeedHistory:
    """Reports of all feeds and moves of the pools that they report.

    Parameters
    ----------
    world : at its start
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.feeds: Feeds = world.shared.get(Feeds, make_feeds(0))
        self.reports: dict[int, Reports] = {}
        self.moves: dict[int, PoolMoves] = {}
        self._price: dict[int, float] = {}
        self._is_report = np.array([v.endswith("oracle.report") for v in world.verb_names])
        self._is_swap = np.array([v.endswith(".swap") for v in world.verb_names])
        zero = np.zeros(1, np.int64)
        for feed in np.flatnonzero(self.feeds.kind == REPORTED):
            self.reports[int(feed)] = Reports(zero, zero, zero, self.feeds.value[[feed]])
            if (pool := int(self.feeds.pool[feed])) >= 0:
                self.moves[pool] = PoolMoves(zero[:0], zero[:0], np.zeros(0))
                self._price[pool] = float(world.venues.price[pool])

    def add(self, fills: np.ndarray) -> None:
        """Take in fills, in the order of execution; those that failed are left out."""
        done = fills[fills["status"] == Status.OK]
        reports = done[self._is_report[done["verb"]]]
        rows = self._world.venues.row[reports["venue"]]
        for feed in np.unique(rows).tolist():
            self._add_reports(feed, reports[rows == feed])
        for pool in self.moves:
            self._add_moves(pool, done[(done["venue"] == pool) & self._is_swap[done["verb"]]])

    def _add_reports(self, feed: int, fills: np.ndarray) -> None:
        new = (
            fills["fill_id"],
            fills["time"] + self.feeds.delay[feed],
            fills["a"],
            fills["amount"],
        )
        self.reports[feed] = Reports(
            *(np.concatenate(pair) for pair in zip(self.reports[feed], new, strict=True))
        )

    def _add_moves(self, pool: int, fills: np.ndarray) -> None:
        fills = fills[fills["price_after"] > 0.0]
        if not len(fills):
            return
        path = np.log(np.concatenate([[self._price[pool]], fills["price_after"]]))
        self._price[pool] = float(fills["price_after"][-1])
        new = fills["fill_id"], fills["time"], np.diff(path)
        self.moves[pool] = PoolMoves(
            *(np.concatenate(pair) for pair in zip(self.moves[pool], new, strict=True))
        )

    # --- what was read, and when -----------------------------------------------------------------

    def reported_by(self, feed: int) -> int:
        """Return the feed whose reports move a feed: itself or the first of its parts; -1: none."""
        if feed in self.reports or feed < 0:
            return feed
        steps = self.feeds.steps[feed].tolist()
        return next((step for step in steps if step in self.reports), -1)

    def in_force(self, feed: int, fill: int, time: int, observed: int) -> int:
        """Return the row of the report that a fill read.

        Parameters
        ----------
        feed : one that takes reports
        fill, time : of the reader: reports of later fills, or not active yet, do not count
        observed : tick after which no report can have been observed that it read
        """
        reports = self.reports[feed]
        can_be = (reports.fill < fill) & (reports.active <= time) & (reports.observed <= observed)
        return int(np.flatnonzero(can_be)[-1])

    def last_safe(self, feed: int, row: int, price: float, side: int) -> int:
        """Return the last report before one at which an account was safe; -1: at none.

        Parameters
        ----------
        row : report at which it was unsafe
        price : at which its health factor is 1
        side : 1: safe above that price; -1: below
        """
        before = self.reports[feed].value[:row]
        found = np.flatnonzero(side * (before - price) >= 0.0)
        return int(found[-1]) if len(found) else -1
