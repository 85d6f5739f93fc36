"""Random operation sequences, pool with quantum 1 against the whole-number reference.

An amount may differ by three units of either token at the price, or by 1e-9 of itself. Beyond that
only what no float64 price can tell: four units in its last place, times the largest virtual
reserves. A square-root price may differ by 1e-12, or by what three units move it. Both are counted.
"""

import random

import pytest

from sim.amm.concentrated import ConcentratedLiquidityPool
from sim.errors import RefusedError
from tests.sim.amm import integer_reference as reference
from tests.sim.amm.integer_reference import Q96, IntegerPool, RefusalError

SPACINGS = {100: 1, 500: 10, 3000: 60, 10000: 200}


def whole(number):
    """A whole number that a float holds exactly."""
    return int(float(number))


class Pair:
    """The same operations on both pools; equal outcomes or equal refusals."""

    def __init__(self, seed, pips, tick, digits, fee_protocol=(0, 0)):
        self.draw = random.Random(seed)  # noqa: S311
        self.spacing = SPACINGS[pips]
        self.digits = digits
        price = whole(reference.sqrt_price_at_tick(tick) * self.draw.uniform(1.00001, 1.00004))
        self.exact = IntegerPool(pips, self.spacing, price, fee_protocol)
        self.pool = ConcentratedLiquidityPool(
            pips / 1e6, self.spacing, price / Q96, fee_protocol, quantum=1.0
        )
        self.home_tick = tick
        self.refused = self.done = self.unrepresentable = 0
        self.slack = [0.0, 0.0]  # what the prices of all swaps so far may have hidden, either token

    def most_liquidity(self):
        most = active = 0
        for tick in sorted(self.exact.ticks):
            active += self.exact.ticks[tick][1]
            most = max(most, active)
        return float(most)

    def assert_close(self, amounts, expected, is_claim, label):
        sqrt_price = self.exact.price / Q96
        reserve = 4.0 * 2.0**-53 * self.most_liquidity()
        hidden = reserve / sqrt_price, reserve * sqrt_price
        units = 3.0 * max(1.0, sqrt_price**-2), 3.0 * max(1.0, sqrt_price**2)
        for k in (0, 1):
            gap, bound = abs(amounts[k] - expected[k]), max(units[k], 1e-9 * abs(expected[k]))
            self.unrepresentable += gap > bound
            allowed = bound + (self.slack[k] if is_claim else hidden[k])
            assert gap <= allowed, (label, amounts, expected)
            self.slack[k] += 0.0 if is_claim else hidden[k]

    def both(self, verb, *arguments, label=""):
        shown = arguments
        if verb == "swap":
            shown = (*arguments[:2], arguments[2] and arguments[2] / Q96)
        try:
            expected = getattr(self.exact, verb)(*arguments)
        except RefusalError:
            self.refused += 1
            with pytest.raises(RefusedError):
                getattr(self.pool, verb)(*shown)
            return
        self.done += 1
        amounts = getattr(self.pool, verb)(*shown)
        self.assert_close(amounts, expected, verb == "collect", (verb, arguments, label))

    def compare_state(self):
        exact, pool = self.exact, self.pool
        sqrt_price = exact.price / Q96
        gap = abs(pool.sqrt_price / sqrt_price - 1.0)
        self.unrepresentable += gap > 1e-12
        units = 3.0 * max(sqrt_price, 1.0 / sqrt_price) / max(exact.liquidity, 1)
        assert gap <= max(1e-12, units)
        assert pool.tick == exact.tick
        assert pool.liquidity == float(exact.liquidity)
        assert pool.ticks == {t: (float(v[0]), float(v[1])) for t, v in exact.ticks.items()}
        for k, fees in enumerate(exact.protocol_fees):
            assert abs(pool.protocol_fees[k] - fees) <= 3 + 1e-9 * fees + self.slack[k]

    def bounds(self):
        width = self.spacing * self.draw.choice((1, 2, 5, 20, 100))
        middle = self.exact.tick // self.spacing * self.spacing
        lower = middle + self.spacing * self.draw.randint(-30, 30) - width // 2
        lower = lower // self.spacing * self.spacing
        return lower, lower + width

    def act(self):
        draw = self.draw
        kind = draw.choices(
            ("mint", "burn", "poke", "collect", "swap", "back", "limit", "bad"),
            (20, 12, 6, 8, 40, 8, 10, 4),
        )[0]
        keys = [key for key, held in self.exact.positions.items() if held[0]]
        size = whole(10 ** draw.uniform(self.digits - 6, self.digits))
        side = draw.random() < 0.5
        if kind == "mint" or not keys:
            self.both("mint", draw.choice("abc"), *self.bounds(), size)
        elif kind in ("burn", "poke"):
            key = draw.choice(keys)
            held = self.exact.positions[key][0]
            part = held if draw.random() < 0.5 else whole(held * draw.random())
            self.both("burn", *key, 0 if kind == "poke" else part)
        elif kind == "collect":
            self.both("collect", *draw.choice(keys), 1 << 120, 1 << 120)
        elif kind == "swap":  # within 8,000 ticks of where it began
            amount = whole(size * 10 ** draw.uniform(-6, -1)) + 1
            limit = reference.sqrt_price_at_tick(self.home_tick + (-8_000 if side else 8_000))
            self.both("swap", side, amount if draw.random() < 0.6 else -amount, limit)
        elif kind == "back":  # to where it began, so that liquidity is crossed again and again
            if abs(self.exact.price / self.home - 1.0) > 1e-12:
                self.both("swap", self.exact.price > self.home, 1 << 110, self.home)
        elif kind == "limit":
            tick = self.exact.tick + draw.randint(-4, 4) * self.spacing * draw.choice((1, 9))
            limit = reference.sqrt_price_at_tick(tick)
            self.both("swap", side, whole(10 ** (self.digits + 2)), limit)
        else:
            self.act_badly()

    def act_badly(self):
        lower, upper = self.bounds()
        owner, size = self.draw.choice("abc"), 1000
        choices = [
            ("mint", owner, upper, lower, size),
            ("mint", owner, lower, upper, 0),
            ("mint", owner, lower, upper, self.exact.max_liquidity * 2),
            ("mint", owner, reference.MIN_TICK - self.spacing, upper, size),
            ("burn", "nobody", lower, upper, 0),
            ("burn", "nobody", lower, upper, size),
            ("swap", True, 0, None),
            ("swap", True, 1000, self.exact.price * 2),
            ("swap", False, 1000, self.exact.price // 2),
        ]
        if self.spacing > 1:
            choices.append(("mint", owner, lower + 1, upper, size))
        self.both(*self.draw.choice(choices))

    def run(self, n):
        self.home = whole(self.exact.price)
        for _ in range(n):
            self.act()
            self.compare_state()
        for key in list(self.exact.positions):
            if self.exact.positions[key][0]:
                self.both("burn", *key, self.exact.positions[key][0], label="last")
            self.both("collect", *key, 1 << 120, 1 << 120, label="last")
        self.compare_state()


@pytest.mark.parametrize("pips", [100, 500, 3000, 10000])
@pytest.mark.parametrize("tick", [0, 73_000, -201_000, 276_300])
def test_random_operations_equal_the_whole_number_pool(pips, tick):
    pair = Pair(f"{pips} {tick}", pips, tick, digits=21)
    pair.run(150)
    assert pair.done > 120
    assert pair.unrepresentable < 8
    assert pair.pool.liquidity == 0.0
    assert pair.pool.ticks == {}


@pytest.mark.parametrize("digits", [8, 14, 26])
def test_random_operations_of_every_size_equal_the_whole_number_pool(digits):
    pair = Pair(f"size {digits}", 3000, -4_321, digits, fee_protocol=(4, 10))
    pair.run(250)
    assert pair.done > 200
    assert pair.unrepresentable < 8
    assert pair.refused > 0


def test_many_small_claims_do_not_drift():
    pair = Pair("drift", 3000, 0, digits=12)
    pair.both("mint", "a", -600, 600, 10**12)
    for number in range(400):
        pair.both("swap", number % 2 == 0, 1_000 + number, None)
        pair.both("burn", "a", -600, 600, 0)
    exact = pair.exact.positions["a", -600, 600]
    held = pair.pool.position("a", -600, 600)
    assert (held.owed0, held.owed1) == (exact[3], exact[4])


@pytest.mark.parametrize("zero_for_one", [True, False])
def test_swap_without_limit_ends_at_the_contract_extreme(zero_for_one):
    pair = Pair("extreme", 3000, 0, digits=18)
    pair.both("mint", "a", -887220, 887220, 10**18)
    pair.both("mint", "b", -1200, 1200, 10**18)
    pair.both("swap", zero_for_one, 1 << 200, None)
    pair.compare_state()
    assert pair.pool.tick == pair.exact.tick == (-887272 if zero_for_one else 887271)
    pair.both("swap", not zero_for_one, 1 << 70, None)
    pair.compare_state()
