"""What is read of a world after each step: small plain data, whatever the number of agents.

Components see readings only, never the world, which another thread may be moving.

Stress is a number from 0 (calm) to 1:

* pool: distance of its price from the reference price, against `FULL_GAP`; halted: 1;
* bridge: what is missing of its backing, or its wrapped token's distance from par, against
  `FULL_GAP`; paused: 1;
* token: the largest of the fall of its reference price within the last hour, against `FULL_FALL`;
  the distance of a feed that reports it from what it should report, against `FULL_GAP`; and how far
  the utilization of a lending reserve is beyond `TIGHT`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.units import HOUR, ticks

if TYPE_CHECKING:
    from sim.registry import Columns
    from sim.world import World

FULL_GAP = 0.05  # of a price, at which stress is 1
FULL_FALL = 0.2  # within an hour; that frightens liquidity providers, too
TIGHT = 0.9  # utilization from which a reserve runs dry
HEALTH_EDGES = (0.0, 1.0, 1.05, 1.1, 1.2, 1.35, 1.5, 2.0, 3.0, math.inf)
AT_RISK = 1.1  # health factor below which a debt is at risk


class TokenReading(NamedTuple):
    """A token that is traded or bridged."""

    name: str  # chain/symbol
    value: float  # USD in pools, bridges' inventories left out, and as cash of lending markets
    stress: float


class LinkReading(NamedTuple):
    """A pool or bridge between two tokens."""

    venue: str
    kind: str  # pool or bridge
    source: str
    target: str
    value: float  # USD in the pool, or in the bridge's escrow
    stress: float
    is_halted: bool


class HealthReading(NamedTuple):
    """Debts of all lending and CDP markets by health factor, at oracle prices."""

    debt: tuple[float, ...]  # USD, by bin of HEALTH_EDGES
    n_debtors: tuple[int, ...]  # the same
    at_risk: float  # USD of debt below AT_RISK
    shortfall: float  # USD of debt beyond its collateral, at reference prices


class Reading(NamedTuple):
    """A world at one time."""

    time: float  # s
    prices: dict[str, float]  # USD, reference, by asset
    gaps: dict[str, float]  # price / reference - 1, by pool
    tokens: tuple[TokenReading, ...]
    links: tuple[LinkReading, ...]
    health: HealthReading


def read(world: World) -> Reading:
    """Return what is seen of a world now."""
    world.refresh_prices()
    found = world.sample()
    pools = {int(venue): k for k, venue in _column(found, "pools", "venue")}
    gaps = _gaps(world, [*pools])
    links = _links(world, found, gaps)
    return Reading(
        time=world.time,
        prices=_asset_prices(world),
        gaps={world.venue_names[venue]: gap for venue, gap in gaps.items()},
        tokens=_tokens(world, found, links),
        links=tuple(links),
        health=_health(world.sample_positions().get("positions", [])),
    )


def _column(found: dict[str, list[Columns]], record: str, name: str) -> list[tuple[int, Any]]:
    """Return the numbered values of a column of a record, of all mechanisms together."""
    parts = [np.asarray(columns[name]) for columns in found.get(record, [])]
    return list(enumerate(np.concatenate(parts).tolist())) if parts else []


def _values(found: dict[str, list[Columns]], record: str, *names: str) -> list[tuple[Any, ...]]:
    """Return the rows of a record, some columns of it."""
    columns = [[value for _, value in _column(found, record, name)] for name in names]
    return list(zip(*columns, strict=True))


def _asset_prices(world: World) -> dict[str, float]:
    prices, found = world.prices, {}
    for k, asset in enumerate(world.asset_names):
        tokens = np.flatnonzero((prices.asset == k) & (prices.is_listed != 0))
        if len(tokens):
            first = tokens[0]
            found[asset] = float(prices.reference[first] / prices.scale[first])
    return found


def _gaps(world: World, pools: list[int]) -> dict[int, float]:
    """Return price / reference - 1 of pools that have a reference."""
    venues, reference, found = world.venues, world.prices.reference, {}
    for venue in pools:
        price0 = float(reference[venues.token0[venue]])
        price1 = float(reference[venues.token1[venue]])
        if price0 > 0.0 and price1 > 0.0:
            found[venue] = float(venues.price[venue]) * price1 / price0 - 1.0
    return found


def _links(
    world: World, found: dict[str, list[Columns]], gaps: dict[int, float]
) -> list[LinkReading]:
    reference, links = world.prices.reference, []
    for venue, reserve0, reserve1 in _values(found, "pools", "venue", "reserve0", "reserve1"):
        pair = int(world.venues.token0[venue]), int(world.venues.token1[venue])
        value = float(reserve0 * reference[pair[0]] + reserve1 * reference[pair[1]])
        stress = abs(gaps.get(venue, 0.0)) / FULL_GAP
        links.append(_link(world, venue, "pool", pair, value, stress))
    columns = ("venue", "token", "locked", "backing_ratio", "depeg")
    for venue, token, locked, backing, depeg in _values(found, "bridges", *columns):
        pair = _ends(world, venue)
        stress = max(1.0 - backing, abs(depeg)) / FULL_GAP
        links.append(_link(world, venue, "bridge", pair, float(locked * reference[token]), stress))
    return links


def _ends(world: World, venue: int) -> tuple[int, int]:
    """Return the tokens at both ends of a bridge."""
    plan = world.plan.venues[venue]
    first, second = (world.token(*node) for node in plan.tokens)
    return first, second


def _link(
    world: World, venue: int, kind: str, pair: tuple[int, int], value: float, stress: float
) -> LinkReading:
    is_halted = bool(world.venues.is_halted[venue])
    names = world.token_names
    return LinkReading(
        world.venue_names[venue],
        kind,
        names[pair[0]],
        names[pair[1]],
        value,
        1.0 if is_halted else min(1.0, stress),
        is_halted,
    )


# --- tokens --------------------------------------------------------------------------------------


def _tokens(
    world: World, found: dict[str, list[Columns]], links: list[LinkReading]
) -> tuple[TokenReading, ...]:
    """Return the tokens of links and reserves, in the order of their numbers."""
    reserves = _values(found, "lending", "token", "cash", "utilization")
    shown = {world.token_names.index(name) for link in links for name in (link.source, link.target)}
    shown |= {int(token) for token, _, _ in reserves}
    value, stress = dict.fromkeys(shown, 0.0), _falls(world, shown)
    for venue, *amounts in _values(found, "pools", "venue", "reserve0", "reserve1"):
        ends = world.venues.token0[venue], world.venues.token1[venue]
        for token, amount in zip(ends, amounts, strict=True):
            value[int(token)] += amount * float(world.prices.reference[token])
    for token, cash, utilization in reserves:
        value[token] += cash * float(world.prices.reference[token])
        stress[token] = max(stress[token], (utilization - TIGHT) / (1.0 - TIGHT))
    for feed, reported, reference in _values(found, "oracles", "feed", "reported", "reference"):
        token = world.token(*world.plan.venues[feed].tokens[0])
        if token in stress and reference > 0.0:
            stress[token] = max(stress[token], abs(reported / reference - 1.0) / FULL_GAP)
    return tuple(
        TokenReading(world.token_names[token], value[token], min(1.0, stress[token]))
        for token in sorted(shown)
    )


def _falls(world: World, tokens: set[int]) -> dict[int, float]:
    """Return the stress of falling prices: from the highest fundamental of the last hour to now."""
    prices, found = world.prices, dict.fromkeys(tokens, 0.0)
    step = int(prices.step[0])
    last = world.now // step
    first = max(0, (world.now - ticks(HOUR)) // step)
    for token in tokens:
        asset = int(prices.asset[token])
        if asset >= 0:
            highest = float(prices.path[asset, first : last + 1].max() * prices.scale[token])
            fall = 1.0 - float(prices.reference[token]) / highest
            found[token] = max(0.0, fall / FULL_FALL)
    return found


# --- health --------------------------------------------------------------------------------------


def _health(positions: list[Columns]) -> HealthReading:
    n = len(HEALTH_EDGES) - 1
    debt, counts, at_risk, shortfall = np.zeros(n), np.zeros(n, np.int64), 0.0, 0.0
    for columns in positions:
        health, owed = np.asarray(columns["health_factor"]), np.asarray(columns["debt"])
        place = np.searchsorted(HEALTH_EDGES[1:-1], health, side="right")
        debt += np.bincount(place, owed, n)
        counts += np.bincount(place, minlength=n)
        at_risk += float(owed[health < AT_RISK].sum())
        shortfall += float(np.sum(columns["shortfall"]))
    return HealthReading(tuple(debt.tolist()), tuple(counts.tolist()), at_risk, shortfall)
