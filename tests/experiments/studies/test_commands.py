"""The commands as a shell sees them: what they print, and the code they exit with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.studies import load_study
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


def test_two_questions_for_an_extreme_value_are_refused(write_study, tmp_path):
    both = ("--largest", "fee", "--smallest", "fee")
    ended = undertow("verdict", write_study(), "--out", tmp_path / "out", *both)
    assert ended.returncode == 2
    assert "ask one at a time" in ended.stderr
    assert not (tmp_path / "out").exists()
