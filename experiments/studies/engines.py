"""Where chunks run: in this process, on the cores of this machine, or on a Ray cluster.

An engine takes chunks and gives back their results in the order in which they finish; how many are
in flight at once is bounded. The same function runs a chunk everywhere.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, Protocol

from experiments.studies.worker import (
    ChunkResult,
    Job,
    ignore_interrupts,
    run_chunk,
    run_chunk_apart,
)
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.studies.plan import RunSpec

Chunk = tuple[str, list["RunSpec"]]
_WAIT = 0.5  # seconds between looks at whether the user wants to stop
_RETRIES = 3  # of a chunk whose worker dies, before its runs are kept apart
ENGINES = ("ray", "local")


class Engine(Protocol):
    """Runs chunks."""

    @property
    def workers(self) -> int:
        """Return how many chunks can run at once."""

    def start(self, job: Job) -> None:
        """Make ready for the chunks of a job."""

    def submit(self, chunk: Chunk) -> None:
        """Send a chunk; `in_flight` says how many are under way."""

    @property
    def in_flight(self) -> int:
        """Return the number of chunks under way."""

    def finished(self) -> Iterator[ChunkResult]:
        """Yield what has finished; waits a little when nothing has.

        Raises
        ------
        OutputError
            A chunk could not be written.
        """

    def stop(self) -> None:
        """Let go of all workers; what is under way is lost."""


class LocalEngine:
    """Processes of this machine, or this process alone.

    Parameters
    ----------
    workers : processes; 1 runs the chunks in this one
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None
        self._waiting: dict[Future[ChunkResult], Chunk] = {}
        self._here: list[Chunk] = []

    def start(self, job: Job) -> None:
        """Start the processes."""
        self._job = job
        if self._workers > 1:
            self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(
            self._workers, context, initializer=_set_job, initargs=(self._job,)
        )

    @property
    def workers(self) -> int:
        """Return the number of processes."""
        return self._workers

    def submit(self, chunk: Chunk) -> None:
        """Send a chunk to the next free process."""
        if self._pool is None:
            self._here.append(chunk)
        else:
            try:
                future = self._pool.submit(_run_here, *chunk)
            except BrokenProcessPool:  # known before `finished` has seen it
                self._replace_pool()
                future = self._pool.submit(_run_here, *chunk)
            self._waiting[future] = chunk

    def _replace_pool(self) -> None:
        """Start anew after a process has died: what was under way runs again, each run apart."""
        assert self._pool is not None  # noqa: S101 - it has died
        self._pool.shutdown()
        self._pool = self._new_pool()
        ended = {f: c for f, c in self._waiting.items() if f.done() and not f.exception()}
        lost = [chunk for future, chunk in self._waiting.items() if future not in ended]
        again = {self._pool.submit(_run_apart_here, *chunk): chunk for chunk in lost}
        self._waiting = {**ended, **again}

    @property
    def in_flight(self) -> int:
        """Return the number of chunks under way."""
        return len(self._waiting) + len(self._here)

    def finished(self) -> Iterator[ChunkResult]:
        """Yield what has finished."""
        if self._here:
            yield run_chunk(self._job, *self._here.pop(0))
            return
        done, _ = wait(self._waiting, _WAIT, return_when=FIRST_COMPLETED)
        if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
            self._replace_pool()
            return
        for future in done:
            self._waiting.pop(future)
            yield future.result()

    def stop(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


_job: Job | None = None  # of a process of the pool


def _set_job(job: Job) -> None:
    global _job  # noqa: PLW0603 - one job a process, sent once
    ignore_interrupts()
    _job = job


def _run_here(name: str, specs: list[RunSpec]) -> ChunkResult:
    assert _job is not None  # noqa: S101 - the pool's initializer ran
    return run_chunk(_job, name, specs)


def _run_apart_here(name: str, specs: list[RunSpec]) -> ChunkResult:
    assert _job is not None  # noqa: S101 - the pool's initializer ran
    return run_chunk_apart(_job, name, specs)


class RayEngine:
    """Tasks on a Ray cluster: the one at an address, or one started on this machine.

    Parameters
    ----------
    address : of a cluster, such as ray://head:10001 or auto; None starts a local one
    workers : CPUs of a local cluster; all when left out
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        self._ray = ray
        self._owns = not ray.is_initialized()
        if self._owns:
            options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
            if address is None:
                options |= {"num_cpus": workers, "include_dashboard": False}
            try:
                ray.init(address=address or "local", **options)  # not one that happens to run here
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise InputError(
                    f"no Ray cluster at {address!r} ({error}); give the address of one, or leave "
                    "--address out to start one here"
                ) from None
        self._waiting: dict[Any, Chunk] = {}

    @property
    def workers(self) -> int:
        """Return the CPUs of the cluster now."""
        resources: Any = self._ray.cluster_resources()  # type: ignore[no-untyped-call]
        return max(int(resources.get("CPU", 1)), 1)

    def start(self, job: Job) -> None:
        """Send the job to the cluster once.

        Raises
        ------
        InputError
            The cluster cannot import the package.
        """
        try:
            self._job = self._ray.put(job)
        except ImportError as error:
            raise InputError(
                f"the cluster cannot import Undertow ({error}); install it on every node, or send "
                "this folder along with `ray job submit --working-dir .`"
            ) from None
        environment = {"env_vars": {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}}
        # retries are for workers and nodes that die; what a run raises is a row
        self._task, self._task_apart = (
            self._ray.remote(
                num_cpus=job.threads,
                max_retries=retries,
                scheduling_strategy="SPREAD",
                runtime_env=environment,
            )(function)
            for function, retries in ((run_chunk, _RETRIES), (run_chunk_apart, -1))
        )

    def submit(self, chunk: Chunk) -> None:
        """Send a chunk as a task."""
        self._waiting[self._task.remote(self._job, *chunk)] = chunk

    @property
    def in_flight(self) -> int:
        """Return the number of tasks under way."""
        return len(self._waiting)

    def finished(self) -> Iterator[ChunkResult]:
        """Yield what has finished."""
        done, _ = self._ray.wait(list(self._waiting), num_returns=len(self._waiting), timeout=_WAIT)
        for reference in done:
            chunk = self._waiting.pop(reference)
            try:
                yield self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except (
                self._ray.exceptions.WorkerCrashedError,
                self._ray.exceptions.NodeDiedError,
                self._ray.exceptions.OutOfMemoryError,
            ):  # again and again: one of its runs may be why
                self._waiting[self._task_apart.remote(self._job, *chunk)] = chunk

    def stop(self) -> None:
        """Let go of the cluster; end it when it was started here."""
        for reference in self._waiting:
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=True)
        if self._owns:
            self._ray.shutdown()


def make_engine(kind: str, address: str | None, workers: int | None) -> Engine:
    """Return an engine by name.

    Raises
    ------
    InputError
        There is no such engine, or no cluster at the address.
    """
    if kind not in ENGINES:
        raise InputError(f"no engine {kind!r}; allowed: {', '.join(ENGINES)}")
    if workers is not None and workers < 1:
        raise InputError(f"--workers is {workers}; it must be at least 1")
    if kind == "ray":
        return RayEngine(address, workers)
    if address is not None:
        raise InputError("--address needs --engine ray; leave it out to run on this machine")
    return LocalEngine(workers)
