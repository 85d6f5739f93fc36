"""Rounds: what they spend, and that what is decided stays decided."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.studies import load_study
from experiments.studies.deciding import decide_in_rounds
from experiments.studies.engines import LocalEngine
from experiments.studies.estimates import FAIL, PASS, UNDECIDED, decide, estimate
from experiments.studies.plan import Plan
from experiments.studies.store import Store


@pytest.fixture
def noisy_runs(monkeypatch):
    """Replace simulation by a normal outcome around a mean that the fee decides."""

    def simulate(job, spec):
        mean = {0.001: 0.5, 0.003: 0.1}[spec.factors["fee"]]
        return dict.fromkeys(job.outcomes, mean + np.random.default_rng(spec.seed).normal())

    monkeypatch.setattr("experiments.studies.worker._simulate", simulate)


def decided(write_study, tmp_path, replications, budget):
    changes = [
        ("volatility: {values: [0.5, 1.0]}", "volatility: {values: [1.0]}"),
        ("replications: 3", f"replications: {replications}\nbudget: {{runs: {budget}}}"),
        ("mean(lp_net_return) >= -1", "mean(lp_net_return) >= 0"),
    ]
    plan = Plan(load_study(write_study(*changes)))
    store = Store(str(tmp_path / "out"))
    return decide_in_rounds(plan, store, lambda: LocalEngine(1), plan.study.parsed)


def test_rounds_are_spent_on_what_is_open_alone(write_study, tmp_path, noisy_runs):
    decision = decided(write_study, tmp_path, 100, 20_000)
    clear, close = decision.findings
    assert (clear.verdict, clear.estimate.n) == (PASS, 100)
    assert close.verdict == PASS
    assert close.estimate.n in {200, 400, 800, 1_600}  # 0.1 is 3 standard errors at 900 runs
    assert decision.why_stopped == "everything is decided"
    assert len(decision.rows) == clear.estimate.n + close.estimate.n


def test_what_was_decided_at_an_early_look_is_not_taken_back(write_study, tmp_path, noisy_runs):
    """A later look spends less error, so that the same runs would no longer decide."""
    decision = decided(write_study, tmp_path, 24, 24 * 6)
    clear, close = decision.findings
    assert (clear.verdict, clear.estimate.n) == (PASS, 24)
    assert clear.estimate.method.endswith("look 1")
    values = decision.rows.loc[decision.rows["fee"] == 0.001, "lp_net_return"].to_numpy()
    now = estimate(clear.requirement, values, np.ones(24, bool), 0.95, decision.looks)
    assert decide(clear.requirement, now) == UNDECIDED
    assert close.verdict == UNDECIDED
    assert "is spent" in decision.why_stopped
    assert FAIL not in {finding.verdict for finding in decision.findings}
