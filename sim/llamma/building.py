"""Making crvUSD markets from a scenario, and putting loans into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.errors import InputError
from sim.ledger import burn
from sim.llamma.loans import create
from sim.llamma.settings import KIND
from sim.llamma.state import LlammaState, add_loans, make_state
from sim.llamma.trading import tradable_price
from sim.outside import GENESIS, OUTSIDE
from sim.prices import update_prices
from sim.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.registry import VenueSite
    from sim.world import World


def make(world: World, sites: Sequence[VenueSite]) -> LlammaState:
    """Return the markets of a world, without loans; populations bring them."""
    _price_debt_tokens(world, sites)
    issued = {token for site in sites for token in site.own_tokens}
    prices = [float(world.prices.reference[site.tokens[0]]) for site in sites]
    state = make_state([site.config for site in sites], prices)
    for market, site in zip(state.markets, sites, strict=True):
        collateral, debt = site.tokens
        if debt not in issued:
            raise InputError(
                f"venues.{site.name}.debt: no market of kind {KIND} issues '{site.config.debt}'; "
                "give one of them a debt_asset"
            )
        market["chain"], market["group"], market["account"] = site.chain, site.group, site.account
        market["collateral_token"], market["debt_token"] = collateral, debt
        market["price_feed"] = _feed_row(world, site)
        world.venues.fee[site.number] = site.config.fee
        world.venues.price[site.number] = market["price"]
    return state


def _price_debt_tokens(world: World, sites: Sequence[VenueSite]) -> None:
    """Give each debt token the asset that it follows, and list it where that is wanted."""
    prices = world.prices
    for site in sites:
        for token in site.own_tokens:
            try:
                prices.asset[token] = world.asset(site.config.debt_asset)
            except InputError as error:
                raise InputError(f"venues.{site.name}.debt_asset: {error}") from None
            prices.scale[token] = 1.0
            prices.is_listed[token] = int(site.config.is_listed)
    update_prices(prices, 0)


def _feed_row(world: World, site: VenueSite) -> int:
    name = site.config.feed
    if name not in world.venue_names:
        raise InputError(f"venues.{site.name}.feed: no oracle '{name}'")
    number = world.venue(name)
    if world.plan.venues[number].mechanism.kind != "oracle":
        raise InputError(f"venues.{site.name}.feed: '{name}' is not an oracle")
    return int(world.venues.row[number])


def open_loans(world: World, venue: int, group: int, rows: np.ndarray) -> np.ndarray:
    """Give accounts of a population an empty loan in a market, while the world is built.

    Returns
    -------
    int64, (n,), rows of the table of loans
    """
    state = world.states[KIND]
    first = len(state.loans)
    state = add_loans(state, int(world.venues.row[venue]), group, np.asarray(rows))
    world.replace_state(KIND, state)
    return np.arange(first, len(state.loans), dtype=np.int64)


def enter(
    world: World, loans: np.ndarray, collateral: np.ndarray, debt: np.ndarray, n: np.ndarray
) -> None:
    """Open loans of one market at the start, by the controller's own rules.

    The collateral comes into the world with them; what they borrowed is outside, where it was
    spent.

    Parameters
    ----------
    loans : int64, (n,), rows of the table of loans, each still empty
    collateral, debt : float64, (n,), tokens
    n : int64, (n,), bands

    Raises
    ------
    InputError
        The market refuses a loan.
    """
    state = world.states[KIND]
    for loan, pledged, owed, bands in zip(loans, collateral, debt, n, strict=True):
        status = create(state, int(loan), float(pledged), float(owed), int(bands), 0)
        if status != Status.OK:
            raise InputError(
                f"loan {loan}: {owed:g} debt tokens against {pledged:g} of collateral in {bands} "
                f"bands is refused ({Status(status).name.lower()}); borrow less, or use 4 to 50 "
                "bands"
            )
    row = int(state.loans["market"][loans[0]])
    market, total = state.markets[row], float(np.sum(debt))
    market["issued"] += total
    group, account = int(market["group"]), int(market["account"])
    world.endow(group, account, int(market["collateral_token"]), float(np.sum(collateral)))
    world.endow(OUTSIDE, GENESIS, int(market["debt_token"]), total)


def open_markets(world: World, state: LlammaState) -> None:
    """Let what was borrowed be what pools and populations were given, and show the prices.

    Debt tokens that others hold at the start come out of those that were borrowed; where they hold
    more than that, the rest counts as issued elsewhere.
    """
    sites = [site for site in world.venue_sites if site.config.kind == KIND]
    for token in np.unique(state.markets["debt_token"]):
        mine = state.markets["debt_token"] == token
        issued = float(state.markets["issued"][mine].sum())
        handed_out = float(world.ledger.supply[token]) - issued
        burn.py_func(world.ledger, OUTSIDE, GENESIS, int(token), min(handed_out, issued))
        issuer = next(site.row for site in sites if token in site.own_tokens)
        state.markets["elsewhere"][issuer] = float(world.ledger.supply[token]) - issued
    for site in sites:
        world.venues.price[site.number] = tradable_price(state, site.row, 0)
