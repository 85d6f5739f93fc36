"""Compiling everything once: for images, first starts and tests."""

from __future__ import annotations

import time

from experiments.composition import build
from experiments.scenario import load_scenario, shipped_scenarios


def warm_up() -> float:
    """Build and briefly run every shipped scenario; return the seconds it took."""
    started = time.perf_counter()
    for name in shipped_scenarios():
        scenario = load_scenario(name, until=min(600.0, load_scenario(name).horizon))
        model = build(scenario)
        model.run_until(scenario.horizon)
    return time.perf_counter() - started
