"""Auctions by hand: an English one bid for bid, a zero bid, and the price curves of Dutch ones."""

import math

import pytest

from sim.cdp.facade import CdpMarket
from sim.errors import RefusedError

ENGLISH = {"kind": "english"}
DUTCH = {"kind": "dutch", "keeper_tip": 0.0, "keeper_share": 0.0}
LINEAR = {"kind": "linear", "zero_after_seconds": 21_600.0}
ONE, TWO, THREE = range(1, 4)  # bidders


def crashed(liquidation, price=140.0, **rules):
    """Ann has 120 ETH and owes 12,000, at 140 USD: worth 16,800, less than 1.5 times her debt."""
    market = CdpMarket(200.0, liquidation=liquidation, **rules)
    market.deposit("ann", 120.0)
    market.draw("ann", 12_000.0)
    market.set_price(price)
    return market


# --- English -------------------------------------------------------------------------------------


def test_a_bite_takes_a_lot_and_its_share_of_the_debt():
    market = crashed(ENGLISH)
    lot = market.auction(market.bite("ann"))
    assert lot["lot"] == 50.0
    assert lot["debt"] == pytest.approx(5_000.0, rel=1e-15)
    assert lot["to_raise"] == pytest.approx(5_650.0, rel=1e-15)
    assert lot["health_factor"] == pytest.approx(16_800 / 18_000, rel=1e-15)
    assert market.collateral("ann") == 70.0
    assert market.debt("ann") == pytest.approx(7_000.0, rel=1e-15)
    market.check()


def test_an_english_auction_bid_for_bid():
    market = crashed(ENGLISH)
    number = market.bite("ann")
    assert market.tend(number, ONE, 1_000.0) == 1_000.0
    with pytest.raises(RefusedError, match="PRICE_LIMIT"):
        market.tend(number, TWO, 1_029.0)  # 3 % more is 1,030
    assert market.tend(number, TWO, 1_030.0) == 1_030.0
    with pytest.raises(RefusedError, match="PRICE_LIMIT"):
        market.dent(number, THREE, 40.0)  # the bids have not risen to the sum
    assert market.tend(number, ONE, 9_999.0) == pytest.approx(5_650.0)  # not more than the sum
    with pytest.raises(RefusedError, match="PRICE_LIMIT"):
        market.tend(number, TWO, 9_999.0)
    with pytest.raises(RefusedError, match="PRICE_LIMIT"):
        market.dent(number, TWO, 48.6)  # 50 / 1.03 is 48.54
    assert market.dent(number, TWO, 48.5) == pytest.approx(5_650.0)
    assert market.collateral("ann") == 71.5
    market.wait(599.0)
    with pytest.raises(RefusedError, match="NOT_ALLOWED"):
        market.deal(number)
    market.wait(1.0)
    with pytest.raises(RefusedError, match="STALE"):
        market.dent(number, ONE, 40.0)
    assert market.deal(number) == 0.0
    won, books = market.auction(number), market.books()
    assert (won["row"], won["lot"]) == (TWO, 48.5)
    assert books["penalties"] == pytest.approx(650.0, rel=1e-12)
    assert books["surplus"] == pytest.approx(650.0, rel=1e-12)
    assert books["issued"] == pytest.approx(12_000.0 - 5_650.0, rel=1e-15)
    market.check()


def test_an_auction_that_nobody_else_bids_in_goes_for_nothing_and_the_whole_debt_is_lost():
    market = crashed(ENGLISH)
    number = market.bite("ann")
    assert market.tend(number, ONE, 0.0) == 0.0
    market.wait(600.0)
    assert market.deal(number) == pytest.approx(5_000.0, rel=1e-15)
    won, books = market.auction(number), market.books()
    assert (won["row"], won["lot"], won["bid"]) == (ONE, 50.0, 0.0)
    assert books["written_off"] == books["unbacked"] == pytest.approx(5_000.0, rel=1e-15)
    assert books["issued"] == 12_000.0
    market.check()


def test_a_zero_bid_can_be_beaten_by_any_other_but_not_by_itself():
    market = crashed(ENGLISH)
    number = market.bite("ann")
    market.tend(number, ONE, 0.0)
    with pytest.raises(RefusedError, match="PRICE_LIMIT"):
        market.tend(number, TWO, 0.0)
    assert market.tend(number, TWO, 0.01) == 0.01


