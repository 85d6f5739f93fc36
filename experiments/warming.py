"""Compiling everything once: for images, first starts and tests."""

from __future__ import annotations

import time

from experiments.running import run
from experiments.scenario import load_scenario, shipped_scenarios

_SECONDS = 600.0  # of simulated time: every kind of participant acts


def warm_up() -> float:
    """Run the beginning of every shipped scenario in memory; return the seconds it took."""
    started = time.perf_counter()
    for name in shipped_scenarios():
        run(load_scenario(name, until=min(_SECONDS, load_scenario(name).horizon)))
    return time.perf_counter() - started
