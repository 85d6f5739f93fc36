"""The reference market as a venue: price, cost, impact, refusals."""

import math

import numpy as np
import pytest

from sim.errors import InputError
from sim.exchange import exchange_of, grow, is_under_way, stock_at
from sim.kernel import bind, kernel, view_of
from sim.mempool import Outbox, post
from sim.orders import FILL, TRADE, cause
from sim.status import Status
from sim.units import ticks
from sim.venues import Venues, draft
from tests.worlds import HANDS, bench, run, state_bytes

MARKET = "reference_market={interval_seconds: 1}"
TERMS = "assets.ETH.terms={spread_bps: 20, taker_fee_bps: 10}"
IMPACT = "assets.ETH.impact={daily_volume_usd: 1e7, volatility: 0.05}"
unpack = view_of(Outbox, Venues)


@kernel(inline=False)
def _post(binding, venue, group, row, token_in, token_out, amount, limit, now):
    box, venues = unpack(binding)
    order = draft(box, venues, venue, TRADE, group, row, now)
    order.token_in, order.token_out, order.amount, order.limit = token_in, token_out, amount, limit
    return post(box, order)


def trade(world, sold, bought, amount, limit=0.0, row=0):
    """Post a trade of a hand on the reference market and return its fill."""
    binding = bind(world.box, world.venues)
    pair = [world.token("mainnet", s) if s else -1 for s in (sold, bought)]
    group = world.group(HANDS)
    venue = exchange_of(world)
    _post(binding.ctypes.data, venue, group, row, *pair, amount, limit, world.now)
    return run(world, world.time + 1.0).fills[0]


def test_without_terms_one_trades_at_the_reference_price():
    fill = trade(bench(MARKET), "USD", "ETH", 3_000.0)
    assert (fill["status"], fill["amount_in"], fill["amount_out"]) == (Status.OK, 3_000.0, 1.5)


def test_buyer_and_seller_pay_half_the_spread_and_the_fee():
    keep = (1 - 0.001) * (1 - 0.001)
    assert trade(bench(MARKET, TERMS), "USD", "ETH", 2_000.0)["amount_out"] == pytest.approx(keep)
    sold = trade(bench(MARKET, TERMS), "ETH", "USD", 1.0)
    assert sold["amount_out"] == pytest.approx(2_000.0 * keep)


def test_a_trade_moves_the_price_by_its_impact_and_pays_half_of_it():
    world = bench(MARKET, IMPACT)
    fill = trade(world, "ETH", "USD", 5.0)
    usd, per_usd = 10_000.0, 0.05 / 1e7
    own = (0.3 + 7.0) * per_usd * usd
    assert fill["amount_out"] == pytest.approx(usd * math.exp(-own / 2), rel=1e-12)
    eth = world.token("mainnet", "ETH")
    assert world.prices.reference[eth] == pytest.approx(2_000.0 * math.exp(-own), rel=1e-12)
    assert world.prices.fundamental[eth] == 2_000.0


def test_a_round_trip_does_not_gain():
    world = bench(MARKET, IMPACT)
    bought = trade(world, "USD", "ETH", 10_000.0)
    back = trade(world, "ETH", "USD", float(bought["amount_out"]))
    assert back["amount_out"] <= 10_000.0


def test_money_goes_to_and_comes_from_outside():
    world = bench(MARKET, TERMS)
    usd, eth = (world.token("mainnet", symbol) for symbol in ("USD", "ETH"))
    fill = trade(world, "USD", "ETH", 1_000.0)
    assert world.balances("outside", usd)[0] == 1_000.0
    assert world.balances("outside", eth)[0] == -fill["amount_out"]
    world.check()


@pytest.mark.parametrize(
    ("sold", "bought", "amount", "limit", "status"),
    [
        ("USD", "ETH", 1_000.0, 0.51, Status.SLIPPAGE),
        ("USD", "ETH", 20_000.5, 0.0, Status.INSUFFICIENT_FUNDS),
        ("USD", "ETH", 0.0, 0.0, Status.ZERO_AMOUNT),
        ("USD", "ETH", -1.0, 0.0, Status.BAD_AMOUNT),
        ("USD", "ETH", math.inf, 0.0, Status.BAD_AMOUNT),
        ("ETH", "ETH", 1.0, 0.0, Status.NOT_ALLOWED),
        ("", "ETH", 1.0, 0.0, Status.NOT_ALLOWED),
        ("USD", "", 1.0, 0.0, Status.NOT_ALLOWED),
        ("USD", "LP-eth-usd", 1.0, 0.0, Status.NOT_ALLOWED),
    ],
)
def test_a_refused_trade_changes_nothing(sold, bought, amount, limit, status):
    world = bench(MARKET, IMPACT)
    before = state_bytes(world)
    fill = trade(world, sold, bought, amount, limit)
    assert fill["status"] == status
    assert fill["gas_paid"] == 0.0
    assert state_bytes(world) == before


