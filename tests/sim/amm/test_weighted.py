"""Weighted pools: the formulas in 60 decimal digits, joins and exits, the venue's pairs."""

import math
from decimal import Decimal, getcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.kinds import mechanisms
from sim.amm.token_pool import ADD_UNBALANCED, REMOVE_ONE, REMOVE_UNBALANCED, SWAP_OUT, PoolPair
from sim.amm.weighted_facade import WeightedPool
from sim.errors import InputError, RefusedError
from sim.orders import ADD, REMOVE, SWAP
from sim.status import Status
from sim.trial import ACTORS, Request, Trial, actors, small_plan
from tests.examples import BASKET, HOME, config_of, venue

getcontext().prec = 60
RESERVES, WEIGHTS, FEE = (4_000.0, 1_000.0, 250.0), (0.5, 0.3, 0.2), 0.003
parts = st.floats(1e-9, 0.29)


def pool(fee=FEE, **more):
    return WeightedPool(RESERVES, WEIGHTS, fee, **more)


def power(base, exponent):
    return (Decimal(base).ln() * Decimal(exponent)).exp()


def exact_out(x, wx, y, wy, net):
    """y (1 - (x / (x + net)) ^ (wx / wy))"""
    x, y = Decimal(x), Decimal(y)
    return y * (1 - power(x / (x + Decimal(net)), Decimal(wx) / Decimal(wy)))


# --- swaps ---------------------------------------------------------------------------------------


def test_equal_weights_are_the_constant_product():
    """1,000 in of 4,000, 30 bp: 997 / 4,997 of the other reserve."""
    even = WeightedPool([4_000.0, 500.0], [0.5, 0.5], FEE)
    assert even.swap_exact_in(0, 1, 1_000.0) == pytest.approx(500.0 * 997 / 4_997, rel=1e-14)


@given(parts)
def test_small_and_large_swaps_keep_their_digits(part):
    paid = part * RESERVES[0]
    wanted = exact_out(RESERVES[0], 0.5, RESERVES[2], 0.2, Decimal(paid) * (1 - Decimal(FEE)))
    assert pool().swap_exact_in(0, 2, paid) == pytest.approx(float(wanted), rel=1e-13)


@given(parts)
def test_an_exact_output_costs_what_gives_it(part):
    wanted = part * RESERVES[1] * 0.8
    paid = pool().swap_exact_out(0, 1, wanted)
    assert pool().swap_exact_in(0, 1, paid) == pytest.approx(wanted, rel=1e-12)


def test_a_swap_takes_no_more_than_three_tenths():
    assert pool(fee=0.0).swap_exact_in(2, 0, 0.3 * 250.0) > 0.0
    with pytest.raises(RefusedError, match="insufficient_liquidity"):
        pool(fee=0.0).swap_exact_in(2, 0, 0.3001 * 250.0)
    with pytest.raises(RefusedError, match="insufficient_liquidity"):
        pool().swap_exact_out(0, 1, 300.1)


def test_a_swap_stops_at_its_price():
    """Without a fee the price is 0.5 * 1000 / (0.3 * 4000) = 0.41667 before."""
    mine = pool(fee=0.0)
    assert mine.price(0, 1) == pytest.approx(5 / 12, rel=1e-15)
    mine.swap_exact_in(0, 1, 1e9, price_limit=0.4)
    assert mine.price(0, 1) == pytest.approx(0.4, rel=1e-14)
    with pytest.raises(RefusedError, match="price_limit"):
        mine.swap_exact_in(0, 1, 1.0, price_limit=0.41)


@given(st.floats(1e-6, 0.2), st.integers(0, 2), st.integers(1, 2))
def test_a_swap_never_lowers_the_invariant(part, i, step):
    mine = pool()
    before = mine.invariant
    try:
        mine.swap_exact_in(i, (i + step) % 3, part * RESERVES[i])
    except RefusedError:
        return
    assert mine.invariant >= before * (1.0 - 8 * 2.0**-52)


# --- joins and exits -----------------------------------------------------------------------------


def test_first_shares_are_tokens_times_the_invariant():
    wanted = 3 * math.prod(r**w for r, w in zip(RESERVES, WEIGHTS, strict=True))
    assert pool().supply == pytest.approx(wanted, rel=1e-14)


def test_in_proportion_there_is_no_fee():
    mine = pool()
    assert mine.join_exact_in([r / 10 for r in RESERVES]) == pytest.approx(
        mine.supply / 11, rel=1e-12
    )
    assert mine.exit_all(mine.supply / 11) == pytest.approx([r / 10 for r in RESERVES], rel=1e-12)
    assert mine.join_all(mine.supply / 10) == pytest.approx([r / 10 for r in RESERVES], rel=1e-12)


