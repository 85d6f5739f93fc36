"""Small worlds in one line, and hands to act in them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from experiments.composition import plan_of
from experiments.scenario import load_scenario
from sim.kernel import bind, kernel, view_of
from sim.mempool import Outbox, join, post
from sim.snapshots import ADDRESSES
from sim.units import ticks
from sim.venues import Venues, draft_swap
from sim.world import World

HANDS = "hands"  # a population that never acts by itself: the tests act for it
_HAND = "{kind: accounts, chain: mainnet, count: 64, holds: {ETH: 10.05, USD: 20000}}"
BENCH = (
    "horizon=1d",
    "price_step_seconds=12",
    "assets.ETH.price={kind: fixed, price: 2000}",
    "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
    f"populations={{{HANDS}: {_HAND}}}",
)


@functools.cache
def _scenario(name: str, overrides: tuple[str, ...]) -> Any:
    return load_scenario(name, overrides)


def world_of(*overrides: str, scenario: str = "quiet-market", seed: int = 1) -> World:
    """Return the world of a shipped scenario with values overridden."""
    return World(plan_of(_scenario(scenario, overrides), seed))


def bench(*overrides: str, seed: int = 1) -> World:
    """Return a world at rest: fixed prices, 12 s blocks, one pool of 2,500 ETH and 5m USD.

    Sixty-four hands hold 10.05 ETH and 20,000 USD each.
    """
    return world_of(*BENCH, *overrides, seed=seed)


def planned(seed: int = 1, *overrides: str, **changes: Any) -> World:
    """Return a bench whose plan is changed: what no scenario may say."""
    from dataclasses import replace

    return World(replace(plan_of(_scenario("quiet-market", (*BENCH, *overrides)), seed), **changes))


class Log:
    """Keeps every fill and block of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._fills: list[np.ndarray] = []
        self._blocks: list[np.ndarray] = []
        world.on_fills = lambda fills: self._fills.append(fills.copy())
        world.on_blocks = lambda blocks: self._blocks.append(blocks.copy())

    @property
    def fills(self) -> np.ndarray:
        """All fills so far, in order of execution."""
        self.world.flush()
        return np.concatenate(self._fills)

    @property
    def blocks(self) -> np.ndarray:
        """All blocks so far, in order."""
        self.world.flush()
        return np.concatenate(self._blocks)


def run(world: World, seconds: float) -> Log:
    """Advance a world to a time and return the log of what happened."""
    log = Log(world)
    world.advance(ticks(seconds))
    return log


def swap(world: World, row: int = 0, amount: float = 100.0, side: int = 1, **terms: Any) -> int:
    """Submit a swap of a hand in the pool; side 1 pays USD."""
    venue = terms.pop("venue", "eth-usd")
    return world.submit(venue, "swap", HANDS, row, amount=amount, a=side, **terms)


def submit_anything(world: World, venue: str, verb: str, row: int, **terms: Any) -> None:
    """Submit the only order of a hand, with amounts that compiled code may send, but Python not."""
    odd = {name: v for name, v in terms.items() if name.startswith("amount") and not v >= 0.0}
    world.submit(venue, verb, HANDS, row, **(terms | dict.fromkeys(odd, 0.0)))
    for name, value in odd.items():
        world.box.orders[name][world.box.heap[0, 0]] = value


def state_bytes(world: World) -> dict[str, bytes]:
    """Return every array of mechanisms, prices and the ledger, by name, as bytes.

    Without the clock and the addresses of handlers.
    """
    derived = {"prices.now", *(f"venues.{name}" for name in ADDRESSES)}
    found = {}
    owners = {"ledger": world.ledger, "venues": world.venues, "prices": world.prices}
    owners |= {name: state for name, state in world.states.items() if hasattr(state, "_fields")}
    for owner, state in owners.items():
        for name in state._fields:
            if f"{owner}.{name}" not in derived:
                found[f"{owner}.{name}"] = getattr(state, name).tobytes()
    return found


_own = view_of(Outbox, Venues)


@kernel(inline=False)
def _post_legs(binding, numbers, amounts, limits, group, row, now):
    box, venues = _own(binding)
    head = draft_swap(box, venues, numbers[0, 0], numbers[0, 1], amounts[0], group, row, now)
    head.limit = limits[0]
    head.flag_bits = numbers[0, 2]
    for k in range(1, numbers.shape[0]):
        leg = draft_swap(box, venues, numbers[k, 0], numbers[k, 1], amounts[k], group, row, now)
        leg.limit = limits[k]
        leg.flag_bits = numbers[k, 2]
        join(box, head, leg)
    return post(box, head)


def post_legs(world: World, legs: list[tuple[str, int, float, float, int]], row: int = 0) -> int:
    """Post one order of several swaps; a leg is (pool, side, amount, limit, flags)."""
    binding = bind(world.box, world.venues)
    numbers = np.array([[world.venue(pool), side, flags] for pool, side, _, _, flags in legs])
    amounts = np.array([amount for _, _, amount, _, _ in legs], float)
    limits = np.array([limit for _, _, _, limit, _ in legs], float)
    group = world.group(HANDS)
    return int(_post_legs(binding.ctypes.data, numbers, amounts, limits, group, row, world.now))