def test_a_token_that_the_sender_cannot_hold_is_refused():
    world = bench(
        MARKET, "chains.side={blocks: {interval_seconds: 5}, native: ETH, tokens: [ETH, USD]}"
    )
    before = state_bytes(world)
    binding = bind(world.box, world.venues)
    pair = world.token("mainnet", "USD"), world.token("side", "ETH")
    _post(binding.ctypes.data, exchange_of(world), world.group(HANDS), 0, *pair, 100.0, 0.0, 0)
    assert run(world, 1.0).fills["status"].tolist() == [Status.NOT_ALLOWED]
    assert state_bytes(world) == before


def test_a_world_may_have_no_reference_market():
    assert exchange_of(bench()) == -1
    assert np.all(bench().venues.first_verb == 0)


# --- deposits ------------------------------------------------------------------------------------

COUNTS = "reference_market={interval_seconds: 1, deposits: {mainnet: 3}}"


def deposit(world, sold, bought, amount, row=0):
    """Send a deposit of a hand to the reference market; returns its number."""
    names = [f"mainnet/{symbol}" for symbol in (sold, bought)]
    return world.submit(
        "exchange", "deposit", HANDS, row, amount=amount, chain="mainnet",
        token_in=names[0], token_out=names[1],
    )  # fmt: skip


def test_a_deposit_is_sold_when_its_chain_has_built_the_blocks_it_needs():
    world = bench(COUNTS)
    deposit(world, "ETH", "USD", 5.0)
    log = run(world, 37.0)  # blocks at 12 (takes it), 24 and 36 s; the auction of 36 s is after
    sent, sold = log.fills
    verbs = [world.verb_names[int(fill["verb"])] for fill in (sent, sold)]
    assert verbs == ["reference_market.deposit", "reference_market.trade"]
    assert (sent["time"], sold["time"]) == (12_000_000, 36_000_000)
    assert (sold["amount_in"], sold["amount_out"]) == (5.0, 10_000.0)
    assert sold["parent"] == cause(FILL, int(sent["fill_id"]))


def test_a_deposit_is_the_senders_claim_on_the_market_until_it_is_sold():
    world = bench(COUNTS)
    eth = world.token("mainnet", "ETH")
    deposit(world, "ETH", "USD", 4.0, row=2)
    run(world, 30.0)
    group = world.group(HANDS)
    assert world.balance(group, 2, eth) == pytest.approx(6.05, abs=1e-12)
    assert world.account_holdings()[group][2, eth] == pytest.approx(10.05, abs=1e-12)
    assert world.balances("reference_market", eth).tolist() == [4.0]
    assert world.holdings()[:, eth].sum() == pytest.approx(world.ledger.supply[eth])
    market = world.states["reference_market"]
    assert is_under_way.py_func(market, group, 2, eth)
    assert not is_under_way.py_func(market, group, 1, eth)
    world.check()
    run(world, 60.0)
    assert world.balances("reference_market", eth).tolist() == [0.0]
    assert world.states["reference_market"].n_held[0] == 0
    world.check()


def test_a_deposit_is_sold_at_the_price_of_the_auction_not_of_the_sending():
    path = (
        "assets.ETH.price={kind: waypoints, volatility: [{until_hours: 24, volatility: 0}], "
        "waypoints: [[0, 2000], [0.004, 2000], [0.0075, 1600], [24, 1600]]}"
    )
    world = bench(COUNTS, path)
    deposit(world, "ETH", "USD", 1.0)
    assert run(world, 40.0).fills[1]["amount_out"] == pytest.approx(1_600.0)


def test_every_deposit_is_sold_although_their_sum_rounds():
    # In doubles 0.1 + 0.3 + 1.1 less the first two is below 1.1.
    world = bench(COUNTS)
    for amount in (0.1, 0.3, 1.1):
        deposit(world, "ETH", "USD", amount)
    log = run(world, 60.0)
    assert log.fills["status"].tolist() == [Status.OK] * 6
    world.check()


