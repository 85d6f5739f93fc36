"""Weighted causes of fills: what each one's parents are, and with which share.

Most fills have one parent, which the agent named when it sent the order. A liquidation has
several: the move of the reported price since the account was last safe is the sum of the
fundamental move and of the impact of named trades on the reference market (both additive in the
log price), and each share of that move that pushed towards liquidation is a parent. Shares below 5
% join the fundamental.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.orders import FILL, PRICE, split_cause

if TYPE_CHECKING:
    from sim.world import World

LEAST_WEIGHT = 0.05
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
    since: np.ndarray  # int64, (n,), tick at which the account was last safe
    observed: np.ndarray  # int64, (n,), tick at which its price was observed


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


def liquidation_parents(
    world: World, trades: Trades, asset: int, start: int, end: int
) -> list[tuple[int, int, float]]:
    """Return the parents of a liquidation whose account was last safe at `start`.

    Parameters
    ----------
    asset : whose price fell, or rose for a short
    start, end : ticks; `end` is when the reported price was observed

    Returns
    -------
    list of (space, number, weight), weights adding up to 1
    """
    if not len(trades.time):
        return [(PRICE, asset, 1.0)]
    path, step = world.prices.path[asset], int(world.prices.step[0])
    last = len(path) - 1
    before, after = path[min(start // step, last)], path[min(end // step, last)]
    fundamental = float(np.log(after / before))
    impacts = impact_between(world, trades, asset, start, end)
    total = fundamental + float(impacts.sum())
    pushes = impacts * np.sign(total)
    towards = float(pushes[pushes > 0.0].sum()) + max(fundamental * np.sign(total), 0.0)
    if towards <= 0.0:
        return [(PRICE, asset, 1.0)]
    weights = np.where(pushes > 0.0, pushes / towards, 0.0)
    named = np.flatnonzero(weights >= LEAST_WEIGHT)
    parents = [(FILL, int(trades.fill[k]), float(weights[k])) for k in named]
    rest = 1.0 - sum(weight for _, _, weight in parents)
    return [(PRICE, asset, rest), *parents] if rest > 0.0 else parents


def moved_assets(world: World, fills: np.ndarray) -> np.ndarray:
    """Return the asset whose price made each liquidation possible: int64, (n,).

    It is that of the collateral, or that of the debt where the collateral's never moves.
    """
    prices = world.prices
    seized, repaid = prices.asset[fills["token_out"]], prices.asset[fills["token_in"]]
    moves = np.ptp(prices.path, axis=1) > 0.0
    return np.asarray(np.where(moves[seized], seized, repaid))


def causes_of(
    world: World, fills: np.ndarray, liquidated: Liquidated, trades: Trades
) -> dict[str, Any]:
    """Return the columns of the `causes` record for some fills.

    Parameters
    ----------
    liquidated : the executed liquidations among them
    trades : those of these fills too
    """
    space, number = split_cause(fills["parent"])
    keep = np.ones(len(fills), bool)
    keep[liquidated.row] = False
    columns = [
        fills["fill_id"][keep],
        fills["time"][keep],
        space[keep],
        number[keep],
        np.ones(int(keep.sum())),
    ]
    if len(liquidated.row):
        added = zip(*_parents(world, fills[liquidated.row], liquidated, trades), strict=True)
        columns = [np.concatenate([*pair]) for pair in zip(columns, added, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        columns = [column[order] for column in columns]
    names = ("fill_id", "time", "parent_kind", "parent_id", "weight")
    return dict(zip(names, columns, strict=True))


def _parents(
    world: World, fills: np.ndarray, liquidated: Liquidated, trades: Trades
) -> list[tuple[int, int, int, int, float]]:
    """Return (fill, time, space, number, weight) of every parent of liquidations.

    Many are of accounts that became unsafe and were seen together, and share their parents.
    """
    asset = moved_assets(world, fills)
    moments = zip(
        asset.tolist(),
        liquidated.since.tolist(),
        liquidated.observed.tolist(),
        liquidated.batch.tolist(),
        strict=True,
    )
    known: dict[tuple[int, int, int, int], list[tuple[int, int, float]]] = {}
    found = []
    fill_times = zip(fills["fill_id"].tolist(), fills["time"].tolist(), strict=True)
    for fill, moment in zip(fill_times, moments, strict=True):
        if moment not in known:
            *when, batch = moment
            known[moment] = liquidation_parents(world, trades.up_to(batch), *when)
        found += [(*fill, *parent) for parent in known[moment]]
    return found
