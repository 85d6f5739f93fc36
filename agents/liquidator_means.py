"""What liquidators start with: inventory in unequal parts, gas, pools, and how each leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.liquidation_size import POOL, REFERENCE
from sim.draws import uniform_column
from sim.errors import InputError
from sim.exchange import exchange_of
from sim.lending.building import reserve_of
from sim.lending.state import LendingState
from sim.orders import FLASH_LOAN, FLASH_REPAY, LIQUIDATE

if TYPE_CHECKING:
    from sim.registry import PopulationSite
    from sim.world import World


def inventory_shares(n: int, largest: float) -> np.ndarray:
    """Return shares of an inventory, the largest first, each the same fraction of the one before.

    Raises
    ------
    InputError
        `largest` is below the share that all would have if they had the same.
    """
    if n == 0:
        return np.zeros(0)
    if largest * n < 1.0 - 1e-12:
        raise InputError(
            f"largest_share ({largest:g}) must be at least {1.0 / n:.4g}: {n} liquidators share "
            "the inventory"
        )
    low, high = 0.0, 1.0  # ratio of one share to the one before; the first falls as it rises
    for _ in range(60):
        ratio = 0.5 * (low + high)
        is_too_uneven = 1.0 / np.sum(ratio ** np.arange(n)) > largest
        low, high = (ratio, high) if is_too_uneven else (low, ratio)
    weights = np.asarray((0.5 * (low + high)) ** np.arange(n))
    return np.asarray(weights / weights.sum())


def split_rows(site: PopulationSite, seed: int, stream: str, shares: list[float]) -> np.ndarray:
    """Return a part for each row, as many rows of each part as its share says, drawn by lot.

    Returns
    -------
    int64, (n,), the number of a share
    """
    order = np.argsort(uniform_column(seed, f"{site.name}:{stream}", site.rows))
    ends = np.round(np.cumsum(shares) * site.rows).astype(np.int64)
    part = np.empty(site.rows, np.int64)
    part[order] = np.searchsorted(ends, np.arange(site.rows), side="right")
    return np.minimum(part, len(shares) - 1)


def exits_of(site: PopulationSite, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (exit, whether it pays with flash loans) of each liquidator: int64, (n,) each."""
    config, exit_ = site.config, site.config.exit
    parts = split_rows(
        site,
        seed,
        "means",
        [
            config.flash_share,
            *((1.0 - config.flash_share) * s for s in (exit_.pool, exit_.reference, exit_.hold)),
        ],
    )
    is_flash = (parts == 0).astype(np.int64)
    return np.where(parts == 0, POOL, parts - 1), is_flash


def pools_of(world: World, site: PopulationSite) -> np.ndarray:
    """Return the pools where collateral can be sold: int64, (n_pools,), venue numbers."""
    config = site.config
    if config.pools is not None:
        plans = [world.plan.venues[world.venue(name)] for name in config.pools]
        for plan in plans:
            if plan.mechanism.quote is None or plan.chain != config.chain:
                raise InputError(
                    f"populations.{site.name}.pools: '{plan.name}' is no pool on chain "
                    f"'{config.chain}'"
                )
        return np.array([world.venue(plan.name) for plan in plans], np.int64)
    held = set(market_tokens(world, site))
    found = [
        number
        for number, plan in enumerate(world.plan.venues)
        if plan.mechanism.quote is not None
        and {int(world.venues.token0[number]), int(world.venues.token1[number])} <= held
    ]
    return np.array(found, np.int64)


