"""Measuring rows: what is missing runs on all cores, and every finished piece is a file.

    rows/A1-<key>.json    a finished row; the key is a hash of row, seeds, code and bands
    runs/<key>.json       the statistics of a finished run, which rows share
    history.jsonl         a line for each time the command came to its end
    verify.html, validation.md, results.json   the last state

Start it again after any stop and it goes on.
"""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

from experiments.studies.plan import code_version
from experiments.studies.worker import ignore_interrupts
from experiments.verify.rows import Result, Row, result_of
from experiments.verify.rows_b import RunTask, result_from, run_statistics, tasks_of

if TYPE_CHECKING:
    from experiments.studies.store import Store

PAGE, DOCUMENT, HISTORY, RESULTS = "verify.html", "validation.md", "history.jsonl", "results.json"


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes
    ----------
    rows : to be measured or told
    is_full : with the seeds of a night, or those of a quick look
    """

    rows: Sequence[Row]
    is_full: bool

    def seeds(self, row: Row) -> tuple[int, ...]:
        """Return the seeds of a row."""
        return row.seeds.full if self.is_full else row.seeds.quick

    def key(self, row: Row) -> str:
        """Return what the file of a row is called by: another code, band or seed is another."""
        return _hash([row.name, row.title, list(self.seeds(row)), _code(), _settings()])


def measure(plan: Plan, store: Store, workers: int, watch: Callable[[str, int, int], None]) -> None:
    """Measure the rows that have no file yet.

    Parameters
    ----------
    watch : called with the name of a finished piece, how many are done, and how many there are
    """
    todo = [row for row in plan.rows if not row.missing and _result(plan, store, row) is None]
    groups = _groups([row for row in todo if row.measure is not None])
    shared = [row for row in todo if row.measure is None]
    wanted = {task: None for row in shared for tasks in _tasks(plan, row) for task in tasks}
    runs = [task for task in wanted if _statistics(store, task) is None]
    n_pieces = len(groups) + len(runs)
    for n_done, (piece, found) in enumerate(_finished(plan, groups, runs, workers), start=1):
        if isinstance(piece, RunTask):
            store.write(_run_file(piece), _as_json(found))
            name = f"{piece.base}, seed {piece.seed}"
        else:
            for result in found:
                _write_row(plan, store, result)
            name = ", ".join(result.name for result in found)
        watch(name, n_done, n_pieces)
    for row in shared:
        _write_row(plan, store, _assemble(plan, store, row))


def results(plan: Plan, store: Store) -> list[Result]:
    """Return a result for every row, in order; of those without a file the reason."""
    found = []
    for row in plan.rows:
        told = None if row.missing else _result(plan, store, row)
        if told is None:
            fault = "" if row.missing else "not measured: the command was stopped before"
            told = Result(
                row.name, row.title, row.source, plan.seeds(row), missing=row.missing, fault=fault
            )
        found.append(told)
    return found


def note(plan: Plan, store: Store, found: Sequence[Result]) -> dict[str, Any]:
    """Append a line to the history and return it."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": _code()[:16],
        "effort": "full" if plan.is_full else "quick",
        "verdicts": {result.name: result.verdict for result in found},
        "seconds": round(sum(result.seconds for result in found), 1),
    }
    store.append(HISTORY, json.dumps(line))
    return line


