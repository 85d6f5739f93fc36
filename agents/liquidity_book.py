"""What a population of liquidity providers holds at the start: drawn, or the ranges of a file.

Drawn sizes are Pareto; keepers stand around the price, others everywhere. Of a file every range is
one provider, and its owner one who decides: style and delay are drawn by owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agents.liquidity_plans import KEEPER, LEAVER, PASSIVE
from sim.amm.concentrated_venue import Openings, openings_of, provide, range_around, ranges_around
from sim.amm.constant_product import ConstantProductState, scale_pool
from sim.amm.pool_files import ranges_of
from sim.draws import uniform_column
from sim.errors import InputError

if TYPE_CHECKING:
    from sim.amm.pool_files import Ranges
    from sim.registry import PopulationSite
    from sim.world import World


class LiquidityBook(NamedTuple):
    """First positions of a population; a row for each provider."""

    owner: np.ndarray  # int64, (n,), who decides, below n
    style: np.ndarray  # int64, (n,)
    value_usd: np.ndarray  # float64, (n,), USD
    tick_lower: np.ndarray  # int64, (n,); 0 where the pool has no ranges
    tick_upper: np.ndarray  # int64, (n,)
    share: int  # token of the pool's shares, -1: it has ranges


def enter_liquidity(
    world: World, site: PopulationSite, venue: int, *, has_ranges: bool
) -> LiquidityBook:
    """Put the first liquidity of a population into its pool.

    Raises
    ------
    InputError
        The file is wrong or does not fit the pool; begins with the place.
    """
    if site.config.ranges is not None:
        return _enter_file(world, site, venue)
    value, style = _sizes(world, site), styles_of(world, site)
    enter = _enter_ranges if has_ranges else _enter_shares
    lower, upper, share = enter(world, site, venue, value, style)
    return LiquidityBook(np.arange(site.rows), style, value, lower, upper, share)


def _sizes(world: World, site: PopulationSite) -> np.ndarray:
    """Return what each brings: float64, (n,), USD."""
    config = site.config
    raw = uniform_column(world.seed, f"{site.name}:size", site.rows) ** (-1.0 / config.pareto_tail)
    return np.asarray(raw * (config.value_usd / raw.sum()))


def styles_of(world: World, site: PopulationSite) -> np.ndarray:
    """Return the styles of as many who decide as there may be: int64, (n,)."""
    config = site.config
    pick = uniform_column(world.seed, f"{site.name}:style", site.rows)
    edges = [config.keeper_share, config.keeper_share + config.leaver_share]
    style = np.array([KEEPER, LEAVER, PASSIVE])[np.searchsorted(edges, pick, side="right")]
    return np.asarray(style, np.int64)


def _enter_file(world: World, site: PopulationSite, venue: int) -> LiquidityBook:
    """Mint the ranges of a file."""
    row = int(world.venues.row[venue])
    state, desk = world.states["concentrated_liquidity"]
    tokens = [int(desk.token0[row]), int(desk.token1[row])]
    spacing, price = int(state.pool["tick_spacing"][row]), float(world.venues.price[venue])
    try:
        ranges = ranges_of(site.config.ranges, spacing, price)
        _check_count(ranges, site.rows)
        openings = openings_of(world, state, row, tokens, np.arange(site.rows), ranges)
        own = provide(world, (state, desk), row, site.group, openings)
    except InputError as error:
        raise InputError(f"populations.{site.name}.ranges.file: {error}") from None
    world.replace_state("concentrated_liquidity", own)
    owner = ranges.owners()[ranges.liquidity > 0.0]
    owner = np.unique(owner, return_inverse=True)[1]
    return LiquidityBook(
        owner=owner,
        style=styles_of(world, site)[owner],
        value_usd=openings.value_usd,
        tick_lower=openings.tick_lower,
        tick_upper=openings.tick_upper,
        share=-1,
    )


def _check_count(ranges: Ranges, count: int) -> None:
    if ranges.n_accounts != count:
        raise InputError(
            f"count is {count}, and the file has {ranges.n_accounts} ranges that hold liquidity; "
            "leave count out"
        )


def _enter_ranges(
    world: World, site: PopulationSite, venue: int, value: np.ndarray, style: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Mint the first positions in a pool with ranges."""
    own = world.states["concentrated_liquidity"]
    row, n = int(world.venues.row[venue]), len(value)
    spacing = int(own[0].pool["tick_spacing"][row])
    price = float(world.venues.price[venue])
    spread = 2.0 ** (2.0 * uniform_column(world.seed, f"{site.name}:width", n) - 1.0)
    width = np.minimum(site.config.keeper_half_width * spread, 0.95)
    bounds = np.full((n, 2), range_around(price, None, spacing), np.int64)
    keepers = np.flatnonzero(style == KEEPER)
    bounds[keepers] = ranges_around(price, width[keepers], spacing)
    lower, upper = (np.ascontiguousarray(column) for column in bounds.T)
    openings = Openings(np.arange(n), lower, upper, value)
    own = provide(world, own, row, site.group, openings)
    world.replace_state("concentrated_liquidity", own)
    return lower, upper, -1


def _enter_shares(
    world: World, site: PopulationSite, venue: int, value: np.ndarray, style: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Take the first shares of a constant product pool."""
    state = world.shared[ConstantProductState]
    row = int(world.venues.row[venue])
    tokens = (int(state.token0[row]), int(state.token1[row]))
    held = (float(state.reserve0[row]), float(state.reserve1[row]))
    usd = sum(
        amount * float(world.prices.fundamental[token])
        for amount, token in zip(held, tokens, strict=True)
    )
    share = int(state.share[row])
    world.endow_column(site.group, share, value / usd * float(state.supply[row]))
    factor = float(value.sum()) / usd
    for amount, token in zip(held, tokens, strict=True):
        world.endow(int(state.group[row]), int(state.account[row]), token, amount * factor)
    scale_pool(state, row, 1.0 + factor)
    zeros = np.zeros(len(value), np.int64)
    return zeros, zeros.copy(), share