def test_each_bid_gives_the_bid_duration_anew_up_to_the_end_of_the_auction():
    market = crashed({"kind": "english", "auction_hours": 0.25})  # 15 minutes
    number = market.bite("ann")
    market.tend(number, ONE, 100.0)
    market.wait(599.0)
    market.tend(number, TWO, 200.0)
    market.wait(300.0)
    with pytest.raises(RefusedError, match="NOT_ALLOWED"):
        market.deal(number)
    market.wait(1.0)  # 15 minutes are over, the last bid is 301 s old
    with pytest.raises(RefusedError, match="STALE"):
        market.tend(number, ONE, 300.0)
    assert market.deal(number) == pytest.approx(4_800.0, rel=1e-14)


def test_an_auction_without_a_bid_is_restarted_and_never_ends_by_itself():
    market = crashed(ENGLISH)
    number = market.bite("ann")
    with pytest.raises(RefusedError, match="NOT_LIQUIDATABLE"):
        market.redo(number)
    market.wait(6 * 3_600.0)
    with pytest.raises(RefusedError, match="NOT_ALLOWED"):
        market.deal(number)
    with pytest.raises(RefusedError, match="STALE"):
        market.tend(number, ONE, 1.0)
    assert market.redo(number) == 0.0
    assert market.tend(number, ONE, 1.0) == 1.0


def test_a_vault_goes_lot_by_lot_until_it_is_safe_or_empty():
    market = crashed(ENGLISH)
    lots = [market.auction(market.bite("ann"))["lot"] for _ in range(3)]
    assert lots == [50.0, 50.0, 20.0]
    assert market.collateral("ann") == market.debt("ann") == 0.0
    with pytest.raises(RefusedError, match="NOT_LIQUIDATABLE"):
        market.bite("ann")
    market.check()


def test_a_closed_auction_leaves_the_others_open():
    market = crashed(ENGLISH)
    first, second, third = (market.bite("ann") for _ in range(3))
    for number in (first, second, third):
        market.tend(number, ONE, 10.0)
    market.wait(600.0)
    for number in (second, first, third):
        market.deal(number)
        with pytest.raises(RefusedError, match="NO_POSITION"):
            market.deal(number)
        market.check()
    assert market.books()["auction_debt"] == pytest.approx(0.0, abs=1e-9)


def test_there_is_room_for_any_number_of_auctions():
    market = CdpMarket(200.0, liquidation={"kind": "english", "lot_size": 0.01})
    market.deposit("ann", 60.0)
    market.draw("ann", 6_000.0)
    market.set_price(140.0)
    for _ in range(5_000):
        market.bite("ann")
    assert market.collateral("ann") == pytest.approx(10.0)
    assert market.auction(4_999)["place"] == 4_999
    market.check(scale=6_000.0)


# --- Dutch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "price"), [(0, 168.0), (89, 168.0), (90, 166.32), (180, 164.6568), (269, 164.6568)]
)
def test_a_price_falls_by_a_factor_at_each_step(seconds, price):
    market = crashed(DUTCH)
    number = market.bite("ann")  # starts at 1.2 * 140
    market.wait(seconds)
    assert market.auction_price(number) == pytest.approx(price, rel=1e-14)


@pytest.mark.parametrize(
    ("seconds", "price"), [(0, 168.0), (5_400, 126.0), (10_800, 84.0), (21_600, 0.0), (30_000, 0)]
)
def test_a_price_falls_in_a_line(seconds, price):
    market = crashed(DUTCH | {"curve": LINEAR, "stale_after_minutes": 1_000.0})
    number = market.bite("ann")
    market.wait(seconds)
    assert market.auction_price(number) == pytest.approx(price, rel=1e-14)


def test_a_dutch_auction_sells_until_debt_and_penalty_are_raised_and_gives_the_rest_back():
    # 13,560 are to be raised. 20 ETH at 168 pay 3,360; 10,200 are left, 61.326 ETH at 166.32.
    market = crashed(DUTCH)
    number = market.bite("ann")
    assert market.take(number, 20.0) == (20.0, pytest.approx(3_360.0, rel=1e-14))
    market.wait(90.0)
    taken, paid = market.take(number)
    assert paid == pytest.approx(10_200.0, rel=1e-12)
    assert taken == pytest.approx(10_200.0 / 166.32, rel=1e-12)
    assert market.collateral("ann") == pytest.approx(100.0 - 10_200.0 / 166.32, rel=1e-12)
    books = market.books()
    assert books["surplus"] == pytest.approx(1_560.0, rel=1e-12)
    assert books["issued"] == pytest.approx(12_000.0 - 13_560.0, rel=1e-12)
    assert market.debt("ann") == books["written_off"] == 0.0
    market.check()


