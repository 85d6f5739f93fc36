"""Impact of trades on the reference price against its closed form."""

import math

import numpy as np
import pytest

from sim.kernel import bind
from sim.reference.config import ImpactConfig, VenueTermsConfig
from sim.reference.impact import (
    ImpactState,
    apply_trade,
    decay,
    make_impact,
    make_venue_terms,
    quote_taker,
    reference_price,
    transient_at,
)
from sim.units import ticks

MINUTE_TICKS = ticks(60.0)
CALIBRATED = ImpactConfig(daily_volume_usd=3.3e9, volatility=0.28)


def terms(spread_bps=0.0, taker_fee_bps=0.0):
    return make_venue_terms(
        [VenueTermsConfig(spread_bps=spread_bps, taker_fee_bps=taker_fee_bps)] * 2
    )


def test_ten_million_sold_on_black_thursday_move_the_price_as_calibrated():
    state = make_impact([CALIBRATED])
    apply_trade(state, 0, -1e7, 0)
    # 0.3 x 0.28 x 1e7 / 3.3e9 = 0.0255 %, and 7 / 0.3 times as much for a while: 0.594 %.
    assert state.permanent[0] == pytest.approx(-0.000254545, rel=1e-5)
    assert state.transient[0] == pytest.approx(-0.00593939, rel=1e-5)


def test_transient_impact_halves_in_each_half_life():
    state = make_impact([CALIBRATED])
    apply_trade(state, 0, 1e8, 0)
    start = state.transient[0]
    for count in (1, 2, 5):
        assert transient_at(state, 0, count * 15 * MINUTE_TICKS) == pytest.approx(start / 2**count)
    decay(state, 0, 15 * MINUTE_TICKS)
    assert state.transient[0] == pytest.approx(start / 2)
    assert transient_at(state, 0, 30 * MINUTE_TICKS) == pytest.approx(start / 4)


def test_permanent_impact_is_the_sum_over_trades_and_transient_their_decayed_sum():
    state = make_impact([None, CALIBRATED])
    trades = [(0, 4e6), (3, -9e6), (3, 1e6), (50, 2.5e7)]
    for minute, volume in trades:
        apply_trade(state, 1, volume, minute * MINUTE_TICKS)
    now = 61
    scale = 0.28 / 3.3e9
    permanent = math.fsum(0.3 * scale * volume for _, volume in trades)
    transient = math.fsum(
        7.0 * scale * volume * 2 ** -((now - minute) / 15) for minute, volume in trades
    )
    assert state.permanent[1] == pytest.approx(permanent, rel=1e-13)
    price = reference_price(state, 1, 150.0, now * MINUTE_TICKS)
    assert price == pytest.approx(150 * math.exp(permanent + transient), rel=1e-13)


def test_impact_does_not_depend_on_how_a_trade_is_split():
    whole, split = make_impact([CALIBRATED]), make_impact([CALIBRATED])
    apply_trade(whole, 0, 1e7, 5)
    for _ in range(8):
        apply_trade(split, 0, 1e7 / 8, 5)
    assert split.transient[0] == pytest.approx(whole.transient[0], rel=1e-14)


@pytest.mark.parametrize(
    "config",
    [
        None,
        ImpactConfig(
            daily_volume_usd=1e6,
            volatility=0.5,
            permanent_coefficient=0.0,
            transient_coefficient=0.0,
        ),
    ],
)
def test_zero_coefficients_leave_the_price_exactly_at_the_fundamental(config):
    state = make_impact([config])
    for fundamental in np.linspace(0.1, 3e5, 97):
        apply_trade(state, 0, 1e12, 3)
        assert reference_price(state, 0, fundamental, 10**15) == fundamental
        assert quote_taker(state, terms(), 0, fundamental, 1e9, 4) == fundamental


def test_trades_move_no_other_asset():
    state = make_impact([CALIBRATED, CALIBRATED])
    apply_trade(state, 1, 1e9, 8)
    assert reference_price(state, 0, 7.0, 9) == 7.0


def test_a_trade_pays_the_mean_of_the_prices_it_passes():
    state = make_impact([CALIBRATED])
    before = reference_price(state, 0, 100.0, 0)
    paid = quote_taker(state, terms(), 0, 100.0, 2e7, 0)
    apply_trade(state, 0, 2e7, 0)
    after = reference_price(state, 0, 100.0, 0)
    assert paid == pytest.approx(math.sqrt(before * after), rel=1e-14)


@pytest.mark.parametrize("volume", [-1e8, 1e5, 1e8])
def test_a_round_trip_never_profits(volume):
    state = make_impact([CALIBRATED])
    first = quote_taker(state, terms(), 0, 100.0, volume, 0)
    apply_trade(state, 0, volume, 0)
    second = quote_taker(state, terms(), 0, 100.0, -volume, 0)
    # At once the way back is the way there; later the transient part has faded and is lost.
    assert second == pytest.approx(first, rel=1e-14)
    later = quote_taker(state, terms(), 0, 100.0, -volume, MINUTE_TICKS)
    assert (later - first) * volume < 0


def test_spread_and_fee_are_paid_on_either_side():
    state = make_impact([None])
    # Half of 20 bp each side, then a fee of 10 bp.
    assert quote_taker(state, terms(20, 10), 0, 100.0, 5.0, 0) == pytest.approx(100 * 1.001 * 1.001)
    assert quote_taker(state, terms(20, 10), 0, 100.0, -5.0, 0) == pytest.approx(
        100 * 0.999 * 0.999
    )


def test_the_state_can_be_bound_for_compiled_code():
    assert len(bind(make_impact([None, CALIBRATED]))) == 2 * len(ImpactState._fields)
    assert len(bind(terms())) == 4
