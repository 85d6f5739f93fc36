"""`CdpMarket`: one CDP market under Maker's rules, with the contract's verbs.

The kernels are the engine's. Users are any hashable keys with one vault each, time is an own clock
that only `wait` moves; collateral comes from and goes to nowhere, as if every user were rich, and
debt tokens are counted by `issued` alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.cdp import auction, liquidation, vault
from sim.cdp.reading import check_market
from sim.cdp.settings import KIND, CdpConfig
from sim.cdp.state import N_AUCTIONS, add_vaults, grown, make_state
from sim.errors import InputError, RefusedError
from sim.status import Status
from sim.units import ticks

if TYPE_CHECKING:
    from collections.abc import Hashable

_REASONS = {
    Status.ZERO_AMOUNT: "the amount is zero",
    Status.BAD_AMOUNT: "the amount is not a finite number above 0",
    Status.INSUFFICIENT_FUNDS: "the vault holds {collateral} of collateral",
    Status.NO_POSITION: "there is no such debt or open auction",
    Status.UNHEALTHY: "the health factor would fall below 1; it is {health}",
    Status.NOT_LIQUIDATABLE: "the health factor is {health}, or the auction is not stale",
    Status.CAP: "all debts are {debts} of at most {ceiling}",
    Status.DUST: "it would leave a debt below the floor of {floor}",
    Status.NOT_ALLOWED: "the market liquidates in another way, or the auction still runs",
    Status.PRICE_LIMIT: "the bid does not beat the last one by enough, or the price is too high",
    Status.STALE: "the auction takes no bids any more",
}


class Liquidation(NamedTuple):
    """What a liquidation at a fixed spread moved."""

    repaid: float  # debt tokens, burned
    seized: float  # collateral tokens, to the liquidator
    deficit: float  # debt tokens, written off


class Purchase(NamedTuple):
    """What was bought from a Dutch auction."""

    taken: float  # collateral tokens, to the buyer
    paid: float  # debt tokens, burned


class CdpMarket:
    """One CDP market.

    Parameters
    ----------
    price : USD per collateral token at the start
    **rules : fields of `CdpConfig` other than `kind`, `chain`, `collateral`, `debt` and `feed`

    Raises
    ------
    InputError
        The price is not positive and finite.

    Examples
    --------
    >>> market = CdpMarket(200.0, liquidation_ratio=1.5)
    >>> market.deposit("ann", 10.0)
    10.0
    >>> market.draw("ann", 1_000.0)
    1000.0
    >>> round(market.health_factor("ann"), 6)
    1.333333
    """

    def __init__(self, price: float, **rules: Any) -> None:
        named = {"kind": KIND, "chain": "", "collateral": "COL", "debt": "DEBT", "feed": ""}
        self.config = CdpConfig.model_validate(named | rules)
        self.state = make_state([self.config])
        self._rows: dict[Hashable, int] = {}
        self.now = 0  # ticks
        self.set_price(price)
        market = self.state.markets[0]
        market["surplus"] = market["fees"] = self.config.surplus_at_start
        market["issued"] = -self.config.surplus_at_start  # paid as fees before

    def _vault(self, user: Hashable) -> int:
        row = self._rows.setdefault(user, len(self._rows))
        if row >= len(self.state.vaults):
            self.state = add_vaults(self.state, 0, 0, np.arange(row, 2 * row + 8))
        return row

    def _settle(self, verb: str, user: Hashable | None, outcome: Any) -> Any:
        status, *moved = outcome if isinstance(outcome, tuple) else (outcome,)
        if status != Status.OK:
            reason = _REASONS[Status(status)].format(**self._numbers(user))
            raise RefusedError(f"{verb} refused ({Status(status).name}): {reason}")
        return moved

    def _numbers(self, user: Hashable | None) -> dict[str, str]:
        market = self.state.markets[0]
        known = {
            "collateral": math.nan if user is None else self.collateral(user),
            "health": math.nan if user is None else self.health_factor(user),
            "debts": self.total_debt(),
            "ceiling": market["debt_ceiling"],
            "floor": market["debt_floor"],
        }
        return {name: f"{float(number):.10g}" for name, number in known.items()}

    def _open(self, number: int) -> int:
        self._settle("the bid", None, auction.check_open(self.state, int(number), 0))
        return int(number)

    # --- vaults ----------------------------------------------------------------------------------

    def deposit(self, user: Hashable, amount: float) -> float:
        """Add collateral to a user's vault, which is opened with it; returns the amount."""
        row = self._vault(user)
        outcome = vault.deposit(self.state, row, float(amount), math.inf)
        return float(self._settle("deposit", user, outcome)[0])

    def withdraw(self, user: Hashable, amount: float = math.inf) -> float:
        """Take collateral out, by default all; returns the amount."""
        row = self._vault(user)
        outcome = vault.withdraw(self.state, row, float(amount), self.now)
        return float(self._settle("withdrawal", user, outcome)[0])

    def draw(self, user: Hashable, amount: float) -> float:
        """Owe more; returns the debt tokens minted."""
        row = self._vault(user)
        outcome = vault.draw(self.state, row, float(amount), self.now)
        return float(self._settle("draw", user, outcome)[0])

    def repay(self, user: Hashable, amount: float = math.inf) -> float:
        """Owe less, by default nothing; returns the debt tokens burned."""
        row = self._vault(user)
        outcome = vault.repay(self.state, row, float(amount), math.inf, self.now)
        return float(self._settle("repayment", user, outcome)[0])

    def liquidate(self, user: Hashable, amount: float = math.inf) -> Liquidation:
        """Repay debt of an unsafe vault at the fixed spread."""
        row = self._vault(user)
        outcome = liquidation.liquidate(self.state, row, float(amount), math.inf, self.now)
        return Liquidation(*map(float, self._settle("liquidation", user, outcome)[:3]))

    # --- auctions --------------------------------------------------------------------------------

    def bite(self, user: Hashable) -> int:
        """Start an auction of an unsafe vault, or of a lot of it; returns its number."""
        row = self._vault(user)
        self.state = grown(self.state) or self.state
        return int(self._settle("bite", user, auction.bite(self.state, row, self.now))[0])

    def tend(self, number: int, bidder: int, amount: float) -> float:
        """Bid debt tokens for the lot of an English auction; returns the bid."""
        asked = auction.quote_tend(self.state, self._open(number), float(amount), self.now)
        (bid,) = self._settle("tend", None, asked)
        lot = self.state.auctions[number]["lot"]
        auction.enter_bid(self.state, number, bid, lot, 0, bidder, self.now)
        return float(bid)

    def dent(self, number: int, bidder: int, lot: float) -> float:
        """Bid the whole sum for a smaller lot; returns the bid."""
        asked = auction.quote_dent(self.state, self._open(number), float(lot), self.now)
        (bid,) = self._settle("dent", None, asked)
        auction.enter_bid(self.state, number, bid, float(lot), 0, bidder, self.now)
        return float(bid)

    def deal(self, number: int) -> float:
        """End an English auction; returns the deficit."""
        outcome = auction.deal(self.state, self._open(number), self.now)
        return float(self._settle("deal", None, outcome)[0])

    def take(self, number: int, amount: float = math.inf, most_price: float = 0.0) -> Purchase:
        """Buy from a Dutch auction; `most_price` 0: at any price."""
        outcome = auction.take(
            self.state, self._open(number), float(amount), float(most_price), math.inf, self.now
        )
        return Purchase(*map(float, self._settle("take", None, outcome)[:2]))

    def redo(self, number: int) -> float:
        """Restart a stale auction; returns the debt tokens minted for it."""
        outcome = auction.redo(self.state, self._open(number), self.now)
        return float(self._settle("redo", None, outcome)[0])

    def auction(self, number: int) -> dict[str, Any]:
        """Return what is known of an auction, by the names of `sim.cdp.state.AUCTION`."""
        if not 0 <= number < int(self.state.counter[N_AUCTIONS]):
            raise InputError(f"auction ({number}) has not begun; the last one is {self.last}")
        row = self.state.auctions[number]
        return {name: row[name].item() for name in row.dtype.names or ()}

    @property
    def last(self) -> int:
        """Number of the last auction, -1: none."""
        return int(self.state.counter[N_AUCTIONS]) - 1

    def auction_price(self, number: int) -> float:
        """Return the price of a Dutch auction now, debt tokens per collateral token."""
        return float(auction.auction_price(self.state, self._open(number), self.now))

    # --- time and prices -------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass, and write down the stability fee."""
        if not 0.0 <= seconds < math.inf:
            raise InputError(f"seconds ({seconds}) must be at least 0 and finite")
        self.now += ticks(seconds)
        vault.accrue(self.state.markets[0], self.now)

    def set_price(self, price: float) -> None:
        """Set the price at which the market values collateral, USD."""
        if not 0.0 < price < math.inf:
            raise InputError(f"price ({price}) must be above 0 and finite")
        self.state.markets[0]["price"] = price

    # --- reading ---------------------------------------------------------------------------------

    def collateral(self, user: Hashable) -> float:
        """Return the collateral in a user's vault, tokens."""
        row = self._vault(user)
        return float(self.state.collateral[row])

    def debt(self, user: Hashable) -> float:
        """Return what a user owes, debt tokens with the fee."""
        row = self._vault(user)
        return float(vault.debt_of(self.state, row, self.now))

    def health_factor(self, user: Hashable) -> float:
        """Return the health factor of a user's vault; inf without debt."""
        row = self._vault(user)
        return float(vault.health_factor(self.state, row, self.now))

    def total_debt(self) -> float:
        """Return what all vaults owe, debt tokens with the fee."""
        market = self.state.markets[0]
        return float(market["scaled_debt"] * vault.index_at(market, self.now))

    def books(self) -> dict[str, float]:
        """Return what the market counts, by the names of `sim.cdp.state.MARKET`."""
        market = self.state.markets[0]
        return {name: market[name].item() for name in market.dtype.names or ()}

    def check(self, scale: float = 1.0) -> None:
        """Check that the books balance up to 1e-9 of `scale`, debt tokens.

        Raises
        ------
        InvariantError
            They do not; says which part.
        """
        check_market(self.state, 0, "market", scale)
