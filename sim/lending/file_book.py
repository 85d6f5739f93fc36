"""Entering the positions of a file into a lending market while a world is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

import numpy as np

from sim.lending.building import enter, open_positions
from sim.lending.config import ReserveFlag
from sim.lending.reading import value_book
from sim.lending.settings import KIND

if TYPE_CHECKING:
    from sim.lending.position_file import PositionFile, PositionSource
    from sim.world import World

_AGREES = 0.01  # relative difference up to which two prices are the same


class FileBook(NamedTuple):
    """Positions that were entered; a row for each account of the file."""

    position: np.ndarray  # int64, (n_accounts,), rows of the position table
    debt: np.ndarray  # float64, (n_accounts,), USD
    health: np.ndarray  # float64, (n_accounts,), inf without debt


def enter_file(world: World, venue: int, group: int, source: PositionSource) -> FileBook:
    """Give the accounts of a group the positions of a file, in its order.

    Raises
    ------
    InputError
        The market does not have an asset, would refuse a position, or lacks the cash to lend; or
        prices differ. Names the line or row.
    """
    book = source.read()
    reserves = _reserves(world, venue, book)
    _check_slots(world, venue, book)
    factor = _factors(world, book, reserves, source.prices)[book.asset]
    position = open_positions(world, venue, group, np.arange(book.n_accounts))
    collateral, debt = book.collateral * factor, book.debt * factor
    for amounts, are_debts in ((collateral, False), (debt, True)):
        _check_caps(world, book, reserves, amounts, are_debts=are_debts)
        for k, reserve in enumerate(reserves):
            mine = np.flatnonzero((book.asset == k) & (amounts > 0.0))
            owners = position[book.account[mine]]
            enter(world, owners, int(reserve), amounts[mine], are_debts=are_debts)
    state, _ = world.states[KIND]
    values = value_book(state, state.reserves["price"], 0)
    owed = values.debt[position]
    health = np.full(book.n_accounts, np.inf)
    np.divide(values.threshold[position], owed, out=health, where=owed > 0.0)
    return FileBook(position, owed, health)


def _reserves(world: World, venue: int, book: PositionFile) -> np.ndarray:
    """Return the row of the reserve of each asset: int64, (n_assets,)."""
    market = world.states[KIND][0].markets[int(world.venues.row[venue])]
    symbols = list(world.plan.venues[venue].config.reserves)
    for k, name in enumerate(book.assets):
        if name not in symbols:
            _refuse(
                book,
                book.asset == k,
                f"asset is {name!r}; market {world.venue_names[venue]} has "
                f"{', '.join(symbols)} (`names` translates)",
            )
    if book.mode.any():
        _refuse(
            book,
            book.mode != 0,
            f"mode is {book.mode[book.mode != 0][0]}; market {world.venue_names[venue]} has no "
            "efficiency modes: give 0, or leave the column out",
        )
    return int(market["first_reserve"]) + np.array([symbols.index(s) for s in book.assets])


def _check_slots(world: World, venue: int, book: PositionFile) -> None:
    """Refuse an account with more assets than the market's tables have room for."""
    config = world.plan.venues[venue].config
    for name, amounts in (("collateral", book.collateral), ("debt", book.debt)):
        limit = getattr(config, f"n_{name}_slots")
        held: dict[int, int] = {}
        for row in np.flatnonzero(amounts > 0.0).tolist():
            account = int(book.account[row])
            held[account] = held.get(account, 0) + 1
            if held[account] > limit:
                book.table.refuse(
                    row,
                    f"{name} of account {book.accounts[account]!r} is its asset number "
                    f"{held[account]}; market {world.venue_names[venue]} has room for {limit}: "
                    f"raise its n_{name}_slots",
                )


def _factors(world: World, book: PositionFile, reserves: np.ndarray, rule: str) -> np.ndarray:
    """Return what amounts are multiplied by: float64, (n_assets,)."""
    own = world.states[KIND][0].reserves["price"][reserves]
    given = np.where(np.isnan(book.price_usd), own, book.price_usd)
    if rule == "agree":
        for k in np.flatnonzero(np.abs(given / own - 1.0) > _AGREES)[:1]:
            _refuse(
                book,
                book.asset == k,
                f"price_usd of {book.assets[k]} is {given[k]:g}, and the scenario begins at "
                f"{own[k]:g}; set that price, or prices: scenario or rescale",
            )
    return given / own if rule == "rescale" else np.ones(len(own))


def _check_caps(
    world: World, book: PositionFile, reserves: np.ndarray, amounts: np.ndarray, *, are_debts: bool
) -> None:
    """Refuse what lifts a reserve above its cap, and debts of what cannot be borrowed."""
    state, _ = world.states[KIND]
    name, cap = ("debt", "borrow_cap") if are_debts else ("collateral", "supply_cap")
    for k, asset in enumerate(state.reserves[reserves]):
        rows = np.flatnonzero((book.asset == k) & (amounts > 0.0))
        if are_debts and len(rows) and not int(asset["flag_bits"]) & ReserveFlag.BORROWING:
            book.table.refuse(
                int(rows[0]),
                f"debt is {amounts[rows[0]]:g} {book.assets[k]}, which cannot be borrowed there; "
                "set can_be_borrowed, or leave the debt out",
            )
        scaled, index = ("debt", "borrow") if are_debts else ("supply", "supply")
        before = float(asset[f"scaled_{scaled}"]) * float(asset[f"{index}_index"])
        total = before + np.cumsum(amounts[rows])
        for at in np.flatnonzero(total > asset[cap])[:1]:
            book.table.refuse(
                int(rows[at]),
                f"{name} of {book.assets[k]} adds up to {total[at]:,.6g}; the market's {cap} is "
                f"{asset[cap]:,.6g}: raise it, or leave positions out",
            )


def _refuse(book: PositionFile, is_wrong: np.ndarray, problem: str) -> NoReturn:
    """Refuse the first row of a kind."""
    book.table.refuse(int(np.flatnonzero(is_wrong)[0]), problem)
