"""Rates by hand, growth against exact compounding."""

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest

from sim.lending.config import ReserveConfig
from sim.lending.facade import LendingMarket
from sim.lending.interest_rate import (
    compound_growth,
    compound_growth_in_ray,
    kinked_rate,
    linear_growth,
    supplier_rate,
)
from sim.units import DAY, YEAR

CURVE = (0.0, 0.055, 0.60, 0.90)


@pytest.mark.parametrize(
    ("utilization", "rate"),
    [(0.0, 0.0), (0.45, 0.0275), (0.90, 0.055), (0.95, 0.355), (1.0, 0.655)],
)
def test_the_borrow_rate_follows_the_kinked_curve(utilization, rate):
    assert kinked_rate(utilization, *CURVE) == pytest.approx(rate, rel=1e-12, abs=1e-15)


def test_a_base_rate_is_added_on_both_sides_of_the_kink():
    assert kinked_rate(0.4, 0.01, 0.04, 1.0, 0.8) == pytest.approx(0.03, rel=1e-12)
    assert kinked_rate(0.9, 0.01, 0.04, 1.0, 0.8) == pytest.approx(0.55, rel=1e-12)


def test_suppliers_earn_what_borrowers_pay_less_the_reserve_factor():
    assert supplier_rate(0.355, 0.95, 0.10) == pytest.approx(0.303525, rel=1e-12)


def test_a_market_at_95_percent_charges_35_5_and_pays_30_3525_percent():
    market = LendingMarket({"USD": ReserveConfig(price=1.0), "ETH": ReserveConfig(price=2000.0)})
    market.supply("lender", "USD", 1_000.0)
    market.supply("borrower", "ETH", 1.0)
    market.borrow("borrower", "USD", 950.0)
    assert market.utilization("USD") == pytest.approx(0.95, rel=1e-12)
    assert market.borrow_rate("USD") == pytest.approx(0.355, rel=1e-9)
    assert market.supply_rate("USD") == pytest.approx(0.303525, rel=1e-9)


@pytest.mark.parametrize("seconds", [0, 1, 2, 3])
def test_growth_is_exact_compounding_for_three_seconds(seconds):
    rate = YEAR / 1_000.0  # a tenth of a percent per second: the powers are far above rounding
    exact = Fraction(1001, 1000) ** seconds
    assert compound_growth(rate, float(seconds)) == pytest.approx(float(exact), rel=1e-15)


@pytest.mark.parametrize(("rate", "seconds"), [(0.05, DAY), (1.0, DAY), (0.3, 30 * DAY)])
def test_growth_falls_short_of_compounding_by_the_next_term_of_the_series(rate, seconds):
    with localcontext(prec=50):
        exact = (1 + Decimal(rate) / Decimal(YEAR)) ** int(seconds)
        short = float(exact - Decimal(float(compound_growth(rate, seconds))))
    next_term = (rate * seconds / YEAR) ** 4 / 24.0
    assert short == pytest.approx(next_term, rel=0.01, abs=4e-16)


def test_supply_grows_linearly():
    assert linear_growth(0.10, YEAR / 4) == pytest.approx(1.025, rel=1e-15)


@pytest.mark.parametrize("rate", [10**25, 4 * 10**25, 5 * 10**26])
@pytest.mark.parametrize("seconds", [1, 86_400, 2_740_383, 31_536_000])
def test_growth_in_ray_keeps_the_contract_digits(rate, seconds):
    ray, year, n = 10**27, 31_536_000, seconds
    square = (rate * rate + ray // 2) // ray // year**2
    cube = (square * rate + ray // 2) // ray // year
    exact = ray + rate * n // year + n * (n - 1) * square // 2 + n * (n - 1) * (n - 2) * cube // 6
    grown = compound_growth_in_ray(rate / ray, float(n))
    assert grown == pytest.approx(exact / ray, rel=1e-14)
