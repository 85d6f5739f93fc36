"""Stableswap in whole numbers, from the published mathematics: what float64 is compared with.

Balances are raw units, rates have 18 decimals (10^36 / 10^decimals for a plain token), fees 10,
and amplification two (A_PRECISION). D and y are found as the white paper's Newton steps say, each
division rounded down.
"""

FEE_DENOMINATOR = 10**10
A_PRECISION = 100
PRECISION = 10**18


class IntegerStableSwap:
    """A pool in whole numbers."""

    def __init__(self, balances, amplification, fee, rates, multiplier=FEE_DENOMINATOR, admin=0):
        self.balances = list(balances)
        self.amp = amplification * A_PRECISION
        self.fee, self.multiplier, self.admin = fee, multiplier, admin
        self.rates = list(rates)
        self.n = len(self.balances)
        self.admin_balances = [0] * self.n
        self.supply = self.d_of(self.scaled(self.balances))

    def scaled(self, balances):
        return [b * r // PRECISION for b, r in zip(balances, self.rates, strict=True)]

    # --- the invariant ---------------------------------------------------------------------------

    def d_of(self, xp):
        n, total = self.n, sum(xp)
        d, ann = total, self.amp * self.n
        for _ in range(255):
            power = d
            for x in xp:
                power = power * d // x
            power //= n**n
            before = d
            d = (
                (ann * total // A_PRECISION + power * n)
                * d
                // ((ann - A_PRECISION) * d // A_PRECISION + (n + 1) * power)
            )
            if abs(d - before) <= 1:
                return d
        raise AssertionError("D does not converge")

    def y_of(self, j, xp, d):
        """Balance j at which D is `d`, the others as in `xp`."""
        n, ann = self.n, self.amp * self.n
        c, total = d, 0
        for k, x in enumerate(xp):
            if k != j:
                total += x
                c = c * d // (x * n)
        c = c * d * A_PRECISION // (ann * n)
        b = total + d * A_PRECISION // ann
        y = d
        for _ in range(255):
            before = y
            y = (y * y + c) // (2 * y + b - d)
            if abs(y - before) <= 1:
                return y
        raise AssertionError("y does not converge")

    def fee_between(self, x, y, fee):
        if self.multiplier <= FEE_DENOMINATOR:
            return fee
        return (self.multiplier * fee) // (
            (self.multiplier - FEE_DENOMINATOR) * 4 * x * y // (x + y) ** 2 + FEE_DENOMINATOR
        )

    # --- verbs -----------------------------------------------------------------------------------

    def exchange(self, i, j, dx):
        xp = self.scaled(self.balances)
        d = self.d_of(xp)
        x = xp[i] + dx * self.rates[i] // PRECISION
        y = self.y_of(j, [x if k == i else v for k, v in enumerate(xp)], d)
        dy = xp[j] - y - 1
        share = self.fee_between((xp[i] + x) // 2, (xp[j] + y) // 2, self.fee)
        charge = dy * share // FEE_DENOMINATOR
        out = (dy - charge) * PRECISION // self.rates[j]
        admin = charge * self.admin // FEE_DENOMINATOR * PRECISION // self.rates[j]
        self.balances[i] += dx
        self.balances[j] -= out + admin
        self.admin_balances[j] += admin
        return out

    def _charged(self, after, d0, d1):
        n = self.n
        base = self.fee * n // (4 * (n - 1))
        middle = (d0 + d1) // n
        left = []
        for k, (old, new) in enumerate(zip(self.balances, after, strict=True)):
            difference = abs(d1 * old // d0 - new)
            share = self.fee_between(self.rates[k] * (old + new) // PRECISION, middle, base)
            charge = share * difference // FEE_DENOMINATOR
            admin = charge * self.admin // FEE_DENOMINATOR
            self.admin_balances[k] += admin
            self.balances[k] = new - admin
            left.append(new - charge)
        return left

    def add_liquidity(self, amounts):
        d0 = self.d_of(self.scaled(self.balances))
        after = [b + a for b, a in zip(self.balances, amounts, strict=True)]
        d1 = self.d_of(self.scaled(after))
        d2 = self.d_of(self.scaled(self._charged(after, d0, d1)))
        minted = self.supply * (d2 - d0) // d0
        self.supply += minted
        return minted

    def remove_liquidity_imbalance(self, amounts):
        d0 = self.d_of(self.scaled(self.balances))
        after = [b - a for b, a in zip(self.balances, amounts, strict=True)]
        d1 = self.d_of(self.scaled(after))
        d2 = self.d_of(self.scaled(self._charged(after, d0, d1)))
        burned = (d0 - d2) * self.supply // d0 + 1
        self.supply -= burned
        return burned

    def remove_liquidity(self, burned):
        amounts = [b * burned // self.supply for b in self.balances]
        self.balances = [b - a for b, a in zip(self.balances, amounts, strict=True)]
        self.supply -= burned
        return amounts

    def remove_liquidity_one_coin(self, burned, j):
        n, xp = self.n, self.scaled(self.balances)
        d0 = self.d_of(xp)
        d1 = d0 - burned * d0 // self.supply
        y = self.y_of(j, xp, d1)
        base = self.fee * n // (4 * (n - 1))
        middle = (d0 + d1) // (2 * n)
        reduced = []
        for k, x in enumerate(xp):
            expected = x * d1 // d0 - y if k == j else x - x * d1 // d0
            share = self.fee_between((x + y) // 2 if k == j else x, middle, base)
            reduced.append(x - share * expected // FEE_DENOMINATOR)
        dy = (reduced[j] - self.y_of(j, reduced, d1) - 1) * PRECISION // self.rates[j]
        charge = (xp[j] - y) * PRECISION // self.rates[j] - dy
        admin = charge * self.admin // FEE_DENOMINATOR
        self.balances[j] -= dy + admin
        self.admin_balances[j] += admin
        self.supply -= burned
        return dy
