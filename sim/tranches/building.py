"""Making tranche vaults from a scenario, and putting positions into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.agenda import DELIVERY_RANK
from sim.errors import InputError
from sim.prices import update_prices
from sim.tranches.settings import KIND, TrancheVaultConfig, thicknesses
from sim.tranches.state import (
    AT_BOOK,
    AT_EXIT,
    AT_ORACLE,
    N_HELD,
    N_HOLDINGS,
    TrancheState,
    make_state,
)
from sim.tranches.waterfall import FIXED, LEVERAGE, SPLIT
from sim.units import HOUR, MINUTE, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.registry import VenueSite
    from sim.world import World

EPOCH = "tranches.epoch"
POLICIES = {"book": AT_BOOK, "oracle": AT_ORACLE, "exit": AT_EXIT}
RULES = {"fixed_senior": FIXED, "adaptive_split": SPLIT, "leverage": LEVERAGE}


def set_terms(state: TrancheState, row: int, config: TrancheVaultConfig) -> None:
    """Write what a vault's configuration says into its row."""
    vault, income = state.vaults[row], config.income
    vault["n_tranches"] = len(config.tranches)
    vault["policy"], vault["rule"] = POLICIES[config.nav], RULES[income.kind]
    vault["epoch"], vault["interval"] = (
        ticks(config.epoch_hours * HOUR),
        ticks(config.valuation_minutes * MINUTE),
    )
    vault["delay"] = ticks(config.recognition_delay_hours * HOUR)
    after = config.wind_down_after_hours
    vault["wind_after"] = -1 if after is None else ticks(after * HOUR)
    vault["stop_loss"] = config.stop_loss or 0.0
    vault["gate"], vault["minimum"] = config.gate, config.minimum_coverage
    vault["swing"], vault["swing_from"] = config.swing, config.swing_threshold
    vault["index"] = vault["peak"] = 1.0
    if income.kind == "adaptive_split":
        vault["least"], vault["most"] = income.least, income.most
    elif income.kind == "leverage":
        vault["ceded"], vault["highest"] = income.ceded, income.highest
        vault["few_backers"], vault["many_backers"] = income.fewest_backers, income.most_backers
    for k, tranche in enumerate(config.tranches):
        state.rate[row, k] = tranche.rate
        state.notice[row, k] = ticks(tranche.notice_hours * HOUR)


def set_value(state: TrancheState, row: int, values: Sequence[float]) -> None:
    """Give the tranches of a vault their first values, as paid in by their holders."""
    n = len(values)
    state.nav[row, :n] = state.claim[row, :n] = state.fair[row, :n] = values
    vault = state.vaults[row]
    vault["flows"] = vault["gross"] = vault["fair"] = float(np.sum(state.nav[row, :n]))


def make(world: World, sites: Sequence[VenueSite]) -> TrancheState:
    """Return the vaults of a world, empty; a share is worth one token of cash at the start."""
    prices, n_tokens = world.prices, len(world.tokens)
    state = make_state(len(sites), n_tokens, world.event_number(EPOCH), world.group_rows)
    for site in sites:
        row, vault, cash = site.row, state.vaults[site.row], site.tokens[0]
        set_terms(state, row, site.config)
        vault["venue"], vault["chain"] = site.number, site.chain
        vault["group"], vault["account"], vault["cash"] = site.group, site.account, cash
        for k, token in enumerate(site.own_tokens):
            state.share[row, k] = token
            prices.asset[token], prices.scale[token] = prices.asset[cash], prices.scale[cash]
        world.venues.price[site.number] = 1.0
        _set_places(world, site, state)
        price = float(prices.fundamental[cash])
        if price <= 0.0:
            raise InputError(f"venues.{site.name}.token: {site.config.token} has no price")
        parts = [site.config.value_usd / price * part for part in thicknesses(site.config.tranches)]
        set_value(state, row, parts)
    update_prices(prices, 0)
    return state


def _set_places(world: World, site: VenueSite, state: TrancheState) -> None:
    """Note the feeds that price what a vault holds, and the pools that would buy it."""
    chain, cash = site.config.chain, site.tokens[0]
    for name in site.config.feeds:
        number = world.venue(name)
        token = world.token(chain, world.plan.venues[number].config.token)
        state.feed[site.row, token] = int(world.venues.row[number])
    for name in site.config.exit_pools:
        plan = world.plan.venues[world.venue(name)]
        pair = [world.token(*node) for node in plan.tokens]
        if cash not in pair:
            raise InputError(
                f"venues.{site.name}.exit_pools: '{name}' does not trade {site.config.token}; "
                "name pools of it and another token"
            )
        state.sale[site.row, pair[1 - pair.index(cash)]] = world.venue(name)


def hold(world: World, vault: int, venue: int, a: int, b: int, value_usd: float) -> None:
    """Enter a position that was opened for a vault's account, while the world is built.

    Parameters
    ----------
    vault, venue : venue numbers
    a, b : which position, as in orders of the venue
    value_usd : value at the prices of time 0, taken from the vault's cash

    Raises
    ------
    InputError
        The table is full, or the vault has less.
    """
    state: TrancheState = world.states[KIND]
    n, row = int(state.counter[N_HELD]), int(world.venues.row[vault])
    if n == N_HOLDINGS:
        raise InputError(f"vaults have more than {N_HOLDINGS} positions; give them fewer")
    holding = state.holdings[n]
    holding["vault"], holding["venue"], holding["a"], holding["b"] = row, venue, a, b
    state.counter[N_HELD] = n + 1
    set_aside(world, vault, value_usd)


def set_aside(world: World, vault: int, value_usd: float) -> None:
    """Take what a vault holds in another form from its cash, while the world is built.

    Raises
    ------
    InputError
        The vault has less.
    """
    record = world.states[KIND].vaults[int(world.venues.row[vault])]
    record["gross"] -= value_usd / float(world.prices.fundamental[record["cash"]])
    if record["gross"] < -1e-9 * float(record["flows"]):
        raise InputError(
            f"venues.{world.venue_names[vault]}: its positions are worth more than its value_usd; "
            "hold less"
        )


def open_vaults(world: World, state: TrancheState) -> None:
    """Give every vault its cash, the shares that nobody holds to outside, and a first epoch.

    Raises
    ------
    InputError
        Populations and pools hold more shares than a tranche has; names it.
    """
    for row, vault in enumerate(state.vaults):
        name = world.venue_names[int(vault["venue"])]
        for k in range(int(vault["n_tranches"])):
            token = int(state.share[row, k])
            issued, held = float(state.nav[row, k]), float(world.ledger.supply[token])
            if held > issued * (1.0 + 1e-9):
                raise InputError(
                    f"venues.{name}: {held:.6g} shares {world.token_names[token]} are held at the "
                    f"start, the tranche has {issued:.6g}; make it thicker or hold fewer"
                )
            if issued > held:
                world.endow_genesis(token, issued - held)
        cash = max(float(vault["gross"]), 0.0)
        world.endow(int(vault["group"]), int(vault["account"]), int(vault["cash"]), cash)
        vault["gross"] = vault["flows"]
        kind = int(state.counter[2])
        world.schedule(int(vault["epoch"]), DELIVERY_RANK, kind, a=row)
