"""Random operations on a concentrated liquidity pool and on the deployed one, compared one by one.

A gap beyond the bound is left out only where no float64 price can tell: four units in its last
place times the largest virtual reserves. What all swaps may have hidden so adds up in the fees, and
so does one unit a swap: where the price itself is no float64, an amount of almost a whole number is
rounded one way or the other.
"""

import random

from sim.amm.concentrated import ConcentratedLiquidityPool
from sim.amm.tick_math import HIGHEST_LIMIT, MAX_TICK, MIN_TICK
from tests.conformance.measure import PRICE, EndError, Errors
from tests.conformance.uniswap_v3 import MOST, Q96, Q128, SPACINGS, DeployedPool
from tests.sim.amm.integer_reference import MAX_SQRT, MIN_SQRT, sqrt_price_at_tick

ULPS = 4.0 * 2.0**-53
REASONS = {
    "TLU": "must be below tick_upper",
    "TLM": "must be multiples of the spacing .* from -887272",
    "TUM": "must be multiples of the spacing .* from -887272",
    "LO": "the most at one tick",
    "LS": "more than the position|no liquidity in",
    "NP": "no liquidity in",
    "AS": "amount_specified",
    "SPL": "sqrt_price_limit",
    "": "must be multiples of the spacing|must be a positive number|the most at one tick",
}  # the contract gives no reason for a tick off the spacing, no liquidity, or 2^127 of it


def whole(number):
    """Return the whole number near a number that a float holds exactly."""
    return int(float(number))


def most_digits(tick):
    """Return the digits of liquidity with which no sum of amounts passes 2^128 at a tick."""
    return int(31 - abs(tick) * 2.2e-5)


