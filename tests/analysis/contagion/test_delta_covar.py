"""Delta-CoVaR: the normal case, a linear program, and draws across replications."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import linprog

from analysis.contagion.delta_covar import (
    delta_covar,
    delta_covars,
    normal_delta_covar,
    population_losses,
)
from sim.errors import InputError
from tests.analysis.builders import rows


def test_the_normal_case_of_the_worked_example():
    assert normal_delta_covar(0.6, 0.02, 0.99) == pytest.approx(0.0279162, abs=1e-6)


def test_the_regression_finds_the_normal_case_where_quantiles_are_exact():
    # every quantile of x with every quantile of what else moves the system: the true line is a
    # solution of the regression, whatever the grid
    rank = (np.arange(99) + 0.5) / 99
    x, rest = (part.ravel() for part in np.meshgrid(stats.norm.ppf(rank), stats.norm.ppf(rank)))
    system = 0.02 * (0.6 * x + 0.8 * rest)

    found = delta_covar(x, system, 0.95)

    assert found.slope == pytest.approx(0.012, abs=1e-6)
    assert found.delta == pytest.approx(0.012 * (np.quantile(x, 0.95) - np.median(x)), abs=1e-6)


def test_the_slope_is_that_of_the_linear_program():
    random = np.random.default_rng(5)
    x = random.exponential(1e6, 200)
    y = 3.0 * x + random.exponential(2e6, 200) * (1.0 + x / 1e6)
    q, n = 0.9, len(x)
    width, height = x.std(), y.std()
    line = np.column_stack([np.ones(n), x / width])
    costs = np.concatenate([np.zeros(2), np.full(n, q), np.full(n, 1.0 - q)])
    best = linprog(
        costs,
        A_eq=np.hstack([line, np.eye(n), -np.eye(n)]),
        b_eq=y / height,
        bounds=[(None, None)] * 2 + [(0.0, None)] * (2 * n),
    )

    assert delta_covar(x, y, q).slope == pytest.approx(best.x[1] * height / width, rel=1e-4)


def test_draws_of_the_normal_case_agree_within_their_error():
    random = np.random.default_rng(11)
    x = random.standard_normal(4_000)
    system = 0.02 * (0.6 * x + 0.8 * random.standard_normal(4_000))

    found = delta_covar(x, system, 0.95, n_resamples=40)

    # three standard errors: false alarm 0.3 %
    expected = normal_delta_covar(0.6, 0.02, 0.95)
    assert abs(found.delta - expected) < 3.0 * found.standard_error
    assert found.standard_error < 0.1 * expected


def test_participants_that_move_with_the_others_come_first():
    random = np.random.default_rng(2)
    common = random.exponential(1.0, 400)
    losses = pd.DataFrame(
        {
            "alone": random.exponential(1.0, 400),
            "near": common + 0.1 * random.random(400),
            "far": 5.0 * common,
            "nothing": np.zeros(400),
        }
    )

    found = delta_covars(losses, 0.9)

    assert found.index[0] == "near"  # the others are mostly five times what it loses
    assert found.index[-1] == "alone"
    assert "nothing" not in found.index


def test_too_few_replications_are_refused():
    with pytest.raises(InputError, match="50 replications are too few"):
        delta_covar(np.arange(50.0), np.arange(50.0), 0.95)
    with pytest.raises(InputError, match="loses the same"):
        delta_covar(np.ones(200), np.arange(200.0))


def test_a_population_lost_what_it_has_less_at_the_end():
    equity = rows(
        "equity",
        [
            {
                "time": [0.0, 600.0], "population": name, "account": account,
                "value": [100.0, last], "trading_gain": [0.0, gain],
            }
            for name, account, last, gain in (
                ("people", -1, 70.0, -10.0), ("people", 0, 70.0, 0.0), ("lending", -1, 0.0, 0.0)
            )
        ],
    )  # fmt: skip

    assert population_losses({"equity": equity}).to_dict() == {"people": 30.0}
    losses = population_losses({"equity": equity}, has_price_moves=False)
    assert losses.to_dict() == {"people": 10.0}
