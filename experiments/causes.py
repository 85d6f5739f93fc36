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


class Trades(NamedTuple):
    """Trades on the reference market so far that moved an asset's price."""

    time: np.ndarray  # int64, (n,), tick
    asset: np.ndarray  # int64, (n,)
    usd: np.ndarray  # float64, (n,), USD bought; sold < 0
    fill: np.ndarray  # int64, (n,)


def no_trades() -> Trades:
    """Return an empty list of trades."""
    empty = np.zeros(0, np.int64)
    return Trades(empty, empty, np.zeros(0), empty)


def add_trades(world: World, trades: Trades, fills: np.ndarray) -> Trades:
    """Return the trades with those of a batch of executed reference market fills appended."""
    asset = world.prices.asset
    sides = ((fills["token_in"], -1.0), (fills["token_out"], 1.0))
    new = [
        (fills["time"], asset[token], sign * fills["value_in"], fills["fill_id"])
        for token, sign in sides
    ]
    joined = [np.concatenate([old, *(part[k] for part in new)]) for k, old in enumerate(trades)]
    order = np.argsort(joined[0], kind="stable")
    return Trades(*(column[order] for column in joined))


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


def causes_of(
    world: World,
    fills: np.ndarray,
    liquidated: np.ndarray,
    since: np.ndarray,
    observed: np.ndarray,
    trades: Trades,
) -> dict[str, Any]:
    """Return the columns of the `causes` record for a batch of fills.

    Parameters
    ----------
    liquidated : int64, (n,), rows of `fills` that are executed liquidations
    since, observed : int64, (n,), ticks: last safe, and when the price was observed
    """
    space, number = split_cause(fills["parent"])
    keep = np.ones(len(fills), bool)
    keep[liquidated] = False
    columns = [
        fills["fill_id"][keep],
        fills["time"][keep],
        space[keep],
        number[keep],
        np.ones(int(keep.sum())),
    ]
    extra: list[tuple[int, int, int, int, float]] = []
    moves = np.ptp(world.prices.path, axis=1) > 0.0 if len(liquidated) else np.zeros(0, bool)
    for row, start, end in zip(liquidated, since, observed, strict=True):
        fill = fills[row]
        seized, repaid = (world.prices.asset[fill[name]] for name in ("token_out", "token_in"))
        asset = int(seized if moves[seized] else repaid)
        extra += [
            (int(fill["fill_id"]), int(fill["time"]), *parent)
            for parent in liquidation_parents(world, trades, asset, int(start), int(end))
        ]
    if extra:
        added = list(zip(*extra, strict=True))
        columns = [np.concatenate([column, added[k]]) for k, column in enumerate(columns)]
        order = np.argsort(columns[0], kind="stable")
        columns = [column[order] for column in columns]
    names = ("fill_id", "time", "parent_kind", "parent_id", "weight")
    return dict(zip(names, columns, strict=True))
