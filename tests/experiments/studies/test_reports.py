"""The report of a study that was swept and decided."""

from __future__ import annotations

from analysis.report import make_report
from experiments.repeating import repeat_of
from experiments.studies import load_study
from experiments.studies.commands import verdict_command
from experiments.studies.engines import LocalEngine
from experiments.studies.plan import Plan
from experiments.studies.store import Store
from experiments.studies.sweep import sweep
from tests.analysis.report.pages import Parsed


def test_a_sweep_and_its_verdict_become_a_page(write_study, fake_runs, tmp_path, capsys):
    file, place = write_study(), tmp_path / "set"
    sweep(Plan(load_study(file)), Store(str(place)), LocalEngine(1))
    page = Parsed(make_report(place, repeat_of(place)))
    assert "No verdict was given on these runs" in page.text
    verdict_command(file, str(place), "local", None, 1, (), once=True, largest=None, smallest=None)
    capsys.readouterr()
    page = Parsed(make_report(place, repeat_of(place)))
    assert "Required: mean(lp_net_return) >= -1. Of 2 settings: 2 PASS" in page.text
    kinds = {name: row["what it is"] for name, row in page.exact("factors").items()}
    assert kinds == {"fee": "lever", "volatility": "varied", "base_fee": "varied"}
    assert f"undertow verdict STUDY.yaml --out {place}-again" in page.text


def test_a_shipped_study_is_repeated_by_its_name(tmp_path, fake_runs):
    plan = Plan(load_study("fee-tier"))
    Store(str(tmp_path / "set")).identify(plan.about)
    lines = repeat_of(tmp_path / "set").commands
    assert lines == [
        f"undertow sweep fee-tier --out {tmp_path}/set-again",
        f"undertow report {tmp_path}/set-again",
    ]
