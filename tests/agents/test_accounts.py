"""Accounts hold what their scenario says, and do nothing by themselves."""

import pytest

from agents.accounts import Account
from experiments.composition import build
from experiments.scenario import load_scenario
from sim.errors import InputError, ScenarioError

MINE = "populations.mine={{kind: accounts, chain: mainnet, count: 3, holds: {holds}}}"


def model_of(holds):
    return build(load_scenario("quiet-market", [MINE.format(holds=holds)], until=600.0))


def test_every_account_holds_what_the_scenario_says():
    mine = model_of("{USD: 500, ETH: 0.25}").agents_by_type[Account]
    assert mine.get("USD").tolist() == [500.0] * 3
    assert mine.get("ETH").tolist() == [0.25] * 3


def test_accounts_keep_what_nobody_trades():
    model = model_of("{USD: 500}")
    model.run_for(600.0)
    assert model.populations["mine"].get("USD").tolist() == [500.0] * 3
    with pytest.raises(InputError, match="acts here"):
        model.world.switch("mine", is_on=False)


def test_an_order_pays_from_the_account_of_its_row():
    model = model_of("{USD: 500}")
    model.world.submit("eth-usd", "swap", "mine", 1, a=1, amount=200.0)
    model.run_for(300.0)
    mine = model.populations["mine"]
    assert mine.get("USD").tolist() == [500.0, 300.0, 500.0]
    # 200 USD less 0.3 % at about 2,000 USD
    assert mine.get("ETH").tolist() == [0.0, pytest.approx(0.0997, rel=0.01), 0.0]


def test_money_is_conserved_with_accounts_in_the_world():
    model = model_of("{USD: 500, ETH: 1}")
    model.world.check()
    model.run_for(600.0)
    model.world.check()


def test_a_token_that_the_chain_has_not_is_refused_with_its_place():
    with pytest.raises(ScenarioError, match=r"populations\.mine\.holds\.GOLD: .*ETH, USD"):
        model_of("{GOLD: 1}")


def test_a_negative_amount_is_refused():
    with pytest.raises(ScenarioError, match=r"holds\.USD: -5 is not at least 0"):
        model_of("{USD: -5}")
