"""Random orders of every kind over one world with every mechanism: the books balance after each."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from experiments.kinds import mechanisms
from sim.amm.token_pool import PoolPair
from sim.check import joint_swaps, random_order, send_and_judge
from sim.plan import VenuePlan
from sim.status import Status
from sim.trial import Trial, actors, small_plan
from sim.units import ticks
from tests.examples import MECHANISMS, feeds, open_bands, open_books, open_vaults

SEEDS = st.integers(0, 2**32 - 1)


def every_venue():
    """Two venues of each mechanism."""
    made = list(feeds())
    for kind, example in MECHANISMS.items():
        mechanism = mechanisms()[kind]
        for k, given in enumerate(example["configs"]):
            is_pair = isinstance(given, PoolPair)
            config = given.model_copy(update={"pool": f"{kind}-0"}) if is_pair else given
            nodes = tuple(mechanism.nodes(config))
            made.append(VenuePlan(f"{kind}-{k}", mechanism, config.chain, nodes, config))
    return tuple(made)


def open_everything(world, site):
    """Open lending positions, vaults and loans in bands."""
    open_books(world, site)
    open_vaults(world, site)
    open_bands(world, site)


class Everything(RuleBasedStateMachine):
    """`send_and_judge` raises as soon as conservation, escrow, a quote or a refusal is wrong."""

    @initialize()
    def build(self):
        self.trial = Trial(small_plan(every_venue(), (actors(open_everything),)))
        self.kinds = [v.mechanism.kind for v in self.trial.world.plan.venues]

    @rule(venue=st.integers(0, 10**6), verb=st.integers(0, 10**6), seed=SEEDS)
    def order(self, venue, verb, seed):
        venue %= len(self.kinds)
        verbs = len(self.trial.world.plan.venues[venue].mechanism.verbs)
        rng = np.random.default_rng(seed)
        arguments = MECHANISMS[self.kinds[venue]].get("arguments")
        legs = random_order(self.trial, venue, verb % verbs, rng, arguments)
        outcome = send_and_judge(self.trial, legs)
        assert isinstance(outcome.status, Status)

    @rule(seed=SEEDS)
    def swap_twice(self, seed):
        venues = self.trial.world.venues
        pools = np.flatnonzero(venues.token0 >= 0)
        outcome = send_and_judge(
            self.trial, joint_swaps(self.trial, pools, np.random.default_rng(seed))
        )
        assert outcome.status in {Status.OK, Status.LEG_FAILED}

    @rule(hours=st.floats(0.0, 1.0))
    def wait(self, hours):
        world = self.trial.world
        world.advance(min(world.now + ticks(hours * 600.0), world.horizon))
        world.check()


Everything.TestCase.settings = settings(max_examples=8, stateful_step_count=25, deadline=None)
TestEverything = Everything.TestCase
