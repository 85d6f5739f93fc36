"""A21 to A25: clearing, DebtRank, fire sales, Hawkes processes, spillovers: worked examples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from analysis.contagion.clearing import eisenberg_noe, rogers_veraart
from analysis.contagion.debt_rank import debt_rank, leverage, linear_debt_rank, systemic_loss
from analysis.contagion.delta_covar import normal_delta_covar
from analysis.contagion.fire_sales import fire_sale
from analysis.contagion.spillovers import spillovers
from analysis.contagion.valuation import (
    clearing_value,
    equity_share,
    fixed_recovery,
    network_equity,
)
from analysis.hawkes import fit_hawkes
from experiments.verify.rows import Finding, Registry, Seeds, near

ROWS = Registry()


def worst(name: str, values: Any, expected: Any, tolerance: float = 1e-6) -> Finding:
    """Return the largest distance of numbers from what they have to be, which has to be small."""
    gap = float(np.abs(np.asarray(values, float) - np.asarray(expected, float)).max())
    return Finding(f"{name}: largest error of {np.size(expected)}", gap, 0.0, tolerance, 0.0)


OWES = np.array([[0, 6, 3, 1], [2, 0, 4, 2], [3, 1, 0, 4], [1, 2, 1, 0]], float)
POOR, RICHER = np.array([1.0, 0.5, 0.2, 0.3]), np.array([1.0, 1.5, 0.5, 0.5])


@ROWS.row("A21", "clearing payments of four banks", "Eisenberg-Noe 2001; Rogers-Veraart 2013")
def _clearing(_: tuple[int, ...]) -> list[Finding]:
    poor, richer = eisenberg_noe(OWES, POOR), eisenberg_noe(OWES, RICHER)
    costly = [rogers_veraart(OWES, outside, 0.8, 0.8).payments for outside in (POOR, RICHER)]
    return [
        worst("payments", poor.payments, (6.248588, 7.075706, 6.612429, 4.0)),
        near("defaults", int((poor.rounds > 0).sum()), 3.0),
        worst("payments, richer", richer.payments, (6.830986, 8.0, 7.549296, 4.0)),
        worst("with costs", costly[0], (2.159938, 2.283583, 1.919262, 1.637216)),
        worst("with costs, richer", costly[1], (3.859649, 5.067982, 4.153509, 4.0)),
    ]


RING = 0.5 * np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], float)
_NOTHING = fixed_recovery(0.0)
_RING_EQUITY = (
    ("clearing", clearing_value, (1.4, 0.8, 0.7), (-0.4, 0.1, -0.1)),
    ("Furfine", _NOTHING, (1.4, 0.8, 0.7), (-0.9, -0.3, -0.2)),
    ("linear DebtRank", equity_share, (1.4, 0.8, 0.7), (-0.9, -0.3, -0.2)),
    ("clearing, second shock", clearing_value, (1.6, 0.0, 0.6), (-0.6, 0.9, -0.1)),
    ("Furfine, second shock", _NOTHING, (1.6, 0.0, 0.6), (-0.6, 0.5, -0.1)),
    ("linear DebtRank, second shock", equity_share, (1.6, 0.0, 0.6), (-0.85, 0.5, -0.1)),
)


@ROWS.row("A22", "distress in a ring of three banks", "Barucca et al. 2020; Battiston et al. 2012")
def _ring(_: tuple[int, ...]) -> list[Finding]:
    found = [
        worst(
            f"equity by {name}",
            network_equity(RING, [10.0, 5.0, 3.0], [9.0, 4.0, 2.0], shock, valuation),
            equity,
        )
        for name, valuation, shock, equity in _RING_EQUITY
    ]
    shares, half = leverage(RING, [1, 1, 1]), np.array([0.5, 0.0, 0.0])
    once = debt_rank(shares, half)
    return [
        *found,
        worst("linear distress", linear_debt_rank(shares, half), (0.571429, 0.142857, 0.285714)),
        worst("distress passed on once", once, (0.5625, 0.125, 0.25)),
        near("DebtRank", float(systemic_loss(once, half, np.full(3, 1 / 3))), 0.145833, 3e-6),
    ]


@ROWS.row("A23", "aggregate vulnerability to fire sales", "Greenwood, Landier, Thesmar 2015")
def _fire_sale(_: tuple[int, ...]) -> list[Finding]:
    held, impact = np.array([[60.0, 40.0], [10.0, 40.0]]), np.array([1e-3, 5e-4])
    found = fire_sale(held, 20.0, np.array([9.0, 4.0]), impact, np.array([-0.05, 0.0]))
    return [
        near("direct loss", float(found.direct_loss), 0.175),
        worst("sales", found.sales, (16.6, 12.4), 1e-9),
        near("aggregate vulnerability", float(found.total), 0.0829),
    ]


# --- self-exciting events ------------------------------------------------------------------------

RATE, JUMP, DECAY = 0.5, 0.6, 1.0  # per s; branching ratio 0.6
LENGTH = 8_000.0  # s
_WINDOW = 64.0  # s


def clusters(
    seed: int, rate: float = RATE, ratio: float = JUMP / DECAY, length: float = LENGTH
) -> np.ndarray:
    """Return the times of a Hawkes process, drawn generation by generation."""
    random = np.random.default_rng(seed)
    times = [random.uniform(0.0, length, random.poisson(rate * length))]
    while len(times[-1]):
        parents = np.repeat(times[-1], random.poisson(ratio, len(times[-1])))
        times.append(parents + random.exponential(1.0 / DECAY, len(parents)))
    found = np.sort(np.concatenate(times))
    return found[found < length]


def counts_of(times: np.ndarray, width: float, length: float = LENGTH) -> np.ndarray:
    """Return how many times lie in each bin."""
    return np.histogram(times, np.arange(0.0, length + width / 2, width))[0]


def _fano(seeds: range) -> tuple[float, float]:
    """Return variance over mean of counts in windows, pooled, and its standard error."""
    counts = np.array([counts_of(clusters(seed), _WINDOW) for seed in seeds], float)
    each = ((counts - counts.mean()) ** 2).mean(axis=1) / counts.mean()
    return float(each.mean()), float(each.std(ddof=1)) / math.sqrt(len(each))


@ROWS.row(
    "A24",
    "moments of a Hawkes process and its estimated branching ratio",
    "Hawkes 1971",
    seeds=Seeds(tuple(range(1, 17)), tuple(range(1, 101))),
    group="hawkes",
    cost=35.0,
)
def _hawkes(seeds: tuple[int, ...]) -> list[Finding]:
    """Windows of 64 s lack what the clusters at their ends are cut; bins of 0.05 s the same."""
    rates = np.array([len(clusters(seed)) / LENGTH for seed in seeds])
    edge = (1.0 - math.exp(-0.4 * _WINDOW)) / (0.4 * _WINDOW)
    fano, fano_error = _fano(range(1_000, 1_000 + 40 * len(seeds)))
    fits = [fit_hawkes(counts_of(clusters(seed), 0.05), 0.05).branching_ratio for seed in seeds]
    root = math.sqrt(len(seeds))
    return [
        near(
            "mean rate",
            float(rates.mean()),
            1.25,
            0.02,
            standard_error=float(rates.std(ddof=1)) / root,
            unit="1/s",
        ),
        near(
            "Fano factor in windows of 64 s (6.25 in endless ones)",
            fano,
            6.25 - 5.25 * edge,
            0.02,
            standard_error=fano_error,
        ),
        near(
            "estimated branching ratio, bins of 0.05 s (0.6 of which 97.5 % fall into later bins)",
            float(np.mean(fits)),
            0.6 * 0.975,
            0.02,
            standard_error=float(np.std(fits, ddof=1)) / root,
        ),
    ]


@ROWS.row(
    "A25", "spillovers of an autoregression; delta-CoVaR", "Diebold-Yilmaz; Adrian-Brunnermeier"
)
def _spillovers(_: tuple[int, ...]) -> list[Finding]:
    lag, sigma = np.array([[[0.5, 0.2], [0.1, 0.4]]]), np.array([[1.0, 0.3], [0.3, 1.0]])
    general = spillovers(lag, sigma, 10)
    ordered = spillovers(lag, sigma, 10, is_generalized=False)
    return [
        worst("shares", general.shares, [[0.817801, 0.182199], [0.121372, 0.878628]]),
        near("generalized total", 100.0 * general.total, 15.1786, 4e-6, unit="%"),
        near("Cholesky total", 100.0 * ordered.total, 9.6574, 6e-6, unit="%"),
        near(
            "delta-CoVaR",
            100.0 * float(normal_delta_covar(0.6, 0.02, 0.99)),
            2.79162,
            2e-6,
            unit="%",
        ),
    ]
