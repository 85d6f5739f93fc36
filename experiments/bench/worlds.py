"""The worlds that are timed: `dense-market` in any size, and what has been done in one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.composition import plan_of
from experiments.scenario import load_scenario
from sim.amm.concentrated_orders import TICK_GAS
from sim.mempool import NEXT_FILL
from sim.units import ticks
from sim.world import World

if TYPE_CHECKING:
    from experiments.scenario import Scenario

SCENARIO = "dense-market"
SHIPPED = 10_000  # traders of the shipped file
BLOCK_SECONDS = 12.0
_NEAR = ((0.05, 1.046), (0.1, 1.073), (0.25, 1.164), (0.5, 1.367), (0.75, 1.713), (0.95, 2.52))
_RANGE_SWAP = "concentrated_liquidity.swap"
_FAR = 5.0  # health factor of borrowers who are never in danger


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    repeats: int
    seconds: float  # of the processor, each measurement
    largest: int  # traders of the largest market
    is_quick: bool

    @property
    def most_blocks(self) -> int:
        """Blocks that a world must be able to run."""
        return 2_000_000


QUICK = Effort(3, 0.15, 100_000, True)
FULL = Effort(7, 0.6, 1_000_000, False)


def dense(n: int, *overrides: str, busy: int | None = None, days: float = 30.0) -> Scenario:
    """Return the dense market with `n` traders, and amounts in proportion.

    Parameters
    ----------
    n : traders, and borrowers; a tenth as many providers
    overrides : as of the command line
    busy : traders who would do, at the shipped rate, all that happens; as many as there are if None
    days : length of the run
    """
    scale, share = n / SHIPPED, (n if busy is None else busy) / n
    people = "populations.{}.{}={}".format
    near = [(q * share, health) for q, health in _NEAR]
    if share < 1.0:
        near.append((1.0, _FAR))
    values: list[str] = [
        f"horizon={days}d",
        people("traders-5", "count", (n + 1) // 2),
        people("traders-30", "count", n // 2),
        people("traders-5", "swaps_per_day", 72.0 * share),
        people("traders-30", "swaps_per_day", 72.0 * share),
        people("borrowers", "count", n),
        people("borrowers", "debt_usd", 50e6 * scale),
        people("borrowers", "health_quantiles", json.dumps(near)),
        people("lender", "supplied_usd", 100e6 * scale),
        people("providers", "count", max(n // 10, 1)),
        people("providers", "value_usd", 70e6 * scale),
        people("providers", "keeper_rest_hours", 1.67 / share),
        people("arbitrageurs", "inventory_usd", 1e12),
        f"venues.eth-usd-5.value_usd={1e6 * scale}",
        f"venues.eth-usd-30.value_usd={100e6 * scale}",
    ]
    return load_scenario(SCENARIO, [*values, *overrides])


def world_of(scenario: Scenario, seed: int = 1) -> World:
    """Return the world of a scenario, without a Mesa model around it."""
    return World(plan_of(scenario, seed))


class Runner:
    """Advances a world block by block and counts what is done.

    Parameters
    ----------
    world : to be advanced; its hook for fills is used
    seconds : length of a block
    """

    def __init__(self, world: World, seconds: float = BLOCK_SECONDS) -> None:
        self.world, self.seconds = world, seconds
        self.done: dict[str, float] = {}
        world.on_fills = self._count

    def _count(self, fills: np.ndarray) -> None:
        done = fills[fills["status"] == 0]
        for verb, n in zip(*np.unique(done["verb"], return_counts=True), strict=True):
            self._add(self.world.verb_names[verb].partition(".")[2], int(n))
        if _RANGE_SWAP in self.world.verb_names:
            verb = self.world.verb_names.index(_RANGE_SWAP)
            swaps = done[(done["verb"] == verb) & (done["next_leg"] < 0) & (done["leg"] == 0)]
            more = swaps["gas"] - self.world.venues.gas[verb]
            self._add("crossings", int(more.sum()) // TICK_GAS)

    def _add(self, name: str, n: int) -> None:
        self.done[name] = self.done.get(name, 0) + n

    def blocks(self, n: int) -> None:
        """Run so many blocks of the slowest chain."""
        self.world.advance(self.world.now + ticks(self.seconds * n))

    def start(self) -> None:
        """Run the first blocks, and begin to count."""
        self.blocks(5)
        self.world.flush()
        self.done.clear()
        self._first = self._totals()

    def _totals(self) -> dict[str, float]:
        world = self.world
        return {
            "blocks": int(world.box.chains["height"].sum()),
            "fills": int(world.box.counter[NEXT_FILL]),
        }

    def work(self) -> dict[str, float]:
        """Return what has been done since the start: blocks, fills, and of them by verb."""
        self.world.flush()
        last = self._totals()
        return {name: last[name] - self._first[name] for name in last} | dict(self.done)


def arrays_of(holder: Any) -> dict[int, int]:
    """Return the arrays that something holds: address -> bytes, views on one counted once."""
    found: dict[int, int] = {}

    def look(value: Any) -> None:
        if isinstance(value, np.ndarray):
            base = value
            while isinstance(base.base, np.ndarray):
                base = base.base
            found[base.ctypes.data] = max(found.get(base.ctypes.data, 0), base.nbytes)
        elif isinstance(value, dict):
            for item in value.values():
                look(item)
        elif isinstance(value, tuple | list):
            for item in value:
                look(item)

    look(holder)
    return found


def state_bytes(world: World) -> int:
    """Return the bytes of all that a world keeps for its agents: states, ledger, mempool."""
    return sum(arrays_of((world.states, world.ledger, world.shared, world.box)).values())
