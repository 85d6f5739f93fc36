"""Random operations on a constant product pool and on the deployed pair, compared one by one.

To buy most of one side leaves a small difference of large numbers: what float64 loses there, four
units in the last place of the reserve before, stays in the reserve, and what a reserve is off by,
the next amounts are off by, over the part of the reserve that is left.
"""

import random

from sim.amm.constant_product_facade import ROOM, ConstantProductPool
from tests.conformance.measure import EndError, Errors
from tests.conformance.uniswap_v2 import LOCKED, DeployedPair

ULPS = 4.0 * 2.0**-53
REASONS = {
    "UniswapV2: INSUFFICIENT_OUTPUT_AMOUNT": "amount_in .* (is refused|too small)|must be above 0",
    "UniswapV2: INSUFFICIENT_LIQUIDITY": "below the reserve",
    "UniswapV2: INSUFFICIENT_LIQUIDITY_MINTED": "too small for a share|positive number of tokens",
    "UniswapV2: INSUFFICIENT_LIQUIDITY_BURNED": "nothing of one token|must be above 0",
    "UniswapV2: OVERFLOW": "must stay below 2.112",
}


def whole(number):
    """Return the whole number near a number that a float holds exactly."""
    return int(float(number))


class Pair:
    """The same operations on both pools."""

    def __init__(self, seed, digits0, digits1, errors, quantum=1.0, *, protocol_fee=False):
        self.draw = random.Random(seed)  # noqa: S311  # a test sequence
        self.errors = errors
        reserves = [whole(10 ** (d - self.draw.random())) for d in (digits0, digits1)]
        self.contract = DeployedPair(*reserves, protocol_fee=protocol_fee)
        self.ours = ConstantProductPool(
            *reserves, 0.003, quantum, protocol_fee=protocol_fee, minimum_liquidity=float(LOCKED)
        )
        self.reserves, self.supply = reserves, self.contract.supply()
        self.slack = [0.0, 0.0]  # what float64 may lose of either reserve in an operation
        self.compare_state()

    def both(self, verb, *arguments):
        """Run one operation on both, and compare what it moves and what it leaves."""
        before = self.reserves
        gaps = [abs(int(o) - r) for o, r in zip(self.ours.reserves, before, strict=True)]
        slack = [g + ULPS * r for g, r in zip(gaps, before, strict=True)]
        outcome = self.errors.both(
            lambda: getattr(self.contract, verb)(*arguments),
            lambda: getattr(self.ours, verb)(*arguments),
            REASONS,
            (verb, *arguments, before),
        )
        if outcome is None:
            return
        self.reserves, self.supply = self.contract.reserves(), self.contract.supply()
        exact, ours = (o if isinstance(o, tuple | list) else (o,) for o in outcome)
        left = min(r / b for r, b in zip(self.reserves, before, strict=True))
        share = sum(s / b for s, b in zip(slack, before, strict=True)) / min(left, 1.0)
        for theirs, mine in zip(exact, ours, strict=True):
            unit = self._unit(verb, arguments)
            self.errors.compare(verb, mine, theirs, unit, unseen=share * theirs)
        self.slack = [
            s + 2 * share * max(b, r) for s, b, r in zip(slack, before, self.reserves, strict=True)
        ]
        self.compare_state()

    def _unit(self, verb, arguments):
        """Return one unit of either token at the price, in units of what an operation gives."""
        x, y = self.reserves
        if verb == "mint":
            return max(1.0, self.supply / min(x, y))
        if verb == "burn":  # a share is a unit, too
            return max(1.0, max(x, y) / self.supply)
        gives_token1 = (verb == "swap_exact_in") == (arguments[0] == 0)
        return max(1.0, y / x if gives_token1 else x / y)

    def compare_state(self):
        """Compare reserves and shares."""
        pairs = zip(self.ours.reserves, self.contract.reserves(), self.slack, strict=True)
        for k, (ours, exact, slack) in enumerate(pairs):
            unit = max(1.0, exact / self.reserves[1 - k], exact / self.supply)
            self.errors.compare("reserve", ours, exact, unit, unseen=slack)
        unit = max(1.0, self.supply / min(self.reserves))
        share = sum(s / r for s, r in zip(self.slack, self.reserves, strict=True))
        unseen = share * self.supply  # of roots and shares alike
        self.errors.compare("shares", self.ours.supply, self.supply, unit, unseen=unseen)
        protocol = self.contract.protocol_shares()
        ours = self.ours.protocol_shares
        self.errors.compare("shares of the protocol", ours, protocol, unit, unseen=unseen)

    def run(self, n):
        """Run `n` random operations."""
        try:
            for _ in range(n):
                self.act()
        except EndError:
            self.errors.n_ended += 1

    def act(self):
        """Run one random operation; one in ten the contract has reasons to refuse."""
        draw = self.draw
        verb = draw.choices(
            ("swap_exact_in", "swap_exact_out", "mint", "burn", "bad"), (40, 20, 12, 12, 10)
        )[0]
        token, size = draw.randint(0, 1), 10 ** draw.uniform(-9.0, 0.5)
        size = 10 ** draw.uniform(-1.0, 2.0) if draw.random() < 0.1 else size
        if verb == "swap_exact_in":
            amount = whole(self.reserves[token] * size)
            if self.reserves[token] + amount < ROOM * 0.999:
                self.both(verb, token, amount)
        elif verb == "swap_exact_out":
            self.both(verb, token, whole(self.reserves[token] * min(size, 0.9)))
        elif verb == "mint":
            amounts = [whole(r * size * draw.uniform(0.5, 2.0)) for r in self.reserves]
            if all(2 * a + r < ROOM for a, r in zip(amounts, self.reserves, strict=True)):
                self.both(verb, *amounts)
        elif verb == "burn":
            free = self.supply - LOCKED - self.contract.protocol_shares()
            self.both(verb, whole(free * min(size, 0.9)))
        elif self.errors.is_strict:  # real numbers know neither an amount too small nor too large
            self.act_badly()

    def act_badly(self):
        """Run one operation that the contract has reasons to refuse."""
        token = self.draw.randint(0, 1)
        little = max(self.reserves[token] // max(self.reserves[1 - token], 1) // 2, 1)
        self.both(*self.draw.choice([
            ("swap_exact_in", token, 0),
            ("swap_exact_in", token, little),
            ("swap_exact_in", token, 1 << 112),
            ("swap_exact_out", token, 0),
            ("swap_exact_out", token, 2 * self.reserves[token]),
            ("mint", 0, 0),
            ("mint", 1, 1),
            ("mint", 1 << 112, 1 << 112),
            ("burn", 0),
            ("burn", 1),
        ]))  # fmt: skip


def run_sequence(seed, digits0, digits1, n, errors=None, quantum=1.0, *, protocol_fee=False):
    """Run one sequence; return what was measured."""
    errors = Errors() if errors is None else errors
    Pair(seed, digits0, digits1, errors, quantum, protocol_fee=protocol_fee).run(n)
    return errors
