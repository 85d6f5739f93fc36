"""Mesa without the parts that a run does not use: these load when they are first asked for.

Mesa's own spaces and experiments pull in networkx, scipy and tqdm, which takes longer than all of
our modules together. Each stands as an empty module until something of it is wanted; then it is
what it would have been. Where Mesa was imported before us, nothing is changed.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__all__ = ["AgentSet", "mesa"]

_UNUSED = ("mesa.discrete_space", "mesa.experimental", "mesa.space")
_WANTED = ("__path__", "__all__")  # by imports from a module and of its parts


class _Deferred(ModuleType):
    """A module that is loaded when an attribute of it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _WANTED:
            raise AttributeError(name)  # somebody looks at all modules, such as `inspect`
        return getattr(_load(self), name)


def _load(stand_in: ModuleType) -> ModuleType:
    """Return the real module, which takes the place of its stand-in."""
    name = stand_in.__name__
    if sys.modules.get(name) is stand_in:
        del sys.modules[name]
    return importlib.import_module(name)


if "mesa" not in sys.modules:
    sys.modules.update({name: _Deferred(name) for name in _UNUSED})

import mesa  # noqa: E402 - after its parts have got their stand-ins
from mesa.agent import AgentSet  # noqa: E402 - the same
