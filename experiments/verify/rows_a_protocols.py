"""A9, A12, A16, A26, A27: weighted and stableswap pools, LLAMMA, Morpho Blue, dual arbitrage."""

from __future__ import annotations

import math

import numpy as np

from experiments.verify.rows import Finding, Registry, Seeds, near
from sim.amm.stableswap_facade import StableSwapPool
from sim.amm.weighted_facade import WeightedPool
from sim.dual_arbitrage import ConstantSumMarket, Market, WeightedMarket, best_arbitrage
from sim.lending.isolated_facade import IsolatedMarket
from sim.llamma.bands import as_debt, band_price
from sim.llamma.facade import LlammaMarket
from sim.units import DAY

ROWS = Registry()
_SIGMA, _WEIGHT = 0.05, 0.8
_STEPS, _PATHS = 480, 100  # a day, a seed


def weighted_loss_of_a_day(normals: np.ndarray) -> float:
    """Return what an 80/20 pool without fee loses to who moves it to the price at each step.

    A share of its value at each trade; the price is a martingale.
    """
    price = 2_000.0
    pool = WeightedPool([_WEIGHT * 1e6 / price, (1.0 - _WEIGHT) * 1e6], [_WEIGHT, 0.2], 0.0)
    step = _SIGMA / math.sqrt(len(normals))
    value, loss = 1e6, 0.0
    for move in np.exp(step * normals - step**2 / 2.0).tolist():
        price *= move
        value *= move**_WEIGHT
        paid = _WEIGHT * value / price - pool.reserves[0]
        if paid > 0.0:
            gain = pool.swap_exact_in(0, 1, paid) - paid * price
        else:
            cash = (1.0 - _WEIGHT) * value - pool.reserves[1]
            gain = pool.swap_exact_in(1, 0, cash) * price - cash
        loss += gain / value
    return loss


@ROWS.row(
    "A9",
    "loss of a weighted pool, 80/20",
    "Milionis et al. 2022, arXiv 2208.06046",
    seeds=Seeds((7,), tuple(range(7, 15))),
    group="weighted",
    cost=3.0,
)
def _weighted(seeds: tuple[int, ...]) -> list[Finding]:
    """Take the noise of the path out by the sum of squared normals, whose mean is known."""
    normals = np.concatenate(
        [np.random.default_rng(seed).standard_normal((_PATHS, _STEPS)) for seed in seeds]
    )
    losses = np.array([weighted_loss_of_a_day(row) for row in normals])
    control = (normals**2).mean(axis=1) - 1.0
    slope = np.cov(losses, control)[0, 1] / control.var(ddof=1)
    adjusted = 1e4 * (losses - slope * control)
    error = float(adjusted.std(ddof=2)) / math.sqrt(len(adjusted))
    expected = 1e4 * _SIGMA**2 * _WEIGHT * (1.0 - _WEIGHT) / 2.0
    value = float(adjusted.mean())
    return [near("loss a day at 5 %", value, expected, 0.005, standard_error=error, unit="bp/day")]


def _product(a: int, b: int, reserve_a: float, reserve_b: float) -> WeightedMarket:
    halves = np.array([0.5, 0.5])
    return WeightedMarket((a, b), np.array([reserve_a, reserve_b]), halves, 0.003)


@ROWS.row("A12", "arbitrage over five pools and four tokens", "Angeris et al. 2022")
def _dual(_: tuple[int, ...]) -> list[Finding]:
    markets: tuple[Market, ...] = (
        WeightedMarket((0, 1, 2, 3), np.full(4, 4.0), np.array([0.4, 0.3, 0.2, 0.1]), 0.002),
        _product(0, 1, 10.0, 1.0),
        _product(1, 2, 1.0, 5.0),
        _product(2, 3, 40.0, 50.0),
        ConstantSumMarket((2, 3), np.array([10.0, 10.0]), 0.001),
    )
    found = best_arbitrage(markets, (1.5, 10.0, 2.0, 3.0))
    return [
        near("value", float(found.value), 21.4998, 1e-4, is_absolute=True),
        near("second token out", float(found.net[1]), 1.17499, 1e-3, is_absolute=True),
        near("fourth token out", float(found.net[3]), 3.24997, 1e-3, is_absolute=True),
    ]


@ROWS.row("A16", "the adaptive rate and what it charges", "Morpho Blue, AdaptiveCurveIrm")
def _adaptive(_: tuple[int, ...]) -> list[Finding]:
    found = []
    for share, days, end, charged in (
        (1.0, 5, 0.0793454, 0.2320187),
        (0.95, 1, 0.0428357, 0.1035143),
        (0.45, 5, 0.0284007, 0.0212204),
    ):
        market = IsolatedMarket(0.86, 1.0, exact_exponential=True)
        market.supply("bank", 1e6)
        market.supply_collateral("ann", 2e6)
        market.borrow("ann", share * 1e6)
        market.accrue(days * DAY)
        growth = market.owed("ann") / (share * 1e6) - 1.0
        x = charged * days / 365.0
        label = f"{100 * share:g} % used for {days} d"
        found += [
            near(f"{label}: rate at target (6 digits)", market.rate_at_target(), end, 2e-6),
            near(f"{label}: growth of the debt", growth, x + x**2 / 2.0 + x**3 / 6.0, 3e-6),
        ]
    return found


@ROWS.row("A26", "edges of a LLAMMA band and its slow conversion", "crvUSD whitepaper")
def _llamma(_: tuple[int, ...]) -> list[Finding]:
    market = LlammaMarket(2_000.0, fee=0.0, has_dynamic_fee=False)
    market.create_loan("ann", 10.0, 15_000.0, 10)
    top = market.edges(market.position("ann").bands[0])[0]
    market.set_price(0.99 * top)
    market.exchange(1, 1e-9)
    return [
        near("price without debt tokens", float(band_price(0.0, 1.0, 1_990.0, 2_000.0, 100.0)),
             1_970.14975, 1e-8),
        near("price without collateral", float(band_price(1.0, 0.0, 1_990.0, 2_000.0, 100.0)),
             2_010.15177, 1e-8),
        near("slow conversion of one unit",
             float(as_debt(0.0, 1.0, 2_000.0, 2_000.0, 100.0)), 1_989.97487, 1e-8),
        near("price of a market 1 % inside a band over its top", market.price() / top,
             0.99**3, 1e-6),
    ]  # fmt: skip


@ROWS.row("A27", "a swap of 100,000 in a pool of a million each", "Curve")
def _stableswap(_: tuple[int, ...]) -> list[Finding]:
    return [
        near(
            f"out at A = {amplification:g}, no fee (9 digits)",
            StableSwapPool((1e6, 1e6), amplification, 0.0).swap_exact_in(0, 1, 1e5),
            out,
            1e-8,
        )
        for amplification, out in ((200.0, 99_949.7768), (100.0, 99_900.1109))
    ]
