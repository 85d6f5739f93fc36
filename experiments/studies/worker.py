"""One chunk of runs: simulated, summarized and written, wherever it is sent.

What goes wrong in a run is a row: its status, the message and the seed to repeat it with.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from experiments.studies.store import Store
from experiments.studies.variation import Variation
from sim.errors import InputError, InvariantError, UndertowError

if TYPE_CHECKING:
    from experiments.studies.plan import RunSpec

OK, INVALID, BROKEN, FAILED, TIMEOUT = "ok", "invalid", "invariant", "error", "timeout"
STATUSES = {
    OK: "the run ended",
    INVALID: "the values make no valid scenario",
    BROKEN: "an invariant of the world was broken",
    FAILED: "the run raised an exception",
    TIMEOUT: "the run took longer than its time limit",
}
_LONGEST_MESSAGE = 2_000


class RunTimeoutError(UndertowError):
    """A run took longer than its time limit."""


@dataclass(frozen=True)
class Job:
    """What all chunks of a sweep share."""

    variation: Variation
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


def result_of(name: str, rows: list[dict[str, Any]], seconds: float) -> ChunkResult:
    """Return what a driver is told of the rows of a chunk."""
    failed = [row for row in rows if row["status"] != OK]
    first = f"seed {failed[0]['seed']}: {failed[0]['message']}" if failed else ""
    return ChunkResult(name, len(rows), len(failed), seconds, first)


def run_one(job: Job, spec: RunSpec) -> dict[str, Any]:
    """Return the row of one run."""
    row: dict[str, Any] = {
        "run_id": spec.run_id,
        "point": spec.point,
        "replication": spec.replication,
        "seed": spec.seed,
        **spec.factors,
    }
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
    from experiments.running import outcomes_of

    deadline = time.monotonic() + job.time_limit

    def watch(*_: object) -> None:
        if time.monotonic() > deadline:
            raise RunTimeoutError(f"longer than the time limit of {job.time_limit:g} s")

    scenario = job.variation.scenario(spec.factors)
    return outcomes_of(scenario, spec.seed, job.outcomes, watch)


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
