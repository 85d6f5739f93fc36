"""Making CDP markets from a scenario, and putting vaults into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.cdp.settings import KIND
from sim.cdp.state import CdpState, add_vaults, make_state
from sim.cdp.verbs import CdpDesk
from sim.errors import InputError
from sim.ledger import burn
from sim.outside import GENESIS, OUTSIDE
from sim.prices import update_prices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.registry import VenueSite
    from sim.world import World


def make(world: World, sites: Sequence[VenueSite]) -> tuple[CdpState, CdpDesk]:
    """Return the CDP markets of a world, without vaults; populations bring them."""
    _price_debt_tokens(world, sites)
    issued = {token for site in sites for token in site.own_tokens}
    state = make_state([site.config for site in sites])
    for market, site in zip(state.markets, sites, strict=True):
        collateral, debt = site.tokens
        if debt not in issued:
            raise InputError(
                f"venues.{site.name}.debt: no CDP market issues '{site.config.debt}'; give one of "
                "them a debt_asset"
            )
        market["collateral_token"], market["debt_token"] = collateral, debt
        market["price_feed"] = _feed_row(world, site)
        market["price"] = float(world.prices.reference[collateral])
    desk = CdpDesk(
        account=np.array([site.account for site in sites], np.int64),
        group=np.array([sites[0].group], np.int64),
        chain=np.array([site.chain for site in sites], np.int64),
        unsafe_since=np.zeros(0, np.int64),
    )
    return state, desk


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


def open_vaults(world: World, venue: int, group: int, rows: np.ndarray) -> np.ndarray:
    """Give accounts of a population a vault in a market, while the world is built.

    Returns
    -------
    int64, (n,), rows of the vault table
    """
    state, desk = world.states[KIND]
    first = len(state.vaults)
    state = add_vaults(state, int(world.venues.row[venue]), group, np.asarray(rows))
    desk = desk._replace(unsafe_since=np.full(len(state.vaults), -1, np.int64))
    world.replace_state(KIND, (state, desk))
    return np.arange(first, len(state.vaults), dtype=np.int64)


def enter(world: World, vaults: np.ndarray, collateral: np.ndarray, debt: np.ndarray) -> None:
    """Enter what vaults of one market hold and owe at the start, without the checks of an order.

    The collateral comes into the world with them; what they drew is outside, where it was spent.

    Parameters
    ----------
    vaults : int64, (n,), rows of the vault table, each still empty
    collateral, debt : float64, (n,), tokens

    Raises
    ------
    InputError
        An amount is negative or not finite.
    """
    state, desk = world.states[KIND]
    for what, amounts in (("collateral", collateral), ("debt", debt)):
        wrong = np.flatnonzero(~(np.isfinite(amounts) & (amounts >= 0.0)))
        if len(wrong):
            raise InputError(
                f"{what} of vault {vaults[wrong[0]]} ({amounts[wrong[0]]:g}) must be finite and "
                "not negative"
            )
    row = int(state.vaults["market"][vaults[0]])
    market = state.markets[row]
    state.collateral[vaults] = collateral
    state.scaled[vaults] = debt / market["index"]
    market["scaled_debt"] += state.scaled[vaults].sum()
    market["n_debts"] += np.count_nonzero(debt)
    total = float(np.sum(debt))
    market["issued"] += total
    group, account = int(desk.group[0]), int(desk.account[row])
    world.endow(group, account, int(market["collateral_token"]), float(np.sum(collateral)))
    world.endow(OUTSIDE, GENESIS, int(market["debt_token"]), total)


def open_markets(world: World, own: tuple[CdpState, CdpDesk]) -> None:
    """Set the surplus, and let what was drawn be what pools and populations were given.

    Debt tokens that others hold at the start come out of those that were drawn; where they hold
    more than was drawn, the rest counts as issued elsewhere.
    """
    state, _ = own
    for market, site in zip(state.markets, _sites(world), strict=True):
        token, surplus = int(market["debt_token"]), float(site.config.surplus_at_start)
        if surplus > 0.0:
            drawn = float(market["scaled_debt"] * market["index"])
            if surplus > drawn:
                raise InputError(
                    f"venues.{site.name}.surplus_at_start: {surplus:g} debt tokens exceed the "
                    f"debts of all vaults, {drawn:.6g}; lower it"
                )
            burn.py_func(world.ledger, OUTSIDE, GENESIS, token, surplus)
            market["surplus"] = market["fees"] = surplus
            market["issued"] -= surplus
    for token in np.unique(state.markets["debt_token"]):
        mine = state.markets["debt_token"] == token
        issued = float(state.markets["issued"][mine].sum())
        handed_out = float(world.ledger.supply[token]) - issued
        burn.py_func(world.ledger, OUTSIDE, GENESIS, int(token), min(handed_out, issued))
        issuer = next(site.row for site in _sites(world) if token in site.own_tokens)
        state.markets["elsewhere"][issuer] = float(world.ledger.supply[token]) - issued


def _sites(world: World) -> list[VenueSite]:
    return [site for site in world.venue_sites if site.config.kind == KIND]
