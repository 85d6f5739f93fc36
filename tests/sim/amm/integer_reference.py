"""A concentrated liquidity pool in whole numbers: prices times 2^96, fee growth times 2^128.

Written from the white paper of Uniswap v3 (section 6) and its published rounding rules: what the
pool receives is rounded up, what it gives is rounded down, fees are rounded up.
"""

from math import isqrt

Q96 = 1 << 96
Q128 = 1 << 128
MIN_TICK, MAX_TICK = -887272, 887272


class RefusalError(Exception):
    pass


def ceil_div(a, b):
    return -(-a // b)


def halved_powers():
    """1.0001^(-2^i / 2) times 2^128, rounded, i = 0 … 19; one square root with 400 spare bits."""
    bits, half = 528, 1 << 399
    value = isqrt((10_000 << (2 * bits)) // 10_001)
    powers = []
    for _ in range(20):
        powers.append((value + half) >> (bits - 128))
        value = value * value >> bits
    return powers


POWERS = halved_powers()


def sqrt_price_at_tick(tick):
    ratio = Q128
    for i, power in enumerate(POWERS):
        if abs(tick) >> i & 1:
            ratio = ratio * power >> 128
    if tick > 0:
        ratio = (Q128 * Q128 - 1) // ratio
    return ceil_div(ratio, 1 << 32)


MIN_SQRT, MAX_SQRT = sqrt_price_at_tick(MIN_TICK), sqrt_price_at_tick(MAX_TICK)


def tick_at_sqrt_price(price):
    low, high = MIN_TICK, MAX_TICK
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sqrt_price_at_tick(middle) <= price else (low, middle)
    return low


def amount0(lower, upper, liquidity, up):
    scaled = (liquidity << 96) * (upper - lower)
    return ceil_div(ceil_div(scaled, upper), lower) if up else scaled // upper // lower


def amount1(lower, upper, liquidity, up):
    product = liquidity * (upper - lower)
    return ceil_div(product, Q96) if up else product // Q96


def price_after(price, liquidity, amount, zero_for_one, is_in):
    """Price after `amount` came in or went out, rounded against the swapper."""
    if zero_for_one == is_in:  # token 0
        scaled = liquidity << 96
        moved = amount * price if is_in else -amount * price
        return ceil_div(scaled * price, scaled + moved)
    if is_in:
        return price + (amount << 96) // liquidity
    return price - ceil_div(amount << 96, liquidity)


class IntegerPool:
    def __init__(self, pips, spacing, price, fee_protocol=(0, 0)):
        self.pips, self.spacing, self.price = pips, spacing, price
        self.tick = tick_at_sqrt_price(price)
        self.fee_protocol = fee_protocol
        self.protocol_fees = [0, 0]
        self.growth = [0, 0]
        self.liquidity = 0
        self.ticks = {}  # tick -> [gross, net, outside0, outside1]
        self.positions = {}  # key -> [liquidity, inside0, inside1, owed0, owed1]
        self.max_liquidity = (Q128 - 1) // (2 * (MAX_TICK // spacing) + 1)

    def growth_inside(self, lower, upper, token):
        below = self.ticks[lower][2 + token]
        if self.tick < lower:
            below = self.growth[token] - below
        above = self.ticks[upper][2 + token]
        if self.tick >= upper:
            above = self.growth[token] - above
        return self.growth[token] - below - above

    def change(self, key, delta):
        _, lower, upper = key
        if not (lower < upper and lower >= MIN_TICK and upper <= MAX_TICK):
            raise RefusalError("range")
        if delta > 0 and (lower % self.spacing or upper % self.spacing):
            raise RefusalError("spacing")
        held = self.positions.get(key, [0, 0, 0, 0, 0])
        if delta == 0 and held[0] == 0:
            raise RefusalError("NP")
        if held[0] + delta < 0:
            raise RefusalError("LS")
        for bound in (lower, upper):
            gross = self.ticks[bound][0] if bound in self.ticks else 0
            if gross + delta > self.max_liquidity:
                raise RefusalError("LO")
        for bound, sign in ((lower, 1), (upper, -1)):
            if delta and bound not in self.ticks:
                outside = self.growth if bound <= self.tick else [0, 0]
                self.ticks[bound] = [0, 0, *outside]
            if delta:
                self.ticks[bound][0] += delta
                self.ticks[bound][1] += sign * delta
        for token in (0, 1):
            inside = self.growth_inside(lower, upper, token)
            held[3 + token] += (inside - held[1 + token]) * held[0] // Q128
            held[1 + token] = inside
        held[0] += delta
        self.positions[key] = held
        for bound in (lower, upper):
            if self.ticks[bound][0] == 0:
                del self.ticks[bound]
        if lower <= self.tick < upper:
            self.liquidity += delta
        return self.amounts(lower, upper, abs(delta), delta > 0)

    def amounts(self, lower, upper, liquidity, up):
        low, high = sqrt_price_at_tick(lower), sqrt_price_at_tick(upper)
        if self.tick < lower:
            return amount0(low, high, liquidity, up), 0
        if self.tick >= upper:
            return 0, amount1(low, high, liquidity, up)
        return amount0(self.price, high, liquidity, up), amount1(low, self.price, liquidity, up)

    def mint(self, owner, lower, upper, liquidity):
        if liquidity <= 0:
            raise RefusalError("zero")
        return self.change((owner, lower, upper), liquidity)

    def burn(self, owner, lower, upper, liquidity):
        amounts = self.change((owner, lower, upper), -liquidity)
        held = self.positions[owner, lower, upper]
        held[3] += amounts[0]
        held[4] += amounts[1]
        return amounts

    def collect(self, owner, lower, upper, most0, most1):
        held = self.positions.get((owner, lower, upper), [0, 0, 0, 0, 0])
        paid = min(most0, held[3]), min(most1, held[4])
        held[3] -= paid[0]
        held[4] -= paid[1]
        return paid

    def next_tick(self, zero_for_one):
        """The next initialized tick in the current word of 256 possible ones, or the word's end."""
        width = 256 * self.spacing
        if zero_for_one:
            end = max(self.tick // width * width, MIN_TICK)
            found = [t for t in self.ticks if end <= t <= self.tick]
            return max(found, default=end)
        start = (self.tick // self.spacing + 1) * self.spacing
        end = min(start // width * width + width - self.spacing, MAX_TICK)
        found = [t for t in self.ticks if self.tick < t <= end]
        return min(found, default=end)

    def step(self, target, remaining, zero_for_one):
        """One step -> (price, amount in, amount out, fee)."""
        in_of, out_of = (amount0, amount1) if zero_for_one else (amount1, amount0)
        lower, upper = sorted((self.price, target))
        whole_in = in_of(lower, upper, self.liquidity, True)
        whole_out = out_of(lower, upper, self.liquidity, False)
        exact_in = remaining > 0
        net = remaining * (1_000_000 - self.pips) // 1_000_000 if exact_in else -remaining
        price = target
        if net < (whole_in if exact_in else whole_out):
            price = price_after(self.price, self.liquidity, net, zero_for_one, exact_in)
        lower, upper = sorted((self.price, price))
        got_in = in_of(lower, upper, self.liquidity, True)
        out = out_of(lower, upper, self.liquidity, False)
        if not exact_in:
            out = min(out, -remaining)
        if exact_in and price != target:
            return price, got_in, out, remaining - got_in
        return price, got_in, out, ceil_div(got_in * self.pips, 1_000_000 - self.pips)

    def swap(self, zero_for_one, amount, limit=None):
        if limit is None:
            limit = MIN_SQRT + 1 if zero_for_one else MAX_SQRT - 1
        if amount == 0:
            raise RefusalError("AS")
        ok = MIN_SQRT < limit < self.price if zero_for_one else self.price < limit < MAX_SQRT
        if not ok:
            raise RefusalError("SPL")
        side = 0 if zero_for_one else 1
        remaining, other = amount, 0
        while remaining and self.price != limit:
            following = self.next_tick(zero_for_one)
            next_price = sqrt_price_at_tick(following)
            target = max(next_price, limit) if zero_for_one else min(next_price, limit)
            start = self.price
            self.price, got_in, out, fee = self.step(target, remaining, zero_for_one)
            remaining -= got_in + fee if amount > 0 else -out
            other += -out if amount > 0 else got_in + fee
            if self.fee_protocol[side]:
                share = fee // self.fee_protocol[side]
                self.protocol_fees[side] += share
                fee -= share
            if self.liquidity:
                self.growth[side] += fee * Q128 // self.liquidity
            if self.price == next_price:
                if following in self.ticks:
                    record = self.ticks[following]
                    for token in (0, 1):
                        record[2 + token] = self.growth[token] - record[2 + token]
                    self.liquidity += -record[1] if zero_for_one else record[1]
                self.tick = following - 1 if zero_for_one else following
            elif self.price != start:
                self.tick = tick_at_sqrt_price(self.price)
        done = amount - remaining
        return (done, other) if zero_for_one == (amount > 0) else (other, done)
