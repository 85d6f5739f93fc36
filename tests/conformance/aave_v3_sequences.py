"""Random operations on a lending market and on the deployed one, compared one by one.

Amounts on our side are smallest units too, and values are the contract's base units. The contract
rounds at each operation to a whole unit, we do not: what these roundings can add up to, half a unit
a change of an account and one a change of the treasury, is left out where it is more than three.
"""

import math
import random

from sim.lending import reserve
from sim.lending.config import CloseBase, ReserveConfig
from sim.lending.facade import LendingMarket
from sim.units import TICKS_PER_SECOND, YEAR
from tests.conformance.aave_v3 import MOST, RAY, Asset, DeployedMarket
from tests.conformance.measure import EndError, Errors

ULPS = 4.0 * 2.0**-53
USERS = ("ann", "bob", "cid", "dan")
ASSETS = (
    Asset("ETH", 18, 2000 * 10**8, 8000, 8250, 10500, 1000, 1500, 8 * RAY // 10, 0,
          RAY * 38 // 1000, RAY * 8 // 10),
    Asset("USD", 6, 10**8, 7700, 8000, 10450, 1000, 1000, 9 * RAY // 10, RAY // 100,
          RAY * 4 // 100, RAY * 6 // 10),
    Asset("BTC", 8, 60_000 * 10**8 + 12345, 7300, 7800, 10750, 0, 2000, 45 * RAY // 100, 0,
          RAY * 7 // 100, RAY * 3, supply_cap=10**6, borrow_cap=10**5),
)  # fmt: skip
REASONS = {
    "26": "ZERO_AMOUNT|NO_POSITION",  # INVALID_AMOUNT; all of no claim
    "32": "INSUFFICIENT_FUNDS|NO_POSITION",  # NOT_ENOUGH_AVAILABLE_USER_BALANCE
    "34": "UNHEALTHY",  # COLLATERAL_BALANCE_IS_ZERO
    "35": "UNHEALTHY",  # HEALTH_FACTOR_LOWER_THAN_LIQUIDATION_THRESHOLD
    "36": "UNHEALTHY",  # COLLATERAL_CANNOT_COVER_NEW_BORROW
    "39": "NO_POSITION",  # NO_DEBT_OF_SELECTED_TYPE
    "43": "NO_POSITION",  # UNDERLYING_BALANCE_ZERO
    "45": "NOT_LIQUIDATABLE",  # HEALTH_FACTOR_NOT_BELOW_THRESHOLD
    "46": "NOT_COLLATERAL|NO_POSITION",  # COLLATERAL_CANNOT_BE_LIQUIDATED
    "47": "NO_POSITION",  # SPECIFIED_CURRENCY_NOT_BORROWED_BY_USER
    "50": "CAP",  # BORROW_CAP_EXCEEDED
    "51": "CAP",  # SUPPLY_CAP_EXCEEDED
    "panic 0x11": "NO_CASH",  # more is taken than the reserve has
}


def settings_of(asset):
    """Return the same asset for our market, in smallest units."""
    unit = 10**asset.decimals
    return ReserveConfig(
        price=asset.price / unit,
        base_rate=asset.base_rate / RAY,
        slope1=asset.slope1 / RAY,
        slope2=asset.slope2 / RAY,
        kink=asset.kink / RAY,
        reserve_factor=asset.reserve_factor / 1e4,
        loan_to_value=asset.loan_to_value / 1e4,
        liquidation_threshold=asset.threshold / 1e4,
        liquidation_bonus=asset.bonus / 1e4 - 1.0,
        liquidation_protocol_fee=asset.protocol_fee / 1e4,
        supply_cap=float(asset.supply_cap * unit) if asset.supply_cap else math.inf,
        borrow_cap=float(asset.borrow_cap * unit) if asset.borrow_cap else math.inf,
    )


class Pair:
    """The same operations on both markets."""

    def __init__(self, seed, digits, errors, **rules):
        self.draw = random.Random(seed)  # noqa: S311  # a test sequence
        self.prices = {asset.name: asset.price for asset in ASSETS}
        self.digits, self.errors = digits, errors  # of a usual amount, in base units
        self.contract = DeployedMarket(ASSETS, (*USERS, "liquidator"))
        reserves = {asset.name: settings_of(asset) for asset in ASSETS}
        rules = {
            "close_base": CloseBase.RESERVE_DEBT,
            "loss_order": (),
            "fixed_point": True,
        } | rules
        self.ours = LendingMarket(reserves, **rules)
        self.lost = dict.fromkeys(self.prices, 0.0)  # what float64 may have lost of interest
        self.units = dict.fromkeys(self.prices, 1.0)  # of either token of a liquidation so far
        self.n_changes = dict.fromkeys(self.prices, 0)
        self.rate_gap = dict.fromkeys(self.prices, 0.0)  # of the borrow rate, now …
        self.growth_gap = dict.fromkeys(self.prices, 0.0)  # … and what it made of the index so far

    # --- the same on both ------------------------------------------------------------------------

    def both(self, verb, user, name, *arguments):
        """Run one operation on both, and compare what it moves and what it leaves."""
        theirs = [MOST if a == math.inf else a for a in arguments]
        names = {name, *(a for a in arguments if a in self.prices)}
        is_near = verb in ("borrow", "withdraw") and self._is_near(verb, user, name, *arguments)
        outcome = self.errors.both(
            lambda: getattr(self.contract, verb)(user, name, *theirs),
            lambda: getattr(self.ours, verb)(user, name, *arguments),
            REASONS,
            (verb, user, name, *arguments),
            is_near=is_near,
        )
        if outcome is None:
            return
        exact, ours = (o if isinstance(o, tuple) else (o,) for o in outcome)
        if verb == "liquidate":
            for one, other in ((name, arguments[0]), (arguments[0], name)):
                unit = self.units[other] * self._per_unit(other) / self._per_unit(one)
                self.units[one] = max(self.units[one], unit)
        paid_in = (name, arguments[0], arguments[0]) if verb == "liquidate" else (name,)
        for token, mine, their in zip(paid_in, ours, exact, strict=False):
            if their is not None:
                self.errors.compare(verb, mine, their, self.units[token])
        for touched in names:
            self.compare_reserve(touched)
            self.compare_user(user, touched)
        self.compare_account(user)
        if verb == "liquidate":
            self._clean(user, arguments[0])
            if ours[3] > 0.0:
                raise EndError  # a later version of the contract writes bad debt off, as we do

    def _clean(self, user, name):
        """Take away the unit that the contract's rounding leaves when all is seized.

        It is no collateral, but a claim: the next supply would then not be used as collateral.
        """
        if self.ours.supplied(user, name) == 0.0 and 0 < self.contract.claim(user, name) <= 3:
            self.contract.withdraw(user, name, MOST)

    def _is_near(self, verb, user, name, amount):
        """Return whether an operation is so near a limit that whole base units decide it."""
        collateral, debt, threshold, loan_to_value, _ = self.contract.account(user)
        unit = 3.0 * sum(self.units[n] * self._per_unit(n) + 1.0 for n in self.prices)
        if verb == "borrow":
            debt += amount * self._per_unit(name)
            return abs(collateral * loan_to_value / 1e4 - debt) <= unit
        if verb == "withdraw":
            amount = self.contract.claim(user, name) if amount == math.inf else amount
            collateral -= amount * self._per_unit(name)
        return abs(collateral * threshold / 1e4 - debt) <= unit

    def _per_unit(self, name):
        """Return base units per smallest unit."""
        return self.prices[name] / 10 ** self.contract.assets[name].decimals

    def compare_reserve(self, name):
        """Compare indices, rates, cash and the treasury of a reserve."""
        errors, asset = self.errors, self.ours._asset(name)
        supply_index, supply_rate, borrow_index, borrow_rate = self.contract.reserve(name)
        steepness = max(float(asset.slope1 / asset.kink), float(asset.slope2 / (1.0 - asset.kink)))
        total = float(asset.cash + asset.scaled_debt * asset.borrow_index)
        unit = 2.0 * self.units[name] / max(total, 1.0)  # of utilization: more cash, or more debt
        unit = max(1e-12, unit * steepness)
        for label, ours, exact in (
            ("supply rate", reserve.supply_rate(asset), supply_rate),
            ("borrow rate", reserve.borrow_rate(asset), borrow_rate),
        ):
            errors.compare(label, float(ours) * RAY, exact, unit * RAY)
        self.rate_gap[name] = max(
            abs(float(reserve.borrow_rate(asset)) - borrow_rate / RAY),
            abs(float(reserve.supply_rate(asset)) - supply_rate / RAY),
        )
        growth = 1.01 * self.growth_gap[name]  # it compounds
        for ours, exact in ((asset.supply_index, supply_index), (asset.borrow_index, borrow_index)):
            errors.compare("index", float(ours) * RAY, exact, 1.0, unseen=growth * exact)
        cash, unit = self.contract.cash(name), self.units[name]
        errors.compare("cash", float(asset.cash), cash, unit)
        treasury, debt = float(asset.scaled_treasury), float(asset.scaled_debt)
        self.lost[name] += ULPS * debt + 1.0  # interest: a difference of debts, in whole units
        self.n_changes[name] += 1
        unseen = self.lost[name] + growth * debt
        errors.compare("treasury", treasury, self.contract.treasury(name), unit, unseen=unseen)

    def compare_user(self, user, name):
        """Compare claim and debt of an account."""
        errors, unit, growth = self.errors, self.units[name], self.growth_gap[name]
        rounded = 0.5 * self.n_changes[name] * unit
        claim, debt = self.contract.claim(user, name), self.contract.debt(user, name)
        errors.compare(
            "claim", self.ours.supplied(user, name), claim, unit, unseen=growth * claim + rounded
        )
        errors.compare(
            "debt", self.ours.owed(user, name), debt, unit, unseen=growth * debt + rounded
        )

    def compare_account(self, user):
        """Compare collateral, debt and health factor of an account; values in base units."""
        errors = self.errors
        collateral, debt, _, _, health = self.contract.account(user)
        values = self.ours.account_values(user)
        unit = sum(self._per_unit(name) + 1.0 for name in self.prices)
        errors.compare("value", values.collateral_value, collateral, unit)
        errors.compare("value", values.debt_value, debt, unit)
        if debt > 0:
            unit *= health / debt + health / max(collateral, 1)
            errors.compare("health factor", self.ours.health_factor(user) * 1e18, health, unit)

    def wait(self, seconds):
        """Let time pass on both."""
        for name, gap in self.rate_gap.items():
            self.growth_gap[name] += gap * seconds / YEAR
        self.contract.machine.wait(seconds)
        self.ours.now += seconds * TICKS_PER_SECOND

    def set_price(self, name, price):
        """Write a price on both."""
        self.prices[name] = price
        self.contract.set_price(name, price)
        self.ours.set_price(name, price / 10 ** self.contract.assets[name].decimals)

    # --- what is drawn ---------------------------------------------------------------------------

    def run(self, n):
        """Run `n` random operations; a sequence ends early where rules differ by design."""
        try:
            for name in self.prices:
                self.both("supply", "dan", name, self.size(name) * 100)
            for _ in range(n):
                self.act()
        except EndError:
            self.errors.n_ended += 1

    def size(self, name):
        """Return an amount of a token, a float that holds it exactly."""
        value = 10 ** self.draw.uniform(self.digits - 3, self.digits)
        return int(float(int(value / self._per_unit(name)))) + 1

    def act(self):
        """Run one random operation."""
        draw = self.draw
        user, name = draw.choice(USERS), draw.choice(list(self.prices))
        weak = [u for u in USERS if self.contract.account(u)[4] < 10**18]
        verb = draw.choices(
            ("supply", "withdraw", "borrow", "repay", "wait", "price", "mode", "bad"),
            (14, 12, 24, 12, 12, 14, 4, 8),
        )[0]
        if weak and draw.random() < 0.8:
            self.liquidate(draw.choice(weak))
        elif verb == "supply":
            self.both(verb, user, name, self.size(name))
        elif verb == "borrow":
            self.borrow(user, name)
        elif verb in ("withdraw", "repay"):
            held = (self.contract.claim if verb == "withdraw" else self.contract.debt)(user, name)
            amount = int(float(int(held * draw.uniform(0.01, 1.2))))
            if held or draw.random() < 0.05:
                self.both(verb, user, name, math.inf if draw.random() < 0.2 else amount)
        elif verb == "wait":
            self.wait(int(10 ** draw.uniform(0.0, 6.5)))
        elif verb == "price":
            self.set_price(name, int(self.prices[name] * math.exp(draw.gauss(0.0, 0.1))))
        elif verb == "mode":
            self.both("use_as_collateral", user, name, draw.random() < 0.7)
        else:
            self.act_badly()

    def borrow(self, user, name):
        """Borrow a part of what the account may, or somewhat more."""
        collateral, debt, _, loan_to_value, _ = self.contract.account(user)
        free = max(collateral * loan_to_value / 1e4 - debt, 0)
        amount = int(float(int(free / self._per_unit(name) * self.draw.uniform(0.05, 1.3))))
        if amount or self.draw.random() < 0.05:
            self.both("borrow", user, name, amount)

    def liquidate(self, user):
        """Liquidate an account: mostly a debt and a claim that it has."""
        draw, names = self.draw, list(self.prices)
        debts = [n for n in names if self.contract.debt(user, n)] or names
        claims = [n for n in names if self.contract.claim(user, n)] or names
        debt = draw.choice(debts if draw.random() < 0.95 else names)
        collateral = draw.choice(claims if draw.random() < 0.95 else names)
        if debt == collateral:
            return  # the contract then sets the rates as if nothing had been repaid
        part = int(float(int(self.contract.debt(user, debt) * draw.uniform(0.05, 1.0)))) + 1
        amount = math.inf if draw.random() < 0.5 else part
        self.both("liquidate", user, debt, collateral, amount)

    def act_badly(self):
        """Run one operation that the contract has reasons to refuse."""
        draw, name = self.draw, self.draw.choice(list(self.prices))
        user = draw.choice(USERS)
        self.both(*draw.choice([
            ("supply", user, name, 0),
            ("withdraw", user, name, 0),
            ("borrow", user, name, 0),
            ("repay", user, name, 0),
            ("supply", user, "BTC", 10**15),
            ("borrow", user, "BTC", 10**14),
            ("liquidate", user, name, "ETH" if name == "USD" else "USD", 1000),
            ("repay", "liquidator", name, 1000),
            ("withdraw", "liquidator", name, math.inf),
            ("use_as_collateral", "liquidator", name, True),
            ("borrow", "liquidator", name, 1000),
        ]))  # fmt: skip


def run_sequence(seed, digits, n, errors=None, **rules):
    """Run one sequence; return what was measured."""
    errors = Errors() if errors is None else errors
    Pair(seed, digits, errors, **rules).run(n)
    return errors