def market_tokens(world: World, site: PopulationSite) -> list[int]:
    """Return the tokens of the reserves of a population's market.

    Raises
    ------
    InputError
        The venue that is named as the market is none, or is on another chain.
    """
    plan = world.plan.venues[world.venue(site.config.market)]
    if plan.mechanism.kind != "lending" or plan.chain != site.config.chain:
        raise InputError(
            f"populations.{site.name}.market: '{plan.name}' is no lending market on chain "
            f"'{site.config.chain}'"
        )
    return [world.token(plan.chain, symbol) for symbol in plan.config.reserves]


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what liquidators can hold: the tokens of their market, and gas."""
    native = world.plan.chains[site.chain].native
    return list(
        dict.fromkeys([*market_tokens(world, site), world.token(site.config.chain, native)])
    )


def inventory_tokens(world: World, site: PopulationSite) -> list[int]:
    """Return the tokens of the inventory, the home token first."""
    config = site.config
    reserves = world.plan.venues[world.venue(config.market)].config.reserves
    symbols = config.inventory_tokens or [
        symbol for symbol, settings in reserves.items() if settings.can_be_borrowed
    ]
    for symbol in symbols:
        reserve_of(world, world.venue(config.market), symbol)
    return [world.token(config.chain, symbol) for symbol in symbols]


def endowment_of(world: World, site: PopulationSite, is_flash: np.ndarray) -> np.ndarray:
    """Return what each liquidator starts with: float64, (n, n_tokens), token units."""
    config, held = site.config, tokens(world, site)
    value = world.prices.fundamental
    made = np.zeros((site.rows, len(held)))
    chosen = inventory_tokens(world, site)
    with_inventory = np.flatnonzero(is_flash == 0)
    try:
        shares = inventory_shares(len(with_inventory), config.largest_share)
    except InputError as error:
        raise InputError(f"populations.{site.name}: {error}") from None
    for token in chosen:
        usd = shares * config.inventory_usd / len(chosen)
        made[with_inventory, held.index(token)] += usd / value[token]
    native = int(world.box.chains[site.chain]["native"])
    made[:, held.index(native)] += config.gas_usd / value[native]
    return made


def check_exits(world: World, site: PopulationSite, exit_: np.ndarray, pools: np.ndarray) -> None:
    """Check that the places exist through which liquidators mean to leave, and the lender.

    Raises
    ------
    InputError
        One does not.
    """
    config = site.config
    if (exit_ == POOL).any() and not len(pools):
        raise InputError(
            f"populations.{site.name}: there is no pool of two tokens of market "
            f"'{config.market}'; add one, or set exit to reference or hold"
        )
    if (exit_ == REFERENCE).any() and exchange_of(world) < 0:
        raise InputError(
            f"populations.{site.name}: exit.reference needs a reference_market in the scenario"
        )
    if config.flash_market is None:
        return
    lender = world.plan.venues[world.venue(config.flash_market)]
    if lender.mechanism.kind != "lending" or lender.chain != config.chain:
        raise InputError(
            f"populations.{site.name}.flash_market: '{lender.name}' is no lending market on chain "
            f"'{config.chain}'"
        )


def gas_of(
    world: World,
    site: PopulationSite,
    exit_: np.ndarray,
    is_flash: np.ndarray,
    pools: np.ndarray,
) -> np.ndarray:
    """Return the gas of each liquidator's order, all legs: int64, (n,)."""
    venues = world.venues
    first = int(venues.first_verb[world.venue(site.config.market)])
    swap = int(venues.gas[venues.first_verb[pools]].max()) if len(pools) else 0
    loan = int(venues.gas[first + FLASH_LOAN] + venues.gas[first + FLASH_REPAY])
    gas = venues.gas[first + LIQUIDATE] + swap * (exit_ == POOL) + loan * is_flash
    return np.asarray(gas, np.int64)


def lender_reserves(world: World, site: PopulationSite, lender: int) -> np.ndarray:
    """Return the lender's reserve with the token of each reserve of the market: int64, -1: none."""
    tokens_owed = market_tokens(world, site)
    made = np.full(len(tokens_owed), -1, np.int64)
    if lender < 0:
        return made
    plan = world.plan.venues[lender]
    for k, token in enumerate(tokens_owed):
        for symbol in plan.config.reserves:
            if world.token(plan.chain, symbol) == token:
                made[k] = reserve_of(world, lender, symbol)
    return made


def feeds_of(world: World, market: int) -> np.ndarray:
    """Return the feed of each reserve of a market: int64, (n_reserves,)."""
    reserves = world.shared[LendingState].reserves
    return np.array(reserves["price_feed"][reserves["market"] == market], np.int64)


def most_accounts(world: World) -> int:
    """Return how many positions all markets can have at the start: one an account in each."""
    markets = sum(plan.mechanism.kind == "lending" for plan in world.plan.venues)
    each = 1
    if "collateral" in world.plan.without:  # accounts are split by pairs of assets
        each = max(
            plan.config.n_collateral_slots * plan.config.n_debt_slots
            for plan in world.plan.venues
            if plan.mechanism.kind == "lending"
        )
    return int(markets * each * sum(site.rows for site in world.population_sites))
