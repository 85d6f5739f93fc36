"""Designs and plans: how many runs, which ones, and what stays when a study grows."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.studies import load_study
from experiments.studies.plan import Plan


def runs_of(path):
    return list(Plan(load_study(path)).runs())


def test_a_grid_combines_all_values_and_replications_share_seeds_and_draws(write_study):
    runs = runs_of(write_study())
    first = [run for run in runs if run.replication == 0]
    assert [(r.factors["fee"], r.factors["volatility"]) for r in first] == [
        (0.001, 0.5),
        (0.001, 1.0),
        (0.003, 0.5),
        (0.003, 1.0),
    ]
    assert len({run.seed for run in first}) == 1
    assert len({run.factors["base_fee"] for run in first}) == 1
    assert len({run.seed for run in runs}) == 3
    assert len({run.run_id for run in runs}) == 12


def test_more_replications_keep_the_ids_of_the_first(write_study):
    few = runs_of(write_study())
    many = runs_of(write_study(("replications: 3", "replications: 5")))
    assert [run.run_id for run in many[: len(few)]] == [run.run_id for run in few]


def test_another_lever_value_keeps_the_ids_of_the_others(write_study):
    before = {run.run_id for run in runs_of(write_study())}
    after = {run.run_id for run in runs_of(write_study(("0.003]", "0.003, 0.01]")))}
    assert before < after
    assert len(after) == 18


@pytest.mark.parametrize(
    "change",
    [
        ("until: 10m", "until: 11m"),
        ("venues.eth-usd.fee, values", "venues.eth-usd.fee, apply: multiply, values"),
        ("replications: 3", "replications: 3\nseed: 2"),
        ("n_fills]", "volume_usd]"),
    ],
)
def test_whatever_decides_an_outcome_changes_every_id(write_study, change):
    before = {run.run_id for run in runs_of(write_study())}
    assert not before & {run.run_id for run in runs_of(write_study(change))}


def test_a_latin_hypercube_has_one_point_in_every_stratum(write_study):
    path = write_study(
        ("values: [0.001, 0.003]", "range: [0.0, 0.1]"),
        ("replications: 3", "design: {kind: latin_hypercube, points: 20}\nreplications: 1"),
    )
    fees = [run.factors["fee"] for run in runs_of(path)]
    assert sorted(np.floor(np.array(fees) / 0.1 * 20).astype(int)) == list(range(20))
    assert {run.factors["volatility"] for run in runs_of(path)} == {0.5, 1.0}


def test_a_list_gives_its_points_in_order(write_study):
    points = "[{fee: 0.002, volatility: 1.0}, {fee: 0.05, volatility: 0.25}]"
    path = write_study(
        ("replications: 3", f"design: {{kind: list, points: {points}}}\nreplications: 1")
    )
    assert [(r.factors["fee"], r.factors["volatility"]) for r in runs_of(path)] == [
        (0.002, 1.0),
        (0.05, 0.25),
    ]


@pytest.mark.parametrize(
    ("distribution", "mean", "deviation"),
    [
        ("{kind: uniform, low: 2.0, high: 4.0}", 3.0, 2.0 / 12**0.5),
        ("{kind: normal, mean: 5.0, deviation: 0.5}", 5.0, 0.5),
        ("{kind: triangular, low: 0.0, mode: 3.0, high: 6.0}", 3.0, 6.0 / 24**0.5),
        ("{kind: lognormal, median: 2.0, log_deviation: 0.5}", 2.0 * np.exp(0.125), None),
        ("{kind: loguniform, low: 1.0, high: 8.0}", 7.0 / np.log(8.0), None),
    ],
)
def test_drawn_uncertainties_have_the_moments_of_their_distribution(
    write_study, distribution, mean, deviation
):
    from experiments.studies.design import drawn_values

    study = load_study(write_study(("{kind: uniform, low: 0.0, high: 1.0}", distribution)))
    drawn = drawn_values(study, 40_000)["base_fee"]
    # 5 standard errors: a false alarm on another seed has a probability below 1e-6
    assert drawn.mean() == pytest.approx(mean, abs=5 * drawn.std() / 200)
    if deviation is not None:
        assert drawn.std() == pytest.approx(deviation, rel=0.03)


def test_a_fixed_book_has_the_health_factors_of_the_old_threshold(write_study):
    threshold = "venues.pool-lending.reserves.ETH.liquidation_threshold"
    changes = [
        ("scenario: quiet-market", "scenario: black-thursday"),
        ("venues.eth-usd.fee, values: [0.001, 0.003]", f"{threshold}, values: [0.7, 0.75]"),
        ("volatility: {values: [0.5, 1.0]}", "shock_scale: {values: [1.0]}"),
        ("chains.mainnet.fee_market.base_fee_gwei", "price_step_seconds"),
        ("low: 0.0, high: 1.0", "low: 1.0, high: 1.1"),
    ]
    free = Plan(load_study(write_study(*changes)))
    changes[1] = (changes[1][0], changes[1][1] + ", book: positions_fixed")
    fixed = Plan(load_study(write_study(*changes)))
    values = {"fee": 0.7}
    old = free.variation.base.populations["usdc-borrowers"].health_quantiles
    assert free.variation.scenario(values).populations["usdc-borrowers"].health_quantiles == old
    new = fixed.variation.scenario(values).populations["usdc-borrowers"].health_quantiles
    base = free.variation.base.venues["pool-lending"].reserves["ETH"].liquidation_threshold
    assert [h for _, h in new] == pytest.approx([h * 0.7 / base for _, h in old])
    shorts = fixed.variation.scenario(values).populations["eth-shorts"].health_quantiles
    assert shorts == free.variation.base.populations["eth-shorts"].health_quantiles
