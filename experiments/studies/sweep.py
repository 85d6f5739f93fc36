"""Sweeps: every run of a study that is not in the data set yet, in chunks, until all are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.run_folder import told_faults
from experiments.studies.store import Generation, Store
from experiments.studies.worker import ChunkResult, Job, ensure_compiled, result_of, run_one
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from experiments.studies.engines import Chunk, Engine
    from experiments.studies.plan import Runs, RunSpec

CHUNK_SECONDS = 2.5  # of work; a task of Ray costs some milliseconds
PILOT_SECONDS = 1.0
_LONG_RUN = 10.0  # seconds beside which warming up is nothing
_MAX_CHUNK = 10_000
_AHEAD = 2  # chunks in flight for each worker


@dataclass
class Progress:
    """How far a sweep is."""

    total: int  # runs that the study asks for
    before: int  # of these, in the data set when the sweep began
    workers: int = 1
    done: int = 0
    failed: int = 0
    started: float = field(default_factory=time.monotonic)
    work_seconds: float = 0.0
    is_stopping: bool = False
    messages: list[str] = field(default_factory=list)

    @property
    def runs_per_second(self) -> float:
        """Return the runs finished a second of wall-clock time."""
        return self.done / max(time.monotonic() - self.started, 1e-9)

    @property
    def seconds_left(self) -> float:
        """Return the time that the rest will take at this speed."""
        rest = self.total - self.before - self.done
        return rest / self.runs_per_second if self.done else float("nan")


def unwatched(progress: Progress) -> None:
    """Let a sweep pass unseen."""


def sweep(
    plan: Runs,
    store: Store,
    engine: Engine,
    *,
    threads: int = 1,
    counts: Mapping[int, int] | None = None,
    watch: Callable[[Progress], None] = unwatched,
) -> Progress:
    """Run what is missing of a study.

    Parameters
    ----------
    plan : the runs asked for
    store : the data set; one driver at a time
    engine : where the chunks run
    threads : worlds at once in a task
    counts : replications of each design point; the study's when left out
    watch : called now and then with the progress

    Raises
    ------
    InputError
        The data set is of another study, or another driver works on it.
    OutputError
        The disk is full or cannot be written; what is written stays, and the next start goes on.
    """
    with only_driver(store):
        store.identify(plan.about)
        job = Job(plan.variation, plan.outcomes, plan.schema(), store, plan.time_limit, threads)
        log = _Log(store)
        wanted = {spec.run_id: spec for spec in plan.runs(counts)}
        pilot = _plan_missing(job, wanted)
        todo, n_before = _unfinished(store, wanted)
        progress = Progress(len(wanted), n_before)
        if pilot is not None:
            progress.before -= pilot.n_runs
            _count(progress, pilot)
        log("start", runs=len(wanted), missing=len(wanted) - progress.before)
        if todo:
            engine.start(job)
            try:
                with _gentle_interrupt(progress):
                    _run_all(engine, todo, progress, log, watch)
            finally:
                engine.stop()
        log("stop" if progress.is_stopping else "end", done=progress.done, failed=progress.failed)
    return progress


def _plan_missing(job: Job, wanted: dict[str, RunSpec]) -> ChunkResult | None:
    """Add a plan of the runs that no plan has; its first chunk, timed here and now, is returned."""
    generations = job.store.generations()
    known = {spec.run_id for generation in generations for spec in generation.runs}
    runs = [spec for run_id, spec in wanted.items() if run_id not in known]
    if not runs:
        return None
    number = len(generations) + 1
    started = time.perf_counter()
    rows, pilot, chunk = _pilot(job, runs)
    generation = Generation(number, runs, pilot, chunk)
    job.store.add_generation(generation)
    name = generation.chunks()[0][0]
    job.store.write_rows(name, rows, job.schema)
    return result_of(name, rows, time.perf_counter() - started)


def _pilot(job: Job, runs: list[RunSpec]) -> tuple[list[dict[str, Any]], int, int]:
    """Run the first runs for a second; returns their rows, their number and the size of a chunk.

    The first one also loads and warms up, so it is timed only when it is alone, or very long.
    """
    ensure_compiled(job)
    rows, times = [], []
    for spec in runs:
        started = time.perf_counter()
        rows.append(run_one(job, spec))
        times.append(time.perf_counter() - started)
        is_timed = len(times) > 1 and sum(times[1:]) >= PILOT_SECONDS
        if is_timed or times[0] > _LONG_RUN:
            break
    each = sum(times[1:]) / len(times[1:]) if len(times) > 1 else times[0]
    chunk = max(1, min(round(CHUNK_SECONDS / max(each, 1e-9)), _MAX_CHUNK))
    return rows, len(rows), chunk


def _unfinished(store: Store, wanted: dict[str, RunSpec]) -> tuple[list[Chunk], int]:
    """Return the chunks that hold wanted runs and are not written, and the wanted runs that are."""
    finished, todo, n_before = store.finished(), [], 0
    for generation in store.generations():
        for name, specs in generation.chunks():
            n_wanted = sum(spec.run_id in wanted for spec in specs)
            if name in finished:
                n_before += n_wanted
            elif n_wanted:
                todo.append((name, specs))
    return todo, n_before


def _run_all(
    engine: Engine,
    todo: list[Chunk],
    progress: Progress,
    log: _Log,
    watch: Callable[[Progress], None],
) -> None:
    waiting = iter(todo)
    more: Chunk | None = next(waiting, None)
    while engine.in_flight or (more is not None and not progress.is_stopping):
        progress.workers = engine.workers
        while (
            more is not None
            and not progress.is_stopping
            and engine.in_flight < _AHEAD * progress.workers
        ):
            engine.submit(more)
            more = next(waiting, None)
        for result in engine.finished():
            _count(progress, result)
            log("chunk", **vars(result))
        watch(progress)


def _count(progress: Progress, result: ChunkResult) -> None:
    progress.done += result.n_runs
    progress.failed += result.n_failed
    progress.work_seconds += result.seconds
    if result.first_failure:
        progress.messages.append(result.first_failure)


@contextlib.contextmanager
def _gentle_interrupt(progress: Progress) -> Iterator[None]:
    """Let Ctrl-C finish what is in flight; a second one ends at once."""

    def stop(*_: object) -> None:
        if progress.is_stopping:
            raise KeyboardInterrupt
        progress.is_stopping = True

    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not the main thread, which alone has signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def only_driver(store: Store) -> Iterator[None]:
    """Hold the data set; the lock ends with the process, however that ends.

    Raises
    ------
    InputError
        Another driver holds it.
    """
    from filelock import FileLock, Timeout

    from sim.kernel import cache_folder

    if store.is_local:
        file = Path(store.root) / ".lock"
    else:  # an object store has no locks: at least the drivers of one machine keep apart
        key = hashlib.sha256(store.place.encode()).hexdigest()[:16]
        file = (cache_folder() or Path()) / f"{key}.lock"
    with told_faults(Path(store.place)):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"{store.place} is being written by another sweep or verdict; wait for it, or "
                "give another --out"
            ) from None
    try:
        yield
    finally:
        lock.release()


def seconds_a_run(store: Store) -> float | None:
    """Return the work of one run as the event log has it; None where no chunk has been timed.

    Only a log in one file is read: on an object store each event is one of its own.
    """
    text = store.read("events.jsonl") if store.is_local else None
    events = [json.loads(line) for line in (text or b"").splitlines() if line.endswith(b"}")]
    chunks = [event for event in events if event["event"] == "chunk"]
    n_runs = sum(event["n_runs"] for event in chunks)
    return sum(event["seconds"] for event in chunks) / n_runs if n_runs else None


class _Log:
    """The event log of a data set: JSON lines."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, event: str, **details: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._store.append("events.jsonl", json.dumps({"time": now, "event": event, **details}))
