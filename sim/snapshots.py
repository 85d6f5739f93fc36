"""All that a world remembers, by name: copies, checksums and a hash, to see what has changed.

The mempool is left out: it is where behavior may write.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sim.world import World

ADDRESSES = ("quote", "quote_binding", "appraise", "appraise_binding", "curve")  # columns of Venues
_DERIVED = {*ADDRESSES, "scratch"}  # addresses and messages
_CHAIN_STATE = ("interval", "height", "gas_limit", "is_halted", "base_fee", "tips", "burned")


def state_of(world: World, *, without_gas: bool = False) -> dict[str, np.ndarray]:
    """Return copies of all state by name, fields of records apart; not the mempool.

    Parameters
    ----------
    without_gas : leave out what paying gas changes: the native tokens and the fees of the chains
    """
    found: dict[str, np.ndarray] = {}
    n_events = int(world.agenda.size[0])
    _add(found, "agenda.events", np.array(world.agenda.events[:n_events]))
    found["agenda.size"] = world.agenda.size.copy()
    for owner, state in (
        ("ledger", world.ledger),
        ("prices", world.prices),
        ("venues", world.venues),
    ):
        for name in state._fields:
            if owner != "venues" or name not in _DERIVED:
                _add(found, f"{owner}.{name}", getattr(state, name).copy())
    for owner, own in world.states.items():
        for state in own if type(own) is tuple else (own,):
            for name in getattr(state, "_fields", ()):
                _add(found, f"{owner}.{name}", getattr(state, name).copy())
    if without_gas:
        _hide_gas(world, found)
    else:
        for name in _CHAIN_STATE:
            found[f"chains.{name}"] = np.array(world.box.chains[name])
    return found


def fingerprint(world: World, leave_out: str = "") -> dict[str, int]:
    """Return a checksum of each state array by name, without copies; not of one owner's.

    Fast enough to be taken before and after every reaction.
    """
    owners = {"ledger": world.ledger, "prices": world.prices}
    owners |= {"venues": world.venues, **world.states}
    owners.pop(leave_out, None)
    found = {
        f"{owner}.{name}": zlib.crc32(getattr(state, name).data.cast("B"))
        for owner, own in owners.items()
        for state in (own if type(own) is tuple else (own,))
        for name in getattr(state, "_fields", ())
        if getattr(state, name).size and (owner, name) != ("venues", "scratch")
    }
    waiting = world.agenda.events[: int(world.agenda.size[0])]
    found["agenda.events"] = zlib.crc32(waiting.tobytes())
    for name in _CHAIN_STATE:
        found[f"chains.{name}"] = zlib.crc32(np.array(world.box.chains[name]).tobytes())
    return found


def _add(found: dict[str, np.ndarray], name: str, array: np.ndarray) -> None:
    if array.dtype.names is None:
        found[name] = array
    else:  # padding between fields means nothing
        for field in array.dtype.names:
            found[f"{name}.{field}"] = np.array(array[field])


def _hide_gas(world: World, found: dict[str, np.ndarray]) -> None:
    native = {int(token) for token in world.box.chains["native"] if token >= 0}
    ledger = world.ledger
    for token in native:
        found["ledger.n_moves"][token] = found["ledger.turnover"][token] = 0
        for group, rows in enumerate(world.group_rows):
            column = int(ledger.column[group, token])
            if column >= 0:
                first = int(ledger.first[group]) + column
                end = int(ledger.first[group]) + rows * int(ledger.width[group])
                found["ledger.balance"][first : end : int(ledger.width[group])] = 0.0


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> list[str]:
    """Return the names of what differs between two states, bit by bit."""
    names = before.keys() | after.keys()
    return sorted(
        name
        for name in names
        if name not in before
        or name not in after
        or before[name].shape != after[name].shape
        or before[name].tobytes() != after[name].tobytes()
    )


def state_hash(world: World) -> str:
    """Return the SHA-256 of all that a world remembers, but for its mempool."""
    digest = hashlib.sha256()
    for name, array in sorted(state_of(world).items()):
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
