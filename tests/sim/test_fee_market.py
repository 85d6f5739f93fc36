"""Fee markets: the base fee of EIP-1559, what an order pays, and when it may enter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.chain import CHAIN
from sim.fee_market import EIP1559, FEE_MARKETS, FIRST_PRICE, WAIT
from sim.kernel import invoke, kernel
from sim.ledger import balance_of
from sim.orders import ORDER
from sim.status import Status
from sim.units import GWEI
from tests.worlds import HANDS, bench, run, swap


@kernel(inline=False)
def _call(address, binding, message):
    return invoke(address, binding, message)


def ask(handler, chain, order=None):
    message = chain if order is None else order
    return _call(handler.address, chain.ctypes.data, message.ctypes.data)


def a_chain(base_fee=1.0, gas_used=0, target=15_000_000.0, floor=0.0):
    chain = np.zeros(1, CHAIN)
    chain["base_fee"], chain["gas_used"], chain["target"] = base_fee, gas_used, target
    chain["base_fee_floor"] = floor
    return chain


def an_order(tip=0.0, max_fee=0.0):
    order = np.zeros(1, ORDER)
    order["tip"], order["max_fee"] = tip, max_fee
    return order


def closed(**terms):
    chain = a_chain(**terms)
    ask(EIP1559.close, chain)
    return float(chain["base_fee"][0])


def test_a_full_block_raises_the_base_fee_by_an_eighth():
    assert closed(base_fee=100.0, gas_used=30_000_000) == 112.5


def test_an_empty_block_lowers_the_base_fee_by_an_eighth():
    assert closed(base_fee=100.0, gas_used=0) == 87.5


def test_a_block_at_its_target_leaves_the_base_fee():
    assert closed(base_fee=100.0, gas_used=15_000_000) == 100.0


def test_the_base_fee_stops_at_its_floor():
    assert closed(base_fee=100.0, gas_used=0, floor=95.0) == 95.0


@given(st.integers(0, 30_000_000), st.floats(1e-9, 1e3))
def test_the_base_fee_moves_in_proportion_to_the_gap(gas_used, base_fee):
    """EIP-1559: base_fee_delta = base_fee * (used - target) / target / 8."""
    expected = base_fee + base_fee * (gas_used - 15_000_000) / 15_000_000 / 8
    assert closed(base_fee=base_fee, gas_used=gas_used) == pytest.approx(expected, rel=1e-15)


def test_eight_full_blocks_compound():
    chain = a_chain(base_fee=1.0, gas_used=30_000_000)
    for _ in range(8):
        ask(EIP1559.close, chain)
    assert chain["base_fee"][0] == 1.125**8


def test_an_order_pays_base_fee_and_tip():
    order = an_order(tip=2.0, max_fee=20.0)
    assert ask(EIP1559.charge, a_chain(base_fee=10.0), order) == Status.OK
    assert order["gas_price"][0] == 12.0


@pytest.mark.parametrize(("max_fee", "status"), [(12.0, Status.OK), (11.999, WAIT)])
def test_an_order_waits_until_its_fee_cap_covers_base_fee_and_tip(max_fee, status):
    assert ask(EIP1559.charge, a_chain(base_fee=10.0), an_order(2.0, max_fee)) == status


def test_eip1559_sorts_by_tip_and_first_price_by_the_whole_bid():
    order, chain = an_order(tip=2.0, max_fee=20.0), a_chain()
    ask(EIP1559.bid, chain, order)
    assert order["key"][0] == 2.0
    ask(FIRST_PRICE.bid, chain, order)
    assert order["key"][0] == 20.0


def test_first_price_charges_the_bid_and_never_moves():
    order, chain = an_order(tip=2.0, max_fee=20.0), a_chain(base_fee=3.0, gas_used=30_000_000)
    assert ask(FIRST_PRICE.charge, chain, order) == Status.OK
    assert order["gas_price"][0] == 20.0
    ask(FIRST_PRICE.close, chain)
    assert chain["base_fee"][0] == 3.0


def test_scenarios_find_fee_markets_by_name():
    assert FEE_MARKETS == {"eip1559": EIP1559, "first_price": FIRST_PRICE}


# --- in a world ----------------------------------------------------------------------------------


def test_gas_is_split_between_base_fees_and_validators():
    world = bench("chains.mainnet.fee_market.base_fee_gwei=10")
    swap(world, 0, tip_gwei=2.0)
    fill = run(world, 12.0).fills[0]
    eth = world.token("mainnet", "ETH")
    assert fill["gas_paid"] == pytest.approx(110_000 * 12e-9, rel=1e-14)
    burned, tips = (float(world.balances("outside", eth)[row]) for row in (2, 1))
    assert burned == pytest.approx(110_000 * 10e-9, rel=1e-14)
    assert tips == pytest.approx(110_000 * 2e-9, rel=1e-12)
    group = world.group(HANDS)
    bought = fill["amount_out"]
    held = 10.05 + bought - fill["gas_paid"]
    assert balance_of(world.ledger, group, 0, eth) == pytest.approx(held, rel=1e-14)
    chain = world.box.chains[0]
    assert (chain["burned"], chain["tips"]) == (burned, tips)


def test_the_base_fee_of_a_full_chain_rises_and_of_an_idle_chain_falls():
    world = bench("chains.mainnet.fee_market.base_fee_gwei=10", "chains.mainnet.gas_limit=220000")
    for row in range(8):
        swap(world, row, max_fee_gwei=1_000.0)
    blocks = run(world, 12.0 * 6).blocks
    expected = (
        10 * GWEI * 1.125 ** np.array([1, 2, 3, 4, 4, 4]) * 0.875 ** np.array([0, 0, 0, 0, 1, 2])
    )
    np.testing.assert_allclose(blocks["base_fee"], expected, rtol=1e-14)


def test_an_order_below_the_base_fee_waits_for_it_to_fall():
    world = bench("chains.mainnet.fee_market.base_fee_gwei=10")
    swap(world, 0, max_fee_gwei=6.0)  # 10 x 0.875^4 = 5.86
    log = run(world, 12.0 * 8)
    assert log.fills["height"].tolist() == [4]
    assert log.blocks["pending"].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_a_first_price_chain_takes_the_highest_bid_first():
    world = bench("chains.mainnet.fee_market={kind: first_price}")
    for row, bid in enumerate((5.0, 9.0, 7.0)):
        swap(world, row, max_fee_gwei=bid)
    fills = run(world, 12.0).fills
    assert fills["row"].tolist() == [1, 2, 0]
    np.testing.assert_allclose(fills["gas_paid"], np.array([9, 7, 5]) * GWEI * 110_000, rtol=1e-14)
