"""The market against a reference in 50-digit decimals, operation by operation."""

import math
import random
from decimal import Decimal, getcontext, localcontext

import pytest

from sim.errors import RefusedError
from sim.lending.config import ReserveConfig
from sim.lending.facade import LendingMarket

SETTINGS = {
    "ETH": {
        "price": 200.0,
        "loan_to_value": 0.75,
        "liquidation_threshold": 0.8,
        "liquidation_bonus": 0.05,
        "liquidation_protocol_fee": 0.1,
        "reserve_factor": 0.15,
        "base_rate": 0.0,
        "slope1": 0.03,
        "slope2": 0.8,
        "kink": 0.8,
    },
    "DAI": {
        "price": 1.0,
        "loan_to_value": 0.7,
        "liquidation_threshold": 0.75,
        "liquidation_bonus": 0.1,
        "liquidation_protocol_fee": 0.0,
        "reserve_factor": 0.1,
        "base_rate": 0.01,
        "slope1": 0.05,
        "slope2": 3.0,
        "kink": 0.9,
    },
}


USERS = ("u", "v", "w", "x")


class RefusalError(Exception):
    """The reference refuses."""


class Reference:
    """The rules once more, in decimals and dictionaries, with rates kept between operations."""

    def __init__(self):
        self.assets = {}
        for name, settings in SETTINGS.items():
            asset = {key: Decimal(value) for key, value in settings.items()}
            asset |= {
                "cash": Decimal(0),
                "treasury": Decimal(0),
                "li": Decimal(1),
                "bi": Decimal(1),
            }
            asset |= {"claims": {}, "debts": {}, "then": Decimal(0)}
            asset |= {"borrow_rate": Decimal(0), "supply_rate": Decimal(0)}
            self.assets[name] = asset
        self.now = Decimal(0)

    def indices(self, asset):
        n = self.now - asset["then"]
        year = Decimal(31_536_000)
        x = asset["borrow_rate"] / year if any(asset["debts"].values()) else Decimal(0)
        growth = 1 + n * x + n * (n - 1) / 2 * x**2 + n * (n - 1) * (n - 2) / 6 * x**3
        return asset["li"] * (1 + asset["supply_rate"] * n / year), asset["bi"] * growth

    def update(self, name):
        asset = self.assets[name]
        li, bi = self.indices(asset)
        interest = sum(asset["debts"].values()) * (bi - asset["bi"])
        asset["treasury"] += interest * asset["reserve_factor"] / li
        asset["li"], asset["bi"], asset["then"] = li, bi, self.now
        return asset

    def set_rates(self, asset):
        debt = sum(asset["debts"].values()) * asset["bi"]
        use = debt / (debt + asset["cash"]) if debt else Decimal(0)
        rate = asset["base_rate"] + asset["slope1"] * min(use / asset["kink"], Decimal(1))
        if use > asset["kink"]:
            rate += asset["slope2"] * (use - asset["kink"]) / (1 - asset["kink"])
        asset["borrow_rate"] = rate
        asset["supply_rate"] = rate * use * (1 - asset["reserve_factor"])

    def values(self, user):
        limit = threshold = owed = Decimal(0)
        for asset in self.assets.values():
            li, bi = self.indices(asset)
            value = asset["claims"].get(user, 0) * li * asset["price"]
            limit += value * asset["loan_to_value"]
            threshold += value * asset["liquidation_threshold"]
            owed += asset["debts"].get(user, 0) * bi * asset["price"]
        return limit, threshold, owed

    def check(self, condition):
        if not condition:
            raise RefusalError

    def supply(self, user, name, amount):
        self.check(0 < amount < math.inf)
        asset = self.update(name)
        asset["claims"][user] = asset["claims"].get(user, 0) + amount / asset["li"]
        asset["cash"] += amount
        self.set_rates(asset)
        return amount

    def withdraw(self, user, name, amount):
        asset = self.assets[name]
        claim = asset["claims"].get(user, 0) * self.indices(asset)[0]
        is_all = amount == math.inf
        amount = claim if is_all else amount
        self.check(0 < amount <= claim and amount <= asset["cash"])
        _, threshold, owed = self.values(user)
        threshold -= amount * asset["price"] * asset["liquidation_threshold"]
        self.check(owed == 0 or threshold >= owed)
        self.update(name)
        self.take(asset["claims"], user, amount / asset["li"], is_all)
        asset["cash"] -= amount
        self.set_rates(asset)
        return amount

    def borrow(self, user, name, amount):
        asset = self.assets[name]
        limit, _, owed = self.values(user)
        self.check(0 < amount <= asset["cash"] and owed + amount * asset["price"] <= limit)
        self.update(name)
        asset["debts"][user] = asset["debts"].get(user, 0) + amount / asset["bi"]
        asset["cash"] -= amount
        self.set_rates(asset)
        return amount

    def repay(self, user, name, amount):
        asset = self.assets[name]
        debt = asset["debts"].get(user, 0) * self.indices(asset)[1]
        self.check(amount > 0 and debt > 0)
        paid = min(amount, debt)
        self.update(name)
        self.take(asset["debts"], user, paid / asset["bi"], paid == debt)
        asset["cash"] += paid
        self.set_rates(asset)
        return paid

    def take(self, book, user, amount, is_all):
        book[user] = Decimal(0) if is_all else book[user] - amount

    def liquidate(self, user, debt_name, collateral_name, amount):
        owing, pledged = self.assets[debt_name], self.assets[collateral_name]
        _, threshold, owed = self.values(user)
        self.check(amount > 0 and owed > 0 and threshold < owed)
        debt = owing["debts"].get(user, 0) * self.indices(owing)[1]
        claim = pledged["claims"].get(user, 0) * self.indices(pledged)[0]
        self.check(debt > 0 and claim > 0)
        most = debt
        if threshold / owed > Decimal("0.95"):
            most = min(debt, owed / 2 / owing["price"])
        paid = min(amount, most)
        times = 1 + pledged["liquidation_bonus"]
        taken = paid * owing["price"] / pledged["price"] * times
        if taken > claim:
            taken, paid = claim, claim * pledged["price"] / owing["price"] / times
        fee = (taken - taken / times) * pledged["liquidation_protocol_fee"]
        self.check(taken - fee <= pledged["cash"])
        self.update(debt_name)
        self.update(collateral_name)
        self.take(owing["debts"], user, paid / owing["bi"], paid == debt)
        self.take(pledged["claims"], user, taken / pledged["li"], taken == claim)
        owing["cash"] += paid
        pledged["cash"] -= taken - fee
        pledged["treasury"] += fee / pledged["li"]
        if not any(asset["claims"].get(user) for asset in self.assets.values()):
            self.write_off(user)
        for asset in (owing, pledged):
            self.set_rates(asset)
        return paid, taken - fee, fee

    def write_off(self, user):
        for name, asset in self.assets.items():
            if asset["debts"].get(user):
                self.update(name)
                loss = asset["debts"].pop(user) * asset["bi"]
                held = asset["treasury"] * asset["li"]
                asset["treasury"] = max(held - loss, Decimal(0)) / asset["li"]
                claims = (sum(asset["claims"].values()) + asset["treasury"]) * asset["li"]
                asset["li"] *= 1 - min(max(loss - held, Decimal(0)) / claims, Decimal(1))
                self.set_rates(asset)


