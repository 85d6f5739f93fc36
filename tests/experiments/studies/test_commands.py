"""The commands as a shell sees them: what they print, and the code they exit with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from experiments.studies import load_study
from experiments.studies.commands import sweep_command
from experiments.studies.engines import LocalEngine
from experiments.studies.plan import Plan
from experiments.studies.store import Store
from experiments.studies.sweep import sweep

ROOT = Path(__file__).resolve().parents[3]


def undertow(*arguments):
    """Return how a command ended, run as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "experiments", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("requirement", "code", "word"),
    [
        ("P(lp_net_return > 10) <= 0.5", 0, "PASS"),  # 12 values below 2: at most 0.22
        ("P(lp_net_return < 10) <= 0.5", 1, "FAIL"),
        ("P(lp_net_return > 10) <= 0.001", 3, "UNDECIDED"),
    ],
)
def test_a_verdict_exits_with_its_code(write_study, tmp_path, fake_runs, requirement, code, word):
    path, out = write_study(("replications: 3", "replications: 6")), tmp_path / "out"
    sweep(Plan(load_study(path)), Store(str(out)), LocalEngine(1))
    ended = undertow("verdict", path, "--out", out, "--once", "--require", requirement)
    assert (ended.returncode, ended.stderr) == (code, "")
    written = json.loads((out / "verdict.json").read_text("utf-8"))
    assert written["verdict"] == word
    assert written["quote"].splitlines()[-1] in ended.stdout
    assert written["multiplicity"][:30] in ended.stdout
    assert (out / "verdict.png").stat().st_size > 1_000


@pytest.mark.parametrize(
    ("command", "before", "after", "why"),
    [
        ("sweep", "venues.eth-usd.fee", "venues.eth-usd.fees", "fees"),
        ("sweep", "n_fills]", "n_fill]", "did you mean 'n_fills'"),
        ("verdict", "mean(lp_net_return)", "mean(lp_net_return", "write it as"),
        ("sweep", "replications: 3", "replications: 9000000", "the budget is"),
    ],
)
def test_a_bad_study_exits_with_2_and_starts_nothing(
    write_study, tmp_path, command, before, after, why
):
    ended = undertow(command, write_study((before, after)), "--out", tmp_path / "out")
    assert ended.returncode == 2
    assert why in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


def test_ctrl_c_in_a_verdict_says_what_is_known_and_how_to_go_on(write_study, tmp_path):
    """The runs sleep, so that the signal comes while chunks are under way."""
    out = tmp_path / "out"
    study = write_study(("replications: 3", "replications: 200"))
    asked = ("--require", "mean(lp_net_return) >= -2", "--largest", "fee")
    driver = subprocess.Popen(
        [sys.executable, "-c", SLOW_VERDICT, study, str(out), *asked],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60.0
    while time.monotonic() < until and '"chunk"' not in log_of(out):
        time.sleep(0.05)
    driver.send_signal(signal.SIGINT)
    printed, complained = driver.communicate(timeout=60)
    stopped = "undertow: stopped; nothing half-written is left\n"
    assert (driver.returncode, complained) == (130, stopped)
    again = " ".join(printed[printed.index("stopped; go on with: ") :].splitlines()[0].split()[4:])
    assert again == (
        f"undertow verdict {study} --out {out} --require 'mean(lp_net_return) >= -2' --largest fee"
    )
    written = json.loads((out / "verdict.json").read_text("utf-8"))
    assert written["stopped"] == "stopped by the user"
    n_runs = sum(len(pq.read_table(file)) for file in (out / "runs").glob("*.parquet"))
    assert 0 < n_runs < 800
    assert written["findings"][0]["runs"] <= n_runs
    assert log_of(out).splitlines()[-1].count('"stop"') == 1


def log_of(out):
    log = out / "events.jsonl"
    return log.read_text("utf-8") if log.is_file() else ""


SLOW_VERDICT = """
import sys, time
import experiments.studies.sweep as sweeping
import experiments.studies.worker as worker
from experiments.cli import main

def simulate(job, spec):
    time.sleep(0.01)
    return dict.fromkeys(job.outcomes, (spec.seed % 997) / 997.0)

worker._simulate = simulate
sweeping.CHUNK_SECONDS = sweeping.PILOT_SECONDS = 0.05
study, out, *asked = sys.argv[1:]
main(["verdict", study, "--out", out, "--engine", "local", "--workers", "1", *asked])
"""


def test_a_plan_says_what_the_data_set_measured(write_study, tmp_path, capsys):
    path, out = write_study(), tmp_path / "out"

    def planned():
        assert sweep_command(path, str(out), "local", None, 2, 1, only_plan=True) == 0
        return capsys.readouterr().out

    assert "12, 12 of them missing" in planned()
    assert "guessed from blocks and samples" in planned()
    assert not out.exists()
    out.mkdir()
    events = [{"event": "chunk", "n_runs": 4, "seconds": 2.0}, {"event": "end"}]
    events.append({"event": "chunk", "n_runs": 1, "seconds": 8.0})
    lines = "".join(json.dumps(event) + "\n" for event in events)
    (out / "events.jsonl").write_text(lines + '{"event": "chu', "utf-8")  # a driver was killed here
    assert "2 s a run, as measured in this data set" in planned()  # 10 s for 5 runs
    assert "about 12 s on 2 workers" in planned()  # 12 runs of 2 s


def test_two_questions_for_an_extreme_value_are_refused(write_study, tmp_path):
    both = ("--largest", "fee", "--smallest", "fee")
    ended = undertow("verdict", write_study(), "--out", tmp_path / "out", *both)
    assert ended.returncode == 2
    assert "ask one at a time" in ended.stderr
    assert not (tmp_path / "out").exists()
