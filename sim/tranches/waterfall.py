"""Who bears a loss and who gets an income: attachment points, recoveries, three income rules.

Tranches stand senior first. With N the net asset value of each before a loss L, tranche k attaches
at a = sum of N below it and detaches at d = a + N_k:

    loss_k = min(max(L - a, 0), d - a)

A tranche's *claim* is the highest value it was entitled to. What it is short of it is its loss; a
gain first makes good the losses, the senior's first, and what is left is income:

* fixed: the last tranche gets it, and pays the others their rates out of what it has, then those
  above it out of what the next has; what cannot be paid is missed, not owed.
* adaptive split (two tranches): the senior gets the share s r of it, r its part of the vault's
  value and s = r within bounds (Idle: 50 % and 99 %): base x s to the senior a year,
  base + (base - base x s) r / (1 - r) to the junior.
* leverage: in proportion to value, of which all but the last cede a part to it (Goldfinch: 20 %).

References
----------
Idle Perpetual Yield Tranches, adaptive yield split. Goldfinch white paper, leverage model.
"""

from __future__ import annotations

from sim.kernel import kernel

FIXED, SPLIT, LEVERAGE = range(3)  # income rules


@kernel
def tranche_loss(loss, attachment, detachment):  # type: ignore[no-untyped-def]
    """Return what a tranche bears of a loss; all in one unit."""
    return min(max(loss - attachment, 0.0), detachment - attachment)


@kernel
def bear(nav, row, n, loss):  # type: ignore[no-untyped-def]
    """Take a loss from the tranches of a row, the last first; returns what they bore."""
    attachment = borne = 0.0
    for k in range(n - 1, -1, -1):
        detachment = attachment + nav[row, k]
        part = min(tranche_loss(loss, attachment, detachment), nav[row, k])  # d - a rounds
        nav[row, k] -= part
        borne += part
        attachment = detachment
    return borne


@kernel
def recover(nav, claim, row, n, gain):  # type: ignore[no-untyped-def]
    """Make losses good, the senior's first; returns the gain that is left."""
    for k in range(n):
        part = min(gain, max(claim[row, k] - nav[row, k], 0.0))
        nav[row, k] += part
        gain -= part
    return gain


@kernel
def credit(nav, claim, income, row, k, amount):  # type: ignore[no-untyped-def]
    """Book an income of a tranche, below 0 what it pays to others."""
    nav[row, k] += amount
    claim[row, k] += amount
    income[row, k] += amount


@kernel
def pay_coupons(nav, claim, income, rate, row, n, years):  # type: ignore[no-untyped-def]
    """Pay all but the last tranche their rates, senior first, from those below, last first."""
    for k in range(n - 1):
        owed = nav[row, k] * rate[row, k] * years
        for payer in range(n - 1, k, -1):
            part = min(owed, nav[row, payer])
            credit(nav, claim, income, row, payer, -part)
            credit(nav, claim, income, row, k, part)
            owed -= part


@kernel
def senior_share(ratio, least, most):  # type: ignore[no-untyped-def]
    """Return the share of the base yield that the senior tranche gets (adaptive split)."""
    return min(max(ratio, least), most)


@kernel
def split_income(nav, claim, income, row, gain, least, most):  # type: ignore[no-untyped-def]
    """Give two tranches an income by the adaptive split."""
    ratio = nav[row, 0] / (nav[row, 0] + nav[row, 1])
    senior = gain * senior_share(ratio, least, most) * ratio
    credit(nav, claim, income, row, 0, senior)
    credit(nav, claim, income, row, 1, gain - senior)


@kernel
def lever_income(nav, claim, income, row, n, gain, ceded):  # type: ignore[no-untyped-def]
    """Give an income in proportion to value, of which all but the last cede a part to it."""
    total = 0.0
    for k in range(n):
        total += nav[row, k]
    left = gain
    for k in range(n - 1):
        part = gain * nav[row, k] / total * (1.0 - ceded)
        credit(nav, claim, income, row, k, part)
        left -= part
    credit(nav, claim, income, row, n - 1, left)


@kernel
def mark(nav, claim, row, n, value, marked):  # type: ignore[no-untyped-def]
    """Write what each tranche would be worth if the vault were worth `value` now."""
    total = 0.0
    for k in range(n):
        marked[row, k] = nav[row, k]
        total += nav[row, k]
    if value < total:
        bear(marked, row, n, total - value)
    else:
        left = recover(marked, claim, row, n, value - total)  # first: it writes there too
        marked[row, n - 1] += left


@kernel
def leverage_of(n_backers, fewest, most, highest):  # type: ignore[no-untyped-def]
    """Return the leverage that a number of junior holders allows, linear between two numbers."""
    part = (n_backers - fewest) / (most - fewest)
    return highest * min(max(part, 0.0), 1.0)
