"""Random operations on a weighted pool and on the deployed one, compared one by one.

The contract's powers have 18 digits, and by its own word an error of 1e-14 at most: a part of the
reserve or of the supply that an amount is a part of. A gap of that size is left out.
"""

import random

from sim.amm.weighted_facade import WeightedPool
from tests.conformance.balancer import ONE, DeployedPool
from tests.conformance.measure import EndError, Errors

POWERS = 1e-14  # of a reserve or of the supply
REASONS = {
    "BAL#304": "insufficient_liquidity",  # MAX_IN_RATIO
    "BAL#305": "insufficient_liquidity",  # MAX_OUT_RATIO
    "BAL#510": "zero_amount",  # UNKNOWN_AMOUNT_IN_FIRST_SWAP
}
WEIGHTS = ((0.3, 0.45, 0.25), (0.83, 0.17), (0.11, 0.23, 0.29, 0.37))


class Pair:
    """The same operations on both pools."""

    def __init__(self, seed, errors, quantum=1.0):
        self.draw = random.Random(seed)  # noqa: S311  # a test sequence
        self.errors = errors
        weights = self.draw.choice(WEIGHTS)
        self.reserves = [int(10 ** self.draw.uniform(18.0, 26.0)) for _ in weights]
        fee = self.draw.choice((10**15, 3 * 10**15, 10**16))
        self.contract = DeployedPool(
            self.reserves, [round(w * 100) * ONE // 100 for w in weights], fee
        )
        self.supply = self.contract.supply()
        self.ours = WeightedPool(
            list(map(float, self.reserves)), weights, fee / ONE, quantum, float(self.supply)
        )

    def both(self, verb, *arguments):
        """Run one operation on both, and compare what it moves and what it leaves."""
        outcome = self.errors.both(
            lambda: getattr(self.contract, verb)(*arguments),
            lambda: getattr(self.ours, verb)(*arguments),
            REASONS,
            (verb, *arguments),
        )
        if outcome is None:
            return
        exact, ours = (o if isinstance(o, tuple) else (o,) for o in outcome)
        unseen = POWERS * max(*self.reserves, self.supply)
        self.reserves, self.supply = self.contract.reserves(), self.contract.supply()
        for theirs, mine in zip(exact, ours, strict=True):
            self.errors.compare(verb, mine, theirs, unseen=unseen)
        for theirs, mine in zip(self.reserves, self.ours.reserves, strict=True):
            self.errors.compare("reserve", mine, theirs, unseen=unseen)
        self.errors.compare("shares", self.ours.supply, self.supply, unseen=unseen)

    def run(self, n):
        """Run `n` random operations."""
        try:
            for _ in range(n):
                self.act()
        except EndError:
            self.errors.n_ended += 1

    def act(self):
        """Run one random operation; some that move too much, or nothing."""
        draw, n = self.draw, len(self.reserves)
        i, j = draw.sample(range(n), 2)
        size = 10 ** draw.uniform(-6.0, -0.8)
        verb = draw.choices(
            ("in", "out", "join", "one", "exit", "all", "bad"), (30, 20, 9, 9, 9, 9, 8)
        )[0]
        shares = int(float(int(self.supply * size * 0.1)))
        if verb == "in":
            self.both("swap_exact_in", i, j, int(float(int(self.reserves[i] * size))))
        elif verb == "out":
            self.both("swap_exact_out", i, j, int(float(int(self.reserves[j] * size))))
        elif verb == "join":
            self.both(
                "join_exact_in", [int(float(int(r * size * draw.random()))) for r in self.reserves]
            )
        elif verb in ("one", "exit"):
            self.both("join_one" if verb == "one" else "exit_one", i, shares)
        elif verb == "all":
            self.both("exit_all", shares)
        else:
            self.both(*draw.choice([
                ("swap_exact_in", i, j, 0),
                ("swap_exact_in", i, j, int(self.reserves[i] * 0.31)),
                ("swap_exact_out", i, j, int(self.reserves[j] * 0.31)),
            ]))  # fmt: skip


def run_sequence(seed, n, errors=None, quantum=1.0):
    """Run one sequence; return what was measured."""
    errors = Errors() if errors is None else errors
    Pair(seed, errors, quantum).run(n)
    return errors
