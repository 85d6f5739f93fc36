"""Lending quantities of small markets, by hand."""

import math

import numpy as np
import pytest

from analysis.lending import (
    bad_debt_path,
    bad_debt_summary,
    borrow_usage,
    borrower_liquidation_loss,
    debt_at,
    herfindahl,
    hours_at_full_utilization,
    insolvent_debt_path,
    lender_loss,
    liquidation_delays,
    liquidations_at_risk,
    liquidator_shares,
    market_income,
    usage_summary,
    vault_income,
)
from analysis.series import quantile
from tests.analysis.builders import frame, rows


def positions():
    """Return two accounts at 0, 1 and 2 h; account 1 is 30 under water at 1 h and written off."""
    return frame(
        "positions",
        time=[0.0, 0.0, 3_600.0, 3_600.0, 7_200.0],
        venue="aave",
        position=[0, 1, 0, 1, 0],
        collateral=[200.0, 120.0, 150.0, 70.0, 95.0],
        debt=[100.0, 100.0, 100.0, 100.0, 100.0],
        health_factor=[1.6, 0.96, 1.2, 0.56, 0.76],
        shortfall=[0.0, 0.0, 0.0, 30.0, 5.0],
    )


def markets():
    """Return a reserve that writes off 20 between 1 and 2 h."""
    return frame(
        "lending",
        time=[0.0, 3_600.0, 5_400.0, 7_200.0],
        venue="aave",
        chain="mainnet",
        token="mainnet/USD",
        bad_debt=[0.0, 0.0, 20.0, 20.0],
        utilization=[0.5, 0.9995, 1.0, 0.7],
    )


def test_bad_debt_adds_what_is_latent_and_what_is_recognized():
    path = bad_debt_path(positions(), markets())
    assert path["aave"].to_list() == [0.0, 30.0, 5.0 + 20.0]
    assert path.index.to_list() == [0.0, 3_600.0, 7_200.0]


def test_bad_debt_without_debtors_is_what_markets_recognized():
    path = bad_debt_path(frame("positions"), markets())
    assert path["aave"].to_list() == [0.0, 0.0, 20.0, 20.0]


def test_bad_debt_peak_is_reported_beside_its_end():
    found = bad_debt_summary(positions(), markets(), 0.0)
    assert (found["bad_debt_peak"], found["bad_debt_end"]) == (30.0, 25.0)
    assert (found["bad_debt_share_peak"], found["bad_debt_share_end"]) == (30 / 200, 25 / 200)
    assert found["debt_start"] == 200.0


def test_insolvent_debt_is_the_whole_debt_of_accounts_under_water():
    assert insolvent_debt_path(positions()).to_list() == [0.0, 100.0, 100.0]


def test_the_warm_up_is_left_out():
    found = bad_debt_summary(positions(), markets(), 7_200.0)
    assert (found["debt_start"], found["bad_debt_peak"]) == (100.0, 25.0)
    used = usage_summary(positions(), markets(), 7_200.0)
    assert used["hours_at_full_utilisation"] == 0.0


def test_lender_loss_is_the_growth_of_bad_debt_since_the_start():
    path = bad_debt_path(positions(), markets()).sum(axis=1)
    assert lender_loss(path, 0.0) == 25.0
    assert lender_loss(path, 3_600.0) == -5.0


def test_debt_is_read_at_the_nearest_sample():
    assert debt_at(positions(), 6_000.0) == 100.0
    assert debt_at(frame("positions"), 0.0) == 0.0


def test_a_full_reserve_counts_until_the_next_sample():
    # full from 3,600 to 5,400 (99.95 %) and from 5,400 to 7,200 s
    assert hours_at_full_utilization(markets()).to_dict() == {"aave USD": 1.0}


def liquidations():
    return frame(
        "liquidations",
        time=[60.0, 120.0, 600.0],
        venue="aave",
        position=[1, 1, 2],
        liquidator_population="keepers",
        liquidator_account=[4, 4, 9],
        debt_usd=[50.0, 25.0, 25.0],
        seized_usd=[54.0, 27.0, 26.0],
        delay=[60.0, 120.0, 300.0],
    )


def test_borrowers_lose_what_is_seized_beyond_the_debt_repaid():
    assert borrower_liquidation_loss(liquidations()) == pytest.approx(54 + 27 + 26 - 100)


