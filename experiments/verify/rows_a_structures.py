"""A35 to A38: tranches, bridge fees and measures of funding, against closed forms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.stats import norm

from analysis.funding_liquidity import collateral_velocity, coverage_ratios
from experiments.verify.rows import EXACT, Finding, Registry, near
from experiments.verify.rows_a_contagion import worst
from sim.bridges.liquidity_fee import average_rate, weekly_rate
from sim.tranches.waterfall import bear, leverage_of, split_income, tranche_loss

ROWS = Registry()
POINTS = (0.0, 0.03, 0.07, 0.15, 0.30, 1.0)
# (PD, loss given default, correlation): expected loss of the tranches between POINTS over thickness
TABLE = {
    (0.05, 0.6, 0.2): (0.627703, 0.194685, 0.037910, 0.002302, 0.000005),
    (0.05, 1.0, 0.2): (0.757090, 0.360320, 0.121212, 0.019547, 0.000351),
}


def tranche_loss_of(
    terms: tuple[float, float, float], attachment: float, detachment: float, n: int = 20_001
) -> float:
    """Return the expected loss of a tranche of a large pool, over its thickness.

    The loss of each state of the common factor, through the kernel, integrated over the factor.

    Parameters
    ----------
    terms : probability of default, loss given default, correlation
    """
    pd_, severity, rho = terms
    grid = np.linspace(-9.0, 9.0, n)
    default = norm.cdf((norm.ppf(pd_) + np.sqrt(rho) * grid) / np.sqrt(1.0 - rho))
    lost = [tranche_loss(severity * share, attachment, detachment) for share in default]
    return float(np.trapezoid(lost * norm.pdf(grid), grid)) / (detachment - attachment)


def _row_of(*values: float) -> np.ndarray:
    column = np.zeros((1, 4))
    column[0, : len(values)] = values
    return column


@ROWS.row("A35", "expected losses of tranches, worst-case default rates", "Vasicek 2002", cost=0.5)
def _vasicek(_: tuple[int, ...]) -> list[Finding]:
    found = []
    for terms, published in TABLE.items():
        losses = [tranche_loss_of(terms, *pair) for pair in pairwise(POINTS)]
        name = f"expected losses, severity {terms[1]:g}"
        found.append(worst(name, losses, published))
        thickness = np.diff(POINTS)
        total = float((np.array(losses) * thickness).sum())
        found.append(near(f"their sum, severity {terms[1]:g}", total, terms[0] * terms[1], 1e-8))
    for default, rho, quantile, rate in (
        (0.01, 0.2, 0.999, 0.145525),
        (0.02, 0.1, 0.999, 0.128237),
    ):
        worst_rate = float(
            norm.cdf((norm.ppf(default) + np.sqrt(rho) * norm.ppf(quantile)) / np.sqrt(1.0 - rho))
        )
        nav = _row_of(1.0 - worst_rate, worst_rate)
        bear(nav, 0, 2, worst_rate)
        name = f"junior that a loss of the 99.9 % quantile takes, PD {default:g}"
        found.append(near(name, worst_rate - float(nav[0, 1]), rate, 4e-6))
    return found


@ROWS.row("A36", "adaptive split of income; leverage by number of backers", "Idle; Goldfinch")
def _income(_: tuple[int, ...]) -> list[Finding]:
    nav, claim, income = _row_of(80.0, 20.0), _row_of(80.0, 20.0), _row_of()
    split_income(nav, claim, income, 0, 10.0, 0.5, 0.99)
    return [
        near("senior yield", float(income[0, 0]) / 80.0, 0.08),
        near("junior yield", float(income[0, 1]) / 20.0, 0.18),
        near(
            "leverage at three of one to five backers", float(leverage_of(3.0, 1.0, 5.0, 4.0)), 2.0
        ),
    ]


@ROWS.row("A37", "fees of a liquidity network", "Across Protocol")
def _bridge_fees(_: tuple[int, ...]) -> list[Finding]:
    found = []
    for before, after, yearly, weekly in (
        (0.0, 0.5, 0.0307692308, 0.00058296504),
        (0.6, 0.7, 0.1141758242, 0.00208129675),
        (0.95, 1.0, 1.0085714286, 0.01350233920),
        (0.0, 1.0, 0.229, 0.00397327319),
    ):
        rate = float(average_rate(before, after, 0.0, 0.08, 1.0, 0.65))
        name = f"utilization {before:g} to {after:g}"
        found.append(near(f"{name}, yearly (10 digits)", rate, yearly, 2e-9))
        found.append(near(f"{name}, weekly (9 digits)", float(weekly_rate(rate)), weekly, 1e-8))
    return found


@ROWS.row(
    "A38",
    "coverage (1 - U) / w, velocity of collateral, leverage of loops "
    "(the caps of the Basel ratio are not modeled: no reserve has classes of assets)",
)
def _funding(_: tuple[int, ...]) -> list[Finding]:
    lent = pd.DataFrame(
        {
            "time": [0.0],
            "venue": ["m"],
            "token": ["a/ETH"],
            "supplied": [100.0],
            "borrowed": [40.0],
            "cash": [60.0],
            "oracle_price": [10.0],
        }
    )
    coverage = float(coverage_ratios(lent, 0.3)["m ETH"].iloc[0])
    rounds = 0.8 ** np.arange(6)  # a deposit and five rounds of borrowing and depositing 0.8 of it
    loop = lent.assign(supplied=rounds.sum(), borrowed=rounds[1:].sum())
    velocity = float(collateral_velocity(loop, {"a/ETH": "ETH"})["ETH"].iloc[0])
    return [
        near("coverage at 40 % utilization, 30 % leaving", coverage, 2.0),
        near("velocity of five rounds at 0.8", velocity, 3.68928, EXACT),
    ]
