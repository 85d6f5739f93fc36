"""Bands, exchange, deposits and health in whole numbers of 1e-30, from the published mathematics.

Slow and plain: products and quotients of integers, square roots by `isqrt`; powers of the band
ratio are exact fractions. Every rounding error is below 1e-28.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isqrt

ONE = 10**30


def whole(value: float) -> int:
    """Return a float as a whole number of 1e-30."""
    numerator, denominator = value.as_integer_ratio()
    return numerator * ONE // denominator


def times(x: int, y: int) -> int:
    return x * y // ONE


def over(x: int, y: int) -> int:
    return x * ONE // y


def root(x: int) -> int:
    return isqrt(x * ONE)


@dataclass
class Loan:
    """A loan: its first band, shares of each, and debt."""

    first: int
    shares: list[int]
    debt: int


@dataclass
class LlammaReference:
    """One market."""

    a: int
    base: int
    fee: int
    loan_discount: int
    liquidation_discount: int
    price: int = 0
    active: int = 0
    x: dict[int, int] = field(default_factory=dict)
    y: dict[int, int] = field(default_factory=dict)
    total: dict[int, int] = field(default_factory=dict)
    loans: dict[str, Loan] = field(default_factory=dict)

    def top(self, n: int) -> int:
        """Return the top of a band: base x ((A - 1) / A)^n."""
        up, down = (self.a - 1, self.a) if n >= 0 else (self.a, self.a - 1)
        return self.base * up ** abs(n) // down ** abs(n)

    def terms(self, n: int) -> tuple[int, int, int]:
        """Return (y0, f, g) of a band by the quadratic equation for y0."""
        a, p, top = self.a, self.price, self.top(n)
        x, y = self.x.get(n, 0), self.y.get(n, 0)
        linear = over(times(top, (a - 1) * x), p) + over(times(times(p, p), a * y), top)
        y0 = (linear + isqrt(linear * linear + 4 * a * p * times(x, y))) * ONE // (2 * a * p)
        return y0, over(times(a * y0, times(p, p)), top), over(times((a - 1) * y0, top), p)

    def exchange(self, side: int, amount: int) -> tuple[int, int]:
        """Exchange; returns (paid, got)."""
        pays, gives = (self.x, self.y) if side == 1 else (self.y, self.x)
        n, step, paid, got, last = self.active, (1 if side == 1 else -1), 0, 0, self.active
        held = [k for k in self.total if self.x.get(k, 0) or self.y.get(k, 0)]
        while held and (n <= max(held) if side == 1 else n >= min(held)):
            if gives.get(n, 0) > 0:
                _, f, g = self.terms(n)
                shift_in, shift_out = (f, g) if side == 1 else (g, f)
                invariant = (shift_in + pays.get(n, 0)) * (shift_out + gives[n])
                net_whole = invariant // shift_out - shift_in - pays.get(n, 0)
                gross_whole = over(net_whole, ONE - self.fee)
                last = n
                if amount - paid <= gross_whole:
                    net = times(amount - paid, ONE - self.fee)
                    out = gives[n] + shift_out - invariant // (shift_in + pays.get(n, 0) + net)
                    pays[n] = pays.get(n, 0) + amount - paid
                    gives[n] -= out
                    paid, got = amount, got + out
                    break
                pays[n] = pays.get(n, 0) + gross_whole
                paid, got = paid + gross_whole, got + gives[n]
                gives[n] = 0
            if self.is_far(n, side):
                break
            n += step
        self.active = last
        return paid, got

    def is_far(self, n: int, side: int) -> bool:
        """Return whether a band's top is 50 bands beyond the oracle: nobody trades further."""
        far, near = self.a**50, (self.a - 1) ** 50
        if side == 1:
            return self.top(n) * far < self.price * near
        return self.top(n) * near > self.price * far

    def create(self, user: str, collateral: int, debt: int, n: int) -> bool:
        """Open a loan in the lowest bands that cover its debt; False: too much debt."""
        ratio = ONE * (self.a - 1) // self.a
        part = times(collateral, ONE - self.loan_discount) // n
        part, worth = times(part, root(ratio)), 0
        for _ in range(n):
            worth, part = worth + part, times(part, ratio)
        first = self.active
        if over(debt, worth) > self.top(first):
            while over(debt, worth) > self.top(first):
                first -= 1
        else:
            while over(debt, worth) <= self.top(first + 1):
                first += 1
        if self.top(first) >= self.price:
            return False
        bands = range(min(first, self.active), max(first + n, self.active + 1))
        if any(self.x.get(k, 0) for k in bands if k >= first):
            return False
        self.active = min(self.active, first - 1)
        shares = []
        for k in range(first, first + n):
            y, put = self.y.get(k, 0), collateral // n
            new = self.total[k] * put // y if y else put
            shares.append(new)
            self.total[k], self.y[k] = self.total.get(k, 0) + new, y + put
        self.loans[user] = Loan(first, shares, debt)
        return True

    def position(self, user: str) -> tuple[int, int]:
        """Return (debt tokens, collateral) of a loan."""
        loan, x, y = self.loans[user], 0, 0
        for k, mine in enumerate(loan.shares, loan.first):
            x += self.x.get(k, 0) * mine // self.total[k]
            y += self.y.get(k, 0) * mine // self.total[k]
        return x, y

    def close(self, user: str) -> tuple[int, int]:
        """Take a loan's part out of its bands."""
        loan, (x, y) = self.loans[user], self.position(user)
        for k, mine in enumerate(loan.shares, loan.first):
            self.x[k] = self.x.get(k, 0) - self.x.get(k, 0) * mine // self.total[k]
            self.y[k] = self.y.get(k, 0) - self.y.get(k, 0) * mine // self.total[k]
            self.total[k] -= mine
            if not self.total[k]:
                self.x[k] = self.y[k] = 0
                del self.total[k]
        del self.loans[user]
        return x, y

    def as_debt(self, n: int) -> int:
        """Return what a band gives in debt tokens on a slow way down, from where it stands."""
        if not (self.x.get(n, 0) or self.y.get(n, 0)):
            return 0
        p, top, bottom = self.price, self.top(n), self.top(n + 1)
        y0, f, g = self.terms(n)
        invariant = (f + self.x.get(n, 0)) * (g + self.y.get(n, 0))
        if p > top:  # all collateral, then slowly through the whole band
            return times(invariant // f - g, root(times(top, bottom)))
        if p < bottom:
            return invariant // g - f
        y = self.a * y0 - g  # where (f + x) / (g + y) = p on the curve
        x = times(self.a * y0, p) - f
        return x + times(y, root(times(bottom, p)))

    def health(self, user: str) -> int:
        """Return the health of a loan, with what is above its bands."""
        loan, total = self.loans[user], 0
        for k, mine in enumerate(loan.shares, loan.first):
            total += self.as_debt(k) * mine // self.total[k]
        found = over(times(total, ONE - self.liquidation_discount), loan.debt) - ONE
        traded = [k for k in self.x if k <= self.active and self.x[k] > 0]
        above = self.price - self.top(loan.first)
        if above > 0 and not (traded and loan.first <= max(traded)):
            found += over(times(above, self.position(user)[1]), loan.debt)
        return found
