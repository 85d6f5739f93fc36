"""What sweeps cost beside the runs: `python -m tests.experiments.studies.speed_of_sweeps`.

Prints the time of a bare loop over real runs and of a sweep over the same runs, the memory of a
driver at 1,000 and at 10,000 runs, and how much faster two workers are than one. Measure on a quiet
machine; times of processors are stated where others share it.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from experiments.console import say
from experiments.studies import load_study
from experiments.studies.engines import LocalEngine
from experiments.studies.plan import Plan
from experiments.studies.store import Store
from experiments.studies.sweep import sweep
from experiments.studies.worker import Job, ensure_compiled, run_one

STUDY = """
version: 1
name: short
scenario: quiet-market
until: 1h
levers: {fee: {path: venues.eth-usd.fee, values: [0.001, 0.003]}}
replications: %d
outcomes: [n_fills]
"""


def plan_of(folder: Path, n_runs: int) -> Plan:
    path = folder / "short.yaml"
    path.write_text(STUDY % (n_runs // 2), "utf-8")
    return Plan(load_study(str(path)))


def overhead(folder: Path, n_runs: int) -> None:
    plan = plan_of(folder, n_runs)
    job = Job(plan.variation, plan.outcomes, plan.schema(), Store(str(folder / "bare")), 100.0)
    ensure_compiled(job)
    for spec, _ in zip(plan.runs(), range(20), strict=False):
        run_one(job, spec)
    started = time.process_time()
    for spec in plan.runs():
        run_one(job, spec)
    bare = time.process_time() - started
    started = time.process_time()
    sweep(plan, Store(str(folder / "swept")), LocalEngine(1))
    swept = time.process_time() - started
    say(
        f"{n_runs} runs: {1e3 * bare / n_runs:.1f} ms each, sweep {swept / bare - 1.0:+.1%} "
        "(time of the processor)"
    )


def driver(folder: Path, n_runs: int, workers: int) -> None:
    """Drive a sweep of real runs; print seconds and the largest memory of this process."""
    plan = plan_of(folder, n_runs)
    started = time.perf_counter()
    sweep(plan, Store(str(folder / "swept")), LocalEngine(workers))
    seconds = time.perf_counter() - started
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    say(f"{n_runs} runs, {workers} workers: {seconds:.1f} s, driver {megabytes:.0f} MB")


def main() -> None:
    """Measure, each driver in a process of its own."""
    if len(sys.argv) > 1:
        driver(Path(sys.argv[3]), int(sys.argv[1]), int(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        overhead(Path(folder), 1_000)
    for n_runs, workers in ((1_000, 1), (1_000, 2), (10_000, 2)):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", __spec__.name, str(n_runs), str(workers), folder]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
