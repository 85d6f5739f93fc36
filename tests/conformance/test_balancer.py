"""Our weighted pool against the bytecode of the deployed Balancer vault and weighted pool."""

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.conformance.artifacts import require

require("@balancer-labs/v2-deployments")

from tests.conformance.balancer_sequences import REASONS, run_sequence
from tests.conformance.measure import Errors


def test_random_operations_end_as_in_the_contract():
    errors = Errors()

    @settings(max_examples=8, phases=[Phase.generate])  # a sequence is too long to shrink
    @given(seed=st.integers(0, 2**32), n=st.integers(150, 200))
    def run(seed, n):
        run_sequence(seed, n, errors)

    run()
    assert errors.reasons.keys() == REASONS.keys()
    assert errors.n_done > 800
    assert errors.part_left_out() < 0.02
