"""Venues: quotes, drafts and published prices."""

import numpy as np
import pytest

from sim.amm.constant_product_facade import ConstantProductPool
from sim.kernel import bind, kernel, view_of
from sim.mempool import Outbox
from sim.status import Status
from sim.units import TICKS_PER_SECOND
from sim.venues import (
    NO_TOKEN,
    Venues,
    cumulative_at,
    draft_swap,
    make_venues,
    quote,
    show_price,
)
from tests.worlds import bench, state_bytes

unpack = view_of(Outbox, Venues)


@kernel(inline=False)
def _quote(binding, venue, side, amount, price_limit, out):
    _, venues = unpack(binding)
    q = quote(venues, venue, side, amount, price_limit)
    out[0], out[1], out[2], out[3] = q.amount_in, q.amount_out, q.fee_paid, q.price_after
    return q.status


def ask(world, side, amount, price_limit=0.0):
    out = np.zeros(4)
    binding = bind(world.box, world.venues)
    return int(_quote(binding.ctypes.data, 0, side, amount, price_limit, out)), out


@pytest.mark.parametrize(("side", "amount"), [(0, 3.0), (1, 5_000.0)])
def test_a_quote_is_what_the_swap_would_give(side, amount):
    status, (paid, out, fee, _) = ask(bench(), side, amount)
    pool = ConstantProductPool(2_500.0, 5e6, 0.003)
    assert (status, paid, fee) == (Status.OK, amount, pytest.approx(0.003 * amount))
    assert out == pool.swap_exact_in(side, amount)


def test_a_quote_changes_nothing():
    world = bench()
    before = state_bytes(world)
    ask(world, 1, 5_000.0)
    after = state_bytes(world)
    assert {name for name in after if after[name] != before[name]} == {"venues.scratch"}


def test_a_quote_stops_at_its_price_limit():
    status, (paid, _, fee, price) = ask(bench(), 1, 1e6, 2_010.0)
    assert status == Status.OK
    assert price == pytest.approx(2_010.0, rel=1e-14)
    assert paid - fee == pytest.approx(5e6 * (np.sqrt(1.005) - 1.0), rel=1e-9)


def test_a_quote_beyond_its_price_limit_is_refused():
    assert ask(bench(), 1, 1.0, 1_990.0)[0] == Status.PRICE_LIMIT
    assert ask(bench(), 0, 1.0, 2_010.0)[0] == Status.PRICE_LIMIT


def test_the_time_weighted_sum_counts_every_price_for_its_time():
    venues = make_venues(1, [], [])
    second = TICKS_PER_SECOND
    show_price(venues, 0, 10.0, 0)
    show_price(venues, 0, 20.0, 3 * second)
    show_price(venues, 0, 5.0, 3 * second)
    assert cumulative_at(venues, 0, 5 * second) == 10.0 * 3 + 20.0 * 0 + 5.0 * 2
    assert venues.version[0] == 3
    assert venues.price[0] == 5.0


@kernel(inline=False)
def _draft(binding, side, out):
    box, venues = unpack(binding)
    order = draft_swap(box, venues, 0, side, 7.0, 1, 2, 1_000)
    out[0], out[1], out[2] = order.token_in, order.token_out, order.a
    out[3], out[4], out[5] = order.gas, order.arrival, order.expires
    out[6], out[7], out[8] = order.amount, order.max_fee, order.tip


def test_a_draft_is_complete():
    world = bench("chains.mainnet.fee_market.base_fee_gwei=10")
    out = np.zeros(9)
    binding = bind(world.box, world.venues)
    for side in (0, 1):
        _draft(binding.ctypes.data, side, out)
        eth, usd = (world.token("mainnet", symbol) for symbol in ("ETH", "USD"))
        assert out[:3].tolist() == ([eth, usd, 0] if side == 0 else [usd, eth, 1])
        assert out[3:6].tolist() == [110_000, 1_000, 600_001_000]
        assert out[6:].tolist() == [7.0, 2 * world.box.chains["base_fee"][0], 0.0]


def test_what_is_no_pool_shows_no_tokens():
    world = bench("reference_market={}")
    number = world.venue("exchange")
    assert world.venues.token0[number] == world.venues.token1[number] == NO_TOKEN
