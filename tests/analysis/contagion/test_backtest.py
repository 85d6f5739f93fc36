"""The backtest of DebtRank: how predictions and losses are paired and judged."""

import numpy as np
import pandas as pd
import pytest

from analysis.contagion.backtest import agreement, bridge_failures, loss_table
from sim.errors import InputError
from tests.analysis.builders import frame, rows
from tests.analysis.contagion.books import manifest, tables


def ended(**values):
    """Return the small world with values of populations at its end, and its bridge half empty."""
    records = tables()
    last = [
        {"time": [7_200.0], "population": [name], "account": -1, "value": value}
        for name, value in values.items()
    ]
    bridges = frame(
        "bridges", time=[3_600.0, 7_200.0], venue="bridge", token="a/ETH", backing_ratio=[1.0, 0.5]
    )
    return records | {
        "equity": pd.concat([records["equity"], rows("equity", last)]),
        "bridges": bridges,
    }


def test_a_loss_is_what_is_missing_against_the_world_without_the_shock():
    calm = manifest()
    calm["scenario"]["shocks"] = []
    table = loss_table(
        ended(lenders=150_000.0, borrowers=10_000.0, providers=130_000.0),
        ended(lenders=201_000.0, borrowers=29_000.0, providers=170_000.0),
        manifest(),
        calm,
    )

    assert table["simulated"].to_dict() == {
        "lenders": 51_000.0, "borrowers": 19_000.0, "providers": 40_000.0
    }  # fmt: skip
    assert table.loc["providers", "predicted"] == pytest.approx(0.25 * 160_000.0)
    assert table.loc["borrowers", "predicted"] == pytest.approx(30_000.0)  # all it has


def test_a_bridge_failed_by_what_it_lacked_at_worst():
    ratio = {"time": [1.0, 2.0, 3.0, 4.0], "backing_ratio": [0.2, 1.1, 0.7, 0.9]}
    bridges = frame("bridges", venue="bridge", **ratio)

    assert bridge_failures({"bridges": bridges}, 2.0) == {"bridge": pytest.approx(0.3)}


def worlds(noise, n=12, seed=4):
    random = np.random.default_rng(seed)
    parts = []
    for number in range(n):
        predicted = random.exponential(1.0, 6) * (1.0 + number)
        simulated = np.exp(np.log(predicted) + noise * random.standard_normal(6))
        parts.append(
            pd.DataFrame({"predicted": predicted, "simulated": simulated, "world": number})
        )
    return pd.concat(parts)


def test_losses_in_the_same_order_agree_wholly():
    found = agreement(worlds(0.0))

    assert found.within == pytest.approx(1.0)
    assert found.across == pytest.approx(1.0)
    assert found.within_error == pytest.approx(0.0, abs=1e-12)
    assert found.n_worlds == 12


def test_noise_lowers_agreement_and_no_relation_leaves_none():
    assert 0.3 < agreement(worlds(1.0, 40)).within < 0.95
    shuffled = worlds(0.0, 200).assign(
        simulated=lambda w: np.random.default_rng(1).permutation(w["simulated"])
    )
    nothing = agreement(shuffled)
    # three standard errors: false alarm 0.3 %
    assert abs(nothing.within) < 3.0 * nothing.within_error
    assert abs(nothing.across) < 3.0 * nothing.across_error


def test_two_worlds_are_too_few():
    with pytest.raises(InputError, match="2 worlds are too few"):
        agreement(worlds(0.0, 2))
