"""Weighted causes of fills: what each one's parents are, and with which share.

Most fills have one parent, which the agent named when it sent the order. A liquidation has
several: the move of the reported price since the account was last safe is the sum of the
fundamental move and of the impact of named trades (both additive in the log price), and each share
of that move that pushed towards liquidation is a parent. So has a report, of the move since the
report before it. Shares below 0.1 % join the fundamental.

Trades move the reference market, or the pool that a feed reports. Where a liquidation read a feed
that takes reports, the account was last safe at a report and unsafe from the next one on, both
known to the tick; elsewhere the first is known to one sample, and the second is the price read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.feeds import FIXED
from sim.orders import ACCRUAL, FILL, PRICE, SHOCK, split_cause

if TYPE_CHECKING:
    from experiments.feed_history import FeedHistory
    from sim.world import World

LEAST_WEIGHT = 1e-3
MOST_TRADES = 100_000  # kept; the impact of older ones counts as fundamental


class Trades(NamedTuple):
    """The last trades on the reference market that moved an asset's price, in order."""

    time: np.ndarray  # int64, (n,), tick
    asset: np.ndarray  # int64, (n,)
    usd: np.ndarray  # float64, (n,), USD bought; sold < 0
    fill: np.ndarray  # int64, (n,)
    batch: np.ndarray  # int64, (n,), batch of fills that it came with

    def up_to(self, batch: int) -> Trades:
        """Return the trades that had come with a batch or before it."""
        n = int(np.searchsorted(self.batch, batch, "right"))
        return Trades(*(column[:n] for column in self))


class Liquidated(NamedTuple):
    """Executed liquidations among some fills."""

    row: np.ndarray  # int64, (n,), row of the fills
    batch: np.ndarray  # int64, (n,), batch that the fill came with
    since: np.ndarray  # int64, (n,), tick at which the account was last safe, to one sample
    observed: np.ndarray  # int64, (n,), tick at which its price was observed
    feed_seized: np.ndarray  # int64, (n,), feed of what was seized, -1: none
    feed_repaid: np.ndarray  # int64, (n,), feed of what was repaid, -1: none
    price: np.ndarray  # float64, (n,), USD, of what was seized, at that health; NaN: as reported


class Parents(NamedTuple):
    """Parents of one fill; their weights add up to 1."""

    space: np.ndarray  # int64, (n,), FILL, PRICE ...
    number: np.ndarray  # int64, (n,), of the fill, of the asset ...
    weight: np.ndarray  # float64, (n,), fraction


def one_parent(space: int, number: int) -> Parents:
    """Return a cause that alone did it."""
    return Parents(np.array([space]), np.array([number]), np.ones(1))


def no_trades() -> Trades:
    """Return an empty list of trades."""
    empty = np.zeros(0, np.int64)
    return Trades(empty, empty, np.zeros(0), empty, empty)


def add_trades(world: World, trades: Trades, fills: np.ndarray, batch: np.ndarray) -> Trades:
    """Return the trades with some executed reference market fills appended.

    Parameters
    ----------
    fills : trades, in the order of execution
    batch : int64, (n,), batch that each came with, ascending
    """
    prices = world.prices
    token = np.concatenate([fills["token_in"], fills["token_out"]])
    asset = prices.asset[token]
    moves = (prices.permanent_per_usd[asset] != 0.0) | (prices.transient_per_usd[asset] != 0.0)
    time, batch = np.tile(fills["time"], 2), np.tile(batch, 2)
    order = np.lexsort((time, batch))  # stable: what was sold stands before what was bought
    order = order[moves[order]]
    usd = np.concatenate([-fills["value_in"], fills["value_in"]])
    new = Trades(time, asset, usd, np.tile(fills["fill_id"], 2), batch)
    return Trades(
        *(
            np.concatenate([old, column[order]])[-MOST_TRADES:]
            for old, column in zip(trades, new, strict=True)
        )
    )


def impact_between(world: World, trades: Trades, asset: int, start: int, end: int) -> np.ndarray:
    """Return what each trade added to the log price of an asset between two ticks: (n_trades,)."""
    prices = world.prices
    mine = (trades.asset == asset) & (trades.time <= end)
    permanent = prices.permanent_per_usd[asset] * (trades.time > start)
    rate = prices.decay[asset]
    at_end = np.exp(-rate * np.maximum(end - trades.time, 0))
    at_start = np.where(
        trades.time <= start, np.exp(-rate * np.maximum(start - trades.time, 0)), 0.0
    )
    transient = prices.transient_per_usd[asset] * (at_end - at_start)
    return np.where(mine, trades.usd * (permanent + transient), 0.0)