def test_tokens_that_must_be_deposited_are_not_sold_from_the_wallet():
    assert trade(bench(COUNTS), "ETH", "USD", 1.0)["status"] == Status.NOT_ALLOWED


def test_nothing_is_deposited_where_the_market_counts_no_confirmations():
    world = bench(MARKET)
    deposit(world, "ETH", "USD", 1.0)
    assert run(world, 12.0).fills["status"].tolist() == [Status.NOT_ALLOWED]
    assert world.states["reference_market"].n_held[0] == 0


@pytest.mark.parametrize(
    ("sold", "amount", "status"),
    [
        ("ETH", 11.0, Status.INSUFFICIENT_FUNDS),
        ("ETH", 0.0, Status.ZERO_AMOUNT),
        ("USD", 1.0, Status.NOT_ALLOWED),
    ],
)
def test_a_refused_deposit_moves_nothing(sold, amount, status):
    world = bench(COUNTS)
    deposit(world, sold, "USD", amount)
    fill = run(world, 12.0).fills[0]
    assert fill["status"] == status
    assert world.states["reference_market"].n_held[0] == 0
    world.check()


def test_nobody_sells_the_deposit_of_another():
    world = bench(COUNTS)
    number = deposit(world, "ETH", "USD", 2.0, row=3)
    run(world, 30.0)
    pair = {"token_in": "mainnet/ETH", "token_out": "mainnet/USD"}
    world.submit("exchange", "trade", HANDS, 4, amount=2.0, a=number, **pair)
    world.submit("exchange", "trade", HANDS, 3, amount=2.0, a=number, **pair)  # not yet credited
    assert run(world, 31.0).fills["status"][-2:].tolist() == [Status.NOT_ALLOWED] * 2


def test_a_world_refuses_to_count_blocks_of_a_chain_that_is_not_there():
    with pytest.raises(InputError, match="there is no chain 'elsewhere'"):
        bench("reference_market={deposits: {elsewhere: 3}}")


def test_room_for_deposits_doubles_when_half_is_taken():
    state = bench(COUNTS).states["reference_market"]
    assert grow(state) is None
    state.n_held[0] = 129
    state.held["order"] = np.arange(256)
    larger = grow(state)
    assert len(larger.held) == 512
    assert larger.held["order"][:129].tolist() == list(range(129))


# --- inventory -----------------------------------------------------------------------------------

STOCKED = "reference_market={interval_seconds: 1, inventory_usd: 1e4, restock_half_life_hours: 1}"


def test_a_market_with_an_inventory_pays_out_no_more_than_it_has():
    world = bench(STOCKED)
    assert trade(world, "ETH", "USD", 4.0)["status"] == Status.OK  # 8,000 of 10,000 USD
    assert trade(world, "ETH", "USD", 2.0)["status"] == Status.INSUFFICIENT_LIQUIDITY
    assert trade(world, "ETH", "USD", 0.9)["status"] == Status.OK


def test_what_is_sold_to_it_can_be_bought_back():
    world = bench(STOCKED)
    trade(world, "ETH", "USD", 4.0)
    market = world.states["reference_market"]
    eth, usd = (world.token("mainnet", symbol) for symbol in ("ETH", "USD"))
    assert stock_at.py_func(market, eth, world.now) == pytest.approx(9.0, rel=1e-3)
    assert stock_at.py_func(market, usd, world.now) == pytest.approx(2_000.0, rel=1e-3)
    assert stock_at.py_func(market, usd, world.now + ticks(3_600)) == pytest.approx(6_000.0, 1e-3)


def test_a_deposit_waits_until_the_inventory_has_come_back():
    world = bench(COUNTS.replace("deposits", "inventory_usd: 1e4, deposits"))
    deposit(world, "ETH", "USD", 4.0)
    deposit(world, "ETH", "USD", 4.0, row=1)
    log = run(world, 7_500.0)
    sold = log.fills[log.fills["verb"] == world.venues.first_verb[exchange_of(world)]]
    assert sold["status"].tolist() == [Status.OK] * 2
    # 2,000 USD are left after the first; 8,000 are there when 8,000 / 2^t are missing: t = 2 h
    # from a start of 8,000 missing.
    assert (sold["time"][1] - sold["time"][0]) / 3.6e9 == pytest.approx(2.0, abs=0.01)


def test_without_an_inventory_it_pays_whatever_is_asked():
    market = bench(MARKET).states["reference_market"]
    assert (stock_at.py_func(market, 0, 0), stock_at.py_func(market, 1, 9)) == (math.inf, math.inf)
