"""A8, A10, A11, A13, A41: pools, best trades and the base fee, against closed forms."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq

from experiments.verify.rows import Finding, Registry, near
from experiments.verify.rows_a_rebalancing import BOUNDS, PRICE, TICKS, range_value
from sim.amm.concentrated import ConcentratedLiquidityPool
from sim.amm.constant_product_facade import ConstantProductPool
from sim.chain import CHAIN
from sim.fee_market import EIP1559
from sim.kernel import invoke, kernel
from sim.optimal_trade import append_pool, best_amount_at_price, best_chain_amount

ROWS = Registry()


# --- impermanent loss ----------------------------------------------------------------------------


def full_range_loss(ratio: float) -> float:
    """Return what a constant product pool is worth against holding, its price moved by a ratio."""
    pool = ConstantProductPool(50.0, 50.0 * PRICE, fee=0.0)
    x = 50.0 / math.sqrt(ratio)
    if ratio > 1.0:
        pool.swap_exact_in(1, 50.0 * PRICE * (math.sqrt(ratio) - 1.0))
    else:
        pool.swap_exact_in(0, x - 50.0)
    price = PRICE * ratio
    held0, held1 = pool.reserves
    return float((held0 * price + held1) / (50.0 * price + 50.0 * PRICE) - 1.0)


def range_holdings(price: float) -> tuple[float, float]:
    """Return value in token 1, and token 0, of one unit of liquidity in a pool at a price."""
    pool = ConcentratedLiquidityPool(0.0, 1, math.sqrt(PRICE))
    pool.mint("ann", *TICKS, 1e6)
    target = math.sqrt(price)
    if target != pool.sqrt_price:
        pool.swap(target < pool.sqrt_price, math.inf, target)
    held = pool.position("ann", *TICKS)
    return float((held.amount0 * price + held.amount1) / 1e6), float(held.amount0 / 1e6)


def range_loss(price: float, low: float, high: float) -> float:
    """Return the value of a range against holding what it took at `PRICE`, by the formula."""
    held0 = 1.0 / math.sqrt(PRICE) - 1.0 / math.sqrt(high)
    held = range_value(PRICE, low, high) + held0 * (price - PRICE)
    return range_value(price, low, high) / held - 1.0


_RANGE_LOSSES = {2_200.0: -1.07455, 1_800.0: -1.31284, 2_500.0: -5.86516, 4_000.0: -29.39887}


@ROWS.row("A8", "impermanent loss, delta and gamma of full and narrow ranges")
def _impermanent_loss(_: tuple[int, ...]) -> list[Finding]:
    found = [
        near(f"full range, price x {r:g}", full_range_loss(r), 2.0 * math.sqrt(r) / (1.0 + r) - 1.0)
        for r in (1.25, 1.5, 2.0, 4.0, 0.25)
    ]
    bounds = (1.0001 ** TICKS[0], 1.0001 ** TICKS[1])
    value, amount0 = range_holdings(PRICE)
    for price, published in _RANGE_LOSSES.items():
        held = value + amount0 * (price - PRICE)
        shown = range_holdings(price)[0] / held - 1.0
        expected = range_loss(price, *bounds)
        found.append(near(f"range at {price:g}, pool against formula", shown, expected))
        formula = 100.0 * range_loss(price, *BOUNDS)
        name = f"range at {price:g}, formula against the published number"
        found.append(near(name, formula, published, 5e-6, unit="%", is_absolute=True))
    up, middle, down = (range_holdings(PRICE + k)[0] for k in (1.0, 0.0, -1.0))
    delta = 1.0 / math.sqrt(PRICE) - 1.0 / math.sqrt(bounds[1])
    return [
        *found,
        near("delta of the pool", amount0, delta),
        near("gamma of the pool, by differences", up - 2.0 * middle + down, -5.59017e-6, 1e-5),
    ]


# --- best trades ---------------------------------------------------------------------------------


@ROWS.row("A10", "the best trade of a pool against an outside price", "Angeris et al. 2019")
def _best_trade(_: tuple[int, ...]) -> list[Finding]:
    found = []
    for price, amount, profit in (
        (2_100.0, 4645.3118, 107.570926),
        (1_900.0, 2.4511764, 113.814577),
    ):
        side, best, gain = best_amount_at_price(100.0, 200_000.0, 0.003, price)
        pool = ConstantProductPool(100.0, 200_000.0, fee=0.003)
        out = pool.swap_exact_in(int(side), float(best))
        made = out * price - best if side == 1 else out - best * price
        found += [
            near(f"amount at {price:g} (8 digits published)", float(best), amount, 2e-8),
            near(f"profit at {price:g} (9 digits published)", float(gain), profit, 5e-9),
            near(f"profit at {price:g} made by the pool", made, float(gain), 1e-9),
        ]
    return found


def _chain(*pools: tuple[float, float]) -> tuple[float, float]:
    terms = (1.0, 1.0, 0.0)
    for reserve_in, reserve_out in pools:
        terms = append_pool(*terms, reserve_in, reserve_out, 0.003)
    amount, profit = best_chain_amount(*terms, 1e12)
    return float(amount), float(profit)


@ROWS.row("A11", "chains of constant product pools: best amount and profit")
def _chains(_: tuple[int, ...]) -> list[Finding]:
    two = _chain((200_000.0, 100.0), (50.0, 105_000.0))
    triangle = _chain((1_000.0, 2_000.0), (3_000.0, 1_000.0), (500.0, 800.0))
    return [
        near("two pools, amount (8 digits published)", two[0], 1448.6339, 5e-8),
        near("two pools, profit", two[1], 31.320901, 5e-8),
        near("triangle, amount (7 digits published)", triangle[0], 9.443499, 1e-7),
        near("triangle, profit", triangle[1], 0.2658483, 5e-7),
    ]


# --- sandwich ------------------------------------------------------------------------------------


def sandwich(fee: float, victim: float = 20.0, slippage: float = 0.01) -> tuple[float, float]:
    """Return the largest first leg that lets a victim through, and the profit, by the pool itself.

    The pool holds 1,000 of both tokens.
    """

    def received(first: float) -> float:
        pool = ConstantProductPool(1_000.0, 1_000.0, fee=fee)
        if first > 0.0:
            pool.swap_exact_in(0, first)
        return float(pool.swap_exact_in(0, victim))

    least = (1.0 - slippage) * received(0.0)
    first = float(brentq(lambda a: received(a) - least, 1e-6, 100.0, xtol=1e-14))
    pool = ConstantProductPool(1_000.0, 1_000.0, fee=fee)
    bought = pool.swap_exact_in(0, first)
    pool.swap_exact_in(0, victim)
    return first, float(pool.swap_exact_in(1, bought)) - first


@ROWS.row("A13", "a sandwich: first leg at which the victim's limit binds, and its profit")
def _sandwich(_: tuple[int, ...]) -> list[Finding]:
    x, v, s = 1_000.0, 20.0, 0.01
    plain, costly = sandwich(0.0), sandwich(0.003)
    formula = 0.5 * (-v + math.sqrt(v * v + 4.0 * x * (x + v) / (1.0 - s))) - x
    return [
        near("first leg, no fee", plain[0], formula, 1e-9),
        near("first leg, no fee, published", plain[0], 5.08770, 1e-6),
        near("profit, no fee", plain[1], 0.203959, 2e-6),
        near("first leg, 30 bp", costly[0], 5.09527, 1e-6),
        near("profit, 30 bp", costly[1], 0.172367, 2e-6),
    ]


# --- base fee ------------------------------------------------------------------------------------


@ROWS.row("A41", "the base fee after full and empty blocks", "EIP-1559")
def _base_fee(_: tuple[int, ...]) -> list[Finding]:
    return [
        near("after a full block", _base_fee_after(30_000_000), 1.125),
        near("after an empty block", _base_fee_after(0), 0.875),
        near("after a block at its target", _base_fee_after(15_000_000), 1.0),
    ]


@kernel(inline=False)
def _call(address, binding):  # type: ignore[no-untyped-def]
    return invoke(address, binding, binding)


def _base_fee_after(gas_used: int) -> float:
    """Return the base fee after a block of a chain whose base fee was 1."""
    chain = np.zeros(1, CHAIN)
    chain["base_fee"], chain["gas_used"], chain["target"] = 1.0, gas_used, 15_000_000.0
    _call(EIP1559.close.address, chain.ctypes.data)
    return float(chain["base_fee"][0])
