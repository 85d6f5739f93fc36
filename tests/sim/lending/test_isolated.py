"""Isolated markets against an integer reference, published numbers and hand arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError, RefusedError
from sim.lending.adaptive_rate import contract_exponential
from sim.lending.isolated import incentive_factor
from sim.lending.isolated_facade import IsolatedMarket
from sim.orders import BORROW, FLASH_LOAN, FLASH_REPAY, LIQUIDATE, WITHDRAW
from sim.status import Status
from sim.trial import Request, Trial, actors, small_plan
from sim.units import ticks
from tests.examples import FED, PAIR, POOL, config_of, feeds, open_books, venue

DAY = 86_400.0
WAD = 10**18


class Reference:
    """The published rules in whole units: shares, virtual shares, interest, bad debt."""

    def __init__(self, threshold: float, fee: float, price: float) -> None:
        self.threshold, self.fee = round(threshold * WAD), round(fee * WAD)
        self.price = price
        self.assets = self.shares = self.debt = self.debt_shares = 0
        self.rate = 0.04
        self.supplied: dict[str, int] = {}
        self.owed: dict[str, int] = {}
        self.pledged: dict[str, int] = {}

    def _down(self, amount: int, total: int, per: int) -> int:
        return amount * total // per

    def _up(self, amount: int, total: int, per: int) -> int:
        return -(-amount * total // per)

    def accrue(self, seconds: int) -> None:
        used = self.debt / self.assets if self.assets else 0.0
        error = (used - 0.9) / (0.1 if used > 0.9 else 0.9)
        x = 50.0 * error * seconds / (365 * DAY)
        end, middle = (
            min(max(self.rate * contract_exponential.py_func(part), 0.001), 2.0) if x else self.rate
            for part in (x, x / 2.0)
        )
        mean = (self.rate + end + 2.0 * middle) / 4.0
        charged = mean * (1.0 + (3.0 if error >= 0.0 else 0.75) * error)
        self.rate = end
        first = round(charged / (365 * DAY) * WAD * seconds)
        second = first * first // (2 * WAD)
        third = second * first // (3 * WAD)
        interest = self.debt * (first + second + third) // WAD
        self.debt += interest
        self.assets += interest
        fee = interest * self.fee // WAD
        new = self._down(fee, self.shares + 10**6, self.assets - fee + 1)
        self.supplied["fee"] = self.supplied.get("fee", 0) + new
        self.shares += new

    def supply(self, user: str, amount: int) -> None:
        shares = self._down(amount, self.shares + 10**6, self.assets + 1)
        self.supplied[user] = self.supplied.get(user, 0) + shares
        self.shares, self.assets = self.shares + shares, self.assets + amount

    def withdraw(self, user: str, amount: int) -> bool:
        shares = self._up(amount, self.shares + 10**6, self.assets + 1)
        if shares > self.supplied.get(user, 0) or self.assets - amount < self.debt:
            return False
        self.supplied[user] -= shares
        self.shares, self.assets = self.shares - shares, self.assets - amount
        return True

    def debt_of(self, user: str) -> int:
        return self._up(self.owed.get(user, 0), self.debt + 1, self.debt_shares + 10**6)

    def is_healthy(self, user: str, more: int = 0) -> bool:
        worth = round(self.pledged.get(user, 0) * self.price) * self.threshold // WAD
        return worth >= self.debt_of(user) + more

    def borrow(self, user: str, amount: int) -> bool:
        if not self.is_healthy(user, amount) or self.debt + amount > self.assets:
            return False
        shares = self._up(amount, self.debt_shares + 10**6, self.debt + 1)
        self.owed[user] = self.owed.get(user, 0) + shares
        self.debt, self.debt_shares = self.debt + amount, self.debt_shares + shares
        return True

    def repay(self, user: str, amount: int) -> bool:
        shares = self._down(amount, self.debt_shares + 10**6, self.debt + 1)
        if shares > self.owed.get(user, 0):
            return False
        self.owed[user] -= shares
        self.debt, self.debt_shares = max(self.debt - amount, 0), self.debt_shares - shares
        return True

    def seize_all(self, user: str) -> bool:
        """Take all collateral of an account; what stays owed falls on the suppliers."""
        if self.is_healthy(user) or not self.pledged.get(user, 0):
            return False
        factor = min(1.15, 1.0 / (1.0 - 0.3 * (1.0 - self.threshold / WAD)))
        repaid = min(round(self.pledged[user] * self.price / factor), self.debt_of(user))
        shares = min(self._down(repaid, self.debt_shares + 10**6, self.debt + 1), self.owed[user])
        self.owed[user] -= shares
        self.debt, self.debt_shares = max(self.debt - repaid, 0), self.debt_shares - shares
        self.pledged[user] = 0
        bad = min(self.debt, self.debt_of(user))
        self.debt, self.assets = self.debt - bad, self.assets - bad
        self.debt_shares -= self.owed[user]
        self.owed[user] = 0
        return True

    def claim_of(self, user: str) -> int:
        return self._down(self.supplied.get(user, 0), self.assets + 1, self.shares + 10**6)


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threshold", "factor"), [(0.77, 1.07411), (0.86, 1.04384), (0.915, 1.02617), (0.945, 1.01678)]
)
def test_the_incentive_leaves_seventy_percent_of_the_cushion(threshold, factor):
    assert incentive_factor(threshold) == pytest.approx(factor, abs=5e-6)
    assert incentive_factor(0.5) == 1.15


def used(share, **terms):
    """A market of a million lent, of which a share is borrowed."""
    market = IsolatedMarket(0.86, 1.0, **terms)
    market.supply("bank", 1e6)
    market.supply_collateral("ann", 2e6)
    market.borrow("ann", share * 1e6)
    return market


@pytest.mark.parametrize(
    ("share", "days", "end", "charged"),
    [
        (1.0, 5, 0.0793454, 0.2320187),
        (0.95, 1, 0.0428357, 0.1035143),
        (0.45, 5, 0.0284007, 0.0212204),
    ],
)
def test_the_rate_moves_and_is_charged_as_the_published_curve(share, days, end, charged):
    market = used(share, exact_exponential=True)
    market.accrue(days * DAY)
    assert market.rate_at_target() == pytest.approx(end, abs=5e-8)
    x = charged * days / 365.0
    growth = 1.0 + x + x**2 / 2.0 + x**3 / 6.0
    assert market.owed("ann") / (share * 1e6) - 1.0 == pytest.approx(growth - 1.0, rel=3e-6)


def test_the_rate_at_full_use_doubles_in_five_days_and_stops_at_its_bounds():
    market = used(1.0, exact_exponential=True)
    market.accrue(math.log(2.0) / 50.0 * 365.0 * DAY)
    assert market.rate_at_target() == pytest.approx(0.08, rel=1e-9)
    market.accrue(100 * DAY)
    assert market.rate_at_target() == 2.0
    assert market.borrow_rate() == pytest.approx(8.0)


def test_the_exponential_of_the_contract_is_a_parabola_around_powers_of_two():
    """At x = 0.3424657: 1 + x + x^2 / 2; at 0.6849315 = ln 2 - 0.0082157: twice the parabola."""
    x, r = 0.3424657, 0.6849315 - math.log(2.0)
    assert contract_exponential(x) == pytest.approx(1.0 + x + x * x / 2.0, rel=1e-15)
    assert contract_exponential(0.6849315) == pytest.approx(2.0 * (1.0 + r + r * r / 2), rel=1e-14)
    inverse = contract_exponential(-0.6849315)
    assert inverse == pytest.approx(0.5 * (1.0 - r + r * r / 2.0), rel=1e-14)
    errors = [abs(contract_exponential(x) / math.exp(x) - 1.0) for x in np.linspace(-5, 5, 999)]
    assert 0.008 < max(errors) < 0.0095


def test_all_interest_less_the_fee_is_the_suppliers():
    market = used(0.9, fee=0.1)
    before = market.owed("ann")
    market.accrue(30 * DAY)
    interest = market.owed("ann") - before
    assert interest == pytest.approx(900_000 * (math.exp(0.04 * 30 / 365) - 1.0), rel=1e-5)
    assert market.supplied("bank") - 1e6 == pytest.approx(0.9 * interest, rel=1e-9)
    assert market.fees() == pytest.approx(0.1 * interest, rel=1e-9)


def test_bad_debt_falls_on_suppliers_in_proportion_at_once():
    """80,000 owed; collateral worth 60,000 pays 60,000 / 1.04384; 22,520 are lost on 100,000."""
    market = IsolatedMarket(0.86, 100.0)
    market.supply("bank", 75_000.0)
    market.supply("fund", 25_000.0)
    market.supply_collateral("ann", 1_000.0)
    market.borrow("ann", 80_000.0)
    market.set_price(60.0)
    moved = market.liquidate("ann", seized=1_000.0)
    assert moved.seized == pytest.approx(1_000.0)
    assert moved.repaid == pytest.approx(60_000.0 / 1.0438413, rel=1e-6)
    lost = 80_000.0 - moved.repaid
    assert moved.bad_debt == pytest.approx(lost, rel=1e-9)
    assert market.supplied("bank") == pytest.approx(75_000.0 - 0.75 * lost, rel=1e-9)
    assert market.supplied("fund") == pytest.approx(25_000.0 - 0.25 * lost, rel=1e-9)
    assert market.owed("ann") == 0.0


def test_a_part_of_any_size_can_be_liquidated():
    market = used(0.9)
    market.set_price(0.5)
    assert market.health_factor("ann") == pytest.approx(0.86 / 0.9)
    moved = market.liquidate("ann", repaid=1.0)
    assert moved.seized == pytest.approx(incentive_factor(0.86) / 0.5)
    with pytest.raises(RefusedError, match="NOT_LIQUIDATABLE"):
        used(0.9).liquidate("ann")


def test_at_full_utilization_collateral_is_still_paid_out_and_claims_are_not():
    market = used(1.0)
    with pytest.raises(RefusedError, match="NO_CASH"):
        market.withdraw("bank", 1.0)
    with pytest.raises(RefusedError, match="NO_CASH"):
        market.borrow("ann", 1.0)
    market.withdraw_collateral("ann", 1.0)
    market.set_price(0.55)
    assert market.liquidate("ann", repaid=1_000.0).seized > 1_000.0


def test_a_withdrawal_of_collateral_writes_the_interest_of_the_loan_down():
    market = used(0.5)
    market.market.now += ticks(DAY)
    market.withdraw_collateral("ann", 1.0)
    assert int(market.market.state.reserves[1]["last_update"]) == ticks(DAY)
    market = used(0.5)
    market.market.now += ticks(DAY)
    market.supply_collateral("ann", 1.0)
    assert int(market.market.state.reserves[1]["last_update"]) == 0


def test_the_adaptive_curve_has_no_slopes_to_set():
    guardian = used(0.5).market.guardian("loan")
    with pytest.raises(InputError, match=r"slope1 .*adaptive curve"):
        guardian.set_rates(slope1=0.1)
    guardian.set_rates(reserve_factor=0.2)
    assert guardian.asset["reserve_factor"] == 0.2


AMOUNTS = st.integers(10**18, 10**23)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["supply", "withdraw", "pledge", "borrow", "repay", "wait", "crash"]),
        st.sampled_from(["ann", "bob"]),
        AMOUNTS,
    ),
    max_size=40,
)


@given(STEPS)
@settings(max_examples=25, deadline=None)
def test_any_sequence_agrees_with_whole_units(steps):
    """Same refusals, claims and debts; an amount within 1e-9 of a limit is not asked for."""
    exact, market = Reference(0.8, 0.1, 1.0), IsolatedMarket(0.8, 1.0, fee=0.1)
    for user in ("ann", "bob"):
        exact.supply(user, 10**22)
        market.supply(user, 1e4)
    for verb, user, amount in steps:
        if verb == "wait":
            exact.accrue(amount // 10**18)
            market.accrue(amount // 10**18)
        elif verb == "pledge":
            exact.pledged[user] = exact.pledged.get(user, 0) + amount
            market.supply_collateral(user, amount / WAD)
        elif verb == "crash":
            exact.price = 0.7
            market.set_price(0.7)
            check_liquidation(exact, market, user)
            exact.price = 1.0
            market.set_price(1.0)
        elif verb == "supply":
            exact.supply(user, amount)
            market.supply(user, amount / WAD)
        else:
            is_done = getattr(exact, verb)(user, amount)
            if is_done:
                getattr(market, verb)(user, amount / WAD)
            elif verb != "repay":  # there more than the debt is cut to it
                with pytest.raises(RefusedError):
                    getattr(market, verb)(user, amount / WAD)
        for name in ("ann", "bob"):
            assert market.supplied(name) == pytest.approx(exact.claim_of(name) / WAD, rel=1e-9)
            assert market.owed(name) == pytest.approx(exact.debt_of(name) / WAD, rel=1e-9, abs=1e-9)
    assert market.rate_at_target() == pytest.approx(exact.rate, rel=1e-9)


def check_liquidation(exact, market, user):
    if exact.seize_all(user):
        market.liquidate(user, seized=market.collateral(user))
        if exact.debt_of(user) == 0 and market.collateral(user) > 0.0:
            market.withdraw_collateral(user)  # the reference takes all that was pledged
    else:
        with pytest.raises(RefusedError):
            market.liquidate(user)


# --- in a world ----------------------------------------------------------------------------------

MARKET = 2


def make_trial():
    market = config_of("lending", reserves=FED, isolated_pair=PAIR)
    pool = config_of("constant_product", **POOL)
    venues = (*feeds(), venue("market", market), venue("pool", pool))
    return Trial(small_plan(venues, (actors(open_books),), seed=1))


def test_a_world_lends_and_refuses_as_the_pair_says():
    """10 ETH at 2,000 carry 17,200 at 86 %: account 0 owes 8,000 and may owe 9,200 more."""
    trial = make_trial()
    assert trial.send(Request(MARKET, BORROW, 0, a=0, b=1, amount=9_201.0)).status == (
        Status.UNHEALTHY
    )
    assert trial.send(Request(MARKET, BORROW, 0, a=0, b=0, amount=1.0)).status == (
        Status.NOT_COLLATERAL
    )
    assert trial.send(Request(MARKET, BORROW, 0, a=0, b=1, amount=9_199.0)).status == Status.OK
    assert trial.send(Request(MARKET, WITHDRAW, 0, a=0, b=0, amount=1.0)).status == (
        Status.UNHEALTHY
    )
    trial.world.check()


def test_bad_debt_in_a_world_leaves_no_deficit_open():
    """Account 2 owes 20,500 against 10 ETH: all is seized for 20,000 / 1.04384."""
    trial = make_trial()
    state = trial.world.states["lending"][0]
    pair = (1 << 32) | 0
    outcome = trial.send(Request(MARKET, LIQUIDATE, 3, a=2, b=pair, amount=np.inf))
    assert outcome.status == Status.OK
    fill = outcome.fills[0]
    assert fill["amount_out"] == pytest.approx(10.0)
    assert fill["amount_in"] == pytest.approx(20_000.0 / incentive_factor(0.86))
    lost = 20_500.0 - fill["amount_in"]
    loan = state.reserves[1]
    assert float(loan["deficit"]) == 0.0
    assert float(loan["borne_by_suppliers"]) == pytest.approx(lost, rel=1e-6)
    assert float(loan["supply_index"]) == pytest.approx(1.0 - lost / 80_000.0, rel=1e-6)
    trial.world.check()


def test_flash_loans_are_free():
    trial = make_trial()
    back = Request(MARKET, FLASH_REPAY, 0, b=1, amount=1_000.0, amount1=1_000.0)
    outcome = trial.send(Request(MARKET, FLASH_LOAN, 0, b=1, amount=1_000.0), back)
    assert outcome.status == Status.OK


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"close_factor": 0.5}, "leave out close_factor"),
        ({"isolated_pair": {**PAIR, "loan": "DAI"}}, "reserves must be these two"),
        ({"isolated_pair": {**PAIR, "rate_at_target": 3.0}}, "must be between least_rate"),
        ({"reserves": {**FED, "USD": {"feed": "usd-feed", "slope1": 0.1}}}, "reserves.USD.slope1"),
    ],
)
def test_what_does_not_belong_to_a_pair_is_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        config_of("lending", **({"reserves": FED, "isolated_pair": PAIR} | fields))


def test_terms_out_of_range_are_refused():
    with pytest.raises(InputError, match="fee"):
        IsolatedMarket(0.86, 1.0, fee=0.3)
