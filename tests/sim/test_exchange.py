"""The reference market as a venue: price, cost, impact, refusals."""

import math

import numpy as np
import pytest

from sim.exchange import exchange_of
from sim.kernel import bind, kernel, view_of
from sim.mempool import Outbox, post
from sim.orders import TRADE
from sim.status import Status
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
