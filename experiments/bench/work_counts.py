"""Counted work: what a world has done, in numbers that no machine changes.

Times differ from machine to machine; these counts do not. They say whether work grows with what
happens or with how much there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.arrivals import VISITS, Arrivals
from sim.lending.near_accounts import CHECKED, NearAccounts
from sim.mempool import N_ORDERS

if TYPE_CHECKING:
    from sim.world import World


def _parts(world: World) -> list[Any]:
    found: list[Any] = []
    for own in world.states.values():
        found += list(own) if type(own) is tuple else [own]
    return found


def counted_work(world: World) -> dict[str, int]:
    """Return what a world has done so far.

    Returns
    -------
    orders : orders that blocks took
    wheel visits : rows of timing wheels looked at to find who arrives
    accounts checked : accounts of lending markets whose health was computed in search of unsafe
        ones
    """
    parts = _parts(world)
    wheels = [part for part in parts if isinstance(part, Arrivals)]
    lists = [part for part in parts if isinstance(part, NearAccounts)]
    return {
        "orders": int(world.box.counter[N_ORDERS]),
        "wheel visits": sum(int(wheel.clock[VISITS]) for wheel in wheels),
        "accounts checked": sum(int(near.state[CHECKED]) for near in lists),
    }