def test_a_join_of_one_token_pays_the_fee_on_what_a_swap_would_trade():
    """400 on 4,000 at weight 0.5: half is in proportion, of the other half 0.3 % is the fee."""
    net = Decimal(200) + Decimal(200) * (1 - Decimal("0.003"))
    ratio = power(1 + net / 4_000, Decimal("0.5"))
    mine = pool()
    supply = mine.supply
    shares = mine.join_exact_in([400.0, 0.0, 0.0])
    assert shares == pytest.approx(supply * float(ratio - 1), rel=1e-12)


def test_one_token_in_or_out_for_shares():
    """A tenth of the shares at weight 0.3: the reserve times 1.1 or 0.9 to the power 10 / 3."""
    up, down = (power(base, Decimal(10) / 3) for base in ("1.1", "0.9"))
    net_in, net_out = 1_000 * (up - 1), 1_000 * (1 - down)
    keep = 1 - Decimal("0.003")
    paid = net_in * Decimal("0.3") + net_in * Decimal("0.7") / keep
    got = net_out * Decimal("0.3") + net_out * Decimal("0.7") * keep
    assert pool().join_one(1, pool().supply / 10) == pytest.approx(float(paid), rel=1e-12)
    assert pool().exit_one(1, pool().supply / 10) == pytest.approx(float(got), rel=1e-12)


def test_exits_of_exact_amounts_cost_the_fee_on_what_is_out_of_proportion():
    """400 of 4,000: half of it beyond proportion, grossed up by the fee."""
    gross = Decimal(200) + Decimal(200) / (1 - Decimal("0.003"))
    ratio = power(1 - gross / 4_000, Decimal("0.5"))
    mine = pool()
    supply = mine.supply
    assert mine.exit_exact_out([400.0, 0.0, 0.0]) == pytest.approx(
        supply * float(1 - ratio), rel=1e-12
    )


@given(st.floats(1e-7, 0.3), st.integers(0, 2))
def test_nobody_gains_by_coming_and_going(part, token):
    mine = pool()
    amounts = [0.0, 0.0, 0.0]
    amounts[token] = part * RESERVES[token]
    shares = mine.join_exact_in(amounts)
    assert mine.exit_one(token, shares) <= amounts[token] * (1.0 + 1e-9)


def test_the_pool_allows_no_more_than_its_ratios():
    with pytest.raises(RefusedError, match="more than it allows"):
        pool().join_exact_in([4_000.0 * 10, 0.0, 0.0])
    with pytest.raises(RefusedError, match="more than it allows"):
        pool().exit_one(0, 0.31 * pool().supply)
    with pytest.raises(RefusedError, match="more than it allows"):
        pool().exit_exact_out([3_999.0, 999.0, 249.0])


def test_whole_units_are_rounded_against_the_trader():
    whole, real = (pool(quantum=q).swap_exact_in(0, 1, 101.0) for q in (1.0, None))
    assert whole == math.floor(real)
    whole, real = (pool(quantum=q).swap_exact_out(0, 1, 10.0) for q in (1.0, None))
    assert whole == math.ceil(real) or whole == math.ceil(real) + 1  # net, then with the fee


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([1.0], [1.0], 0.0), "2 to 8 tokens"),
        (([1.0, 0.0], [0.5, 0.5], 0.0), "positive"),
        (([1.0, 1.0], [0.5, 0.6], 0.0), "add up to 1"),
        (([1.0, 1.0], [0.5, 0.5], 1.0), "fraction"),
        (([1.0, 1.0], [0.5, 0.5], 0.0, -1.0), "quantum"),
    ],
)
def test_bad_arguments_are_named(arguments, says):
    with pytest.raises(InputError, match=says):
        WeightedPool(*arguments)


def test_two_different_tokens_are_needed():
    with pytest.raises(InputError, match="two tokens"):
        pool().swap_exact_in(1, 1, 1.0)
    with pytest.raises(InputError, match="from 0 to 2"):
        pool().price(0, 3)


# --- as venues -----------------------------------------------------------------------------------


@pytest.fixture
def trial():
    """A basket of ETH, USD and GAS worth a million; its pairs ETH-USD and ETH-GAS."""
    basket = config_of("weighted", **BASKET, weights=[0.5, 0.3, 0.2], fee=0.003)
    pair = PoolPair(kind="weighted", chain=HOME, pool="basket", tokens=["ETH", "GAS"])
    return Trial(small_plan((venue("basket", basket), venue("basket:ETH-GAS", pair)), (actors(),)))