class Pair:
    """The same operations on both pools."""

    def __init__(self, seed, pips, tick, digits, fee_protocol, errors, quantum=1.0):
        self.draw = random.Random(seed)  # noqa: S311  # a test sequence
        self.spacing, self.digits, self.errors = SPACINGS[pips], digits, errors
        start = sqrt_price_at_tick(tick) * self.draw.uniform(1.00001, 1.00004)
        self.home = min(max(whole(start), MIN_SQRT), MAX_SQRT - 1)
        self.contract = DeployedPool(pips, self.home, fee_protocol)
        self.ours = ConcentratedLiquidityPool(
            pips / 1e6, self.spacing, self.home / Q96, fee_protocol, quantum
        )
        self.positions = {}  # key -> liquidity
        self.net = {}  # tick -> liquidity net
        self.price, self.tick = self.contract.price_and_tick()
        self.hidden = [0.0, 0.0]  # what one operation's prices may hide of either token …
        self.slack = [0.0, 0.0]  # … and what the prices of all operations so far
        self.growth_slack = [0.0, 0.0]
        self.most_at_tick = MOST // (2 * (MAX_TICK // self.spacing) + 1)

    # --- the same on both ------------------------------------------------------------------------

    def both(self, verb, *arguments):
        """Run one operation on both, and compare what it moves and what it leaves."""
        shown = arguments
        if verb == "swap":
            limit = arguments[2] / Q96  # no float64 is as near the ends as the contract's limits
            limit = HIGHEST_LIMIT if arguments[2] == MAX_SQRT - 1 else limit
            shown = (*arguments[:2], limit)
        size = arguments[3] if verb in ("mint", "burn") else 0
        before = self._hidden_now(size)
        outcome = self.errors.both(
            lambda: getattr(self.contract, verb)(*arguments),
            lambda: getattr(self.ours, verb)(*shown),
            REASONS,
            (verb, *arguments),
        )
        if outcome is None:
            return
        if verb in ("mint", "burn"):
            self._note(verb, *arguments)
        self.price, self.tick = self.contract.price_and_tick()
        self.hidden = [max(pair) for pair in zip(before, self._hidden_now(size), strict=True)]
        self._compare_amounts(verb, *outcome)
        if verb == "swap" and self.positions:
            self._add_growth_slack()
        self.compare_state()
        if verb in ("mint", "burn"):  # then what it is owed is settled
            self._compare_position(*arguments[:3])

    def _note(self, verb, owner, lower, upper, liquidity):
        signed = liquidity if verb == "mint" else -liquidity
        key = owner, lower, upper
        self.positions[key] = self.positions.get(key, 0) + signed
        for tick, sign in ((lower, 1), (upper, -1)):
            self.net[tick] = self.net.get(tick, 0) + sign * signed

    def _hidden_now(self, liquidity):
        """Return what the prices hide of the largest virtual reserves, or of some liquidity."""
        most, active = liquidity, 0
        for tick in sorted(self.net):
            active += self.net[tick]
            most = max(most, active)
        sqrt_price = self.price / Q96
        gap = ULPS * sqrt_price + abs(int(self.ours.sqrt_price * Q96) - self.price) / Q96
        return most * gap / sqrt_price**2, most * gap

    def units(self):
        """Return one unit of either token at the price, in units of token 0 and token 1."""
        price = (self.price / Q96) ** 2
        return max(1.0, 1.0 / price), max(1.0, price)

    def _compare_amounts(self, verb, exact, ours):
        for k, unit in enumerate(self.units()):
            is_claim = verb in ("collect", "collect_protocol")
            unseen = self.slack[k] if is_claim else self.hidden[k]
            self.errors.compare(verb, ours[k], exact[k], unit, unseen=unseen)
            self.slack[k] += 0.0 if is_claim else self.hidden[k] + unit

    def _add_growth_slack(self):
        """A step's fee may be off by some units and by what a price hides; over its liquidity."""
        least = min((held for held in self.positions.values() if held > 0), default=1)
        for k, unit in enumerate(self.units()):
            self.growth_slack[k] += (3.0 * unit + self.hidden[k]) / least

    def compare_state(self):
        """Compare price, tick, active liquidity, fees of the protocol and growth of all fees."""
        errors, pool = self.errors, self.ours
        sqrt_price, liquidity = self.price / Q96, self.contract.liquidity()
        unit = max(sqrt_price, 1.0 / sqrt_price) / max(liquidity, 1) * sqrt_price
        unseen = max(self.hidden[0] * sqrt_price**2, self.hidden[1]) / max(liquidity, 1)
        ours = pool.sqrt_price * Q96
        errors.compare("sqrt_price", ours, self.price, unit * Q96, PRICE, unseen * Q96)
        self._compare_tick()
        errors.compare("liquidity", pool.liquidity, liquidity, 0.0, 2.0**-52)
        for k, fees in enumerate(self.contract.protocol_fees()):
            unit = self.units()[k]
            errors.compare("protocol fees", pool.protocol_fees[k], fees, unit, unseen=self.slack[k])
        growth = self.contract.growth()
        for k, ours in enumerate((pool.fee_growth_global0, pool.fee_growth_global1)):
            unseen = self.growth_slack[k] * Q128
            errors.compare("fee growth", ours * Q128, growth[k], 1.0, unseen=unseen)

    def _compare_tick(self):
        """End the sequence where a price that no float64 can tell lies on the tick's other side."""
        if self.ours.tick == self.tick:
            return
        ours = int(self.ours.sqrt_price * Q96)
        between = sqrt_price_at_tick(max(self.ours.tick, self.tick))
        is_on_tick = min(ours, self.price) <= between <= max(ours, self.price)
        is_on_tick = is_on_tick or float(ours) == float(self.price) == float(between)
        is_far = abs(ours / self.price - 1.0) > PRICE  # units have moved it: compared above
        assert is_on_tick or is_far or not self.errors.is_strict, (self.ours.tick, self.tick)
        raise EndError

    def _compare_position(self, owner, lower, upper):
        ours, exact = (
            self.ours.position(owner, lower, upper),
            self.contract.position(owner, lower, upper),
        )
        self.errors.compare("position", ours.liquidity, exact[0], 0.0, 2.0**-52)
        ticks = self.ours.ticks
        for tick in (lower, upper):
            for mine, theirs in zip(
                ticks.get(tick, (0.0, 0.0)), self.contract.tick(tick), strict=True
            ):
                self.errors.compare("tick", mine, theirs, 0.0, 2.0**-52)
        self.errors.compare("owed", ours.owed0, exact[1], self.units()[0], unseen=self.slack[0])
        self.errors.compare("owed", ours.owed1, exact[2], self.units()[1], unseen=self.slack[1])

    # --- what is drawn ---------------------------------------------------------------------------

    def run(self, n):
        """Run `n` random operations, then empty every position."""
        try:
            self._run(n)
        except EndError:
            self.errors.n_ended += 1

    def _run(self, n):
        for _ in range(n):
            self.act()
        for key, held in list(self.positions.items()):
            if held:
                self.both("burn", *key, held)
            self.both("collect", *key)
        assert self.contract.liquidity() == 0
        assert not self.errors.is_strict or (self.ours.liquidity, self.ours.ticks) == (0.0, {})

    def act(self):
        """Run one random operation."""
        draw = self.draw
        kind = draw.choices(
            ("mint", "burn", "poke", "collect", "swap", "back", "limit", "protocol", "bad"),
            (20, 12, 10, 8, 40, 8, 10, 2, 6),
        )[0]
        keys = [key for key, held in self.positions.items() if held]
        size = min(whole(10 ** draw.uniform(self.digits - 8, self.digits)) + 1, self.most_at_tick)
        if kind == "mint" or not keys:
            self.both("mint", draw.choice("abc"), *self.bounds(), whole(size))
        elif kind in ("burn", "poke"):
            key = draw.choice(keys)
            held = self.positions[key]
            part = held if draw.random() < 0.5 else whole(held * draw.random())
            self.both("burn", *key, 0 if kind == "poke" else min(part, held))
        elif kind == "collect":
            most = draw.choice((MOST, whole(size)))
            self.both("collect", *draw.choice(keys), most, MOST)
        elif kind == "protocol":
            self.both("collect_protocol", draw.choice((0, MOST)), MOST)
        elif kind == "bad":
            self.act_badly()
        else:
            self.swap(kind, size)

    def swap(self, kind, size):
        """Swap an amount, back to the first price, or to a tick."""
        draw, side = self.draw, self.draw.random() < 0.5
        if kind == "back":
            if abs(self.price / self.home - 1.0) > 1e-12:
                self.both("swap", self.price > self.home, 1 << 110, self.home)
            return
        if kind == "limit":
            tick = self.tick + draw.randint(-4, 4) * self.spacing * draw.choice((1, 9))
            amount = whole(10 ** (self.digits + 2))
        else:
            amount = whole(size * 10 ** draw.uniform(-6, 1)) + 1
            amount = whole(amount if draw.random() < 0.6 else -amount)
            tick = self.tick + (-8_000 if side else 8_000)
        limit = sqrt_price_at_tick(min(max(tick, MIN_TICK + 1), MAX_TICK - 1))
        ours = int(self.ours.sqrt_price * Q96)
        if (float(limit) > ours) == (limit > self.price) and float(limit) != ours:
            self.both("swap", side, amount, limit)  # otherwise no float64 can tell on which side

    def bounds(self):
        """Return bounds of a range near the price."""
        width = self.spacing * self.draw.choice((1, 2, 5, 20, 100))
        most = MAX_TICK // self.spacing * self.spacing
        lower = self.tick // self.spacing + self.draw.randint(-30, 30) - width // self.spacing // 2
        lower = min(max(lower * self.spacing, -most), most - width)
        return lower, lower + width

    def act_badly(self):
        """Run one operation that the contract has reasons to refuse."""
        lower, upper = self.bounds()
        owner, spacing = self.draw.choice("abc"), self.spacing
        reach = (MAX_TICK // spacing + 1) * spacing
        keys = [key for key, held in self.positions.items() if held]
        choices = [
            ("mint", owner, upper, lower, 1000),
            ("mint", owner, lower, lower, 1000),
            ("mint", owner, lower, upper, 0),
            ("mint", owner, lower, upper, whole(self.most_at_tick * 1.5)),
            ("mint", owner, lower, upper, 1 << 127),
            ("mint", owner, -reach, upper, 1000),
            ("mint", owner, lower, reach, 1000),
            ("burn", owner, upper, lower, 1),
            ("burn", owner, lower, reach, 0),
            ("burn", owner, lower, upper, 1 << 126),
            ("burn", owner, self.tick - 1, self.tick, 0),
            ("swap", True, 0, sqrt_price_at_tick(self.tick - 10))
            if self.tick > MIN_TICK + 99
            else None,
            ("swap", True, 1000, min(whole(self.price * 1.5), MAX_SQRT - 1)),
            ("swap", False, 1000, max(whole(self.price / 1.5), MIN_SQRT)),
            ("swap", True, 1000, MIN_SQRT),
            ("swap", False, 1000, 1 << 159),
        ]
        if spacing > 1:
            choices += [
                ("mint", owner, lower + 1, upper, 1000),
                ("mint", owner, lower, upper - 1, 9),
            ]
        if keys:
            choices.append(("burn", *self.draw.choice(keys), 1 << 126))
        self.both(*self.draw.choice([choice for choice in choices if choice]))


def run_sequence(seed, pips, tick, digits, fee_protocol, n, errors=None, quantum=1.0):
    """Run one sequence; return what was measured."""
    errors = Errors() if errors is None else errors
    Pair(seed, pips, tick, digits, fee_protocol, errors, quantum).run(n)
    return errors