def test_a_lot_that_is_sold_out_below_the_debt_leaves_a_deficit():
    # At a first price of 60, 120 ETH bring 7,200 of 12,000.
    market = crashed(DUTCH, price=50.0)
    number = market.bite("ann")
    assert market.take(number) == (120.0, pytest.approx(7_200.0, rel=1e-14))
    assert market.books()["unbacked"] == pytest.approx(4_800.0, rel=1e-12)
    market.check()


def test_a_part_may_not_leave_less_than_the_floor_to_be_raised():
    # The floor is 2,000 and its penalty: 2,260. 13,560 - 2,260 = 11,300 may be paid.
    market = crashed(DUTCH, debt_floor=2_000.0)
    number = market.bite("ann")
    taken, paid = market.take(number, 75.0)  # 12,600 would leave 960
    assert paid == pytest.approx(11_300.0, rel=1e-14)
    assert taken == pytest.approx(11_300.0 / 168.0, rel=1e-14)
    with pytest.raises(RefusedError, match="DUST"):
        market.take(number, 1.0)
    assert market.take(number).paid == pytest.approx(2_260.0, rel=1e-12)


def test_nobody_pays_more_than_the_price_named():
    market = crashed(DUTCH)
    number = market.bite("ann")
    with pytest.raises(RefusedError, match="PRICE_LIMIT"):
        market.take(number, 1.0, most_price=167.0)
    market.wait(90.0)
    assert market.take(number, 1.0, most_price=167.0).paid == pytest.approx(166.32)


def test_a_stale_auction_is_restarted_at_a_new_price():
    # After 92 steps, 8,280 s, the price is 0.99^92 = 0.397 of the first, below 0.4.
    market = crashed(DUTCH)
    number = market.bite("ann")
    market.wait(8_279.0)
    with pytest.raises(RefusedError, match="NOT_LIQUIDATABLE"):
        market.redo(number)
    market.wait(1.0)
    with pytest.raises(RefusedError, match="STALE"):
        market.take(number)
    market.set_price(100.0)
    market.redo(number)
    assert market.auction_price(number) == pytest.approx(120.0)


def test_an_auction_is_stale_after_its_time():
    market = crashed(DUTCH | {"stale_after_minutes": 10.0})
    number = market.bite("ann")
    market.wait(600.0)
    assert market.take(number, 1.0).taken == 1.0
    market.wait(1.0)
    with pytest.raises(RefusedError, match="STALE"):
        market.take(number, 1.0)


def test_whoever_starts_an_auction_is_paid_with_new_debt_tokens():
    # 250 and a thousandth of 13,560, for the start and again for the restart.
    market = crashed({"kind": "dutch"})
    number = market.bite("ann")
    assert market.books()["unbacked"] == pytest.approx(263.56, rel=1e-12)
    market.wait(140 * 60.0 + 1.0)
    assert market.redo(number) == pytest.approx(263.56, rel=1e-12)
    books = market.books()
    assert books["issued"] == pytest.approx(12_527.12, rel=1e-14)
    assert books["incentives"] == books["unbacked"] == pytest.approx(527.12, rel=1e-12)
    market.check()


def test_penalties_heal_what_the_keepers_were_paid():
    market = crashed({"kind": "dutch"})
    market.take(market.bite("ann"))
    books = market.books()
    assert books["healed"] == pytest.approx(263.56, rel=1e-9)
    assert books["surplus"] == pytest.approx(1_560.0 - 263.56, rel=1e-9)
    assert books["unbacked"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda m, n: m.tend(n, ONE, 1.0),
        lambda m, n: m.dent(n, ONE, 1.0),
        lambda m, n: m.deal(n),
    ],
    ids=["tend", "dent", "deal"],
)
def test_a_dutch_auction_takes_no_bids(call):
    market = crashed(DUTCH)
    with pytest.raises(RefusedError, match="NOT_ALLOWED"):
        call(market, market.bite("ann"))


@pytest.mark.parametrize("amount", [-1.0, math.nan, math.inf])
def test_a_bid_that_is_no_amount_is_refused(amount):
    market = crashed(ENGLISH)
    number = market.bite("ann")
    with pytest.raises(RefusedError, match="BAD_AMOUNT"):
        market.tend(number, ONE, amount)
    with pytest.raises(RefusedError, match="NOT_ALLOWED"):
        market.take(number)
