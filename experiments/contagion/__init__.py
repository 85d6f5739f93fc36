"""Causal contagion: paired worlds of one scenario in which channels of stress are cut.

from experiments import load_scenario
from experiments.contagion import contagion

result = contagion(load_scenario("bridge-exploit"), 32, "contagion/bridge-exploit")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.contagion.analyzing import ContagionResult, contagion

__all__ = ["ContagionResult", "contagion"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for: the command line imports this package."""
    if name not in __all__:
        raise AttributeError(f"module 'experiments.contagion' has no attribute '{name}'")
    from experiments.contagion import analyzing

    return getattr(analyzing, name)
