"""Starts: whole processes from nothing to the first block, and the cost of a cold cache."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.bench.rows import Row, at_most
from experiments.bench.timing import median

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.bench.worlds import Effort

_ROOT = Path(__file__).resolve().parents[2]
_LOAD = "from experiments.scenario import load_scenario; s = load_scenario('black-thursday'); "
_BLOCK = "{world}.advance(min({world}.box.chains['next'].tolist()))"
_START = (
    "from experiments.composition import build; "
    + _LOAD
    + "w = build(s, 1).world; "
    + _BLOCK.format(world="w")
)
_ENGINE = (
    "import sys; sys.modules['mesa'] = None; "  # an import of it fails
    "from experiments.bench.engine_alone import engine_world; w = engine_world(); "
    + _BLOCK.format(world="w")
)


def _seconds_of(code: str, **variables: str) -> float:
    started = time.perf_counter()
    environment = os.environ | variables | {"PYTHONPATH": str(_ROOT)}
    subprocess.run(  # noqa: S603 - this interpreter, and code from above
        [sys.executable, "-c", code],
        check=True,
        env=environment,
        cwd=tempfile.gettempdir(),
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def warm(effort: Effort) -> Iterator[Row]:
    """Start processes whose compiled code is in the cache."""
    for name, code, target in (
        ("warm start: build of black-thursday and its first block", _START, at_most(1.5)),
        (
            "warm start: the engine without Mesa, one pool and its first block",
            _ENGINE,
            at_most(0.7),
        ),
    ):
        _seconds_of(code)  # compiled, and in the disk's cache
        found = [_seconds_of(code) for _ in range(effort.repeats)]
        yield Row(
            name,
            median(found),
            "s",
            target,
            {"starts": len(found)},
            f"whole process, wall time; {min(found):.2f} to {max(found):.2f} s",
        )


def cold(effort: Effort) -> Iterator[Row]:
    """Compile everything into an empty cache."""
    if effort.is_quick:
        return
    with tempfile.TemporaryDirectory() as folder:
        code = "from experiments.cli import main; main(['compile'])"
        seconds = _seconds_of(code, UNDERTOW_CACHE=folder)
    yield Row(
        "cold compile of everything",
        seconds,
        "s",
        at_most(40),
        {"starts": 1},
        "`undertow compile` into an empty cache, wall time, one run",
    )
