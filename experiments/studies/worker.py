"""One chunk of runs: simulated, summarized and written, wherever it is sent.

What goes wrong in a run is a row: its status, the message and the seed to repeat it with.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from experiments.studies.store import Store
from sim.errors import InputError, InvariantError, UndertowError

if TYPE_CHECKING:
    from experiments.studies.plan import RunSpec

OK, INVALID, BROKEN, FAILED, TIMEOUT = "ok", "invalid", "invariant", "error", "timeout"
CRASHED = "crashed"
STATUSES = {
    OK: "the run ended",
    INVALID: "the values make no valid scenario",
    BROKEN: "an invariant of the world was broken",
    FAILED: "the run raised an exception",
    TIMEOUT: "the run took longer than its time limit",
    CRASHED: "the run ended its process, more than once",
}
_ATTEMPTS = 2  # of a run whose process dies
_LONGEST_MESSAGE = 2_000


class RunTimeoutError(UndertowError):
    """A run took longer than its time limit."""


@dataclass(frozen=True)
class Job:
    """What all chunks of a sweep share."""

    variation: Any  # has `base` and `outcomes`, as `Variation`
    outcomes: tuple[str, ...]
    schema: pa.Schema  # of the rows
    store: Store
    time_limit: float  # seconds
    threads: int = 1


@dataclass(frozen=True)
class ChunkResult:
    """What a finished chunk tells the driver."""

    name: str
    n_runs: int
    n_failed: int
    seconds: float  # of work, compiling apart
    first_failure: str = ""


def run_chunk(job: Job, name: str, specs: list[RunSpec]) -> ChunkResult:
    """Simulate runs and write their rows as one file.

    Raises
    ------
    OSError
        The results cannot be written.
    """
    ensure_compiled(job)
    started = time.perf_counter()
    if job.threads > 1:
        with ThreadPoolExecutor(job.threads) as pool:
            rows = list(pool.map(lambda spec: run_one(job, spec), specs))
    else:
        rows = [run_one(job, spec) for spec in specs]
    seconds = time.perf_counter() - started
    job.store.write_rows(name, rows, job.schema)
    return result_of(name, rows, seconds)


def run_chunk_apart(job: Job, name: str, specs: list[RunSpec]) -> ChunkResult:
    """Simulate runs in a process beside this one, after the worker that had them has died.

    A run that ends its process again and again (out of memory, a fault of a library) is a row that
    says so, and the others of its chunk are spared.

    Raises
    ------
    OSError
        The results cannot be written.
    """
    ensure_compiled(job)
    started = time.perf_counter()
    with contextlib.closing(_Aside(job)) as aside:
        rows = [aside.row(spec) for spec in specs]
    seconds = time.perf_counter() - started
    job.store.write_rows(name, rows, job.schema)
    return result_of(name, rows, seconds)


class _Aside:
    """A process for one run at a time, started anew when a run has ended it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._pool: ProcessPoolExecutor | None = None

    def row(self, spec: RunSpec) -> dict[str, Any]:
        """Return the row of a run."""
        for _ in range(_ATTEMPTS):
            if self._pool is None:
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(1, context, initializer=ignore_interrupts)
            try:
                return self._pool.submit(run_one, self._job, spec).result()
            except BrokenProcessPool:
                self.close()
        message = f"its process died {_ATTEMPTS} times (killed, or out of memory)"
        nothing = dict.fromkeys(self._job.outcomes)
        return row_of(spec) | nothing | {"status": CRASHED, "message": message}

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the driver, which decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def result_of(name: str, rows: list[dict[str, Any]], seconds: float) -> ChunkResult:
    """Return what a driver is told of the rows of a chunk."""
    failed = [row for row in rows if row["status"] != OK]
    first = f"seed {failed[0]['seed']}: {failed[0]['message']}" if failed else ""
    return ChunkResult(name, len(rows), len(failed), seconds, first)


def row_of(spec: RunSpec) -> dict[str, Any]:
    """Return what is known of a run before it has run."""
    return {
        "run_id": spec.run_id,
        "point": spec.point,
        "replication": spec.replication,
        "seed": spec.seed,
        **spec.factors,
    }


def run_one(job: Job, spec: RunSpec) -> dict[str, Any]:
    """Return the row of one run."""
    row = row_of(spec)
    status, message, outcomes = OK, "", dict.fromkeys(job.outcomes)
    try:
        outcomes = _simulate(job, spec)
    except InvariantError as error:
        status, message = BROKEN, str(error)
    except RunTimeoutError as error:
        status, message = TIMEOUT, str(error)
    except InputError as error:
        status, message = INVALID, str(error)
    except Exception as error:  # noqa: BLE001 - whatever a run raises is its outcome
        status, message = FAILED, f"{type(error).__name__}: {error}"
    return row | outcomes | {"status": status, "message": message[:_LONGEST_MESSAGE]}


def _simulate(job: Job, spec: RunSpec) -> dict[str, Any]:
    deadline = time.monotonic() + job.time_limit

    def watch(*_: object) -> None:
        if time.monotonic() > deadline:
            raise RunTimeoutError(f"longer than the time limit of {job.time_limit:g} s")

    found: dict[str, Any] = job.variation.outcomes(spec.factors, spec.seed, job.outcomes, watch)
    return found


_compiled: set[str] = set()


def ensure_compiled(job: Job) -> None:
    """Compile what the scenario needs, once on a machine, before the first run of a process."""
    from filelock import FileLock

    from experiments.compiling import compile_all, is_ready
    from sim.kernel import cache_folder

    name = job.variation.base.name
    if name in _compiled:
        return
    folder = cache_folder()
    if folder is not None and not is_ready([job.variation.base]):
        with FileLock(folder / "compile.lock"):  # who waits here finds all of it compiled
            compile_all([job.variation.base], n_processes=1)
    _compiled.add(name)