def shares(fills: np.ndarray, impacts: np.ndarray, rest: float, other: tuple[int, int]) -> Parents:
    """Return the parents of a price move: those who pushed its way, by how far.

    Parameters
    ----------
    fills : int64, (n,), trades
    impacts : float64, (n,), log price, what each moved
    rest : log price, what nobody in the simulation moved
    other : cause, as (space, number), of the rest
    """
    direction = np.sign(impacts.sum() + rest)
    pushes = np.maximum(direction * impacts, 0.0)
    towards = float(pushes.sum()) + max(direction * rest, 0.0)
    if towards <= 0.0:
        return one_parent(*other)
    weights = pushes / towards
    named = np.flatnonzero(weights >= LEAST_WEIGHT)
    space = np.full(len(named), FILL)
    left = 1.0 - float(weights[named].sum())
    found = Parents(space, fills[named], weights[named])
    if left <= 1e-12:
        return found
    first = one_parent(*other)._replace(weight=np.array([left]))
    return Parents(*(np.concatenate(pair) for pair in zip(first, found, strict=True)))


def liquidation_parents(world: World, trades: Trades, asset: int, start: int, end: int) -> Parents:
    """Return the parents of a liquidation whose account was last safe at `start`.

    Parameters
    ----------
    asset : whose price fell, or rose for a short
    start, end : ticks; `end` is when the reported price was observed
    """
    if not len(trades.time):
        return one_parent(PRICE, asset)
    path, step = world.prices.path[asset], int(world.prices.step[0])
    last = len(path) - 1
    before, after = path[min(start // step, last)], path[min(end // step, last)]
    impacts = impact_between(world, trades, asset, start, end)
    return shares(trades.fill, impacts, float(np.log(after / before)), (PRICE, asset))


def report_parents(
    world: World, trades: Trades, history: FeedHistory, feed: int, rows: tuple[int, int]
) -> Parents:
    """Return the parents of the move of a feed between two of its reports.

    Parameters
    ----------
    trades : known when the later report was read
    rows : of the two reports
    """
    reports, asset = history.reports[feed], int(world.prices.asset[history.feeds.token[feed]])
    start, end = (int(reports.observed[row]) for row in rows)
    move = float(np.log(reports.value[rows[1]] / reports.value[rows[0]]))
    pool = int(history.feeds.pool[feed])
    if pool >= 0:
        moves = history.moves[pool]
        known = (moves.time >= start) & (moves.time < end)  # a keeper looks before its block
        sign = 1.0 if history.feeds.pool_side[feed] == 0 else -1.0
        fills, impacts = moves.fill[known], sign * moves.move[known]
    elif asset >= 0:
        fills, impacts = trades.fill, impact_between(world, trades, asset, start, end)
        fills, impacts = fills[impacts != 0.0], impacts[impacts != 0.0]
    else:
        return one_parent(PRICE, asset)
    return shares(fills, impacts, move - float(impacts.sum()), (PRICE, asset))


def moved_assets(world: World, fills: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the asset whose price made each liquidation possible: int64, (n,), and its side.

    It is that of the collateral (side 1), or that of the debt where the collateral's never moves
    (side -1).
    """
    prices = world.prices
    seized, repaid = prices.asset[fills["token_out"]], prices.asset[fills["token_in"]]
    moves = np.ptp(prices.path, axis=1) > 0.0
    is_long = moves[seized] | ~moves[repaid]
    return np.where(is_long, seized, repaid), np.where(is_long, 1, -1)


def causes_of(
    world: World,
    fills: np.ndarray,
    liquidated: Liquidated,
    trades: Trades,
    history: FeedHistory,
) -> dict[str, Any]:
    """Return the columns of the `causes` record for some fills.

    Parameters
    ----------
    liquidated : the executed liquidations among them
    trades : those of these fills too
    history : of the feeds, these fills included
    """
    space, number = split_cause(fills["parent"])
    keep = np.ones(len(fills), bool)
    keep[liquidated.row] = False
    weighted = dict(
        zip(
            liquidated.row.tolist(),
            _parents_of_liquidations(world, fills[liquidated.row], liquidated, trades, history),
            strict=True,
        )
    )
    if len(trades.time) or history.moves:
        weighted |= _parents_of_reports(world, fills, trades, history)
    keep[list(weighted)] = False
    columns = [
        fills["fill_id"][keep],
        fills["time"][keep],
        space[keep],
        number[keep],
        np.ones(int(keep.sum())),
    ]
    if weighted:
        rows = np.repeat(list(weighted), [len(parents.weight) for parents in weighted.values()])
        parts = [np.concatenate(part) for part in zip(*weighted.values(), strict=True)]
        added = [fills["fill_id"][rows], fills["time"][rows], *parts]
        columns = [np.concatenate(pair) for pair in zip(columns, added, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        columns = [column[order] for column in columns]
    names = ("fill_id", "time", "parent_kind", "parent_id", "weight")
    return dict(zip(names, columns, strict=True))


def _parents_of_liquidations(
    world: World,
    fills: np.ndarray,
    liquidated: Liquidated,
    trades: Trades,
    history: FeedHistory,
) -> list[Parents]:
    """Return the parents of each liquidation.

    Many are of accounts that became unsafe and were seen together, and share their parents.
    """
    known: dict[tuple[int, ...], Parents] = {}
    found = []
    assets, sides = moved_assets(world, fills)
    for k in range(len(fills)):
        moves = _between_reports(history, fills[k], _one(liquidated, k), int(sides[k]))
        batch, asset = int(liquidated.batch[k]), int(assets[k])
        if moves is None:
            moment = asset, int(liquidated.since[k]), int(liquidated.observed[k])
        else:
            moment = moves
        if (*moment, batch, moves is None) not in known:
            seen = trades.up_to(batch)
            if moves is None:
                parents = liquidation_parents(world, seen, *moment)
            elif moment[1] == moment[2]:
                parents = one_parent(SHOCK, 0)
            elif moment[1] < 0:
                parents = one_parent(ACCRUAL, 0)
            else:
                parents = report_parents(world, seen, history, moment[0], moment[1:])
            known[(*moment, batch, moves is None)] = parents
        found.append(known[(*moment, batch, moves is None)])
    return found


def _one(liquidated: Liquidated, k: int) -> Liquidated:
    return Liquidated(*(column[k] for column in liquidated))


def _between_reports(
    history: FeedHistory, fill: np.ndarray, one: Liquidated, side: int
) -> tuple[int, int, int] | None:
    """Return (feed, last safe report, the one after it) of a liquidation; None: takes no reports.

    The one after it made the account unsafe; what moved the price later did not. The last safe one
    is -1 where the account was safe at none, hence made unsafe by interest or by its owner; and
    both are the one read where another price than a report's was read.
    """
    given = int(one.feed_seized if side > 0 else one.feed_repaid)
    feed = history.reported_by(given)
    if feed < 0:
        return None
    row = history.in_force(feed, int(fill["fill_id"]), int(fill["time"]), int(one.observed))
    price = float(history.reports[feed].value[row])
    health = float(fill["x"])
    limit = price / health if side > 0 else price * health
    if side > 0 and given == feed and float(one.price) > 0.0:
        limit = float(one.price) / health
        if price >= limit:
            return feed, row, row
    safe = history.last_safe(feed, row, limit, side)
    return feed, safe, safe + 1


def _parents_of_reports(
    world: World, fills: np.ndarray, trades: Trades, history: FeedHistory
) -> dict[int, Parents]:
    """Return the parents of the reports among some fills, by their rows."""
    rows = {int(fill): row for row, fill in enumerate(fills["fill_id"].tolist()) if fill > 0}
    found = {}
    for feed, reports in history.reports.items():
        for k in np.flatnonzero(np.isin(reports.fill, fills["fill_id"]) & (reports.fill > 0)):
            at = int(k)
            found[rows[int(reports.fill[at])]] = report_parents(
                world, trades, history, feed, (at - 1, at)
            )
    return found


def shadow_health(
    world: World,
    fills: np.ndarray,
    liquidated: Liquidated,
    history: FeedHistory,
) -> np.ndarray:
    """Return the health factors that liquidated accounts had at fundamental prices: (n,).

    Prices through the same oracles: the fundamental of the tick at which each price was observed.
    Only what was seized and what was repaid are revalued, as if the account had nothing else.
    """
    health = np.array(fills["x"], float)
    for k in range(len(fills)):
        one = _one(liquidated, k)
        for feed, sign in ((int(one.feed_seized), 1.0), (int(one.feed_repaid), -1.0)):
            health[k] *= _fundamental_over_read(world, history, fills[k], one, feed) ** sign
    return health


def _fundamental_over_read(
    world: World, history: FeedHistory, fill: np.ndarray, one: Liquidated, feed: int
) -> float:
    """Return the fundamental price over what a liquidation read from a feed."""
    base, is_seized = history.reported_by(feed), feed == int(one.feed_seized)
    if feed < 0:
        return 1.0
    read, observed = float("nan"), int(one.observed)
    if base >= 0:
        row = history.in_force(base, int(fill["fill_id"]), int(fill["time"]), observed)
        read = float(history.reports[base].value[row])
        observed = int(history.reports[base].observed[row])
    if is_seized and (base < 0 or base == feed) and float(one.price) > 0.0:
        read = float(one.price)
    token = int(history.feeds.token[base if base >= 0 else feed])
    asset = int(world.prices.asset[token])
    if asset < 0 or not read > 0.0 or history.feeds.kind[feed] == FIXED:
        return 1.0
    path, step = world.prices.path[asset], int(world.prices.step[0])
    fundamental = path[min(observed // step, len(path) - 1)] * world.prices.scale[token]
    return float(fundamental) / read