def history(store: Store) -> list[dict[str, Any]]:
    """Return the lines of the history; one that was cut short is left out."""
    lines = (store.read(HISTORY) or b"").decode("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


# --- pieces --------------------------------------------------------------------------------------


@functools.cache
def _settings() -> list[str]:
    """Return the texts that were written down beforehand."""
    folder = resources.files("experiments.verify")
    return [(folder / name).read_text("utf-8") for name in ("published.yaml", "aave-2022-01.yaml")]


@functools.cache
def _code() -> str:
    return code_version()


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Return rows by group, the most expensive group first."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.group, []).append(row)
    return sorted(found.values(), key=lambda group: -sum(row.cost for row in group))


def _finished(
    plan: Plan, groups: list[list[Row]], runs: list[RunTask], workers: int
) -> Iterator[tuple[Any, Any]]:
    """Yield each piece with what came of it; the longest start first, a few at a time."""
    pieces: list[tuple[Any, Callable[..., Any], tuple[Any, ...]]] = [
        (
            tuple(row.name for row in group),
            measure_rows,
            ([row.name for row in group], plan.is_full),
        )
        for group in groups
    ]
    pieces += [(task, _try_run, (task,)) for task in runs]
    if workers == 1 or len(pieces) < 2:
        for piece, function, arguments in pieces:
            yield piece, function(*arguments)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=ignore_interrupts) as pool:
        waiting: dict[Future[Any], Any] = {}
        rest = iter(pieces)
        try:
            while True:
                while len(waiting) < workers and (more := next(rest, None)) is not None:
                    waiting[pool.submit(more[1], *more[2])] = more[0]
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def measure_rows(names: Sequence[str], is_full: bool) -> list[Result]:
    """Measure the rows of a group in this process; a fault is a result."""
    from experiments.verify.registry import all_rows

    by_name = {row.name: row for row in all_rows()}
    return [_measured(by_name[name], is_full) for name in names]


def _measured(row: Row, is_full: bool) -> Result:
    seeds = row.seeds.full if is_full else row.seeds.quick
    plain = Result(row.name, row.title, row.source, seeds)
    started = time.process_time()
    try:
        findings = tuple(row.measure(seeds)) if row.measure else ()
    except Exception as error:  # noqa: BLE001 - a row that breaks is shown as broken
        return replace(plain, fault=f"{type(error).__name__}: {error}")
    return replace(plain, findings=findings, seconds=time.process_time() - started)


def _try_run(task: RunTask) -> dict[str, Any]:
    started = time.process_time()
    try:
        found: dict[str, Any] = {"statistics": _told(run_statistics(task))}
    except Exception as error:  # noqa: BLE001 - a run that breaks is an outcome
        found = {"fault": f"{type(error).__name__}: {error}"}
    return found | {"seconds": time.process_time() - started}


def _assemble(plan: Plan, store: Store, row: Row) -> Result:
    """Return the result of a row from the files of its runs."""
    plain = Result(row.name, row.title, row.source, plan.seeds(row))
    by_arm: dict[str, list[Mapping[str, float]]] = {}
    seconds = 0.0
    for arm, tasks in tasks_of(row, plan.seeds(row)).items():
        found = [_statistics(store, task) or {"fault": "it was not run"} for task in tasks]
        broken = next((one["fault"] for one in found if "fault" in one), None)
        if broken is not None:
            return replace(plain, fault=f"{arm}: {broken}")
        seconds += sum(one["seconds"] for one in found)
        by_arm[arm] = [
            {name: float(value) for name, value in one["statistics"].items()} for one in found
        ]
    try:
        return replace(result_from(row, by_arm), seconds=seconds)
    except (ArithmeticError, KeyError, ValueError) as error:
        return replace(plain, fault=f"{type(error).__name__}: {error}")


def _tasks(plan: Plan, row: Row) -> list[list[RunTask]]:
    return list(tasks_of(row, plan.seeds(row)).values())


# --- files ---------------------------------------------------------------------------------------


def _result(plan: Plan, store: Store, row: Row) -> Result | None:
    data = store.read(f"rows/{row.name}-{plan.key(row)}.json")
    return None if data is None else result_of(json.loads(data))


def _write_row(plan: Plan, store: Store, result: Result) -> None:
    row = next(row for row in plan.rows if row.name == result.name)
    store.write(f"rows/{row.name}-{plan.key(row)}.json", _as_json(result.as_data()))


def _statistics(store: Store, task: RunTask) -> dict[str, Any] | None:
    data = store.read(_run_file(task))
    return None if data is None else json.loads(data)


def _run_file(task: RunTask) -> str:
    return f"runs/{_hash([*task, _code()])}.json"


def _hash(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, default=list).encode()).hexdigest()[:16]


def _as_json(data: Any) -> bytes:
    return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()


def _told(values: dict[str, float]) -> dict[str, Any]:
    """Return numbers as JSON has them: what is not finite becomes text."""
    return {name: repr(value) if value - value != 0.0 else value for name, value in values.items()}
