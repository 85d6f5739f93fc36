"""Compiling what a scenario needs, on all cores, before its first run on a machine.

The compiled code of a handler lies in a cache shared by all processes, so several processes can
each compile a part of the handlers; the run then loads them.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from typing import TYPE_CHECKING

from experiments.kinds import mechanisms, populations
from sim.block_space import close_held
from sim.fee_market import FEE_MARKETS
from sim.kernel import JIT, Handler, cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from experiments.scenario import Scenario

Place = tuple[str, str, int]  # family, kind, number of the handler


def handlers_of(family: str, kind: str) -> list[Handler]:
    """Return the handlers of a mechanism, population or fee market."""
    if family == "fee_market":
        rule = FEE_MARKETS[kind]
        return [rule.bid, rule.charge, rule.close, close_held]
    if family == "population":
        react = populations()[kind].react
        return [react] if isinstance(react, Handler) else []
    mechanism = mechanisms()[kind]
    found = [*(verb.execute for verb in mechanism.verbs), *(verb.quote for verb in mechanism.verbs)]
    found += [mechanism.quote, mechanism.estimate, mechanism.appraise, mechanism.react]
    found += [body for _, body in mechanism.events]
    return [body for body in found if isinstance(body, Handler)]


def places_of(scenarios: Iterable[Scenario]) -> list[Place]:
    """Return where the handlers are that scenarios need, populations (the heaviest) first."""
    families: dict[tuple[str, str], None] = {}
    for scenario in scenarios:
        families |= {("population", p.kind): None for p in scenario.populations.values()}
        families |= {("mechanism", v.kind): None for v in scenario.venues.values()}
        families |= {("fee_market", c.fee_market.kind): None for c in scenario.chains.values()}
        if scenario.reference_market is not None:
            families["mechanism", "reference_market"] = None
    return [
        (family, kind, number)
        for family, kind in sorted(families, key=lambda pair: pair[0], reverse=True)
        for number in range(len(handlers_of(family, kind)))
    ]


def is_ready(scenarios: Iterable[Scenario]) -> bool:
    """Return whether everything that scenarios need is in the cache."""
    if not JIT or cache_folder() is None:
        return True  # nothing to compile ahead, or nowhere to keep it
    places = places_of(scenarios)
    return all(handlers_of(family, kind)[k].is_cached for family, kind, k in places)


def compile_all(scenarios: Iterable[Scenario], n_processes: int | None = None) -> float:
    """Compile what scenarios need, in several processes or here; returns the seconds it took."""
    started = time.perf_counter()
    places = [
        place for place in places_of(scenarios) if not handlers_of(*place[:2])[place[2]].is_cached
    ]
    n = min(n_processes or os.cpu_count() or 1, len(places))
    places.insert(0, ("engine", "", 0))
    if n > 1 and cache_folder() is not None:
        with multiprocessing.get_context("spawn").Pool(n, initializer=gc.disable) as pool:
            for _ in pool.imap_unordered(_compile, places, chunksize=1):
                pass
    elif n_processes == 1:
        for place in places:
            _compile(place)
    return time.perf_counter() - started


def _compile(place: Place) -> None:
    family, kind, number = place
    if family == "engine":
        compile_engine()
    else:
        handlers_of(family, kind)[number].address  # noqa: B018 - looking it up compiles it


def compile_engine() -> None:
    """Compile the block loop for the arguments that Python calls it with."""
    from numba import int64

    from sim.engine import advance

    advance.dispatcher.compile((int64, int64, int64))
