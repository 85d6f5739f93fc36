"""How much a liquidator repays where the market refuses to be left with dust."""

import pytest

from agents.liquidation_size import leave_enough
from sim.errors import RefusedError
from sim.lending.config import ReserveConfig
from sim.lending.facade import LendingMarket

ETHER, DOLLARS = 0, 1


def unsafe(dust=1_000.0, **rules):
    """Ann owes 1,650 against 1 ETH at 2,000: health 0.97."""
    market = LendingMarket(
        {"ETH": ReserveConfig(price=2_200.0), "USD": ReserveConfig(price=1.0)},
        dust_value=dust, full_close_value=2_000.0, **rules,
    )  # fmt: skip
    market.supply("bank", "USD", 1e6)
    market.supply("bank", "ETH", 100.0)
    market.supply("ann", "ETH", 1.0)
    market.borrow("ann", "USD", 1_650.0)
    market.set_price("ETH", 2_000.0)
    return market


def sized(market, repaid, gain=10.0):
    return leave_enough(market.state, 1, DOLLARS, ETHER, repaid, gain, 0)


def test_a_repayment_is_lowered_to_what_leaves_enough():
    """Debt of 1,000 is left by 650; collateral of 1,000 by 1,000 / 1.05 = 952.38."""
    market = unsafe()
    repaid, gain = sized(market, 1_300.0)
    assert repaid == pytest.approx(650.0)
    assert gain == pytest.approx(10.0 * 650.0 / 1_300.0)
    with pytest.raises(RefusedError, match="DUST"):
        market.liquidate("ann", "USD", "ETH", 651.0)
    assert market.liquidate("ann", "USD", "ETH", repaid).repaid == pytest.approx(650.0)


def test_what_leaves_enough_or_nothing_stays():
    assert sized(unsafe(), 600.0) == (600.0, 10.0)
    assert sized(unsafe(), 1_650.0) == (1_650.0, 10.0)
    assert sized(unsafe(dust=0.0), 1_300.0) == (1_300.0, 10.0)


def test_nothing_is_repaid_where_any_part_leaves_dust():
    assert sized(unsafe(dust=1_700.0), 1_300.0) == (0.0, 0.0)