def test_pairs_come_with_a_pool_of_three():
    mechanism = mechanisms()["weighted"]
    basket = config_of("weighted", **BASKET, weights=[0.5, 0.3, 0.2])
    made = mechanism.pairs("basket", basket)
    assert [name for name, _ in made] == ["basket:ETH-GAS", "basket:USD-GAS"]
    assert mechanism.issues(*made[0]) == ()


def test_a_world_trades_as_the_facade_does(trial):
    """250 ETH, 300,000 USD and 200 GAS; prices agree with the outside."""
    world = trial.world
    assert world.venues.price == pytest.approx([2_000.0, 2.0])
    by_hand = WeightedPool([250.0, 300_000.0, 200.0], [0.5, 0.3, 0.2], 0.003)
    outcome = trial.send(Request(1, SWAP, amount=10.0))
    assert outcome.fills["amount_out"][0] == by_hand.swap_exact_in(0, 2, 10.0)
    assert world.venues.price == pytest.approx([by_hand.price(0, 1), by_hand.price(0, 2)])
    outcome = trial.send(Request(0, SWAP_OUT, amount=0.5, a=1))
    assert outcome.fills["amount_in"][0] == by_hand.swap_exact_out(1, 0, 0.5)
    outcome = trial.send(Request(1, ADD_UNBALANCED, amount=1.0, amount1=3.0))
    assert outcome.fills["amount_out"][0] == by_hand.join_exact_in([1.0, 0.0, 3.0])
    outcome = trial.send(Request(1, REMOVE_ONE, amount=10.0, a=1))
    assert outcome.fills["amount_out"][0] == by_hand.exit_one(2, 10.0)
    outcome = trial.send(Request(0, REMOVE_UNBALANCED, amount=0.1, amount1=50.0))
    assert outcome.fills["amount_in"][0] == by_hand.exit_exact_out([0.1, 50.0, 0.0])
    outcome = trial.send(Request(0, ADD, amount=0.5, amount1=1e9))
    assert outcome.fills["amount_in"][0] == pytest.approx(0.5)
    outcome = trial.send(Request(0, REMOVE, amount=1.0))
    part = 1.0 / (world.states["weighted"][0].supply[0] + 1.0)
    assert outcome.fills["amount_out"][0] == pytest.approx(
        part * world.states["weighted"][0].reserves[0, 0] / (1.0 - part)
    )


def test_one_order_cannot_meet_a_pool_twice(trial):
    """Its legs are quoted before any is executed."""
    outcome = trial.send(Request(0, SWAP, amount=1.0), Request(1, SWAP, amount=1.0))
    assert outcome.status == Status.LEG_FAILED


def test_shares_are_claims_on_all_three_tokens(trial):
    world = trial.world
    trial.send(Request(0, ADD, amount=1.0, amount1=1e9))
    group = world.group(ACTORS)
    mine = {c.token: c.amount.sum() for c in world.claims() if c.group == group}
    assert mine == pytest.approx(
        {
            world.token(HOME, "ETH"): 1.0,
            world.token(HOME, "USD"): 1_200.0,
            world.token(HOME, "GAS"): 0.8,
        }
    )


def test_pairs_add_up_to_the_pool_in_the_records():
    """Every token of three is in two pairs, half in each."""
    basket = config_of("weighted", **BASKET, weights=[0.5, 0.3, 0.2])
    pairs = mechanisms()["weighted"].pairs("basket", basket)
    plan = small_plan((venue("basket", basket), *(venue(*pair) for pair in pairs)))
    trial = Trial(small_plan(plan.venues, (actors(),)))
    columns = trial.world.sample()["pools"][0]
    usd = {"ETH": 2_000.0, "USD": 1.0, "GAS": 1_000.0}
    tokens = [plan.tokens for plan in trial.world.plan.venues]
    total = sum(
        columns[f"reserve{k}"][row] * usd[pair[k][1]]
        for row, pair in enumerate(tokens)
        for k in (0, 1)
    )
    assert total == pytest.approx(1e6)


def test_a_pair_needs_its_pool():
    pair = PoolPair(kind="weighted", chain=HOME, pool="nowhere", tokens=["ETH", "GAS"])
    with pytest.raises(InputError, match="no pool 'nowhere'"):
        Trial(small_plan((venue("pair", pair),), (actors(),)))
