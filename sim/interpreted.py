"""Calls in the interpreted twin: the same source without the compiler, in a child process.

Compiled code does not look at the bounds of arrays. In the twin the same wrong index raises, and
the same right one gives the same bits. Calls travel by pickle; what holds handlers, which have no
value of their own, travels by the name it has in its module.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from sim.errors import EngineError, InputError, InvariantError
from sim.fee_market import FeeMarket
from sim.kernel import ROOT, Handler
from sim.registry import Mechanism, PopulationKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BY_NAME = (FeeMarket, Handler, Mechanism, PopulationKind)
_CHILD = "from sim.interpreted import answer; answer()"
_SECONDS = 600.0


class _Pickler(pickle.Pickler):
    """Writes declarations of kinds by their name in a module."""

    def persistent_id(self, thing: Any) -> Any:
        return name_of(thing) if isinstance(thing, _BY_NAME) else None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        module, name = pid
        return getattr(importlib.import_module(module), name)


def name_of(thing: Any) -> tuple[str, str]:
    """Return the module and the name in it of a declaration.

    Raises
    ------
    InputError
        No module that another process can import has it.
    """
    for module, content in list(sys.modules.items()):
        if module == "__main__" or not hasattr(content, "__dict__"):
            continue
        for name, value in list(vars(content).items()):
            if value is thing:
                return module, name
    kind = getattr(thing, "kind", type(thing).__name__)
    raise InputError(
        f"'{kind}' cannot be checked in the interpreted twin, which finds it by name: put it at "
        "the top of a module that can be imported, or leave the twin out"
    )


def interpreted(calls: Sequence[Callable[[], str]]) -> list[str | InvariantError]:
    """Return what calls give in the interpreted twin, all of them in one child process.

    Parameters
    ----------
    calls : functions without arguments, such as a `functools.partial`, that return text

    Returns
    -------
    for each call its text, or the `InvariantError` that it raised
    """
    buffer = io.BytesIO()
    _Pickler(buffer).dump(list(calls))
    paths = [str(ROOT), *filter(None, sys.path)]
    done = subprocess.run(  # noqa: S603 - this Python, our own call
        [sys.executable, "-c", _CHILD],
        input=buffer.getvalue(),
        capture_output=True,
        timeout=_SECONDS,
        check=False,
        env={**os.environ, "UNDERTOW_JIT": "0", "PYTHONPATH": os.pathsep.join(paths)},
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise EngineError(f"the interpreted twin ended with {done.returncode}:\n{said}")
    answers = json.loads(done.stdout)
    return [text if is_fine else InvariantError(text) for is_fine, text in answers]


def answer() -> None:
    """Make the calls that arrive on standard input and print their results; the child's side."""
    out, sys.stdout = sys.stdout, sys.stderr  # whatever the calls print
    calls = _Unpickler(sys.stdin.buffer).load()
    answers = []
    for call in calls:
        try:
            answers.append((True, call()))
        except InvariantError as error:
            answers.append((False, str(error)))
    out.write(json.dumps(answers))
