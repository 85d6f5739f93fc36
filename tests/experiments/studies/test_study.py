"""Study files: what is read, and how what is wrong is refused."""

from __future__ import annotations

import pytest

from experiments.studies import load_study
from experiments.studies.plan import Plan
from sim.errors import InputError

FEE = "fee: {path: venues.eth-usd.fee, values: [0.001, 0.003]}"


def test_a_study_says_what_is_designed_and_what_is_drawn(write_study):
    study = load_study(write_study())
    assert list(study.levers) == ["fee"]
    assert list(study.designed) == ["fee", "volatility"]
    assert list(study.drawn) == ["base_fee"]
    assert Plan(study).n_runs == 2 * 2 * 3


@pytest.mark.parametrize(
    ("before", "after", "line", "why"),
    [
        ("venues.eth-usd.fee", "venues.eth-usb.fee", 7, "venues has no 'eth-usb'; did you mean"),
        ("venues.eth-usd.fee", "venues..fee", 7, "is malformed"),
        ("values: [0.001, 0.003]", "range: [0.003, 0.001], levels: 3", 7, "is empty"),
        ("values: [0.001, 0.003]", "range: [0.001, 0.003]", 7, "a range with levels"),
        ("values: [0.001, 0.003]", "values: [0.001, 0.001]", 7, "names a value twice"),
        (", values: [0.001, 0.003]", "", 7, "says not which values it takes"),
        ("volatility: {values", "volatlity: {values", 9, "did you mean 'volatility'?"),
        ("volatility: {values", "shock_scale: {values", 9, "no price path of this scenario is"),
        ("n_fills]", "n_fils]", 14, "there is no outcome 'n_fils'; did you mean 'n_fills'?"),
        ("mean(lp_net", "mean(lp_nett", 15, "did you mean 'lp_net_return'?"),
        ("mean(lp_net_return) >= -1", "mean(lp_net_return) => 1", 15, "where <, <=, > or >="),
        ("replications: 3", "replications: 0", 13, "replications"),
        ("replications: 3", "replications: 300000", 1, "the budget is 1,000,000"),
        ("scenario: quiet-market", "scenario: quiet-markt", 4, "no scenario"),
        ("name: small", "name: small\nsize: 3", 4, "size"),
        ("values: [0.5, 1.0]", "values: [0.5, 1.0], book: positions_fixed", 9, "book"),
        (FEE, "fee: {path: venues.eth-usd.fee, values: [0.001, 1.5]}", 1, "fee"),
        ("version: 1", "version: 2", 2, "version"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(write_study, before, after, line, why):
    path = write_study((before, after))
    with pytest.raises(InputError) as caught:
        Plan(load_study(path))
    message = str(caught.value)
    assert why in message
    if line > 1:
        assert f"study.yaml:{line}" in message


def test_pinned_paths_refuse_volatility_and_say_what_to_use(write_study):
    path = write_study(
        ("scenario: quiet-market", "scenario: black-thursday"),
        ("venues.eth-usd.fee", "venues.eth-dai.fee"),
        ("chains.mainnet.fee_market.base_fee_gwei", "chains.mainnet.gas_limit"),
    )
    with pytest.raises(InputError, match=r"pinned to known prices; use shock_scale or shock_speed"):
        Plan(load_study(path))


def test_an_unknown_study_is_refused_with_the_shipped_ones():
    with pytest.raises(InputError, match="no study 'fee-teer'"):
        load_study("fee-teer")
