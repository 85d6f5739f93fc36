"""Our constant product pool against the bytecode of the deployed Uniswap v2 pair."""

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.conformance.artifacts import require

require("@uniswap/v2-core")

from tests.conformance.measure import Errors
from tests.conformance.uniswap_v2_sequences import REASONS, Pair, run_sequence


def test_random_operations_end_as_in_the_contract():
    errors = Errors()

    @settings(max_examples=12, phases=[Phase.generate])  # a sequence is too long to shrink
    @given(
        seed=st.integers(0, 2**32),
        digits=st.tuples(st.floats(4.0, 33.0), st.floats(4.0, 33.0)),
        n=st.integers(150, 200),
        protocol_fee=st.booleans(),
    )
    def run(seed, digits, n, protocol_fee):
        run_sequence(seed, *digits, n, errors, protocol_fee=protocol_fee)

    run()
    assert errors.reasons.keys() == REASONS.keys()  # the contract refused for each reason it has
    assert errors.n_done > 1_000
    assert errors.part_left_out() < 0.05


@pytest.mark.parametrize("decimals", [6, 18])
def test_trades_of_usual_size_leave_nothing_out(decimals):
    pair = Pair(decimals, 6 + decimals, 9 + 6, Errors())
    for _ in range(300):
        token, size = pair.draw.randint(0, 1), 10 ** pair.draw.uniform(-6.0, -1.0)
        verb = pair.draw.choice(("swap_exact_in", "swap_exact_out"))
        pair.both(verb, token, int(float(int(pair.reserves[token] * size))))
    assert pair.errors.part_left_out() == 0.0
    assert pair.errors.n_done == 300
