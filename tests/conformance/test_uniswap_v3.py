"""Our concentrated liquidity pool against the bytecode of the deployed Uniswap v3 pool."""

import random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sim.amm.concentrated import ConcentratedLiquidityPool
from sim.errors import RefusedError
from tests.conformance.artifacts import require

require("@uniswap/v3-core")

from tests.conformance.machine import RevertError
from tests.conformance.measure import Errors
from tests.conformance.uniswap_v3 import Q96, SPACINGS, DeployedPool
from tests.conformance.uniswap_v3_sequences import REASONS, Pair, most_digits, run_sequence
from tests.sim.amm.integer_reference import MAX_SQRT, MIN_SQRT, sqrt_price_at_tick

SHARES = st.sampled_from([0, 4, 6, 10])  # one n-th of the fees is the protocol's


def test_random_operations_end_as_in_the_contract():
    errors = Errors()

    @settings(max_examples=14, phases=[Phase.generate])  # a sequence is too long to shrink
    @given(
        seed=st.integers(0, 2**32),
        pips=st.sampled_from(sorted(SPACINGS)),
        tick=st.integers(-800_000, 800_000) | st.integers(-20_000, 20_000),
        digits=st.floats(0.0, 1.0),
        shares=st.tuples(SHARES, SHARES),
        n=st.integers(200, 250),
    )
    def run(seed, pips, tick, digits, shares, n):
        size = round(4 + digits * (most_digits(tick) - 4))
        run_sequence(seed, pips, tick, size, shares, n, errors)

    run()
    assert errors.reasons.keys() == REASONS.keys()  # the contract refused for each reason it has
    assert errors.n_done > 2_000
    assert errors.part_left_out() < 0.01
    assert errors.n_ended < 8


@pytest.mark.parametrize("pips", sorted(SPACINGS))
def test_operations_of_a_usual_pool_leave_nothing_out(pips):
    errors = Errors()
    run_sequence(pips, pips, tick=-201_000, digits=21, fee_protocol=(0, 0), n=200, errors=errors)
    assert errors.part_left_out() < 0.001
    assert errors.n_ended == 0


def test_prices_of_ticks_are_the_contract_prices():
    powers = [sign << i for i in range(20) for sign in (-1, 1)]
    for tick in (0, -887271, 887271, *powers, *random.Random(3).sample(range(-887271, 887272), 40)):  # noqa: S311
        price = sqrt_price_at_tick(tick)  # in whole numbers; `tick_math` is tested against the same
        assert DeployedPool(3000, price).price_and_tick() == (price, tick)
        assert DeployedPool(3000, price - 1).price_and_tick() == (price - 1, tick - 1)


@pytest.mark.parametrize("price", [0, MIN_SQRT - 1, MAX_SQRT])
def test_first_price_out_of_reach_is_refused_by_both(price):
    with pytest.raises(RevertError, match=r"^R$"):
        DeployedPool(3000, price)
    with pytest.raises(RefusedError, match="sqrt_price"):
        ConcentratedLiquidityPool(0.003, 60, price / Q96)


@pytest.mark.parametrize("share", [1, 3, 11])
def test_share_of_the_protocol_out_of_bounds_is_refused_by_both(share):
    with pytest.raises(RevertError):
        DeployedPool(3000, Q96, (share, 0))
    with pytest.raises(RefusedError, match="fee_protocol"):
        ConcentratedLiquidityPool(0.003, 60, 1.0, (share, 0))


@pytest.mark.parametrize("zero_for_one", [True, False])
def test_swap_without_limit_ends_where_the_contract_ends(zero_for_one):
    pair = Pair(0, 3000, 0, 18, (0, 0), Errors())
    pair.both("mint", "a", -887220, 887220, 10**18)
    pair.both("mint", "b", -1200, 1200, 10**18)
    pair.both("swap", zero_for_one, 1 << 200, MIN_SQRT + 1 if zero_for_one else MAX_SQRT - 1)
    assert pair.ours.tick == pair.tick == (-887272 if zero_for_one else 887271)
    pair.both("swap", not zero_for_one, 1 << 70, MAX_SQRT - 1 if zero_for_one else MIN_SQRT + 1)
    assert pair.errors.n_done == 4


def test_a_thousand_small_claims_do_not_drift_from_the_contract():
    pair = Pair(0, 3000, 0, 12, (0, 0), Errors())
    pair.both("mint", "a", -600, 600, 10**12)
    for number in range(500):
        limit = MAX_SQRT - 1 if number % 2 else MIN_SQRT + 1
        pair.both("swap", number % 2 == 0, 1_000 + number, limit)
        pair.both("burn", "a", -600, 600, 0)
    held = pair.ours.position("a", -600, 600)
    assert (held.owed0, held.owed1) == pair.contract.position("a", -600, 600)[1:]
    assert min(held.owed0, held.owed1) > 500
