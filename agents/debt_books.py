"""The book of a population of borrowers: drawn, or taken from a file.

Drawn debts are lognormal and add up; health factors follow debt-weighted quantiles. A share of
people is a share of their debt: a book is defended by debt, not by head, and a few debts are large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.draws import normal_column, uniform_column
from sim.errors import InputError
from sim.lending.building import enter, open_positions, reserve_of
from sim.lending.file_book import FileBook, enter_file
from sim.lending.modes import threshold_in
from sim.lending.state import LendingState

if TYPE_CHECKING:
    from sim.registry import PopulationSite
    from sim.world import World


def debts_of(
    seed: int, name: str, n: int, total: float, log_sd: float, largest_share: float = 1.0
) -> np.ndarray:
    """Return lognormal debts that add up to `total`: float64, (n,), USD.

    None is above `largest_share` of the total, at least 1 / n; what is cut off is spread over the
    others in proportion.
    """
    raw = np.exp(log_sd * normal_column(seed, f"{name}:debt", n))
    debts = np.asarray(raw * (total / raw.sum()))
    if largest_share >= 1.0:
        return debts
    most = total * max(largest_share, 1.0 / n)
    is_cut = np.zeros(n, bool)
    while (debts[~is_cut] > most).any():
        is_cut |= debts > most
        debts[is_cut] = most
        if is_cut.all():
            break
        debts[~is_cut] *= (total - most * is_cut.sum()) / debts[~is_cut].sum()
    return debts


def marked(lots: np.ndarray, weights: np.ndarray, share: float) -> np.ndarray:
    """Return who is marked when people are taken in the order of their lots, by weight.

    Somebody is marked when at least half of the weight falls into the first `share` of all; so
    the marked weigh `share` of the total up to half of one of them.

    Parameters
    ----------
    lots : float64, (n,), who comes first
    weights : float64, (n,), 0 or above
    share : of the total weight, 0 to 1

    Returns
    -------
    bool, (n,)
    """
    order = np.argsort(lots)
    total = np.cumsum(weights[order])
    is_marked = np.empty(len(lots), bool)
    is_marked[order] = total - weights[order] / 2.0 < share * weights.sum()
    return is_marked


def awake_of(seed: int, site: PopulationSite, debts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return who is awake, and which of them hold means: two bool, (n,).

    Shares are of debt, the second one of the debt of those awake; or of people, where
    `shares_of` says so.
    """
    config, n = site.config, site.rows
    weights = debts if config.shares_of == "debt" else np.ones(n)
    lots = uniform_column(seed, f"{site.name}:awake", n)
    awake = marked(lots, weights, config.awake_share)
    lots = uniform_column(seed, f"{site.name}:cash", n)
    return awake, awake & marked(lots, np.where(awake, weights, 0.0), config.cash_share)


def health_of(
    debts: np.ndarray, order: np.ndarray, quantiles: list[tuple[float, float]]
) -> np.ndarray:
    """Return health factors with the given debt-weighted quantiles.

    Parameters
    ----------
    debts : float64, (n,), USD
    order : float64, (n,), uniforms that decide who is healthier
    quantiles : [share of debt, health factor], interpolated log-linearly, extended flat in slope

    Returns
    -------
    float64, (n,)
    """
    ranked = np.argsort(order)
    share = np.empty(len(debts))
    before = np.concatenate([[0.0], np.cumsum(debts[ranked])[:-1]])
    share[ranked] = (before + debts[ranked] / 2.0) / debts.sum()
    x = np.array([s for s, _ in quantiles])
    y = np.log([f for _, f in quantiles])
    inside = np.interp(share, x, y)
    low = y[0] + (share - x[0]) * (y[1] - y[0]) / (x[1] - x[0])
    high = y[-1] + (share - x[-1]) * (y[-1] - y[-2]) / (x[-1] - x[-2])
    low = np.maximum(low, min(y[0], 0.01))  # nobody starts below 1
    return np.asarray(np.exp(np.where(share < x[0], low, np.where(share > x[-1], high, inside))))


def _enter_drawn(world: World, site: PopulationSite, mode: int) -> FileBook:
    """Draw debts and health factors, and enter them."""
    config, n, seed = site.config, site.rows, world.seed
    venue = world.venue(config.market)
    pledged = reserve_of(world, venue, config.collateral)
    owed = reserve_of(world, venue, config.debt)
    positions = open_positions(world, venue, site.group, np.arange(n))
    lending = world.shared[LendingState]
    asset, loan = lending.reserves[pledged], lending.reserves[owed]
    debts = debts_of(
        seed, site.name, n, config.debt_usd, config.debt_log_sd, config.largest_debt_share
    )
    health = health_of(
        debts, uniform_column(seed, f"{site.name}:health", n), config.health_quantiles
    )
    claim_usd = health * debts / threshold_in(lending, mode, pledged)
    enter(world, positions, pledged, claim_usd / float(asset["price"]), are_debts=False)
    enter(world, positions, owed, debts / float(loan["price"]), are_debts=True)
    return FileBook(positions, debts, health)


def _enter_file(world: World, site: PopulationSite, mode: int) -> FileBook:
    """Enter the positions of a file."""
    config = site.config
    book = enter_file(world, world.venue(config.market), site.group, config.positions, mode)
    if len(book.position) != site.rows:
        raise InputError(
            f"count is {site.rows}, and the file has {len(book.position)} accounts; leave count out"
        )
    return book


def enter_debts(world: World, site: PopulationSite, mode: int = -1) -> FileBook:
    """Give every borrower its position: from the file it names, or drawn.

    Parameters
    ----------
    mode : efficiency mode in which they are, -1: none or as the file says; decides what a drawn
        health factor means

    Raises
    ------
    InputError
        The market lacks the cash to lend, or the file does not fit it; begins with the place.
    """
    is_drawn = site.config.positions is None
    try:
        enter_all = _enter_drawn if is_drawn else _enter_file
        return enter_all(world, site, mode)
    except InputError as error:
        place = site.name if is_drawn else f"{site.name}.positions.file"
        raise InputError(f"populations.{place}: {error}") from None
