"""Every registered population keeps the contract of reactions; broken ones are caught."""

import functools

import pytest

from agents.check import TESTED, check_population, check_rows, watch
from experiments.kinds import populations
from sim.errors import InvariantError
from sim.interpreted import interpreted
from tests import broken
from tests.examples import (
    ACTS_FOR,
    DEPEND_ON_ALL,
    POPULATIONS,
    ROWS,
    market_place,
    people_of,
    population_of,
)

RUN_SECONDS = 700.0  # providers look at their pool every ten minutes
BUSY = {"arbitrageurs", "relayers", "payments", "bridge_users", "cross_chain_arbitrage"}  # 150 s do


def run_of(kind, run_seconds):
    config, plan = population_of(kind)
    return functools.partial(
        watch, populations()[kind], config, plan, ROWS.get(kind, 13), run_seconds
    )


@pytest.fixture(scope="module")
def twins():
    """What the interpreted twin makes of every example, in one child process."""
    kinds = list(POPULATIONS)
    found = interpreted([run_of(kind, 25.0) for kind in kinds])
    return dict(zip(kinds, found, strict=True))


def test_every_population_has_an_example():
    assert set(POPULATIONS) == set(populations())


@pytest.mark.parametrize("kind", sorted(POPULATIONS))
def test_the_twin_makes_the_same_bits(kind, twins):
    if isinstance(twins[kind], InvariantError):
        raise twins[kind]
    assert run_of(kind, 25.0)() == twins[kind]


@pytest.mark.parametrize("kind", sorted(POPULATIONS))
def test_every_population_keeps_the_contract(kind):
    config, plan = population_of(kind)
    found = check_population(
        populations()[kind],
        config,
        plan,
        rows=ROWS.get(kind, 13),
        run_seconds=150.0 if kind in BUSY else RUN_SECONDS,
        depends_on_all=DEPEND_ON_ALL.get(kind, ()),
        twin=False,
        must_act=True,
        acts_for=ACTS_FOR.get(kind, TESTED),
    )
    assert len(found) == 64


def config():
    return broken.TradersConfig(kind="traders", chain="home")


def test_a_simple_population_passes_with_its_twin():
    plan = market_place()
    found = check_population(broken.GOOD_TRADERS, config(), plan, run_seconds=120.0)
    assert len(found) == 64


def test_a_population_that_helps_itself_is_caught():
    with pytest.raises(InvariantError, match=r"traders: reacting at .* wrote ledger\.balance"):
        check_population(broken.THIEVES, config(), market_place(), twin=False)


def test_an_example_in_which_nothing_is_sent_is_refused():
    idle = people_of("noise_traders", count=1, swaps_per_day=0.0, median_usd=500.0)
    with pytest.raises(InvariantError, match="no order of it was taken in 60 s"):
        watch(populations()["noise_traders"], idle, market_place(), 3, 60.0, must_act=True)
    assert len(watch(populations()["noise_traders"], idle, market_place(), 3, 60.0)) == 64


def test_malformed_orders_are_caught():
    with pytest.raises(InvariantError, match=r"row 0 sent constant_product\.swap .* BAD_AMOUNT"):
        check_population(broken.BABBLERS, config(), market_place(), twin=False)


def test_draws_that_depend_on_the_number_of_rows_are_caught():
    with pytest.raises(InvariantError, match="column 'size' of the first 13 rows changes"):
        check_population(broken.SEQUENTIAL, config(), market_place(), twin=False)


def test_orders_that_depend_on_the_number_of_rows_are_caught():
    plan = market_place()
    check_rows(broken.GOOD_TRADERS, config(), plan, 13, RUN_SECONDS)
    with pytest.raises(InvariantError, match=r"send other orders: .* amount differs"):
        check_rows(broken.SEQUENTIAL, config(), plan, 13, RUN_SECONDS, ("size",))
