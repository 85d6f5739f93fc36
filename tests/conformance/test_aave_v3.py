"""Our lending market against the bytecode of the deployed Aave v3 pool (version 3.0.2)."""

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.conformance.artifacts import require

require("@aave/core-v3")

from tests.conformance.aave_v3_sequences import REASONS, Pair, run_sequence
from tests.conformance.measure import Errors


def test_random_operations_end_as_in_the_contract():
    errors = Errors()

    @settings(max_examples=8, phases=[Phase.generate])  # a sequence is too long to shrink
    @given(
        seed=st.integers(0, 2**32),
        digits=st.floats(8.0, 22.0) | st.floats(11.0, 15.0),
        n=st.integers(200, 250),
    )
    def run(seed, digits, n):
        run_sequence(seed, digits, n, errors)

    run()
    usual = REASONS.keys() - {"39", "43", "46", "47"}  # of these four some may not have come up
    assert usual <= errors.reasons.keys()
    assert errors.gaps["liquidate"].n > 30
    assert errors.n_done > 600
    assert errors.part_left_out() < 0.02


def test_interest_of_a_year_without_any_operation_is_the_contract_interest():
    pair = Pair(1, 13, Errors())
    for name in ("ETH", "USD"):
        pair.both("supply", "dan", name, pair.size(name) * 10)
    pair.both("supply", "ann", "ETH", 10**21)
    pair.both("borrow", "ann", "USD", 10**12)
    pair.wait(365 * 86_400)
    pair.both("supply", "dan", "USD", 10**6)
    pair.both("repay", "ann", "USD", float("inf"))
    assert pair.ours.owed("ann", "USD") == 0.0
    assert pair.errors.part_left_out() == 0.0


def test_account_with_a_mean_threshold_between_basis_points_is_liquidated_when_the_contract_is():
    pair = Pair(1, 13, Errors())
    pair.both("supply", "dan", "USD", 10**13)
    pair.both("supply", "ann", "ETH", 10**18)
    pair.both("supply", "ann", "BTC", 1_002_000)
    pair.both("borrow", "ann", "USD", 2_000 * 10**6)
    pair.set_price("ETH", 1856 * 10**8)
    ethers, bitcoins = 1856.0, 60_000.00012345 * 0.01002
    secured = 0.825 * ethers + 0.78 * bitcoins  # the mean is 0.81399…, rounded down 0.8139
    assert 0.8139 * (ethers + bitcoins) < 2_000.0 < secured
    pair.both("liquidate", "ann", "USD", "ETH", 10**6)
    assert pair.errors.n_done == 5
