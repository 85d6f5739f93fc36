"""Constant product pools: by hand, against fractions, and what no sequence of trades may do."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sim.amm.constant_product import (
    ConstantProductConfig,
    amount_to_price,
    quote_exact_in,
    quote_exact_out,
)
from sim.amm.constant_product_facade import ConstantProductPool
from sim.errors import InputError, RefusedError
from sim.units import ticks
from tests.worlds import HANDS, bench, run, swap, world_of

EPSILON = 2.0**-52
reserves = st.floats(1e-3, 1e9)
fees = st.floats(0.0, 0.05)
shares_of = st.floats(1e-6, 0.9)


def exact_out(x, y, fee, amount):
    """The swap in rational arithmetic."""
    x, y, fee, amount = map(Fraction, (x, y, fee, amount))
    net = amount * (1 - fee)
    return y * net / (x + net)


# --- by hand -------------------------------------------------------------------------------------


def test_a_swap_by_hand():
    pool = ConstantProductPool(100.0, 200.0, fee=0.0)
    assert pool.swap_exact_in(0, 100.0) == 100.0  # 200 x 100 / (100 + 100)
    assert pool.reserves == (200.0, 100.0)


def test_the_fee_stays_in_the_pool():
    pool = ConstantProductPool(1_000.0, 1_000.0, fee=0.5)
    assert pool.swap_exact_in(1, 500.0) == 200.0  # 1000 x 250 / 1250
    assert pool.reserves == (800.0, 1_500.0)


def test_buying_an_exact_amount_by_hand():
    pool = ConstantProductPool(100.0, 200.0, fee=0.5)
    assert pool.swap_exact_out(1, 100.0) == 200.0  # net 100 x 100 / 100, twice that with the fee
    assert pool.reserves == (300.0, 100.0)


def test_shares_start_at_the_root_of_the_product():
    assert ConstantProductPool(4.0, 9.0, fee=0.003).supply == 6.0


def test_minting_takes_the_pools_ratio_and_burning_gives_it_back():
    pool = ConstantProductPool(100.0, 400.0, fee=0.003)
    assert pool.mint(10.0, 100.0) == 20.0  # a tenth of 200; 60 of token 1 are left over
    assert pool.reserves == (pytest.approx(110.0), pytest.approx(440.0))
    assert pool.burn(110.0) == (pytest.approx(55.0), pytest.approx(220.0))
    assert pool.supply == pytest.approx(110.0)


# --- closed forms --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "token", "paid", "profit"),
    [(2_100.0, 1, 4645.3118, 107.570926), (1_900.0, 0, 2.4511764, 113.814577)],
)
def test_arbitrage_against_an_outside_price_has_the_published_optimum(price, token, paid, profit):
    pool = ConstantProductPool(100.0, 200_000.0, fee=0.003)
    phi = 0.997
    limit = price * phi if token == 1 else phi / price  # token paid per token bought, at the end
    amount = amount_to_price(*(pool.reserves if token == 0 else pool.reserves[::-1]), 0.003, limit)
    out = pool.swap_exact_in(token, amount)
    earned = out * price - amount if token == 1 else out - amount * price
    assert amount == pytest.approx(paid, rel=2e-8)
    assert earned == pytest.approx(profit, rel=2e-8)


@pytest.mark.parametrize("price", [1_000.0, 1_993.9, 2_006.1, 2_100.0, 9_000.0])
def test_no_other_amount_gains_more_than_the_optimum(price):
    def gain(amount):
        out, _ = quote_exact_in(*sides, 0.003, amount)
        return out * worth - amount * cost

    token = 1 if price > 2_000.0 else 0
    sides = (200_000.0, 100.0) if token == 1 else (100.0, 200_000.0)
    worth, cost = (price, 1.0) if token == 1 else (1.0, price)
    best = amount_to_price(*sides, 0.003, worth / cost * 0.997)
    assert best > 0.0
    assert gain(best) > max(gain(best * 1.01), gain(best * 0.99), 0.0)


@pytest.mark.parametrize("price", [1_994.0 + 1e-6, 2_000.0, 2_006.018])
def test_inside_the_band_nothing_is_to_be_gained(price):
    assert amount_to_price(200_000.0, 100.0, 0.003, price * 0.997) <= 0.0
    assert amount_to_price(100.0, 200_000.0, 0.003, 0.997 / price) <= 0.0


@pytest.mark.parametrize(("usd", "side"), [(2_100.0, 1), (1_900.0, 0)])
def test_the_arbitrageur_of_a_world_trades_the_optimum(usd, side):
    world = world_of(
        "horizon=1d",
        "price_step_seconds=12",
        "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
        f"assets.ETH.price={{kind: waypoints, waypoints: [[0, 2000], [0.003, {usd}], [25, {usd}]], "
        "volatility: [{until_hours: 25, volatility: 0}]}",
        "venues.eth-usd.value_usd=400000",
    )
    fills = run(world, 60.0).fills
    fill = fills[0]
    assert len(fills) == 1
    paid, profit = {1: (4645.3118, 107.570926), 0: (2.4511764, 113.814577)}[side]
    assert fill["a"] == side
    assert fill["amount_in"] == pytest.approx(paid, rel=2e-8)
    assert fill["value_out"] - fill["value_in"] == pytest.approx(profit, rel=2e-8)


@pytest.mark.parametrize(
    ("ratio", "loss"), [(1.25, -0.006192), (1.5, -0.020204), (2.0, -0.057191), (4.0, -0.2)]
)
def test_impermanent_loss_has_the_published_size(ratio, loss):
    """2 sqrt(r) / (1 + r) - 1: the pool against holding, after the price moved by a factor r."""
    for r in (ratio, 1.0 / ratio):
        pool = ConstantProductPool(50.0, 100_000.0, fee=0.0)
        price = 2_000.0 * r
        token = 1 if r > 1.0 else 0
        sides = pool.reserves[::-1] if token == 1 else pool.reserves
        pool.swap_exact_in(token, amount_to_price(*sides, 0.0, price if r > 1.0 else 1.0 / price))
        x, y = pool.reserves
        lost = (x * price + y) / (50.0 * price + 100_000.0) - 1.0
        assert lost == pytest.approx(loss, abs=5e-7)
        assert lost == pytest.approx(2.0 * math.sqrt(r) / (1.0 + r) - 1.0, rel=1e-12)


# --- properties ----------------------------------------------------------------------------------


@given(reserves, reserves, fees, shares_of)
def test_a_swap_agrees_with_rational_arithmetic(x, y, fee, share):
    amount = x * share
    expected = exact_out(x, y, fee, amount)
    out, _ = quote_exact_in(x, y, fee, amount)
    # Five rounded operations, the fee's complement amplified by none of them.
    assert abs(Fraction(out) - expected) <= 8 * Fraction(EPSILON) * expected


@given(reserves, reserves, fees, shares_of)
def test_exact_in_and_exact_out_are_inverse(x, y, fee, share):
    amount = quote_exact_out(x, y, fee, y * share)
    out, _ = quote_exact_in(x, y, fee, amount)
    # The subtraction y - out loses 1 / (1 - share) of the precision.
    assert out == pytest.approx(y * share, rel=16 * EPSILON / (1.0 - share))


trades = st.lists(st.tuples(st.integers(0, 1), shares_of), min_size=1, max_size=20)


@given(reserves, reserves, fees, trades)
def test_a_swap_never_lowers_the_invariant(x, y, fee, sequence):
    pool = ConstantProductPool(x, y, fee)
    for token, share in sequence:
        before = pool.reserves[0] * pool.reserves[1]
        pool.swap_exact_in(token, pool.reserves[token] * share)
        after = pool.reserves[0] * pool.reserves[1]
        # Each reserve is rounded once, relative to itself; what is left of y may be a tenth of it.
        assert after >= before * (1.0 - 64 * EPSILON)


@given(reserves, reserves, fees, trades)
def test_no_round_trip_gains(x, y, fee, sequence):
    """Whatever is traded, selling all that was bought gives back no more than was paid."""
    pool = ConstantProductPool(x, y, fee)
    paid, held = 0.0, 0.0
    for _, share in sequence:
        amount = pool.reserves[0] * share
        paid += amount
        held += pool.swap_exact_in(0, amount)
    assume(held > 0.0)
    back = pool.swap_exact_in(1, held)
    # Relative to all that is in the pool, from which the difference is taken.
    assert back <= paid + 64 * len(sequence) * EPSILON * (x + paid)


@given(reserves, reserves, fees, shares_of, shares_of)
def test_two_swaps_give_no_more_than_one(x, y, fee, one, two):
    pool, other = ConstantProductPool(x, y, fee), ConstantProductPool(x, y, fee)
    split = pool.swap_exact_in(0, x * one) + pool.swap_exact_in(0, x * two)
    whole = other.swap_exact_in(0, x * one + x * two)
    # Fees that stay in the pool worsen the price of the second part.
    assert split <= whole * (1.0 + 64 * EPSILON) + 64 * EPSILON * y


@given(reserves, reserves, fees, shares_of)
def test_minting_and_burning_at_once_gains_nothing(x, y, fee, share):
    pool = ConstantProductPool(x, y, fee)
    shares = pool.mint(x * share, y * share)
    back = pool.burn(shares)
    # Everything was scaled up and down: relative to what the pool holds in between.
    assert back[0] <= x * share + 64 * EPSILON * x
    assert back[1] <= y * share + 64 * EPSILON * y


# --- refusals ------------------------------------------------------------------------------------

REFUSED = [
    ("swap_exact_in", (0, 0.0)),
    ("swap_exact_in", (1, -1.0)),
    ("swap_exact_in", (0, math.nan)),
    ("swap_exact_in", (0, math.inf)),
    ("swap_exact_out", (0, 0.0)),
    ("swap_exact_out", (0, 100.0)),
    ("swap_exact_out", (1, math.nan)),
    ("mint", (0.0, 1.0)),
    ("mint", (1.0, math.nan)),
    ("mint", (math.inf, math.inf)),
    ("burn", (0.0,)),
    ("burn", (math.sqrt(20_000.0),)),
    ("burn", (math.nan,)),
]


@pytest.mark.parametrize(("verb", "arguments"), REFUSED, ids=repr)
def test_a_refused_operation_changes_nothing(verb, arguments):
    pool = ConstantProductPool(100.0, 200.0, fee=0.003)
    before = (pool.reserves, pool.supply)
    with pytest.raises(RefusedError, match=r"must be|give a positive"):
        getattr(pool, verb)(*arguments)
    assert (pool.reserves, pool.supply) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0.0, 1.0, 0.0), "reserve0"),
        ((1.0, -1.0, 0.0), "reserve1"),
        ((1.0, math.inf, 0.0), "reserve1"),
        ((1.0, 1.0, 1.0), "fee"),
        ((1.0, 1.0, -0.1), "fee"),
        ((1.0, 1.0, math.nan), "fee"),
    ],
)
def test_a_pool_that_cannot_be_is_refused(arguments, said):
    with pytest.raises(InputError, match=rf"{said} \(.*\) must be"):
        ConstantProductPool(*arguments)


def test_there_are_two_tokens():
    with pytest.raises(InputError, match=r"token \(2\) must be 0 or 1"):
        ConstantProductPool(1.0, 1.0, 0.0).swap_exact_in(2, 1.0)


# --- in a world ----------------------------------------------------------------------------------


def test_a_swap_in_a_world_is_the_swap_of_the_facade():
    world = bench()
    swap(world, 0, 1_000.0)
    fill = run(world, 12.0).fills[0]
    pool = ConstantProductPool(2_500.0, 5e6, fee=0.003)
    assert fill["amount_out"] == pool.swap_exact_in(1, 1_000.0)
    assert fill["fee_paid"] == 3.0
    # Fees are kept beside the reserves in this scenario: the price is that of the net amount.
    net = 5e6 + 997.0
    assert fill["price_after"] == pytest.approx(net / (2_500.0 - fill["amount_out"]), rel=1e-15)


@pytest.mark.parametrize("compound", ["true", "false"])
def test_the_pool_holds_what_it_claims(compound):
    world = bench(f"venues.eth-usd.fees_compound={compound}")
    for row in range(20):
        swap(world, row, 500.0 + row, side=1)
        swap(world, row, 0.1, side=0)
    world.submit("eth-usd", "add", HANDS, 30, amount=2.0, amount1=4_000.0)
    run(world, 12.0)
    world.submit("eth-usd", "remove", HANDS, 30, amount=40.0)
    fills = run(world, 24.0).fills
    assert (fills["status"] == 0).all()
    state = world.states["constant_product"]
    for symbol, held in (
        ("ETH", state.reserve0 + state.fees0),
        ("USD", state.reserve1 + state.fees1),
    ):
        token = world.token("mainnet", symbol)
        # A rounding a move: 43 moves of balances of up to 5e6.
        np.testing.assert_allclose(world.balances("constant_product", token), held, rtol=1e-14)
    share = world.token("mainnet", "LP-eth-usd")
    assert world.ledger.supply[share] == pytest.approx(state.supply[0], rel=1e-14)
    world.check()


def test_adding_then_removing_in_a_world_gives_the_same_back():
    world = bench()
    eth, usd, share = (world.token("mainnet", symbol) for symbol in ("ETH", "USD", "LP-eth-usd"))
    before = [world.balances(HANDS, token)[0] for token in (eth, usd)]
    world.submit("eth-usd", "add", HANDS, 0, amount=2.0, amount1=9_000.0)
    run(world, 12.0)
    shares = world.balances(HANDS, share)[0]
    assert shares == pytest.approx(math.sqrt(2.0 * 4_000.0), rel=1e-12)
    world.submit("eth-usd", "remove", HANDS, 0, amount=shares)
    run(world, 24.0)
    after = [world.balances(HANDS, token)[0] for token in (eth, usd)]
    assert after == pytest.approx(before, rel=1e-12)
    assert world.balances(HANDS, share)[0] == 0.0


def test_a_price_limit_stops_a_swap_at_that_price():
    world = bench()
    swap(world, 0, 20_000.0, side=1, price_limit=2_001.0)
    fill = run(world, 12.0).fills[0]
    assert 0.0 < fill["amount_in"] < 20_000.0
    assert fill["price_after"] == pytest.approx(2_001.0, rel=1e-14)


def test_the_published_price_and_its_time_weighted_sum_follow_swaps():
    world = bench()
    swap(world, 0, 10_000.0)
    first = run(world, 12.0).fills[0]["price_after"]
    world.advance(ticks(100.0))
    assert world.venues.price[0] == first
    assert world.venues.cumulative[0] == pytest.approx(12.0 * 2_000.0)
    assert world.venues.since[0] == ticks(12.0)


# --- the protocol's fee, locked shares -----------------------------------------------------------


def test_a_sixth_of_the_growth_goes_to_the_protocol():
    """Fee 1/2: sqrt(k) from 1,000 to sqrt(1.2 m); then the shares as in whole units of 1e-18."""
    pool = ConstantProductPool(1_000.0, 1_000.0, fee=0.5, protocol_fee=True)
    pool.swap_exact_in(1, 500.0)
    unit = 10**18
    supply, last = 1_000 * unit, 1_000 * unit
    root = math.isqrt(800 * unit * 1_500 * unit)
    due = supply * (root - last) // (5 * root + last)
    pool.mint(8.0, 15.0)
    assert pool.protocol_shares == pytest.approx(due / unit, rel=1e-14)
    grown = root - last
    worth = Fraction(due, supply + due) * root
    assert worth == pytest.approx(Fraction(grown, 6), rel=1e-12)


def test_growth_is_counted_once():
    pool = ConstantProductPool(1_000.0, 1_000.0, fee=0.5, protocol_fee=True)
    pool.swap_exact_in(1, 500.0)
    pool.burn(1.0)
    had = pool.protocol_shares
    pool.burn(1.0)
    pool.mint(1.0, 1e9)
    assert pool.protocol_shares == pytest.approx(had, rel=1e-12)


def test_without_the_switch_the_protocol_has_nothing():
    pool = ConstantProductPool(1_000.0, 1_000.0, fee=0.5)
    pool.swap_exact_in(1, 500.0)
    pool.burn(1.0)
    assert pool.protocol_shares == 0.0


def test_locked_shares_stay():
    pool = ConstantProductPool(4.0, 9.0, fee=0.003, minimum_liquidity=1.0)
    with pytest.raises(RefusedError, match=r"1\.0 are locked"):
        pool.burn(5.5)
    assert pool.burn(5.0) == pytest.approx((4.0 * 5 / 6, 9.0 * 5 / 6))
    with pytest.raises(InputError, match="below the first shares"):
        ConstantProductPool(4.0, 9.0, fee=0.003, minimum_liquidity=6.0)


def test_a_world_issues_the_protocol_its_shares_as_the_pool_by_hand_does():
    world = bench("venues.eth-usd.fees_compound=true", "venues.eth-usd.protocol_fee=true")
    state = world.states["constant_product"]
    held = float(state.reserve0[0]), float(state.reserve1[0])
    pool = ConstantProductPool(*held, fee=float(state.fee[0]), protocol_fee=True)
    swap(world, 0, 10_000.0)
    run(world, 12.0)
    world.submit("eth-usd", "add", HANDS, 1, amount=2.0, amount1=1e9)
    run(world, 24.0)
    pool.swap_exact_in(1, 10_000.0)
    pool.mint(2.0, 1e9)
    share, ether = world.token("mainnet", "LP-eth-usd"), world.token("mainnet", "ETH")
    before = float(world.balances("constant_product", share)[0])
    swap(world, 2, 10_000.0)
    run(world, 36.0)
    world.submit("eth-usd", "remove", HANDS, 1, amount=1.0)
    run(world, 48.0)
    pool.swap_exact_in(1, 10_000.0)
    pool.burn(1.0)
    issued = float(world.balances("constant_product", share)[0])
    assert issued == pytest.approx(pool.protocol_shares, rel=1e-9)
    assert issued > before > 0.0
    assert world.holdings()[world.group("constant_product"), ether] > 0.0
    world.check()


def test_what_is_due_and_not_issued_is_nobodys_claim():
    world = bench("venues.eth-usd.fees_compound=true", "venues.eth-usd.protocol_fee=true")
    swap(world, 0, 10_000.0)
    run(world, 12.0)
    usd = world.token("mainnet", "USD")
    state = world.states["constant_product"]
    root, last = math.sqrt(state.reserve0[0] * state.reserve1[0]), float(state.root_last[0])
    wanted = state.reserve1[0] * (root - last) / (6.0 * root)
    own = world.holdings()[world.group("constant_product"), usd]
    assert own == pytest.approx(wanted, rel=1e-6)
    assert world.holdings()[:, usd].sum() == pytest.approx(world.ledger.supply[usd])


def test_kept_fees_leave_the_protocol_nothing_to_share():
    with pytest.raises(ValueError, match="set fees_compound"):
        ConstantProductConfig(
            kind="constant_product", chain="home", tokens=["ETH", "USD"], value_usd=1.0,
            fees_compound=False, protocol_fee=True,
        )  # fmt: skip


# --- whole units ---------------------------------------------------------------------------------


def test_whole_units_by_hand():
    pool = ConstantProductPool(10_000.0, 10_000.0, 0.003, quantum=1.0)
    assert pool.swap_exact_in(0, 100.0) == 98.0  # 10000 x 99.7 / 10099.7 = 98.71 …, rounded down
    assert pool.reserves == (10_100.0, 9_902.0)
    assert pool.swap_exact_out(0, 100.0) == 100.0  # 9902 x 100 / (10000 x 0.997) = 99.3 …, up
    assert pool.reserves == (10_000.0, 10_002.0)
    assert pool.mint(100.0, 100.0) == 99.0  # 99 x 10002 / 10000 = 100.0 …: 99.98 of token 0 pay


def test_whole_units_refuse_what_rounds_to_nothing():
    pool = ConstantProductPool(10_000.0, 100.0, 0.003, quantum=1.0)
    with pytest.raises(RefusedError, match="nothing comes out"):
        pool.swap_exact_in(0, 50.0)
    with pytest.raises(RefusedError, match="too small for a share"):
        pool.mint(1.0, 1.0)
    with pytest.raises(RefusedError, match="too few"):
        pool.burn(1.0)
    with pytest.raises(RefusedError, match=r"below 2\^112"):
        pool.swap_exact_in(0, 2.0**112)
    assert pool.reserves == (10_000.0, 100.0)


def test_a_quantum_is_positive():
    with pytest.raises(InputError, match="quantum"):
        ConstantProductPool(1.0, 1.0, 0.003, quantum=0.0)
