"""Check of what mechanisms sample: declared columns of one length, numbers that have names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sim.errors import InvariantError
from sim.records import TABLES

if TYPE_CHECKING:
    from sim.registry import Columns
    from sim.world import World

ADDED = {"time", "chain"}  # by the recorder, to every record …
ADDED_TO_POOLS = ADDED | {  # … and to pools, from the table of venues
    "price",
    "reference_price",
    "value_usd",
    "volume_usd",
    "fees_usd",
    "lvr_usd",
}


def check_samples(world: World) -> None:
    """Check the samples of every mechanism of a world.

    Raises
    ------
    InvariantError
        A record or column is unknown or missing, has another length than its neighbors, or holds
        a number of nothing; names record and column.
    """
    for found in (world.sample(), world.sample_positions()):
        for name, many in found.items():
            if name not in TABLES:
                raise InvariantError(f"no record '{name}'; there are: {', '.join(TABLES)}")
            for columns in many:
                _check_columns(world, name, columns)


def _check_columns(world: World, name: str, columns: Columns) -> None:
    kinds = {column.name: column.kind for column in TABLES[name].columns}
    added = ADDED_TO_POOLS if name == "pools" else ADDED
    if missing := sorted(kinds.keys() - columns.keys() - added):
        raise InvariantError(f"record {name}: the sample has no column {missing[0]}")
    if unknown := sorted(columns.keys() - kinds.keys()):
        raise InvariantError(f"record {name}: it has no column {unknown[0]}")
    lengths = {column: len(value) for column, value in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvariantError(f"record {name}: columns differ in length: {lengths}")
    for column, value in columns.items():
        if kinds[column] == "text" and isinstance(value, np.ndarray):
            _check_numbers(world, f"record {name}: column {column}", column, value)


def _check_numbers(world: World, what: str, column: str, value: Any) -> None:
    counts = {
        "venue": len(world.venue_names),
        "feed": len(world.venue_names),
        "chain": len(world.chain_names),
        "token": len(world.token_names),
        "collateral_token": len(world.token_names),
        "debt_token": len(world.token_names),
        "population": len(world.group_names),
        "asset": len(world.asset_names),
    }
    if column not in counts:
        raise InvariantError(f"{what} holds numbers that have no names; give strings")
    lowest = -1 if column == "collateral_token" else 0  # a debtor may have none
    wrong = (value < lowest) | (value >= counts[column])
    if wrong.any():
        raise InvariantError(
            f"{what} holds {int(value[wrong][0])}; "
            f"numbers run from {lowest} to {counts[column] - 1}"
        )
