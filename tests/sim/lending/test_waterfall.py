"""Who bears bad debt: treasury, backstop, suppliers, in any order, to the last token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.lending.config import LossBearer, ReserveConfig
from sim.lending.facade import LendingMarket

TREASURY, BACKSTOP, SUPPLIERS = LossBearer.TREASURY, LossBearer.BACKSTOP, LossBearer.SUPPLIERS
BORNE = ("borne_by_treasury", "borne_by_backstop", "borne_by_suppliers")


def bad_debt(order, loss, backstop, treasury, supplied=1_000.0):
    """A market whose one debtor owes `loss` and whose collateral has become worth nothing much."""
    market = LendingMarket(
        {
            "COL": ReserveConfig(price=10.0, liquidation_bonus=0.0),
            "USD": ReserveConfig(price=1.0, backstop=backstop),
        },
        loss_order=order,
    )
    market.supply("bank", "USD", supplied)
    market.supply("ann", "COL", loss)
    market.borrow("ann", "USD", loss)
    market._asset("USD").scaled_treasury = treasury  # earned before
    market._asset("USD").surplus = -treasury
    market.set_price("COL", 1e-9)
    market.liquidate("ann", "USD", "COL")
    return market, market._asset("USD")


@pytest.mark.parametrize(
    ("order", "borne", "left"),
    [
        ((TREASURY, BACKSTOP, SUPPLIERS), (30.0, 50.0, 120.0), 0.0),
        ((BACKSTOP, TREASURY, SUPPLIERS), (30.0, 50.0, 120.0), 0.0),
        ((BACKSTOP,), (0.0, 50.0, 0.0), 150.0),
        ((TREASURY, BACKSTOP), (30.0, 50.0, 0.0), 120.0),
        ((BACKSTOP, SUPPLIERS), (0.0, 50.0, 150.0), 0.0),
        ((SUPPLIERS, BACKSTOP), (0.0, 0.0, 200.0), 0.0),
        ((), (0.0, 0.0, 0.0), 200.0),
    ],
)
def test_a_loss_of_200_with_30_of_treasury_and_50_of_backstop(order, borne, left):
    _, asset = bad_debt(order, 200.0, 50.0, 30.0)
    for name, amount in zip(BORNE, borne, strict=True):
        assert asset[name] == pytest.approx(amount, abs=1e-6)
    assert asset.deficit == pytest.approx(left, abs=1e-6)


def test_the_backstop_pays_in_cash():
    market, asset = bad_debt((BACKSTOP,), 40.0, 50.0, 0.0)
    assert asset.backstop == pytest.approx(10.0, abs=1e-6)
    assert market.cash("USD") == pytest.approx(1_000.0, abs=1e-6)  # 960 and 40
    assert market.supplied("bank", "USD") == 1_000.0


@given(
    st.permutations((TREASURY, BACKSTOP, SUPPLIERS)),
    st.integers(0, 3),
    st.floats(1.0, 900.0),
    st.floats(0.0, 1_000.0),
    st.floats(0.0, 1_000.0),
)
def test_the_parts_add_up_to_the_loss(order, n, loss, backstop, treasury):
    _, asset = bad_debt(tuple(order[:n]), loss, backstop, treasury)
    total = sum(float(asset[name]) for name in BORNE) + float(asset.deficit)
    assert abs(total - asset.written_off) <= 1e-9 * asset.written_off
    assert asset.written_off == pytest.approx(loss, abs=1e-6)
    assert asset.backstop >= 0.0
    assert asset.scaled_treasury >= 0.0


@given(
    st.permutations((TREASURY, BACKSTOP, SUPPLIERS)), st.floats(1.0, 900.0), st.floats(0.0, 500.0)
)
def test_the_first_bearer_pays_all_it_can_before_the_second_pays_anything(order, loss, backstop):
    _, asset = bad_debt(tuple(order), loss, backstop, 100.0)
    paid = dict(zip((TREASURY, BACKSTOP, SUPPLIERS), (asset[n] for n in BORNE), strict=True))
    able = {TREASURY: 100.0, BACKSTOP: backstop, SUPPLIERS: 1_000.0}
    rest = asset.written_off
    for bearer in order:
        if bearer == SUPPLIERS and order.index(TREASURY) > order.index(SUPPLIERS):
            break  # the treasury's claims then bear their share too
        assert paid[bearer] == pytest.approx(min(rest, able[bearer]), abs=1e-6)
        rest -= paid[bearer]