def test_delay_counts_the_first_liquidation_of_an_account_and_never_as_infinite():
    last = positions()[positions()["time"] == 7_200.0]  # account 0 at 0.76, never liquidated
    delays = liquidation_delays(liquidations(), last)
    assert sorted(delays) == [60.0, 300.0, math.inf]
    assert quantile(delays, 0.5) == 300.0
    assert quantile(delays, 0.9) == math.inf
    assert math.isnan(quantile([], 0.5))


def test_concentration_of_liquidators_is_the_sum_of_squared_shares():
    shares = liquidator_shares(liquidations())
    assert shares.to_dict() == {("keepers", 4): 75.0, ("keepers", 9): 25.0}
    assert herfindahl(shares) == pytest.approx(0.75**2 + 0.25**2)
    assert math.isnan(herfindahl(shares[:0]))


def test_two_markets_keep_their_bad_debt_apart():
    two = rows(
        "positions",
        [
            {"time": [0.0, 60.0], "venue": "a", "debt": 10.0, "shortfall": [1.0, 0.0]},
            {"time": [0.0], "venue": "b", "debt": 10.0, "shortfall": [2.0]},
        ],
    )
    path = bad_debt_path(two, frame("lending"))
    np.testing.assert_array_equal(path.to_numpy(), [[1.0, 2.0], [0.0, 0.0]])


# --- revenue, usage, values at risk --------------------------------------------------------------


def test_liquidations_at_risk_are_a_quantile_over_hours_quiet_ones_included():
    # 20 hours; of them one with 30 + 20 and one with 7: 18 of 20 hours are below any of it
    done = frame("liquidations", time=[3_600.0, 3_700.0, 9_000.0], debt_usd=[30.0, 20.0, 7.0])
    assert liquidations_at_risk(done, 0.0, 20 * 3_600.0) == 7.0  # the 19th of 20
    assert liquidations_at_risk(done, 0.0, 100 * 3_600.0) == 0.0
    assert liquidations_at_risk(frame("liquidations"), 0.0, 7_200.0) == 0.0


def test_insolvent_debt_at_risk_is_its_quantile_over_samples():
    found = bad_debt_summary(positions(), markets(), 0.0)
    assert found["insolvent_debt_var95"] == 100.0  # of 0, 100, 100


def test_usage_is_debt_over_collateral_on_average():
    # 200 / 320, 200 / 220 and 100 / 95 at the three samples
    assert borrow_usage(positions()) == pytest.approx((200 / 320 + 200 / 220 + 100 / 95) / 3)
    assert math.isnan(borrow_usage(frame("positions")))


def test_income_of_a_treasury_is_its_growth_and_what_bad_debt_took_of_it():
    reserves = frame(
        "lending",
        time=[0.0, 3_600.0, 7_200.0, 0.0, 7_200.0],
        venue="aave",
        token=["a/USD", "a/USD", "a/USD", "a/ETH", "a/ETH"],
        treasury=[10.0, 14.0, 9.0, 1.0, 1.5],
        borne_by_treasury=[0.0, 0.0, 8.0, 0.0, 0.0],
        oracle_price=[1.0, 1.0, 1.0, 200.0, 100.0],
    )
    assert market_income(reserves, 0.0) == pytest.approx((17.0 - 10.0) + 0.5 * 100.0)
    assert market_income(reserves, 3_600.0) == pytest.approx((17.0 - 14.0) + 0.5 * 100.0)


def test_income_of_a_cdp_market_is_what_it_healed_bore_and_kept():
    losses = frame(
        "deficits",
        time=[0.0, 3_600.0],
        venue="maker",
        token="mainnet/DAI",
        surplus=[5.0, 2.0],
        from_surplus=[0.0, 10.0],
        healed=[0.0, 1.0],
    )
    prices = frame("prices", time=[0.0, 3_600.0], asset="DAI", reference=[1.0, 1.1])
    assets = {"mainnet/DAI": "DAI"}
    assert vault_income(losses, prices, assets, 0.0) == pytest.approx((13.0 - 5.0) * 1.1)
    assert vault_income(losses, frame("prices"), {}, 0.0) == pytest.approx(8.0)
    assert vault_income(frame("deficits"), prices, assets, 0.0) == 0.0
