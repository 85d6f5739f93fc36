"""Block space without scarcity: how a world is built in which gas is no channel of stress.

Blocks of the chains that charge gas have no limit, and their fee stays what it is at the start; so
nothing waits, and nobody pays more because others are in a hurry. Orders keep their order and their
tips. Producers give the block space beyond the real limit, and are owed the fee for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sim.chain import chain_at
from sim.kernel import handler
from sim.registry import Channel
from sim.status import OK

if TYPE_CHECKING:
    from sim.world import World

NO_LIMIT = 1 << 60


@handler
def close_held(binding, message):  # type: ignore[no-untyped-def]
    """Count the gas beyond the real limit, twice the target; the base fee stands still."""
    chain = chain_at(binding)
    chain.excess += max(chain.gas_used - 2.0 * chain.target, 0.0)
    return OK


def _chains(world: World) -> np.ndarray:
    """Return the rows of the chains that charge gas."""
    return np.flatnonzero(world.box.chains["native"] >= 0)


def _cut(world: World, own: Any) -> None:
    for row in _chains(world):
        chain = world.box.chains[row]
        chain["gas_limit"], chain["pool_gas"] = NO_LIMIT, 0
        chain["is_held"], chain["close"] = 1, close_held.address


def _absorbed(world: World, own: Any) -> float:
    rows = _chains(world)
    chains = world.box.chains[rows]
    usd = world.prices.fundamental[chains["native"]]
    return float((chains["excess"] * chains["base_fee"] * usd).sum())


CHANNEL = Channel("gas", _cut, lambda world, own: len(_chains(world)) > 0, _absorbed)
