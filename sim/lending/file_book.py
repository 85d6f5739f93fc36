"""Entering the positions of a file into a lending market while a world is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

import numpy as np

from sim.lending.building import enter, mode_of, open_positions
from sim.lending.config import ReserveFlag
from sim.lending.modes import has_bit
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


def enter_file(
    world: World, venue: int, group: int, source: PositionSource, mode: int = -1
) -> FileBook:
    """Give the accounts of a group the positions of a file, in its order.

    Parameters
    ----------
    mode : efficiency mode of all accounts of a file without modes, -1: none

    Raises
    ------
    InputError
        The market does not have an asset, would refuse a position, or lacks the cash to lend; or
        prices differ. Names the line or row.
    """
    book = source.read()
    reserves = _reserves(world, venue, book)
    _check_slots(world, venue, book)
    modes = _modes(world, venue, source, book, mode)
    _check_modes(world, book, reserves, modes)
    factor = _factors(world, book, reserves, source.prices)[book.asset]
    position = open_positions(world, venue, group, np.arange(book.n_accounts))
    world.states[KIND][0].positions["mode"][position] = modes
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
    return int(market["first_reserve"]) + np.array([symbols.index(s) for s in book.assets])


def _modes(
    world: World, venue: int, source: PositionSource, book: PositionFile, mode: int
) -> np.ndarray:
    """Return the row of the efficiency mode of each account, -1: none: int64, (n_accounts,)."""
    modes = np.full(book.n_accounts, mode, np.int64)
    if not book.table.has("mode"):
        return modes
    if mode >= 0:
        book.table.refuse(None, "has a column 'mode'; leave it out, or efficiency_mode")
    market, labels = world.venue_names[venue], world.plan.venues[venue].config.efficiency_modes
    for number in np.unique(book.mode[book.mode > 0]).tolist():
        mine, label = book.mode == number, source.modes.get(str(number))
        if not labels:
            problem = f"market {market} has no efficiency modes: give 0, or leave the column out"
            _refuse(book, mine, f"mode is {number}; {problem}")
        if label is None or label not in labels:
            problem = f"for which modes gives {'no label' if label is None else repr(label)}"
            known = f"market {market} has {', '.join(labels)}: name one, such as modes: "
            known += f"{{{number}: {next(iter(labels))}}}"
            _refuse(book, mine, f"mode is {number}, {problem}; {known}")
        modes[book.account[mine]] = mode_of(world, venue, label)
    return modes


def _check_modes(world: World, book: PositionFile, reserves: np.ndarray, modes: np.ndarray) -> None:
    """Refuse debts of what cannot be owed in the efficiency mode of the account."""
    state, _ = world.states[KIND]
    for row in np.flatnonzero((book.debt > 0.0) & (modes[book.account] >= 0)).tolist():
        mode = state.modes[int(modes[book.account[row]])]
        asset = int(book.asset[row])
        if not has_bit(int(mode["borrowable_bits"]), int(reserves[asset] - mode["first_reserve"])):
            book.table.refuse(
                row,
                f"debt is {book.debt[row]:g} {book.assets[asset]}, which cannot be owed in the "
                "efficiency mode of the account; name it in borrowable_assets, or give mode 0",
            )


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
