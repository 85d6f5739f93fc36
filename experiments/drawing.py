"""Drawing the figures of a run in a process of its own.

The libraries that draw take seconds to load. The process loads them while the run goes on and
draws when the records are written. Where it fails, the figures are drawn here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_LOADING = 2.5  # seconds that the libraries take
_PATIENCE = 120.0  # seconds that all figures may take
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Drawer:
    """Draws the figures of one run folder; a context manager that leaves no process behind.

    Its process starts with it where there is a second core. The process hears neither Ctrl-C nor
    hang-ups of the terminal: it ends when its input does, or when it is killed at the end of the
    context.
    """

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._process = _start() if _n_cores() > 1 else None

    def __enter__(self) -> Drawer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def begin(self, folder: Path) -> None:
        """Begin to draw all figures for which a run folder has data.

        Parameters
        ----------
        folder : with manifest and records; the figures go into its folder `figures`
        """
        self._folder = folder
        is_late = time.monotonic() - self._started < _LOADING and _is_loaded_here()
        if self._process is None or self._process.stdin is None or is_late:
            self.stop()
            return
        with contextlib.suppress(OSError):  # it is dead, which `finish` finds out
            self._process.stdin.write(os.fsencode(folder.resolve()))
            self._process.stdin.close()

    def finish(self) -> list[Path]:
        """Wait until all figures are drawn; return them, in order of their names."""
        if not self._has_drawn():
            self.stop()
            from analysis.figures import RUN_FIGURES, draw_folder

            draw_folder(self._folder, RUN_FIGURES)
        return sorted((self._folder / "figures").glob("*.png"))

    def _has_drawn(self) -> bool:
        if self._process is None:
            return False
        try:
            return self._process.wait(_PATIENCE) == 0
        except subprocess.TimeoutExpired:
            return False

    def stop(self) -> None:
        """End the process and those that it has started."""
        if self._process is None:
            return
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                _kill(self._process)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.wait()
        self._process = None


def drawer_of(figures: bool | Drawer) -> contextlib.AbstractContextManager[Drawer | None]:
    """Return who draws: a new one, stopped at the end of the context, the given one, or nobody."""
    if figures is True:
        return Drawer()
    return contextlib.nullcontext(figures or None)


def _start() -> subprocess.Popen[bytes] | None:
    """Start the process that draws; None where the system has no place for it."""
    words = [sys.executable, "-P", "-m", "analysis.figures.worker", str(min(_n_cores(), 4))]
    path = os.pathsep.join(entry for entry in sys.path if isinstance(entry, str))
    nowhere = subprocess.DEVNULL
    try:
        return subprocess.Popen(  # noqa: S603 - this interpreter, our module
            words,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=nowhere,
            stderr=nowhere,
            start_new_session=True,
        )
    except (OSError, TypeError):  # no room for a process, or an interpreter without a name
        return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)  # it leads a session of its own
    else:
        process.kill()


def _is_loaded_here() -> bool:
    return "analysis.figures" in sys.modules


def _n_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
