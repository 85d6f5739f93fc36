"""Compiling everything once: for images, first starts and tests."""

from __future__ import annotations

from experiments.running import run
from experiments.scenario import load_scenario, shipped_scenarios

_SECONDS = 600.0  # of simulated time: every kind of participant acts


def warm_up() -> None:
    """Run the beginning of every shipped scenario in memory."""
    for name in shipped_scenarios():
        run(load_scenario(name, until=min(_SECONDS, load_scenario(name).horizon)))
