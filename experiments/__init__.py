"""Undertow's experiments: scenarios, worlds, runs and the command line.

from experiments import load_scenario, build, run

model = build(load_scenario("quiet-market"), seed=7)  # a mesa.Model
model.run_for(3600)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.composition import build
    from experiments.running import run
    from experiments.scenario import Scenario, load_scenario

__all__ = ["Scenario", "build", "load_scenario", "run"]

_HOMES = {
    "build": "experiments.composition",
    "run": "experiments.running",
    "Scenario": "experiments.scenario",
    "load_scenario": "experiments.scenario",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for, so that importing costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'experiments' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
