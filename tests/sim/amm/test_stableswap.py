"""Stableswap: published numbers, an exact reference in whole numbers, ramp, fees, the venue."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.amm.stableswap_facade import StableSwapPool
from sim.amm.token_pool import ADD_UNBALANCED, REMOVE_ONE, REMOVE_UNBALANCED, SWAP_OUT, PoolPair
from sim.errors import InputError, RefusedError
from sim.orders import SWAP
from sim.trial import Request, Trial, actors, small_plan
from sim.units import DAY
from tests.examples import BASKET, HOME, config_of, venue
from tests.sim.amm.stableswap_reference import FEE_DENOMINATOR, IntegerStableSwap

EVEN = (1e6, 1e6, 1e6)


def pool(amplification=200.0, fee=0.0004, reserves=EVEN, **more):
    return StableSwapPool(reserves, amplification, fee, **more)


# --- published numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(("amplification", "out"), [(200.0, 99_949.7768), (100.0, 99_900.1109)])
def test_the_published_swap(amplification, out):
    """1m / 1m, 100k in, no fee; A n = 400 and 200."""
    made = pool(amplification, 0.0, (1e6, 1e6)).swap_exact_in(0, 1, 1e5)
    assert made == pytest.approx(out, rel=1e-9)


# --- exact reference -----------------------------------------------------------------------------


class Pair:
    """A pool with quantum 1 and its reference, given the same verbs."""

    def __init__(self, seed):
        self.random = rng = random.Random(seed)
        n, size = rng.randint(2, 4), 10 ** rng.randint(3, 9)
        decimals = [rng.choice([6, 8, 18]) for _ in range(n)]
        balances = [int(size * rng.uniform(0.05, 1.0) * 10**d) for d in decimals]
        amplification = rng.choice([1, 10, 85, 200, 1_000, 5_000])
        fee = rng.choice([0, 1_000_000, 4_000_000, 30_000_000])
        times, admin = rng.choice([1, 2, 5, 20]), rng.choice([0, FEE_DENOMINATOR // 2])
        self.exact = IntegerStableSwap(
            balances, amplification, fee, [10 ** (36 - d) for d in decimals],
            times * FEE_DENOMINATOR, admin,
        )  # fmt: skip
        self.ours = StableSwapPool(
            [float(b) for b in balances], float(amplification), fee / FEE_DENOMINATOR,
            [10.0 ** (18 - d) for d in decimals], float(times), admin / FEE_DENOMINATOR, 1.0,
        )  # fmt: skip

    def step(self):
        """Do one random thing to both; return what each says, exact first."""
        rng, exact, ours = self.random, self.exact, self.ours
        i, j = rng.sample(range(exact.n), 2)
        part, verb = 10 ** rng.uniform(-9.0, -0.6), rng.randrange(5)
        amounts = [int(b * part * rng.choice([0.0, 0.5, 1.0])) for b in exact.balances]
        shares = int(exact.supply * part)
        if verb == 0:
            paid = int(exact.balances[i] * part)
            return (
                (exact.exchange(i, j, paid), ours.swap_exact_in(i, j, float(paid))) if paid else ()
            )
        if verb == 1 and sum(amounts):
            return exact.add_liquidity(amounts), ours.add([float(a) for a in amounts])
        if verb == 2 and sum(amounts):
            return (
                exact.remove_liquidity_imbalance(amounts),
                ours.remove_exact([float(a) for a in amounts]),
            )
        if verb == 3 and shares:
            return exact.remove_liquidity(shares)[0], ours.remove(float(shares))[0]
        if verb == 4 and shares:
            return exact.remove_liquidity_one_coin(shares, i), ours.remove_one(i, float(shares))
        return ()


@pytest.mark.parametrize("seed", range(40))
def test_amounts_and_state_are_those_of_whole_numbers(seed):
    """Within three units or 1e-9 after every one of 40 operations; state too, without drift."""
    both = Pair(seed)
    for _ in range(40):
        try:
            said = both.step()
        except RefusedError:
            break  # of next to nothing, which the reference gives as 0 or less
        if not said:
            continue
        exact, ours = said
        assert abs(ours - exact) <= max(3.0, 1e-9 * exact)
        state = zip(
            [*both.exact.balances, *both.exact.admin_balances, both.exact.supply],
            [*both.ours.reserves, *both.ours.admin_balances, both.ours.supply],
            strict=True,
        )
        for wanted, found in state:
            assert abs(found - wanted) <= max(100.0, 1e-9 * wanted)


# --- properties ----------------------------------------------------------------------------------


@given(st.floats(1e-9, 0.9), st.floats(1.0, 5_000.0))
def test_an_exact_output_costs_what_gives_it(part, amplification):
    mine = pool(amplification, off_peg_multiplier=5.0)
    paid = mine.swap_exact_out(0, 2, part * 1e6)
    again = pool(amplification, off_peg_multiplier=5.0)
    assert again.swap_exact_in(0, 2, paid) == pytest.approx(part * 1e6, rel=1e-9)


@given(st.floats(1e-6, 3.0), st.floats(1.0, 5_000.0))
def test_a_swap_never_lowers_the_invariant(part, amplification):
    mine = pool(amplification, reserves=(2e6, 1e6, 3e6))
    before = mine.invariant
    mine.swap_exact_in(2, 1, part * 1e6)
    assert mine.invariant >= before * (1.0 - 1e-14)


def test_the_price_is_the_slope_of_a_small_swap():
    mine = pool(50.0, 0.0, (2e6, 1e6, 3e5))
    price = mine.price(0, 2)
    assert mine.swap_exact_in(0, 2, 1e-3) / 1e-3 == pytest.approx(price, rel=1e-7)


@pytest.mark.parametrize("price", [0.999, 0.9, 0.5, 0.01])
def test_a_swap_stops_at_its_price(price):
    mine = pool(50.0, 0.0)
    mine.swap_exact_in(0, 1, 1e30, price_limit=price)
    assert mine.price(0, 1) == pytest.approx(price, rel=1e-10)
    with pytest.raises(RefusedError, match="price_limit"):
        mine.swap_exact_in(0, 1, 1.0, price_limit=price * 1.001)


def test_rates_are_what_tokens_count_as():
    """1.1 of a token for one of the other: the pool of 1,000,000 each at rate 1."""
    rated, plain = pool(rates=[1.0, 1.1, 1.0], reserves=(1e6, 1e6 / 1.1, 1e6)), pool()
    assert rated.price(0, 1) == pytest.approx(1.0 / 1.1, rel=1e-14)
    assert rated.swap_exact_in(0, 1, 1e5) * 1.1 == pytest.approx(
        plain.swap_exact_in(0, 1, 1e5), rel=1e-13
    )


@given(st.floats(1e-6, 1.0), st.integers(0, 2))
def test_nobody_gains_by_coming_and_going(part, token):
    mine = pool(reserves=(2e6, 1e6, 3e6), off_peg_multiplier=2.0)
    amounts = [0.0, 0.0, 0.0]
    amounts[token] = part * 1e6
    assert mine.remove_one(token, mine.add(amounts)) <= part * 1e6 * (1.0 + 1e-9)


def test_in_proportion_there_is_no_fee():
    mine = pool(reserves=(2e6, 1e6, 3e6), off_peg_multiplier=2.0)
    assert mine.add([2e5, 1e5, 3e5]) == pytest.approx(mine.supply / 11, rel=1e-12)
    assert mine.remove(mine.supply / 11) == pytest.approx([2e5, 1e5, 3e5], rel=1e-12)


def test_fees_stay_with_those_who_stay():
    mine = pool(admin_fee=0.5)
    mine.swap_exact_in(0, 1, 1e5)
    kept = mine.admin_balances[1]
    assert kept == pytest.approx(0.5 * 0.0004 * 1e5, rel=1e-3)
    assert mine.virtual_price > 1.0


def test_the_fee_rises_off_the_peg():
    """Ten times at most: at (1, 3) evenness is 3/4 and 10 / (9 * 3/4 + 1) = 1.29."""
    dear, plain = (
        pool(2_000.0, 0.001, (3e6, 1e6), off_peg_multiplier=m).swap_exact_in(0, 1, 1.0)
        for m in (10.0, 1.0)
    )
    before = pool(2_000.0, 0.0, (3e6, 1e6)).swap_exact_in(0, 1, 1.0)
    assert (before - plain) / before == pytest.approx(0.001, rel=1e-9)
    assert (before - dear) / before == pytest.approx(0.01 / (9 * 0.75 + 1), rel=1e-5)


# --- ramp ----------------------------------------------------------------------------------------


def test_amplification_moves_in_a_straight_line():
    mine = pool(100.0)
    mine.ramp(200.0, 2 * DAY)
    mine.advance(DAY)
    assert mine.amplification == 150.0
    mine.advance(3 * DAY)
    assert mine.amplification == 200.0


def test_a_ramp_is_slow_and_short():
    with pytest.raises(InputError, match="a day"):
        pool(100.0).ramp(200.0, DAY / 2)
    with pytest.raises(InputError, match="within 10 times"):
        pool(100.0).ramp(1_001.0, DAY)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"rates": [1.0]}, "rates"),
        ({"amplification": 0.5}, "amplification"),
        ({"off_peg_multiplier": 0.5}, "off_peg_multiplier"),
        ({"admin_fee": 2.0}, "admin_fee"),
    ],
)
def test_bad_arguments_are_named(arguments, says):
    with pytest.raises(InputError, match=says):
        pool(**arguments)


def test_what_the_pool_does_not_hold_is_refused():
    with pytest.raises(RefusedError, match="insufficient_liquidity"):
        pool().remove_exact([1e6, 0.0, 0.0])
    with pytest.raises(RefusedError, match="insufficient_liquidity"):
        pool().swap_exact_out(0, 1, 1e6)
    with pytest.raises(RefusedError, match="bad_amount"):
        pool().remove(4e6)


# --- as venues -----------------------------------------------------------------------------------


@pytest.fixture
def trial():
    """ETH, USD and GAS at their prices: a million in all, and the pair USD-GAS."""
    basket = config_of("stableswap", **BASKET, amplification=200.0, rates=[2_000.0, 1.0, 1_000.0])
    pair = PoolPair(kind="stableswap", chain=HOME, pool="basket", tokens=["USD", "GAS"])
    return Trial(small_plan((venue("basket", basket), venue("basket:USD-GAS", pair)), (actors(),)))


def test_a_world_trades_as_the_facade_does(trial):
    third = 1e6 / 3.0
    by_hand = StableSwapPool(
        [third / 2_000.0, third, third / 1_000.0], 200.0, 0.0004,
        rates=[2_000.0, 1.0, 1_000.0], admin_fee=0.5,
    )  # fmt: skip
    world = trial.world
    assert world.venues.price == pytest.approx([2_000.0, 0.001])
    outcome = trial.send(Request(1, SWAP, amount=1e4))
    assert outcome.fills["amount_out"][0] == pytest.approx(by_hand.swap_exact_in(1, 2, 1e4))
    assert world.venues.price == pytest.approx([by_hand.price(0, 1), by_hand.price(1, 2)])
    outcome = trial.send(Request(0, SWAP_OUT, amount=0.5, a=1))
    assert outcome.fills["amount_in"][0] == pytest.approx(by_hand.swap_exact_out(1, 0, 0.5))
    outcome = trial.send(Request(1, ADD_UNBALANCED, amount=500.0, amount1=3.0))
    assert outcome.fills["amount_out"][0] == pytest.approx(by_hand.add([0.0, 500.0, 3.0]))
    outcome = trial.send(Request(1, REMOVE_ONE, amount=100.0, a=1))
    assert outcome.fills["amount_out"][0] == pytest.approx(by_hand.remove_one(2, 100.0))
    outcome = trial.send(Request(1, REMOVE_UNBALANCED, amount=500.0, amount1=1.0))
    assert outcome.fills["amount_in"][0] == pytest.approx(by_hand.remove_exact([0.0, 500.0, 1.0]))
    state = world.states["stableswap"][0]
    assert tuple(state.reserves[0, :3]) == pytest.approx(by_hand.reserves, rel=1e-12)
    assert tuple(state.owed[0, :3]) == pytest.approx(by_hand.admin_balances, rel=1e-9)


def test_a_ramp_moves_the_price_that_is_shown():
    """Off balance, a larger amplification pulls the price to the rate."""
    config = config_of(
        "stableswap", tokens=["ETH", "USD"], value_usd=1e6, amplification=10.0,
        rates=[2_000.0, 1.0], composition=[0.2, 0.8], ramp={"to": 100.0, "start_hours": 0.0},
    )  # fmt: skip
    trial = Trial(small_plan((venue("pool", config),), (actors(),)))
    before = float(trial.world.venues.price[0])
    trial.world.advance(12 * 3_600 * 1_000_000)
    held = [float(r) for r in trial.world.states["stableswap"][0].reserves[0, :2]]
    halfway = StableSwapPool(held, 55.0, 0.0004, rates=[2_000.0, 1.0]).price(0, 1)
    assert before > halfway > 2_000.0
    assert trial.world.venues.price[0] == pytest.approx(halfway, rel=1e-3)
