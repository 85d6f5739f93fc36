"""A15 to A20: rates, liquidation rules and cascades of lending markets, against closed forms."""

from __future__ import annotations

import math
from typing import Any

from experiments.verify.cascading import DEPTH, SHOCK, cascade
from experiments.verify.rows import EXACT, Finding, Registry, near, true
from sim.lending.account import restoring_repayment, toxic_frontier
from sim.lending.config import ReserveConfig
from sim.lending.facade import LendingMarket

ROWS = Registry()


@ROWS.row("A15", "kinked borrow rate and supply rate", "Aave v3")
def _rates(_: tuple[int, ...]) -> list[Finding]:
    found = []
    for lent, rate in ((450.0, 0.0275), (900.0, 0.055), (950.0, 0.355)):
        market = LendingMarket({"USD": ReserveConfig(price=1.0), "ETH": ReserveConfig(price=2e3)})
        market.supply("lender", "USD", 1_000.0)
        market.supply("borrower", "ETH", 1.0)
        market.borrow("borrower", "USD", lent)
        name = f"borrow rate at {lent / 10.0:g} % utilization"
        found.append(near(name, market.borrow_rate("USD"), rate, unit="1/year"))
    return [
        *found,
        near("supply rate at 95 %", market.supply_rate("USD"), 0.303525, unit="1/year"),
    ]


def account(
    collateral: float, debt: float, bonus: float, threshold: float = 0.8, **rules: Any
) -> LendingMarket:
    """Return a market in which `ann` owes `debt` USD against `collateral` COL, both at 1."""
    market = LendingMarket(
        {
            "COL": ReserveConfig(
                price=10.0,
                loan_to_value=threshold,
                liquidation_threshold=threshold,
                liquidation_bonus=bonus,
            ),
            "USD": ReserveConfig(price=1.0),
        },
        **rules,
    )
    market.supply("bank", "USD", 10.0 * debt)
    market.supply("ann", "COL", collateral)
    market.borrow("ann", "USD", debt)
    market.set_price("COL", 1.0)
    return market


def loan_to_value(market: LendingMarket) -> float:
    """Return the loan to value of `ann`."""
    values = market.account_values("ann")
    return values.debt_value / values.collateral_value


@ROWS.row("A17", "incentive factors, close factor, the repayment that restores loan to value")
def _liquidation(_: tuple[int, ...]) -> list[Finding]:
    found = []
    for limit, factor in ((0.77, 1.07411), (0.86, 1.04384), (0.915, 1.02617), (0.945, 1.01678)):
        bonus = min(1.15, 1.0 / (1.0 - 0.3 * (1.0 - limit))) - 1.0
        market = account(100.0, 100.0 * limit + 0.1, bonus, limit, close_factor=1.0)
        done = market.liquidate("ann", "USD", "COL")
        name = f"incentive factor paid at a limit of {limit:g} (6 digits published)"
        found.append(near(name, done.seized / done.repaid, factor, 5e-6))
    half, whole = account(100.0, 82.0, 0.05), account(95.0, 80.0, 0.05)
    market = account(100.0, 85.0, 0.05, close_factor=1.0)
    amount = float(restoring_repayment(85.0, 100.0, 0.75, 0.05))
    market.liquidate("ann", "USD", "COL", amount)
    return [
        *found,
        near("repayable at a health of 0.976", half.max_liquidation("ann", "USD", "COL"), 41.0),
        near("repayable at a health of 0.95", whole.max_liquidation("ann", "USD", "COL"), 80.0),
        near("repayment that restores 0.75, bonus 5 %", amount, 10.0 / (1.0 - 0.75 * 1.05), EXACT),
        near("loan to value after it", loan_to_value(market), 0.75),
        near("the same by a plain sale", float(restoring_repayment(85.0, 100.0, 0.75, 0.0)), 40.0),
    ]


def _raises(bonus: float, distance: float) -> bool:
    """Return whether a liquidation this far beyond the frontier raises loan to value."""
    market = account(1_000.0, 1_000.0 * (1.0 / (1.0 + bonus) + distance), bonus)
    before = loan_to_value(market)
    market.liquidate("ann", "USD", "COL", 300.0)
    return loan_to_value(market) > before


def _raises_with_sale(distance: float) -> bool:
    """Return the same where what is seized is sold into a pool of ten times the collateral."""
    debt = 1_000.0 * (float(toxic_frontier(0.05, 0.2)) + distance)
    market = account(1_000.0, debt, 0.05, 0.75)
    before = loan_to_value(market)
    seized = market.liquidate("ann", "USD", "COL", 0.1).seized
    market.set_price("COL", (10_000.0 / (10_000.0 + seized)) ** 2)
    return loan_to_value(market) > before


@ROWS.row("A18", "the frontier beyond which a liquidation does harm", "Warmuz et al.; McFarlane")
def _frontier(_: tuple[int, ...]) -> list[Finding]:
    return [
        near("frontier at a bonus of 10 %", float(toxic_frontier(0.10, 0.0)), 1.0 / 1.1),
        near(
            "frontier with a sale into a pool",
            float(toxic_frontier(0.05, 0.2)),
            1 / 1.05 / 1.2,
            EXACT,
        ),
        true("below 0.909091 a liquidation lowers loan to value", not _raises(0.10, -1e-9)),
        true("above it raises it", _raises(0.10, 1e-9)),
        true("below 0.793651 one that is sold lowers it", not _raises_with_sale(-1e-3)),
        true("above it raises it, sold", _raises_with_sale(1e-3)),
    ]


@ROWS.row("A19", "two liquidations earn more than one", "Qin et al. 2021, arXiv 2106.06389")
def _two_steps(_: tuple[int, ...]) -> list[Finding]:
    single = account(9_900.0, 8_400.0, 0.1, full_close_below=0.0).liquidate("ann", "USD", "COL")
    market = account(9_900.0, 8_400.0, 0.1, full_close_below=0.0)
    first = float(restoring_repayment(8_400.0, 9_900.0, 0.8, 0.1))
    steps = [market.liquidate("ann", "USD", "COL", first * (1.0 - 1e-12))]
    steps.append(market.liquidate("ann", "USD", "COL"))
    profit = sum(step.seized - step.repaid for step in steps)
    return [
        near("first repayment", steps[0].repaid, 4_000.0),
        near("second repayment", steps[1].repaid, 2_200.0),
        near("profit of both", profit, 620.0),
        near("gain over one", profit / (single.seized - single.repaid) - 1.0, 10.0 / 21.0),
    ]


@ROWS.row("A20", "a shock s0 becomes s0 / (1 - n); from n = 1 on nobody is spared", cost=3.0)
def _branching(_: tuple[int, ...]) -> list[Finding]:
    found = []
    for rho in (2_000.0, 4_000.0):
        n = 2.0 * rho / DEPTH
        name = f"fall over the shock at a branching of {n:g}"
        found.append(near(name, cascade(rho, 1_500).fall / SHOCK, 1.0 / (1.0 - n), 0.02))
    spared = cascade(5_500.0, 750).n_left
    return [*found, true("nobody is spared at a branching of 1.1", math.isclose(spared, 0))]
