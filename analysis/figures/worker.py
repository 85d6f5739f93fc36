"""A process that draws the figures of a run: it loads its libraries while the run goes on.

`python -m analysis.figures.worker N` loads, waits for the path of a run folder on standard input,
and draws the figures of a run in N processes. It ends with code 0 when every figure is drawn,
and without a word when its input ends first, since then whoever started it is gone.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from analysis.figures import RUN_FIGURES, draw_named

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> int:
    """Wait for a run folder, draw its figures, and return the exit code."""
    gc.disable()  # a short life; and copies of this process share what nobody walks through
    place = os.fsdecode(sys.stdin.buffer.read())
    return _draw_shared(place, int(sys.argv[1])) if place else 0


def _draw_shared(place: str, n_processes: int) -> int:
    """Draw in copies of this process, each taking the next figure when it is free."""
    names = list(RUN_FIGURES)
    reader, writer = os.pipe()
    os.write(writer, bytes(range(len(names))))
    os.close(writer)
    helpers = [_fork(place, reader, names) for _ in range(n_processes - 1) if hasattr(os, "fork")]
    _draw_taken(place, reader, names)
    failed = [pid for pid in helpers if os.waitpid(pid, 0)[1] != 0]
    return 1 if failed else 0


def _fork(place: str, reader: int, names: list[str]) -> int:
    """Start a copy of this process, which has no threads yet; return its id."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        _draw_taken(place, reader, names)
        code = 0
    finally:
        os._exit(code)


def _draw_taken(place: str, reader: int, names: list[str]) -> None:
    for _ in draw_named(place, _taken(reader, names)):
        pass


def _taken(reader: int, names: list[str]) -> Iterator[str]:
    """Yield the next figure that nobody draws yet, one byte of the pipe each."""
    while number := os.read(reader, 1):
        yield names[number[0]]


if __name__ == "__main__":
    sys.exit(main())
