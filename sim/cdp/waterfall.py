"""What a CDP market earns and loses, and who bears it.

Income (stability fees, penalties) first heals unbacked debt, then adds to the surplus. A loss takes
from the surplus, then from the backstop, which pays with debt tokens that are burned; what is left
is unbacked debt. So, always:

    written off + incentives = from surplus + from backstop + healed + unbacked
    surplus = fees + penalties - healed - from surplus

The contract counts surplus and unbacked debt apart and lets anybody heal; here it is done at once.
"""

from __future__ import annotations

from sim.kernel import kernel


@kernel
def earn(market, amount):  # type: ignore[no-untyped-def]
    """Book income: it heals unbacked debt first."""
    healed = min(amount, market.unbacked)
    market.unbacked -= healed
    market.healed += healed
    market.surplus += amount - healed


@kernel
def absorb(market, amount, backstop):  # type: ignore[no-untyped-def]
    """Book a loss; returns what the backstop pays, which the caller burns.

    Parameters
    ----------
    backstop : most that the backstop may pay of it
    """
    spent = min(amount, market.surplus)
    market.surplus -= spent
    market.from_surplus += spent
    paid = min(amount - spent, backstop)
    market.backstop_left -= paid
    market.from_backstop += paid
    market.issued -= paid
    market.unbacked += max(amount - spent - paid, 0.0)
    return paid


@kernel
def write_off(market, deficit):  # type: ignore[no-untyped-def]
    """Recognize a debt that no collateral covers; returns what the backstop pays."""
    if deficit <= 0.0:
        return 0.0
    market.written_off += deficit
    return absorb(market, deficit, market.backstop_left)


@kernel
def pay_keeper(market, amount):  # type: ignore[no-untyped-def]
    """Book debt tokens minted for whoever started an auction; the backstop is not for that."""
    market.issued += amount
    market.incentives += amount
    absorb(market, amount, 0.0)
