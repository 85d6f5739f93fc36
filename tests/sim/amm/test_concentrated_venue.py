"""Concentrated liquidity pools in a world: the pool by hand, refusals, books, growth."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sim.amm.concentrated import ConcentratedLiquidityPool
from sim.amm.concentrated_state import ConcentratedState
from sim.amm.concentrated_venue import (
    MECHANISM,
    ConcentratedConfig,
    position_holdings,
    range_around,
)
from sim.check import check_mechanism
from sim.errors import InputError, InvariantError
from sim.ledger import balance_of
from sim.orders import SWAP
from sim.status import Status
from sim.trial import CHAINS
from tests.worlds import HANDS, bench, run, submit_anything

VALUE = 10e6  # USD of full-range liquidity of the genesis account; 1 ETH is 2,000 USD
FEE = 0.003
SPACING = 60
FULL = 887_220  # last usable tick of a spacing of 60


def pool_world(*overrides, **terms):
    text = ", ".join(f"{name}: {value}" for name, value in terms.items())
    return bench(
        "venues={pool: {kind: concentrated_liquidity, chain: mainnet, tokens: [ETH, USD], "
        f"value_usd: {VALUE:g}, {text}}}}}",
        *overrides,
    )


def pools_of(world):
    return world.shared[ConcentratedState]


def send(world, verb, row=0, **terms):
    """Submit one order of a hand, run to the next block and return its fill."""
    seen = []
    world.on_fills = lambda fills: seen.append(fills.copy())
    submit_anything(world, "pool", verb, row, **terms)
    world.advance(world.now + 12_000_000)
    world.flush()
    (fill,) = np.concatenate(seen)
    return fill


def books_of(world):
    """Return every number of the pools and the ledger, and what venues show, as bytes."""
    venues = (world.venues.price, world.venues.version, world.venues.cumulative)
    return [a.tobytes() for a in (*pools_of(world), *world.ledger, *venues)]


def by_hand():
    """Return the pool of `pool_world` by hand."""
    pool = ConcentratedLiquidityPool(FEE, SPACING, math.sqrt(2_000.0))
    pool.mint("genesis", -FULL, FULL, 1.0)
    unit = pool.position("genesis", -FULL, FULL)
    pool.mint("genesis", -FULL, FULL, VALUE / (unit.amount0 * 2_000 + unit.amount1) - 1.0)
    return pool


def near(amounts, rel=1e-11):
    return pytest.approx(amounts, rel=rel)


# --- building ------------------------------------------------------------------------------------


def test_first_liquidity_is_worth_what_was_asked_and_belongs_to_genesis():
    world = pool_world()
    held = world.holdings()
    eth, usd = (world.token("mainnet", symbol) for symbol in ("ETH", "USD"))
    # full range at 2,000: half in each token, but for 1e-19 beyond the last tick
    assert held[0, [eth, usd]].tolist() == near([VALUE / 4_000.0, VALUE / 2.0], 1e-9)
    assert np.abs(held[world.group("concentrated_liquidity")]).max() == 0.0
    # L = value / (2 sqrt(P))
    assert pools_of(world).pool[0]["liquidity"] == near(VALUE / 2.0 / math.sqrt(2_000.0), 1e-9)
    world.check()


def test_a_range_holds_what_the_white_paper_says():
    world = pool_world(half_width=0.1)
    pool = pools_of(world).position[0]
    lower, upper = 1.0001 ** (pool["tick_lower"] / 2), 1.0001 ** (pool["tick_upper"] / 2)
    root = math.sqrt(2_000.0)
    eth, usd = 1 / root - 1 / upper, root - lower  # of one unit, section 6.2
    liquidity = VALUE / (2_000 * eth + usd)
    assert position_holdings(pools_of(world))[0].tolist() == near(
        [liquidity * eth, liquidity * usd], 1e-10
    )


@pytest.mark.parametrize("width", [0.001, 0.02, 0.5, 0.999])
@pytest.mark.parametrize("price", [1e-6, 0.9, 1.07, 3_000.0])
def test_a_range_contains_what_was_asked_and_little_more(price, width):
    lower, upper = range_around(price, width, SPACING)
    assert lower % SPACING == upper % SPACING == 0
    step = 1.0001**SPACING
    assert price * (1 - width) / step < 1.0001**lower <= price * (1 - width) * (1 + 1e-9)
    assert price / (1 - width) / (1 + 2e-4) <= 1.0001**upper < price / (1 - width) * step


def test_no_width_is_the_full_range():
    assert range_around(5.0, None, SPACING) == (-FULL, FULL)


@pytest.mark.parametrize(("fee", "spacing"), [(1e-4, 1), (5e-4, 10), (3e-3, 60), (1e-2, 200)])
def test_spacing_is_the_deployed_one_of_the_fee(fee, spacing):
    assert pools_of(pool_world(fee=fee)).pool[0]["tick_spacing"] == spacing


def test_another_fee_needs_its_own_spacing():
    with pytest.raises(InputError, match=r"venues.pool.fee: fee 0.002 has no deployed tick"):
        pool_world(fee=0.002)
    assert pools_of(pool_world(fee=0.002, tick_spacing=40)).pool[0]["tick_spacing"] == 40


# --- orders against the pool by hand -------------------------------------------------------------


@pytest.mark.parametrize(("side", "amount"), [(1, 15_000.0), (0, 7.0), (1, 1e-6), (0, 1e-9)])
def test_a_swap_gives_what_the_pool_by_hand_gives(side, amount):
    world, pool = pool_world(), by_hand()
    fill = send(world, "swap", a=side, amount=amount)
    moved = pool.swap(side == 0, amount)
    assert (fill["amount_in"], -fill["amount_out"]) == near((moved[side], moved[1 - side]))
    assert fill["fee_paid"] == near(amount * FEE)
    assert fill["price_after"] == near(pool.sqrt_price**2)
    assert world.venues.price[0] == fill["price_after"]
    held = world.balances(HANDS, fill["token_in"])[0], world.balances(HANDS, fill["token_out"])[0]
    start = (10.05, 20_000.0) if side == 0 else (20_000.0, 10.05)
    assert held == (start[0] - fill["amount_in"], start[1] + fill["amount_out"])
    world.check()


def test_a_life_of_a_position_is_that_of_the_pool_by_hand():
    world, pool = pool_world(), by_hand()
    bounds = (75_000, 77_040)  # the price of 2,000 is at tick 76,012
    added = send(world, "add", 1, a=bounds[0], b=bounds[1], amount=3.0, amount1=5_000.0)
    paid = pool.mint("ann", *bounds, float(added["x"]))
    assert (added["amount_in"], added["amount1"]) == near(paid)
    assert (added["amount_in"], added["amount1"]) <= (3.0, 5_000.0)
    assert min(3.0 - added["amount_in"], 5_000.0 - added["amount1"]) <= 1e-12  # one is used up
    for side, amount in [(1, 19_000.0), (0, 9.0), (1, 500.0)]:
        row = 2 + side
        fill = send(world, "swap", row, a=side, amount=amount)
        moved = pool.swap(side == 0, amount)
        assert -fill["amount_out"] == near(moved[1 - side])
    fees = send(world, "collect", 1, a=bounds[0], b=bounds[1])
    pool.burn("ann", *bounds, 0.0)
    owed = pool.collect("ann", *bounds)
    assert (fees["amount_out"], fees["amount1"]) == near(owed, 1e-9)
    assert min(owed) > 0.0
    part = send(world, "remove", 1, a=bounds[0], b=bounds[1], amount=0.25 * added["x"])
    assert (part["amount_out"], part["amount1"]) == near(
        pool.burn("ann", *bounds, 0.25 * float(added["x"])), 1e-9
    )
    pool.collect("ann", *bounds)
    rest = send(world, "remove", 1, a=bounds[0], b=bounds[1], amount=math.inf)
    assert (rest["amount_out"], rest["amount1"]) == near(
        pool.burn("ann", *bounds, pool.position("ann", *bounds).liquidity), 1e-9
    )
    assert rest["x"] == near(0.75 * added["x"])
    assert pools_of(world).pool[0]["liquidity"] == near(pool.liquidity)
    assert (pools_of(world).position["pool"] >= 0).sum() == 1
    world.check()


def test_everything_can_be_added_to_the_last_unit():
    world = pool_world()
    for row, (lower, upper) in enumerate([(-FULL, FULL), (76_020, 76_080), (75_900, 76_140)]):
        fill = send(world, "add", row, a=lower, b=upper, amount=10.05, amount1=20_000.0)
        assert fill["status"] == Status.OK
        left = [world.balances(HANDS, world.token("mainnet", s))[row] for s in ("ETH", "USD")]
        assert min(left) >= 0.0
        assert min(left) < 1e-11
    world.check()


def test_a_partial_fill_stops_at_the_price_limit():
    world, pool = pool_world(), by_hand()
    fill = send(world, "swap", a=1, amount=15_000.0, price_limit=2_001.0)
    moved = pool.swap(False, 15_000.0, math.sqrt(2_001.0))
    assert fill["price_after"] == pytest.approx(2_001.0, rel=4e-16)
    assert (-fill["amount_out"], fill["amount_in"]) == near(moved)
    # L (sqrt(2,001) - sqrt(2,000)) and the fee on top
    net = VALUE / 2 / math.sqrt(2_000.0) * (math.sqrt(2_001.0) - math.sqrt(2_000.0))
    assert fill["amount_in"] == near(net / (1 - FEE), 1e-9)
    assert fill["fee_paid"] == near(net / (1 - FEE) * FEE, 1e-9)


def test_a_limit_that_the_swap_does_not_reach_changes_nothing_about_it():
    free = send(pool_world(), "swap", a=1, amount=1_000.0)
    bound = send(pool_world(), "swap", a=1, amount=1_000.0, price_limit=3_000.0)
    assert free["amount_out"] == bound["amount_out"]


# --- refusals ------------------------------------------------------------------------------------

OWN = {"a": 75_000, "b": 77_040}


@pytest.mark.parametrize(
    ("verb", "terms", "status"),
    [
        ("swap", {"a": 1, "amount": 0.0}, Status.ZERO_AMOUNT),
        ("swap", {"a": 1, "amount": -1.0}, Status.BAD_AMOUNT),
        ("swap", {"a": 1, "amount": math.nan}, Status.BAD_AMOUNT),
        ("swap", {"a": 1, "amount": math.inf}, Status.BAD_AMOUNT),
        ("swap", {"a": 1, "amount": 100.0, "limit": 0.05}, Status.SLIPPAGE),
        ("swap", {"a": 1, "amount": 20_001.0}, Status.INSUFFICIENT_FUNDS),
        ("swap", {"a": 1, "amount": 1.0, "price_limit": 1_999.0}, Status.PRICE_LIMIT),
        ("swap", {"a": 0, "amount": 1.0, "price_limit": 2_001.0}, Status.PRICE_LIMIT),
        ("add", {**OWN, "amount": math.nan, "amount1": 1.0}, Status.BAD_AMOUNT),
        ("add", {**OWN, "amount": 1.0, "amount1": -1.0}, Status.BAD_AMOUNT),
        ("add", {**OWN, "amount": 0.0, "amount1": 1.0}, Status.ZERO_AMOUNT),
        ("add", {"a": 120, "b": 60, "amount": 1.0, "amount1": 1.0}, Status.BAD_RANGE),
        ("add", {"a": 60, "b": 60, "amount": 1.0, "amount1": 1.0}, Status.BAD_RANGE),
        ("add", {"a": 61, "b": 120, "amount": 1.0, "amount1": 1.0}, Status.BAD_RANGE),
        ("add", {"a": -(1 << 62), "b": 1 << 62, "amount": 1.0, "amount1": 1.0}, Status.BAD_RANGE),
        ("add", {**OWN, "amount": 1.0, "amount1": 1e4, "limit": 1e9}, Status.SLIPPAGE),
        ("add", {**OWN, "amount": 10.06, "amount1": 1e9}, Status.INSUFFICIENT_FUNDS),
        ("add", {**OWN, "amount": 1e9, "amount1": 20_001.0}, Status.INSUFFICIENT_FUNDS),
        ("remove", {**OWN, "amount": 0.0}, Status.ZERO_AMOUNT),
        ("remove", {**OWN, "amount": math.nan}, Status.BAD_AMOUNT),
        ("remove", {**OWN, "amount": -1.0}, Status.BAD_AMOUNT),
        ("remove", {**OWN, "amount": 1e9}, Status.INSUFFICIENT_LIQUIDITY),
        ("remove", {"a": 60, "b": 120, "amount": 1.0}, Status.NO_POSITION),
        ("collect", {"a": 60, "b": 120}, Status.NO_POSITION),
        ("collect", {"a": -FULL, "b": FULL}, Status.NO_POSITION),  # that of genesis
    ],
)
def test_a_refused_order_changes_nothing(refusing, verb, terms, status):
    before = books_of(refusing)
    assert send(refusing, verb, **terms)["status"] == status
    assert books_of(refusing) == before


@pytest.fixture(scope="module")
def refusing():
    """A world in which hand 0 has a position."""
    world = pool_world()
    assert send(world, "add", **OWN, amount=1.0, amount1=2_000.0)["status"] == Status.OK
    return world


def test_a_pool_without_liquidity_on_that_side_gives_nothing():
    world = pool_world(half_width=0.01, tick_spacing=60)
    send(world, "swap", 0, a=1, amount=100.0)
    pools_of(world).pool[0]["sqrt_price"] = math.sqrt(3_000.0)  # far above every range
    pools_of(world).pool[0]["cursor"] = 2
    pools_of(world).pool[0]["liquidity"] = 0.0
    before = books_of(world)
    assert send(world, "swap", 1, a=1, amount=100.0)["status"] == Status.INSUFFICIENT_LIQUIDITY
    assert books_of(world) == before


# --- books ---------------------------------------------------------------------------------------


def test_claims_and_balances_add_up_to_the_supply():
    world = pool_world()
    for row in range(8):
        send(world, "add", row, a=75_000 + 60 * row, b=77_040, amount=4.0, amount1=9_000.0)
    for row in range(8, 16):
        send(world, "swap", row, a=row % 2, amount=(5.0, 9_000.0)[row % 2])
    held, supply = world.holdings(), world.ledger.supply
    np.testing.assert_allclose(held.sum(axis=0), supply, rtol=1e-14)
    pool = held[world.group("concentrated_liquidity")]
    assert np.abs(pool / supply).max() < 1e-13  # nothing but rounding is the pool's own
    world.check()


def test_a_pool_that_holds_less_than_it_owes_is_found():
    world = pool_world()
    eth, group = world.token("mainnet", "ETH"), world.group("concentrated_liquidity")
    column = world.ledger.column[group, eth]
    world.ledger.balance[world.ledger.first[group] + column] -= 1e-6
    world.ledger.supply[eth] -= 1e-6
    assert balance_of(world.ledger, group, 0, eth) < VALUE / 4_000
    with pytest.raises(InvariantError, match=r"pool pool owes .* mainnet/ETH to its positions"):
        world.check()


def test_rounding_never_comes_near_what_the_check_allows():
    world = pool_world()
    rng = np.random.default_rng(1)
    for k in range(200):
        row, lower = int(rng.integers(64)), int(75_000 + 60 * rng.integers(12))
        verb = ("swap", "swap", "add", "remove")[k % 4]
        terms = {"a": k // 4 % 2, "amount": 10.0 ** rng.uniform(-6, 0.5)}
        if k // 4 % 2:
            terms["amount"] *= 2_000
        if verb != "swap":
            terms = {"a": lower, "b": lower + 1_500, "amount": 1.0, "amount1": 2_000.0}
            terms["amount"] = math.inf if verb == "remove" else 1.0
        send(world, verb, row, **terms)
    owed = position_holdings(pools_of(world)).sum(axis=0)
    group = world.group("concentrated_liquidity")
    for side, symbol in enumerate(("ETH", "USD")):
        held = balance_of(world.ledger, group, 0, world.token("mainnet", symbol))
        assert abs(owed[side] - held) < 1e-13 * held  # the check allows some 1e-12
    world.check()


# --- growth --------------------------------------------------------------------------------------


def test_tables_grow_between_blocks_and_what_was_full_finds_room():
    world = pool_world(tick_spacing=10, fee=0.0005)
    log = run(world, 1.0)

    def open_all():
        for k in range(64 * 6):
            row, shift = k % 64, 10 * k
            world.submit("pool", "add", HANDS, row, a=70_000 - shift, b=80_000 + shift,
                         amount=0.5, amount1=900.0)  # fmt: skip

    slots = int(pools_of(world).pool[0]["n_tick_slots"])
    assert slots < 2 * 64 * 6
    open_all()
    world.advance(600_000_000)
    first = log.fills
    opened = first["status"] == Status.OK
    assert opened.sum() == (slots - 2 - 2) // 2  # two sentinels, two ticks of genesis
    assert (first["status"][~opened] == Status.FULL).all()
    assert (first["amount_in"][~opened] == 0.0).all()
    assert pools_of(world).pool[0]["n_tick_slots"] == 2 * slots
    held = position_holdings(pools_of(world))[: opened.sum() + 1]
    open_all()
    world.advance(1_200_000_000)
    second = log.fills[len(first) :]
    assert (second["status"] == Status.OK).all()
    assert (pools_of(world).position["pool"] >= 0).sum() == 1 + 64 * 6
    after = position_holdings(pools_of(world))[: opened.sum() + 1]
    np.testing.assert_allclose(after[1:], 2 * held[1:], rtol=1e-12)  # each got as much again
    world.check()


# --- contract ------------------------------------------------------------------------------------


def with_ticks(world, request, rng):
    """Let liquidity verbs name a narrow range near the price."""
    if request.verb == SWAP:
        return request
    middle = int(math.log(world.venues.price[request.venue], 1.0001)) // SPACING
    lower = middle + int(rng.integers(-3, 2))
    return replace(request, a=lower * SPACING, b=(lower + int(rng.integers(1, 4))) * SPACING)


def test_the_mechanism_keeps_the_contract_of_the_engine():
    config = ConcentratedConfig(
        kind="concentrated_liquidity", chain=CHAINS[0], tokens=["ETH", "USD"], value_usd=1e6
    )
    check_mechanism(MECHANISM, config, config, arguments=with_ticks, n_orders=40)


def test_the_protocols_part_of_the_fees_stays_with_the_pool():
    """1,000 USD at 30 bp: of 3 USD the protocol has a quarter; a swap of ether pays it nothing."""
    world = pool_world(protocol_fee="[0, 4]")
    send(world, "swap", amount=1_000.0, a=1)
    usd, ether = (world.token("mainnet", symbol) for symbol in ("USD", "ETH"))
    own = world.holdings()[world.group("concentrated_liquidity")]
    assert own[usd] == pytest.approx(0.75, rel=1e-6)
    assert pools_of(world).pool["protocol_fees1"][0] == pytest.approx(0.75, rel=1e-12)
    send(world, "swap", row=1, amount=1.0, a=0)
    own = world.holdings()[world.group("concentrated_liquidity")]
    assert own[ether] == pytest.approx(0.0, abs=1e-9)
    by_hand = ConcentratedLiquidityPool(FEE, SPACING, math.sqrt(2_000.0), fee_protocol=(0, 4))
    by_hand.mint("all", -FULL, FULL, float(pools_of(world).pool["liquidity"][0]))
    by_hand.swap(False, 1_000.0)
    assert by_hand.collect_protocol()[1] == pytest.approx(0.75, rel=1e-12)


def test_the_protocol_takes_nothing_or_a_quarter_to_a_tenth():
    with pytest.raises(ValueError, match="must hold 0, or 4 to 10"):
        ConcentratedConfig(
            kind="concentrated_liquidity", chain="home", tokens=["ETH", "USD"], value_usd=1.0,
            protocol_fee=[3, 0],
        )  # fmt: skip
