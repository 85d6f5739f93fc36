"""Routing: which pool of a pair to trade in, how much of a trade, and what it costs.

A trader asks each of its pools what it gives for an amount and takes the best. Where a second pool
of the pair exists it may split: what two pools give together is concave in the share of the second,
so a golden-section search over that share finds the best split with a few quotes. A split is two
orders.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import InputError
from sim.kernel import kernel
from sim.mempool import post
from sim.status import Status
from sim.venues import draft_swap, quote

if TYPE_CHECKING:
    from sim.plan import VenuePlan
    from sim.registry import PopulationSite
    from sim.world import World

OK = int(Status.OK)
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_CUTS = 8  # each cut leaves 62 % of the bracket: the share is known to 1 %, the output to 1e-4 of
# what the split gains
_WHOLE = 1.0 - 1e-12  # a quote that takes this share of the amount takes it all


@kernel
def side_of(venues, venue, token_in, token_out):  # type: ignore[no-untyped-def]
    """Return the side of a pool that pays one token for another, -1 where it is of another pair."""
    if venues.token0[venue] == token_in and venues.token1[venue] == token_out:
        return 0
    if venues.token1[venue] == token_in and venues.token0[venue] == token_out:
        return 1
    return -1


@kernel
def amount_out_of(venues, venue, side, amount):  # type: ignore[no-untyped-def]
    """Return what a pool gives for an amount; 0 where it is halted or cannot take all of it."""
    if venues.is_halted[venue] != 0:
        return 0.0
    q = quote(venues, venue, side, amount, 0.0)
    return q.amount_out if q.status == OK and q.amount_in >= amount * _WHOLE else 0.0


@kernel
def amount_in_for(venues, venue, side, wanted):  # type: ignore[no-untyped-def]
    """Return the amount that buys about `wanted` from a pool; 0 where it cannot give that much.

    Three corrections of the price at the margin: the error is the fourth power of the price impact.
    """
    price = venues.price[venue] if side == 0 else 1.0 / venues.price[venue]
    amount = wanted / (price * (1.0 - venues.fee[venue]))
    for _ in range(3):
        out = amount_out_of(venues, venue, side, amount)
        if out <= 0.0:
            return 0.0
        amount *= wanted / out
    return amount


@kernel(inline=False)
def best_pool_but(venues, candidates, token_in, token_out, amount, excluded):  # type: ignore[no-untyped-def]
    """Return (pool, side, amount out) that gives most, one pool left out; pool -1: none."""
    best, best_side, best_out = -1, 0, 0.0
    for k in range(candidates.shape[0]):
        venue = candidates[k]
        side = side_of(venues, venue, token_in, token_out)
        if side < 0 or venue == excluded:
            continue
        out = amount_out_of(venues, venue, side, amount)
        if out > best_out:
            best, best_side, best_out = venue, side, out
    return best, best_side, best_out


@kernel
def best_pool(venues, candidates, token_in, token_out, amount):  # type: ignore[no-untyped-def]
    """Return (pool, side, amount out) that gives most for an amount; pool -1: none."""
    return best_pool_but(venues, candidates, token_in, token_out, amount, -1)


@kernel
def best_share(venues, first, side, second, other, amount):  # type: ignore[no-untyped-def]
    """Return (share of the second pool, amount out) of the best split over two pools."""
    low, high = 0.0, 1.0
    left, right = 1.0 - _GOLDEN, _GOLDEN
    out_left = out_right = -1.0  # not asked yet
    for _ in range(_CUTS + 2):  # one point each: two to begin with, then one a cut
        share = left if out_left < 0.0 else right
        out = amount_out_of(venues, first, side, (1.0 - share) * amount)
        out += amount_out_of(venues, second, other, share * amount)
        if out_left < 0.0:
            out_left = out
        else:
            out_right = out
        if out_left < 0.0 or out_right < 0.0:
            continue
        best = max(out_left, out_right)
        if out_left >= out_right:
            high, right, out_right = right, left, out_left
            left, out_left = high - _GOLDEN * (high - low), -1.0
        else:
            low, left, out_left = left, right, out_right
            right, out_right = low + _GOLDEN * (high - low), -1.0
    return (right if out_left < 0.0 else left), best


@kernel
def best_split(venues, candidates, token_in, token_out, amount, toll):  # type: ignore[no-untyped-def]
    """Return (pool, side, second pool, its side, its share, amount out) of the best route.

    The second pool is the best of the others for a quarter of the amount; it is -1, its share 0,
    where it adds no more than `toll`, the cost of a second order in the token bought. Pool -1: no
    route.
    """
    first, side, whole = best_pool(venues, candidates, token_in, token_out, amount)
    if first < 0 or candidates.shape[0] < 2:
        return first, side, -1, 0, 0.0, whole
    second, other, out = best_pool_but(
        venues, candidates, token_in, token_out, 0.25 * amount, first
    )
    if second < 0 or out + whole <= toll:
        return first, side, -1, 0, 0.0, whole
    share, out = best_share(venues, first, side, second, other, amount)
    if out <= whole + toll:
        return first, side, -1, 0, 0.0, whole
    return first, side, second, other, share, out


@kernel
def trade_cost(venues, venue, side, amount, out):  # type: ignore[no-untyped-def]
    """Return fee and price impact of a quoted swap as a share of its amount, at pool price."""
    price = venues.price[venue] if side == 0 else 1.0 / venues.price[venue]
    return 1.0 - out / (amount * price)


@kernel
def swap_gas_usd(box, venues, prices, venue, tip):  # type: ignore[no-untyped-def]
    """Return what the gas of one swap costs at the base fee of now and a tip per gas, USD."""
    chain = box.chains[venues.chain[venue]]
    gas = venues.gas[venues.first_verb[venue]]
    return gas * (chain.base_fee + tip) * prices.reference[chain.native]


@kernel
def swap_cost(box, venues, prices, venue, side, amount, out):  # type: ignore[no-untyped-def]
    """Return the cost of a quoted swap as a share of its amount: fee, impact and gas, tip apart."""
    token = venues.token0[venue] if side == 0 else venues.token1[venue]
    gas = swap_gas_usd(box, venues, prices, venue, 0.0)
    usd = amount * prices.reference[token]
    return trade_cost(venues, venue, side, amount, out) + gas / max(usd, 1e-9)


@kernel
def log_reference(prices, token0, token1):  # type: ignore[no-untyped-def]
    """Return the logarithm of the reference price of token 0 in token 1 now."""
    return math.log(prices.reference[token0] / prices.reference[token1])


@kernel
def send_swap(box, venues, ask, venue, side, amount, least):  # type: ignore[no-untyped-def]
    """Post one swap with the terms of `ask`; see `send_route`."""
    group, row, due, now, expires, tip, parent = ask
    order = draft_swap(box, venues, venue, side, amount, group, row, now)
    order.arrival = due
    order.expires = expires
    order.limit = least
    order.tip = tip
    order.max_fee += tip
    order.parent = parent
    post(box, order)


@kernel(inline=False)
def send_route(box, venues, prices, candidates, token_in, token_out, amount, slippage, splits, ask):  # type: ignore[no-untyped-def]
    """Post a trade over the best route; returns the number of orders.

    `splits` is 1 where two pools may share the trade. `ask` is (group, row, tick of arrival, tick
    of now, last tick, tip in native token per gas, parent cause).
    """
    if splits == 0:
        venue, side, out = best_pool(venues, candidates, token_in, token_out, amount)
        second, other, share = -1, 0, 0.0
    else:
        gas = swap_gas_usd(box, venues, prices, candidates[0], ask[5])
        toll = gas / max(prices.reference[token_out], 1e-300)
        venue, side, second, other, share, out = best_split(
            venues, candidates, token_in, token_out, amount, toll
        )
    if venue < 0:
        return 0
    keep = 1.0 - slippage
    if second < 0:
        send_swap(box, venues, ask, venue, side, amount, keep * out)
        return 1
    part = share * amount
    out = amount_out_of(venues, second, other, part)
    send_swap(box, venues, ask, second, other, part, keep * out)
    out = amount_out_of(venues, venue, side, amount - part)
    send_swap(box, venues, ask, venue, side, amount - part, keep * out)
    return 2


# --- the pools of a population -------------------------------------------------------------------


def chain_pools(world: World, site: PopulationSite) -> list[VenuePlan]:
    """Return the pools of a population's chain.

    Raises
    ------
    InputError
        There is none.
    """
    chain = site.config.chain
    found = [v for v in world.plan.venues if v.mechanism.quote is not None and v.chain == chain]
    if not found:
        raise InputError(
            f"populations.{site.name}: chain '{chain}' has no pool, which {site.config.kind} need; "
            "add one to venues, or leave the population out"
        )
    return found


def pool_plans(world: World, site: PopulationSite) -> list[VenuePlan]:
    """Return the pools that a population names, or all priced pools of its chain.

    Raises
    ------
    InputError
        A named venue is no pool of two priced tokens of the population's chain.
    """
    config = site.config
    plans = {plan.name: plan for plan in world.plan.venues}
    if config.venues is None:
        return [plan for plan in plans.values() if _is_priced_pool(world, plan, config.chain)]
    for name in config.venues:
        if not _is_priced_pool(world, plans[name], config.chain):
            raise InputError(
                f"{site.name}: venue '{name}' is no pool of two priced tokens on chain "
                f"'{config.chain}'; name pools whose tokens both have an asset"
            )
    return [plans[name] for name in dict.fromkeys(config.venues)]


def _is_priced_pool(world: World, plan: VenuePlan, chain: str) -> bool:
    return (
        plan.mechanism.quote is not None
        and plan.chain == chain
        and all(world.tokens[world.token(*node)].asset is not None for node in plan.tokens)
    )


def moving_pools(world: World, site: PopulationSite) -> np.ndarray:
    """Return the pools of a population whose two tokens move against each other.

    Returns
    -------
    int64, (n_pools,), venue numbers

    Raises
    ------
    InputError
        There is none.
    """
    numbers = [world.venue(plan.name) for plan in pool_plans(world, site)]
    found = [k for k in numbers if np.ptp(log_path(world, k)) > 0.0]
    if not found:
        raise InputError(
            f"populations.{site.name}: chain '{site.config.chain}' has no pool whose price moves; "
            "give it one with an asset that is not fixed, or leave the population out"
        )
    return np.array(found, np.int64)


def log_path(world: World, venue: int) -> np.ndarray:
    """Return the log fundamental price of token 0 in token 1 of a pool: float64, (n_steps + 1,)."""
    prices, pair = world.prices, (world.venues.token0[venue], world.venues.token1[venue])
    first, second = (np.log(prices.path[prices.asset[token]]) for token in pair)
    scale = prices.scale[pair[0]] / prices.scale[pair[1]]
    return np.asarray(first - second + np.log(scale))


def moving_asset(world: World, venue: int) -> int:
    """Return the asset that moves a pool's price: that of token 0 unless it is the calmer one."""
    prices = world.prices
    assets = [
        int(prices.asset[t]) for t in (world.venues.token0[venue], world.venues.token1[venue])
    ]
    spread = [np.ptp(np.log(prices.path[asset])) for asset in assets]
    return assets[0] if spread[0] >= spread[1] else assets[1]


def tokens_held(world: World, site: PopulationSite) -> list[int]:
    """Return the tokens that a population trades, and the one that pays its gas."""
    nodes = [node for plan in pool_plans(world, site) for node in plan.tokens]
    native = world.plan.chains[site.chain].native
    if native:
        nodes.append((site.config.chain, native))
    return list(dict.fromkeys(world.token(*node) for node in nodes))


def fund_pairs(
    world: World, site: PopulationSite, pools: np.ndarray, wallet_usd: np.ndarray, gas_usd: float
) -> None:
    """Give every row its wallet, half in each token of its pool, and native tokens for gas.

    Parameters
    ----------
    pools : int64, (n_rows,), the pool of each row
    wallet_usd : float64, (n_rows,), USD
    gas_usd : of each row, USD
    """
    value = world.prices.fundamental
    for venue in np.unique(pools):
        share = np.where(pools == venue, 0.5 * wallet_usd, 0.0)
        for token in (world.venues.token0[venue], world.venues.token1[venue]):
            world.endow_column(site.group, int(token), share / value[token])
    native = int(world.box.chains[site.chain]["native"])
    if native >= 0:
        world.endow_column(site.group, native, gas_usd / value[native])
