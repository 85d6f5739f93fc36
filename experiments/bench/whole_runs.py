"""Whole runs: the default scenario with everything on, a study, threads, recording."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.bench.machine import resident_bytes
from experiments.bench.rows import Row, at_least, at_most
from experiments.bench.timing import in_turn, median, timed
from experiments.bench.worlds import BLOCK_SECONDS, Effort, Runner, dense, world_of
from experiments.recording import Recorder
from experiments.running import run
from experiments.scenario import load_scenario
from sim.units import ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sim.world import World

_STUDY = "liquidation-threshold"
_CORES = 32
_MEGABYTE = 1e6


def _done(manifest: dict[str, Any]) -> dict[str, float]:
    """Return the work that a manifest tells of."""
    work = manifest["work"]
    fills, by_status = work["fills"], work["by_status"]
    return {
        "blocks": sum(work["blocks"].values()),
        "orders": work["orders"],
        "fills": fills,
        "liquidations": work["rows"].get("liquidations", 0),
        "failed": sum(by_status.values()) - by_status.get("OK", fills),
        "rows written": sum(work["rows"].values()),
    }


def default_scenario(effort: Effort) -> Iterator[Row]:
    """Time `undertow run` of the default scenario, from its scenario to its summary on disk."""
    scenario = load_scenario("black-thursday")
    hours = scenario.horizon / 3_600.0
    for figures in (False, True):
        if figures and effort.is_quick:
            return
        walls, done = [], {}
        for seed in range(1, 1 + min(3, effort.repeats)):
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                result = run(scenario, seed, out=Path(folder) / "run", figures=figures)
                walls.append(time.perf_counter() - started)
                done = _done(result.manifest)
        drawn = "and figures" if figures else "without figures"
        yield Row(
            f"black-thursday, everything on, {drawn}",
            median(walls),
            "s",
            None if figures else at_most(5),
            done,
            f"{hours:g} h of two chains in one process, records and summary written; wall time, "
            f"{len(walls)} seeds",
        )


def study(effort: Effort) -> Iterator[Row]:
    """Say how long the shipped study takes on 32 cores, from runs on one core here."""
    from experiments.studies import load_study
    from experiments.studies.plan import Plan
    from experiments.studies.worker import Job, run_one

    loaded = load_study(_STUDY)
    plan = Plan(loaded)
    n = 2 if effort.is_quick else 6
    with tempfile.TemporaryDirectory() as folder:
        from experiments.studies.store import Store

        job = Job(plan.variation, plan.outcomes, plan.schema(), Store(folder), 100.0)
        specs = [spec for spec, _ in zip(plan.runs(), range(n + 1), strict=False)]
        run_one(job, specs[0])
        found = [timed(lambda spec=spec: run_one(job, spec)) for spec in specs[1:]]  # type: ignore[misc]
    total = sum(1 for _ in plan.runs())
    seconds = median([one.cpu for one in found])
    yield Row(
        f"the study {_STUDY} on {_CORES} cores",
        total * seconds / _CORES / 3_600.0,
        "h",
        at_most(1),
        {"runs of the study": total, "runs measured": n},
        f"{1.0 / seconds:.3g} runs a second and core measured here, {_CORES} cores computed",
    )


def _finger_print(world: World) -> str:
    digest = hashlib.sha256()
    for column in (world.ledger.balance, world.venues.price, world.box.counter):
        digest.update(column.tobytes())
    return digest.hexdigest()


def threads(effort: Effort) -> Iterator[Row]:
    """Run two worlds one after the other and on two threads; they must be equal to the bit."""
    n_blocks, found, prints = (1_000 if effort.is_quick else 5_000), [], set()
    busy = []
    for _ in range(effort.repeats):
        apart = [Runner(world_of(dense(10_000, days=3.0), seed)) for seed in (1, 2)]
        together = [Runner(world_of(dense(10_000, days=3.0), seed)) for seed in (1, 2)]
        alone = timed(lambda worlds=apart: [one.blocks(n_blocks) for one in worlds])  # type: ignore[misc]
        both = timed(lambda worlds=together: _on_threads(worlds, n_blocks))  # type: ignore[misc]
        found.append(alone.wall / both.wall)
        busy.append(both.cpu / both.wall)
        prints.add(tuple(_finger_print(one.world) for one in apart))
        prints.add(tuple(_finger_print(one.world) for one in together))
    yield Row(
        "worlds in parallel, 2 threads of one process",
        median(found),
        "times",
        at_least(1.9),
        {"worlds": 2, "blocks": 2 * n_blocks, "different results": len(prints) - 1},
        f"{'equal to the last bit' if len(prints) == 1 else 'RESULTS DIFFER'}; wall time; "
        f"processor time over wall time {median(busy):.2f}",
    )


def _on_threads(runners: list[Runner], n_blocks: int) -> None:
    workers = [threading.Thread(target=one.blocks, args=(n_blocks,)) for one in runners]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def recording(effort: Effort) -> Iterator[Row]:
    """Compare a dense market whose fills all go to files with one that records nothing."""
    n_blocks = 1_500 if effort.is_quick else 7_200
    scenario = dense(10_000, days=3.0)
    seconds = BLOCK_SECONDS * n_blocks
    written = 0

    def off() -> None:
        world_of(scenario).advance(ticks(seconds))

    def on() -> None:
        nonlocal written
        with tempfile.TemporaryDirectory() as folder:
            world = world_of(scenario)
            recorder = Recorder(world, scenario.records, Path(folder))
            world.advance(ticks(seconds))
            recorder.finish()
            written = recorder.n_fills

    bodies: list[Callable[[], object]] = [off, on]
    without, full = in_turn(bodies, effort.repeats)
    wall = [100.0 * (b.wall / a.wall - 1.0) for a, b in zip(without, full, strict=True)]
    cpu = [100.0 * (b.cpu / a.cpu - 1.0) for a, b in zip(without, full, strict=True)]
    yield Row(
        "recording every fill to files: added wall time",
        median(wall),
        "%",
        at_most(15),
        {"blocks": n_blocks, "fills written": written},
        f"dense market of 10,000 traders, build included; added processor time {median(cpu):.0f} %",
    )


def flat_memory(effort: Effort) -> Iterator[Row]:
    """Say how much a recorded run grows between a tenth of its way and its end."""
    days = 3.0 if effort.is_quick else 30.0
    with tempfile.TemporaryDirectory() as folder:
        scenario = dense(2_000, days=days)
        world = world_of(scenario)
        recorder = Recorder(world, scenario.records, Path(folder))
        world.advance(ticks(86_400.0 * days / 10.0))
        early = resident_bytes()
        world.advance(ticks(86_400.0 * days))
        late = resident_bytes()
        recorder.finish()
        written = recorder.n_fills
    yield Row(
        f"growth of memory over a recorded run of {days:g} days",
        (late - early) / _MEGABYTE,
        "MB",
        at_most(50),
        {"fills written": written},
        "dense market of 2,000 traders, from a tenth of the way to the end",
    )
