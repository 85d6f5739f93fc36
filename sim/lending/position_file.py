"""Files of the positions of real accounts in a lending market.

One row for each account and asset: what the account has supplied of it and what it owes of it, in
tokens. An account without debt is a supplier. Health factors below 1 are allowed, as real books
have them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.table_files import FileColumn, FileFormat, FileSource, TableFile

FORMAT = FileFormat(
    name="positions",
    noun="position file",
    content="positions",
    meaning="Accounts of a lending market: populations.NAME.positions {file: FILE} of borrowers.",
    columns=(
        FileColumn("account", "text", "", "Name or number of the account."),
        FileColumn("asset", "text", "", "Symbol of the asset in the market."),
        FileColumn("collateral", "number", "token", "What the account has supplied of the asset."),
        FileColumn("debt", "number", "token", "What the account owes of the asset."),
        FileColumn(
            "mode",
            "whole number",
            "",
            "Efficiency mode of the account, 0: none; the same in all its rows.",
            is_required=False,
        ),
        FileColumn(
            "price_usd",
            "number",
            "USD/token",
            "Oracle price of the asset at the snapshot; the same in all its rows.",
            is_required=False,
        ),
    ),
)


class PositionSource(FileSource):
    """Positions of real accounts."""

    names: dict[str, str] = Field(
        {}, description="Symbols of the market for assets that the file calls otherwise."
    )
    modes: dict[str, str] = Field(
        {},
        description="Labels of the market's efficiency modes for the numbers in the file, such as "
        "{1: ETH-correlated}.",
    )
    prices: Literal["agree", "scenario", "rescale"] = Field(
        "agree",
        description="agree: prices of the file must be those of the scenario, within 1 %; "
        "scenario: amounts are kept and valued at the scenario's prices; rescale: amounts are "
        "multiplied by price of the file over price of the scenario, so that values and health "
        "factors are those of the file.",
    )

    def read(self) -> PositionFile:
        """Return the positions.

        Raises
        ------
        ScenarioError
            The file is wrong; names line or row, column, value and what is allowed.
        """
        found = positions_of(self.table(FORMAT), self.names)
        for number in self.modes.keys() - set(map(str, found.mode.tolist())):
            found.table.refuse(
                None, f"has no mode {number!r}, which modes translates; leave it out there"
            )
        return found


class PositionFile(NamedTuple):
    """Positions of accounts; a row for each account and asset."""

    table: TableFile
    accounts: tuple[str, ...]  # in order of appearance
    assets: tuple[str, ...]
    account: np.ndarray  # int64, (n_rows,), number in `accounts`
    asset: np.ndarray  # int64, (n_rows,), number in `assets`
    collateral: np.ndarray  # float64, (n_rows,), tokens
    debt: np.ndarray  # float64, (n_rows,), tokens
    mode: np.ndarray  # int64, (n_rows,), 0: none
    price_usd: np.ndarray  # float64, (n_assets,), NaN: the file has none

    @property
    def n_accounts(self) -> int:
        """Number of accounts."""
        return len(self.accounts)


def positions_of(table: TableFile, names: dict[str, str] | None = None) -> PositionFile:
    """Return the positions in a table.

    Parameters
    ----------
    names : what to call an asset that the file calls otherwise

    Raises
    ------
    ScenarioError
        A cell is wrong, an account has an asset twice, or a price or mode is not the same in all
        rows of its asset or account.
    """
    table.unique("account", "asset")
    collateral, debt = table.amounts("collateral"), table.amounts("debt")
    given, owners = table.texts("asset"), table.texts("account")
    for name in (names or {}).keys() - set(given):
        table.refuse(None, f"has no asset {name!r}, which names translates; leave it out there")
    called = [(names or {}).get(name, name) for name in given]
    assets, accounts = tuple(dict.fromkeys(called)), tuple(dict.fromkeys(owners))
    if len(assets) < len(set(given)):
        table.refuse(None, "names give one symbol to two assets; give each its own")
    prices = table.constant("price_usd", called) if table.has("price_usd") else {}
    return PositionFile(
        table=table,
        accounts=accounts,
        assets=assets,
        account=_numbered(owners, accounts),
        asset=_numbered(called, assets),
        collateral=collateral,
        debt=debt,
        mode=_modes(table, owners),
        price_usd=np.array([prices.get(name, np.nan) for name in assets]),
    )


def _numbered(cells: list[str], known: tuple[str, ...]) -> np.ndarray:
    number = {name: k for k, name in enumerate(known)}
    return np.array([number[cell] for cell in cells], np.int64)


def _modes(table: TableFile, owners: list[str]) -> np.ndarray:
    if not table.has("mode"):
        return np.zeros(table.n_rows, np.int64)
    found = table.whole_numbers("mode")
    table.check("mode", found, lambda v: v >= 0, "it must be a whole number of at least 0")
    first: dict[str, int] = {}
    for row, (owner, mode) in enumerate(zip(owners, found.tolist(), strict=True)):
        if first.setdefault(owner, mode) != mode:
            table.refuse(
                row,
                f"mode of {owner!r} is {mode}; an earlier row has {first[owner]}: one account "
                "has one mode",
            )
    return found
