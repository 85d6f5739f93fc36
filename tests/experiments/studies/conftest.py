"""Small studies for the tests."""

from __future__ import annotations

import pytest

STUDY = """
version: 1
name: small
scenario: quiet-market
until: 10m
levers:
  fee: {path: venues.eth-usd.fee, values: [0.001, 0.003]}
uncertainties:
  volatility: {values: [0.5, 1.0]}
  base_fee:
    path: chains.mainnet.fee_market.base_fee_gwei
    distribution: {kind: uniform, low: 0.0, high: 1.0}
replications: 3
outcomes: [lp_net_return, n_fills]
requirements: ["mean(lp_net_return) >= -1"]
"""


@pytest.fixture
def write_study(tmp_path):
    """Return a function that writes the small study with texts replaced, and gives its path."""

    def write(*changes, name="study.yaml"):
        text = STUDY
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return str(path)

    return write


@pytest.fixture
def fake_runs(monkeypatch):
    """Replace simulation by arithmetic: outcomes that the values and the seed decide."""

    def simulate(job, spec):
        if spec.factors.get("fee") == "explode":
            raise ZeroDivisionError("boom")
        number = (spec.seed % 1000) / 1000.0 + float(spec.factors["fee"])
        return dict.fromkeys(job.outcomes, number)

    monkeypatch.setattr("experiments.studies.worker._simulate", simulate)