def random_operation(draw, market):
    """Return one operation with amounts near what the account has, owes or could do."""
    weak = [user for user in USERS if market.health_factor(user) < 1.0]
    verb = draw.choice(("supply", "withdraw", "borrow", "borrow", "repay", "wait", "wait"))
    token, other = draw.choice(("ETH", "DAI")), draw.choice(("ETH", "DAI"))
    if weak and draw.random() < 0.7:
        user = draw.choice(weak)
        amount = math.inf if draw.random() < 0.3 else draw.uniform(0.0, market.owed(user, token))
        return "liquidate", user, token, other, amount
    user, price = draw.choice(USERS), float(market._asset(token).price)
    if verb == "wait":
        return verb, draw.expovariate(1 / 3e6), token, draw.lognormvariate(0.0, 0.5) / price**0.1
    if verb == "supply":
        return verb, user, token, draw.lognormvariate(7.0, 1.0) / price
    if verb == "borrow":
        values = market.account_values(user)
        free = values.loan_value - values.debt_value
        return verb, user, token, draw.uniform(0.5, 1.1) * free / price
    have = market.supplied(user, token) if verb == "withdraw" else market.owed(user, token)
    return verb, user, token, math.inf if draw.random() < 0.2 else draw.uniform(0.0, 1.1) * have


def run_both(market, reference, operation):
    """Run an operation on both; returns what each moved, None where it refused."""
    verb, *arguments = operation
    try:
        moved = getattr(market, verb)(*arguments)
    except RefusedError:
        moved = None
    exact = [Decimal(a) if isinstance(a, float) else a for a in arguments]
    try:
        expected = getattr(reference, verb)(*exact)
    except RefusalError:
        expected = None
    return moved, expected


def compare(market, reference):
    for name, asset in reference.assets.items():
        ours = market._asset(name)
        assert float(ours.supply_index) == pytest.approx(float(asset["li"]), rel=1e-11)
        assert float(ours.borrow_index) == pytest.approx(float(asset["bi"]), rel=1e-11)
        assert float(ours.cash) == pytest.approx(float(asset["cash"]), rel=1e-11, abs=1e-8)
        assert market.treasury(name) == pytest.approx(
            float(asset["treasury"] * asset["li"]), rel=1e-9, abs=1e-8
        )


@pytest.mark.parametrize("seed", range(6))
def test_random_operations_agree_with_exact_arithmetic(seed):
    draw = random.Random(seed)  # noqa: S311  # a test sequence
    with localcontext(prec=50):
        assert getcontext().prec == 50
        market, reference = LendingMarket(_configs()), Reference()
        done = dict.fromkeys(("supply", "withdraw", "borrow", "repay", "liquidate"), 0)
        for _ in range(800):
            operation = random_operation(draw, market)
            if operation[0] == "wait":
                _wait(market, reference, *operation[1:])
                continue
            moved, expected = run_both(market, reference, operation)
            assert (moved is None) == (expected is None), operation
            if moved is None:
                continue
            done[operation[0]] += 1
            pairs = zip(moved, expected, strict=False) if isinstance(expected, tuple) else None
            for ours, exact in pairs or [(moved, expected)]:
                assert ours == pytest.approx(float(exact), rel=1e-9, abs=1e-9), operation
            compare(market, reference)
            if market.state.reserves["supply_index"].min() == 0.0:
                break  # suppliers lost everything: there is no market any more
        assert min(done.values()) >= 5, done  # every kind of operation was met
        assert max(asset.written_off for asset in market.state.reserves) > 0.0


def _configs():
    return {name: ReserveConfig(**settings) for name, settings in SETTINGS.items()}


def _wait(market, reference, seconds, token, factor):
    """Let whole seconds pass, unseen by the market's own accrual, and move a price."""
    market.now += round(seconds) * 10**6
    reference.now += round(seconds)
    price = float(market._asset(token).price) * factor
    market.set_price(token, price)
    reference.assets[token]["price"] = Decimal(price)
