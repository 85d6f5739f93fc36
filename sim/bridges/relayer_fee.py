"""What a relayer asks beside the liquidity fee: its capital, and the gas of the payment (Across).

The capital fee is marginal: the first token costs `lower`, each further one linearly more up to
`upper` at the `cutoff`, and `upper` from there on. For an amount y the charge is

    lower y + (upper - lower) (min(y, cutoff)^2 / (2 cutoff) + max(0, y - cutoff)).

The gas fee is the gas of the payment at the base fee of the chain where it is made, in tokens.

References
----------
Across Protocol documentation, "Fees in the system"; its relayer fee calculator.
"""

from __future__ import annotations

import math

from pydantic import Field, model_validator

from sim.bridges.liquidity_fee import average_rate, weekly_rate
from sim.errors import InputError
from sim.kernel import kernel
from sim.registry import Config


class RelayerFee(Config):
    """Fees of relayers beside the liquidity fee."""

    lower_bps: float = Field(
        1.0,
        ge=0.0,
        lt=1_000.0,
        description="Marginal capital fee of the first token.",
        json_schema_extra={"unit": "bp of the amount"},
    )
    upper_bps: float = Field(
        5.0,
        ge=0.0,
        lt=1_000.0,
        description="Marginal capital fee from the cutoff on.",
        json_schema_extra={"unit": "bp of the amount"},
    )
    cutoff_usd: float = Field(
        1_000_000.0,
        gt=0.0,
        description="Amount from which the marginal fee stays, at the prices of the start.",
        json_schema_extra={"unit": "USD"},
    )
    fill_gas: int = Field(
        120_000,
        ge=0,
        le=10_000_000,
        description="Gas of a payment, asked for at the base fee of its chain.",
        json_schema_extra={"unit": "gas"},
    )

    @model_validator(mode="after")
    def _check(self) -> RelayerFee:
        if self.lower_bps > self.upper_bps:
            raise ValueError(
                f"lower_bps ({self.lower_bps:g}) must not exceed upper_bps ({self.upper_bps:g})"
            )
        return self


@kernel
def capital_fee(amount, lower, upper, cutoff):  # type: ignore[no-untyped-def]
    """Return the capital fee of an amount, tokens.

    Parameters
    ----------
    lower, upper : marginal fee of the first token, and from the cutoff on: fractions
    cutoff : tokens, above 0; inf: `lower` for every token
    """
    if cutoff == math.inf:
        return lower * amount
    rising = min(amount, cutoff)
    beyond = max(amount - cutoff, 0.0)
    return lower * amount + (upper - lower) * (0.5 * rising * rising / cutoff + beyond)


@kernel
def gas_fee(box, prices, chain, token, gas):  # type: ignore[no-untyped-def]
    """Return what the gas of a payment costs now on a chain, in tokens of another asset.

    0 where one of the two has no reference price.
    """
    native = box.chains[chain].native
    if gas <= 0.0 or prices.asset[native] < 0 or prices.asset[token] < 0:
        return 0.0
    usd = gas * box.chains[chain].base_fee * prices.reference[native]
    return usd / prices.reference[token]


class AcrossFees:
    """The fees of one transfer, by hand.

    Parameters
    ----------
    kink, base_rate, slope1, slope2 : of the liquidity fee; rates per year
    lower, upper : marginal capital fee of the first token, and from the cutoff on: fractions
    cutoff : tokens

    Examples
    --------
    >>> fees = AcrossFees(kink=0.65, slope1=0.08, slope2=1.0, lower=1e-4, upper=3e-4, cutoff=100.0)
    >>> round(fees.liquidity_fee(1_000.0, 0.0, 0.5), 8)
    0.58296504
    >>> round(fees.capital_fee(200.0), 12)
    0.05
    """

    def __init__(
        self,
        *,
        kink: float,
        slope1: float,
        slope2: float,
        base_rate: float = 0.0,
        lower: float = 0.0,
        upper: float = 0.0,
        cutoff: float = math.inf,
    ) -> None:
        if not 0.0 < kink < 1.0:
            raise InputError(f"kink ({kink}) must be a utilization above 0 and below 1")
        if not 0.0 <= lower <= upper < 1.0:
            raise InputError(f"lower ({lower}) and upper ({upper}) must rise from 0 to below 1")
        if not cutoff > 0.0:
            raise InputError(f"cutoff ({cutoff}) must be above 0 tokens")
        self._curve = (base_rate, slope1, slope2, kink)
        self._capital = (lower, upper, cutoff)

    def liquidity_fee(self, amount: float, before: float, after: float) -> float:
        """Return a week of the mean rate over the step of utilization, tokens."""
        return amount * float(weekly_rate(average_rate(before, after, *self._curve)))

    def capital_fee(self, amount: float) -> float:
        """Return the relayer's capital fee, tokens."""
        return float(capital_fee(amount, *self._capital))
