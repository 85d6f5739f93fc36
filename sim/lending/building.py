"""Making lending markets from a scenario, and putting positions into them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import InputError
from sim.ledger import transfer
from sim.lending.book import enter_book
from sim.lending.config import (
    CloseBase,
    LossBearer,
    MarketConfig,
    ModeConfig,
    ReserveConfig,
)
from sim.lending.isolated import PairConfig, pair_market
from sim.lending.settings import KIND, LendingConfig
from sim.lending.state import LendingState, add_positions, make_state
from sim.lending.verbs import LendingDesk
from sim.outside import GENESIS, OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.registry import VenueSite
    from sim.world import World


def _market_config(config: LendingConfig, prices: list[float]) -> MarketConfig:
    if config.isolated_pair is not None:
        pair = config.isolated_pair
        terms = PairConfig(**pair.model_dump(exclude={"collateral", "loan"}))
        order = tuple(config.reserves)
        worth = dict(zip(order, prices, strict=True))
        return pair_market(terms, (pair.collateral, pair.loan), worth, order)
    reserves = []
    for settings, price in zip(config.reserves.values(), prices, strict=True):
        given = settings.model_dump(exclude={"feed"})
        for cap in ("supply_cap", "borrow_cap", "debt_ceiling"):
            given[cap] = math.inf if given[cap] is None else given[cap]
        reserves.append(ReserveConfig(price=price, **given))
    return MarketConfig(
        reserves=tuple(reserves),
        close_factor=config.close_factor,
        close_base=CloseBase[config.close_base.upper()],
        full_close_below=config.full_close_below,
        full_close_value=config.full_close_value,
        dust_value=config.dust_value,
        loss_order=tuple(LossBearer[bearer.upper()] for bearer in config.loss_order),
        modes=tuple(_mode_config(config, label) for label in config.efficiency_modes),
    )


def _mode_config(config: LendingConfig, label: str) -> ModeConfig:
    settings, symbols = config.efficiency_modes[label], list(config.reserves)
    for symbol in (*settings.collateral_assets, *settings.borrowable_assets):
        if symbol not in symbols:
            raise InputError(
                f"efficiency mode '{label}' names '{symbol}'; the market has: {', '.join(symbols)}"
            )
    return ModeConfig(
        label=label,
        loan_to_value=settings.loan_to_value,
        liquidation_threshold=settings.liquidation_threshold,
        liquidation_bonus=settings.liquidation_bonus,
        collateral=tuple(symbols.index(symbol) for symbol in settings.collateral_assets),
        borrowable=tuple(symbols.index(symbol) for symbol in settings.borrowable_assets),
    )


def make(world: World, sites: Sequence[VenueSite]) -> tuple[LendingState, LendingDesk]:
    """Return the lending markets of a world, without positions; populations bring the book."""
    markets, tokens, feeds = [], [], []
    for site in sites:
        reference = [float(world.prices.reference[token]) for token in site.tokens]
        try:
            markets.append(_market_config(site.config, reference))
        except InputError as error:
            raise InputError(f"venues.{site.name}: {error}") from None
        tokens += list(site.tokens)
        feeds += [
            _feed_row(world, site, symbol, settings.feed)
            for symbol, settings in site.config.reserves.items()
        ]
        for token, settings in zip(site.tokens, site.config.reserves.values(), strict=True):
            if settings.backstop > 0.0:
                world.endow(site.group, site.account, token, settings.backstop)
    state = make_state(
        markets,
        [site.chain for site in sites],
        tokens,
        feeds,
        n_collateral_slots=max(site.config.n_collateral_slots for site in sites),
        n_debt_slots=max(site.config.n_debt_slots for site in sites),
    )
    desk = LendingDesk(
        account=np.array([site.account for site in sites], np.int64),
        group=np.array([sites[0].group], np.int64),
        flash_fee=np.array(
            [0.0 if site.config.isolated_pair else site.config.flash_fee for site in sites]
        ),
        unsafe_since=np.zeros(0, np.int64),
    )
    return state, desk


def _feed_row(world: World, site: VenueSite, symbol: str, name: str) -> int:
    if name not in world.venue_names:
        raise InputError(f"venues.{site.name}.reserves.{symbol}.feed: no oracle '{name}'")
    number = world.venue(name)
    plan = world.plan.venues[number]
    if plan.mechanism.kind != "oracle":
        raise InputError(f"venues.{site.name}.reserves.{symbol}.feed: '{name}' is not an oracle")
    return int(world.venues.row[number])


def open_positions(world: World, venue: int, group: int, rows: np.ndarray) -> np.ndarray:
    """Give accounts of a population a position in a market, while the world is built.

    Returns
    -------
    int64, (n,), rows of the position table
    """
    state, desk = world.states[KIND]
    first = len(state.positions)
    state = add_positions(state, int(world.venues.row[venue]), group, np.asarray(rows))
    desk = desk._replace(unsafe_since=np.full(len(state.positions), -1, np.int64))
    world.replace_state(KIND, (state, desk))
    return np.arange(first, len(state.positions), dtype=np.int64)


def mode_of(world: World, venue: int, label: str) -> int:
    """Return the row of a market's efficiency mode by label."""
    state, _ = world.states[KIND]
    labels = list(world.plan.venues[venue].config.efficiency_modes)
    if label not in labels:
        known = ", ".join(labels) or "none"
        raise InputError(
            f"market {world.venue_names[venue]} has no efficiency mode '{label}'; it has: {known}"
        )
    mine = np.flatnonzero(state.modes["market"] == int(world.venues.row[venue]))
    return int(mine[labels.index(label)])


def enter(
    world: World, positions: np.ndarray, reserve: int, amounts: np.ndarray, *, are_debts: bool
) -> None:
    """Enter claims or debts of the start; the market's account holds what is supplied and not lent.

    Claims bring tokens into the world; a debt takes them out of the market to where the borrower
    spent them, outside.
    """
    state, desk = world.states[KIND]
    reserves = np.full(len(positions), reserve, np.int64)
    enter_book(state, positions, reserves, amounts, are_debts=are_debts)
    asset = state.reserves[reserve]
    group, account = int(desk.group[0]), int(desk.account[asset["market"]])
    total = float(np.sum(amounts))
    token = int(asset["token"])
    if are_debts:
        transfer(world.ledger, group, account, OUTSIDE, GENESIS, token, total)
    else:
        world.endow(group, account, token, total)


def reserve_of(world: World, venue: int, symbol: str) -> int:
    """Return the row of a market's reserve by symbol."""
    state, _ = world.states[KIND]
    market = state.markets[int(world.venues.row[venue])]
    symbols = list(world.plan.venues[venue].config.reserves)
    if symbol not in symbols:
        raise InputError(
            f"market {world.venue_names[venue]} has no reserve '{symbol}'; it has: "
            + ", ".join(symbols)
        )
    return int(market["first_reserve"]) + symbols.index(symbol)
