"""Weighted pools (Balancer): the product of reserves to the power of their weights is constant.

    V = prod_k reserves[k] ^ weights[k],   weights add up to 1

    out = reserve_out (1 - (reserve_in / (reserve_in + net))^(weight_in / weight_out))

Martinelli and Mushegian 2019 (Balancer white paper); fees, limits and rounding are those of the
second version's contracts. The fee comes from what is paid. Who joins or leaves out of proportion
pays it on the part that a swap would have had to trade. Powers near 1 are taken by `log1p` and
`expm1`, which keep the digits of small trades.

With a quantum, amounts are rounded to multiples of it against the trader, and powers carry the
margins that the contract gives its own: 1e-14 of their value and one last place of 1e-18, unless
the exponent is 1, 2 or 4.
"""

from __future__ import annotations

import math

from sim.amm.concentrated_swap import round_down, round_up
from sim.kernel import kernel

MAX_IN_RATIO = 0.3  # of the reserve, most that one swap pays …
MAX_OUT_RATIO = 0.3  # … and takes
MAX_INVARIANT_RATIO = 3.0  # of V, by one join out of proportion …
MIN_INVARIANT_RATIO = 0.7  # … and exit
_POWER_ERROR = 1e-14
_LAST_PLACE = 1e-18


@kernel
def power_margin(power, exponent, quantum):  # type: ignore[no-untyped-def]
    """Return by how much the contract's power is off, to the pool's favor; 0 in real numbers."""
    if quantum == 0.0 or exponent in (1.0, 2.0, 4.0):
        return 0.0
    return power * _POWER_ERROR + 2.0 * _LAST_PLACE


@kernel
def out_given_in(reserve_in, weight_in, reserve_out, weight_out, net, quantum):  # type: ignore[no-untyped-def]
    """Return what `net`, after the fee, gives."""
    exponent = weight_in / weight_out
    log_power = -exponent * math.log1p(net / reserve_in)
    left = -math.expm1(log_power) - power_margin(math.exp(log_power), exponent, quantum)
    return round_down(reserve_out * max(left, 0.0), quantum)


@kernel
def in_given_out(reserve_in, weight_in, reserve_out, weight_out, out, quantum):  # type: ignore[no-untyped-def]
    """Return what must be paid, before the fee is added, for `out` (below the reserve)."""
    exponent = weight_out / weight_in
    log_power = exponent * math.log1p(out / (reserve_out - out))
    more = math.expm1(log_power) + power_margin(math.exp(log_power), exponent, quantum)
    return round_up(reserve_in * more, quantum)


@kernel
def price_between(reserve_in, weight_in, reserve_out, weight_out):  # type: ignore[no-untyped-def]
    """Return the marginal price: token out per token in, without the fee."""
    return reserve_out * weight_in / (reserve_in * weight_out)


@kernel
def net_to_price(reserve_in, weight_in, reserve_out, weight_out, price):  # type: ignore[no-untyped-def]
    """Return what must be paid, after the fee, until token out per token in is `price`."""
    fall = price_between(reserve_in, weight_in, reserve_out, weight_out) / price
    if not 1.0 < fall < math.inf:
        return 0.0 if fall <= 1.0 else math.inf
    return reserve_in * math.expm1(math.log(fall) * weight_out / (weight_in + weight_out))


@kernel
def invariant_of(reserves, weights, n):  # type: ignore[no-untyped-def]
    """Return V of a pool of n tokens."""
    total = 0.0
    for k in range(n):
        total += weights[k] * math.log(reserves[k])
    return math.exp(total)


@kernel
def shares_for(reserves, weights, n, amounts, supply, fee, quantum):  # type: ignore[no-untyped-def]
    """Return the shares for amounts of any tokens.

    The fee is on what exceeds the pool's ratio; 0 where nothing would be given, -1 where V would
    grow beyond the limit.
    """
    mean = 0.0
    for k in range(n):
        mean += weights[k] * (amounts[k] / reserves[k])
    log_ratio = 0.0
    for k in range(n):
        in_ratio = reserves[k] * mean
        net = amounts[k]
        if net > in_ratio:
            net = in_ratio + (net - in_ratio) * (1.0 - fee)
        log_ratio += weights[k] * math.log1p(net / reserves[k])
    ratio = math.exp(log_ratio)
    if ratio > MAX_INVARIANT_RATIO:
        return -1.0
    grown = math.expm1(log_ratio) - n * power_margin(ratio, weights[0], quantum)
    return round_down(supply * max(grown, 0.0), quantum)


@kernel
def amount_for_shares(reserve, weight, shares, supply, fee, quantum):  # type: ignore[no-untyped-def]
    """Return what must be paid of one token for shares, the fee included; -1: beyond the limit."""
    part = shares / supply
    if 1.0 + part > MAX_INVARIANT_RATIO:
        return -1.0
    log_ratio = math.log1p(part) / weight
    more = math.expm1(log_ratio) + power_margin(math.exp(log_ratio), 1.0 / weight, quantum)
    net = reserve * more
    taxed = net * (1.0 - weight)
    return round_up(net - taxed + taxed / (1.0 - fee), quantum)


@kernel
def amount_of_shares(reserve, weight, shares, supply, fee, quantum):  # type: ignore[no-untyped-def]
    """Return what shares give of one token, the fee taken off; -1: beyond the limit."""
    part = shares / supply
    if 1.0 - part < MIN_INVARIANT_RATIO:
        return -1.0
    log_ratio = math.log1p(-part) / weight
    less = -math.expm1(log_ratio) - power_margin(math.exp(log_ratio), 1.0 / weight, quantum)
    net = reserve * max(less, 0.0)
    taxed = net * (1.0 - weight)
    return round_down(net - taxed + taxed * (1.0 - fee), quantum)


@kernel
def shares_of_amounts(reserves, weights, n, amounts, supply, fee, quantum):  # type: ignore[no-untyped-def]
    """Return the shares that amounts of any tokens cost; -1: beyond what the pool gives at once."""
    mean = 0.0
    for k in range(n):
        mean += weights[k] * (amounts[k] / reserves[k])
    log_ratio = 0.0
    for k in range(n):
        in_ratio = reserves[k] * mean
        gross = amounts[k]
        if gross > in_ratio:
            gross = in_ratio + (gross - in_ratio) / (1.0 - fee)
        if gross >= reserves[k]:
            return -1.0
        log_ratio += weights[k] * math.log1p(-gross / reserves[k])
    ratio = math.exp(log_ratio)
    if ratio < MIN_INVARIANT_RATIO:
        return -1.0
    less = -math.expm1(log_ratio) + n * power_margin(ratio, weights[0], quantum)
    return round_up(supply * less, quantum)
