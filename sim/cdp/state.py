"""The tables of all CDP markets: markets, vaults, auctions.

Debts are stored *scaled*: tokens = scaled debt * index, so that the stability fee touches the index
alone. Auctions are appended and never removed; `active` lists those that are open.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.cdp.settings import CdpConfig, DutchAuction, EnglishAuction, FixedSpread, LinearDecrease
from sim.kernel import F8, I8, blank, columnar, records
from sim.units import HOUR, MINUTE, YEAR, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

FIXED_SPREAD, ENGLISH, DUTCH = range(3)  # MARKET.mode
EXPONENTIAL_STEP, LINEAR = range(2)  # MARKET.curve
N_AUCTIONS, N_ACTIVE = range(2)  # CdpState.counter
NOBODY = -1
FIRST_CAPACITY = 4_096  # auctions for which there is room at first
ROOM = 1_024  # places that are kept free: more than one block can take

MARKET = np.dtype(  # debt tokens unless said otherwise
    [
        ("collateral_token", "i8"),
        ("debt_token", "i8"),
        ("price_feed", "i8"),
        ("mode", "i8"),  # FIXED_SPREAD, ENGLISH or DUTCH
        ("curve", "i8"),  # EXPONENTIAL_STEP or LINEAR
        ("last_update", "i8"),  # tick, when the index last grew
        ("bid_duration", "i8"),  # ticks without a better bid
        ("auction_length", "i8"),  # ticks; Dutch: after which an auction is stale
        ("curve_time", "i8"),  # ticks of a step, or until the price is 0
        ("price", "f8"),  # USD per collateral token, as the market believes
        ("target_price", "f8"),  # USD per debt token, always
        ("liquidation_ratio", "f8"),  # least collateral value over debt value
        ("log_fee", "f8"),  # stability fee per second, of the logarithm of the index
        ("debt_floor", "f8"),
        ("debt_ceiling", "f8"),  # inf: none
        ("penalty", "f8"),  # fraction of the debt; fixed spread: the bonus
        ("close_factor", "f8"),  # fraction of the debt that one liquidation may repay
        ("lot_size", "f8"),  # collateral tokens
        ("min_bid_increase", "f8"),  # fraction
        ("start_factor", "f8"),  # first price of a Dutch auction / oracle price
        ("step_factor", "f8"),  # price after a step / before it
        ("stale_below", "f8"),  # price / first price
        ("keeper_tip", "f8"),
        ("keeper_share", "f8"),  # fraction of what is to be raised
        ("index", "f8"),  # debt tokens per scaled debt
        ("scaled_debt", "f8"),  # of all vaults / index
        ("n_debts", "i8"),  # vaults with a debt
        ("auction_debt", "f8"),  # taken from vaults and not yet raised or written off
        ("issued", "f8"),  # minted less burned
        ("elsewhere", "f8"),  # supply at the start that no vault has drawn; issuing market only
        ("surplus", "f8"),  # income not spent on losses
        ("unbacked", "f8"),  # losses that nobody has borne
        ("backstop_left", "f8"),  # that the insurer would still pay
        ("fees", "f8"),  # stability fees so far, surplus of the start included
        ("penalties", "f8"),  # raised beyond debts so far
        ("written_off", "f8"),  # debts not covered by collateral, so far
        ("incentives", "f8"),  # minted for keepers so far
        ("from_surplus", "f8"),  # of losses: borne by the surplus
        ("from_backstop", "f8"),  # of losses: paid by the insurer
        ("healed", "f8"),  # of losses: unbacked for a time, covered by later income
    ],
    align=True,
)

VAULT = np.dtype(
    [
        ("market", "i4"),  # row of `markets`
        ("population", "i4"),  # whose vault it is
        ("owner", "i4"),  # row in that population
    ],
    align=True,
)

AUCTION = np.dtype(
    [
        ("market", "i8"),
        ("vault", "i8"),
        ("place", "i8"),  # in `active`, -1: over
        ("group", "i8"),  # who has bid most, -1: nobody
        ("row", "i8"),
        ("started", "i8"),  # tick of the start, or restart
        ("bid_until", "i8"),  # tick until which the last bid can be beaten; 0: no bid
        ("ends", "i8"),  # tick; English: no bids after it
        ("version", "i8"),  # bids, takes and restarts so far
        ("observed", "i8"),  # tick at which the price was observed that made the vault unsafe
        ("unsafe_since", "i8"),  # of the vault, when it started; see `CdpDesk`
        ("lot", "f8"),  # collateral tokens for sale
        ("debt", "f8"),  # debt tokens, of the vault, not yet raised
        ("to_raise", "f8"),  # debt tokens, penalty included
        ("bid", "f8"),  # debt tokens, the last bid; Dutch: raised so far
        ("first_price", "f8"),  # USD per collateral token, Dutch
        ("health_factor", "f8"),  # of the vault before
        ("bid_usd", "f8"),  # value of the winning bid when it was settled, at reference prices
        ("lot_usd", "f8"),  # and of what it won
    ],
    align=True,
)


@columnar
class CdpState(NamedTuple):
    """All CDP markets with their vaults and auctions."""

    markets: records(MARKET)  # type: ignore[valid-type]
    vaults: records(VAULT)  # type: ignore[valid-type]
    collateral: F8  # float64, (n_vaults,), collateral tokens
    scaled: F8  # float64, (n_vaults,), debt / index
    auctions: records(AUCTION)  # type: ignore[valid-type]  # (capacity,), the first ones exist
    active: I8  # int64, (capacity,), open auctions, in no order
    counter: I8  # int64, (2,): auctions so far, open ones


def make_state(
    configs: Sequence[CdpConfig], capacity: int = FIRST_CAPACITY, now: int = 0
) -> CdpState:
    """Return empty markets without vaults; tokens, feeds and prices are the caller's to set.

    Parameters
    ----------
    configs : of each market
    capacity : auctions for which there is room
    now : tick at which the stability fee starts
    """
    markets = blank(len(configs), MARKET)
    for market, config in zip(markets, configs, strict=True):
        market["target_price"] = config.target_price_usd
        market["liquidation_ratio"] = config.liquidation_ratio
        market["log_fee"] = math.log1p(config.stability_fee) / YEAR
        market["debt_floor"] = config.debt_floor
        ceiling = config.debt_ceiling
        market["debt_ceiling"] = math.inf if ceiling is None else ceiling
        market["backstop_left"] = config.backstop
        market["index"], market["last_update"] = 1.0, now
        _set_liquidation(market, config.liquidation)
    return CdpState(
        markets=markets,
        vaults=blank(0, VAULT),
        collateral=np.zeros(0),
        scaled=np.zeros(0),
        auctions=blank(capacity, AUCTION),
        active=np.zeros(capacity, np.int64),
        counter=np.zeros(2, np.int64),
    )


def _set_liquidation(market: Any, rules: FixedSpread | EnglishAuction | DutchAuction) -> None:
    market["lot_size"] = math.inf
    if isinstance(rules, FixedSpread):
        market["mode"], market["penalty"] = FIXED_SPREAD, rules.bonus
        market["close_factor"] = rules.close_factor
        return
    market["penalty"] = rules.penalty
    if isinstance(rules, EnglishAuction):
        market["mode"] = ENGLISH
        market["lot_size"] = math.inf if rules.lot_size is None else rules.lot_size
        market["min_bid_increase"] = rules.min_bid_increase
        market["bid_duration"] = ticks(rules.bid_duration_minutes * MINUTE)
        market["auction_length"] = ticks(rules.auction_hours * HOUR)
        return
    market["mode"], market["start_factor"] = DUTCH, rules.start_factor
    market["auction_length"] = ticks(rules.stale_after_minutes * MINUTE)
    market["stale_below"] = rules.stale_below
    market["keeper_tip"], market["keeper_share"] = rules.keeper_tip, rules.keeper_share
    if isinstance(rules.curve, LinearDecrease):
        market["curve"] = LINEAR
        market["curve_time"] = ticks(rules.curve.zero_after_seconds)
    else:
        market["curve"], market["step_factor"] = EXPONENTIAL_STEP, rules.curve.factor
        market["curve_time"] = ticks(rules.curve.step_seconds)


def add_vaults(
    state: CdpState, market: np.ndarray | int, population: np.ndarray | int, owner: np.ndarray
) -> CdpState:
    """Return the state with empty vaults appended; markets and auctions are shared.

    Parameters
    ----------
    market, population : integers, (n,) or one for all
    owner : integers, (n,), row in the population
    """
    n = len(owner)
    vaults = blank(len(state.vaults) + n, VAULT)
    vaults[: len(state.vaults)] = state.vaults
    added = vaults[len(state.vaults) :]
    added["market"], added["population"], added["owner"] = market, population, owner
    return state._replace(
        vaults=vaults,
        collateral=np.concatenate([state.collateral, np.zeros(n)]),
        scaled=np.concatenate([state.scaled, np.zeros(n)]),
    )


def grown(state: CdpState) -> CdpState | None:
    """Return the state with twice the room for auctions when it is nearly full, else None."""
    n = len(state.auctions)
    if n - int(state.counter[N_AUCTIONS]) >= ROOM:
        return None
    auctions, active = blank(2 * n, AUCTION), np.zeros(2 * n, np.int64)
    auctions[:n], active[:n] = state.auctions, state.active
    return state._replace(auctions=auctions, active=active)
