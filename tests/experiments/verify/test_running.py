"""What is measured is kept, told and judged; a stopped command goes on."""

import json
from dataclasses import replace

import pytest

from experiments.cli import main
from experiments.studies.store import Store
from experiments.verify import running, telling
from experiments.verify.registry import all_rows
from experiments.verify.rows import Finding, Result, Row, Seeds, true


def plan_of(*names, is_full=False):
    return running.Plan([row for row in all_rows() if row.name in names], is_full)


def unwatched(name, done, total):
    """See nothing."""


def command(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["verify", *map(str, arguments)])
    return end.value.code


def test_rows_are_measured_once(tmp_path, monkeypatch):
    plan, store = plan_of("A15", "A19"), Store(str(tmp_path))
    running.measure(plan, store, 1, unwatched)
    monkeypatch.setattr(running, "measure_rows", None)  # would be called again
    running.measure(plan, store, 1, unwatched)
    assert [result.verdict for result in running.results(plan, store)] == ["holds", "holds"]


def test_what_was_not_reached_says_so(tmp_path):
    (result,) = running.results(plan_of("A15"), Store(str(tmp_path)))
    assert result.verdict == "error"
    assert "stopped" in result.fault


def test_other_seeds_are_another_file():
    row = Row("B0", "x", seeds=Seeds((1,), (1, 2)))
    assert running.Plan([row], False).key(row) != running.Plan([row], True).key(row)
    assert running.Plan([row], False).key(row) == running.Plan([row], False).key(row)


def test_a_row_that_breaks_is_shown_as_broken():
    def measure(seeds):
        raise ValueError("no such thing")

    result = running._measured(Row("A0", "x", measure=measure), False)
    assert (result.verdict, result.fault) == ("error", "ValueError: no such thing")


def test_runs_are_shared_and_kept(tmp_path, monkeypatch):
    asked = []

    def statistics(task):
        asked.append(task)
        gain = 1.0 if task.overrides else 2.0
        return {"arbitrage_gain": gain, "arbitrage_share": 0.3, "top_three": 0.9}

    monkeypatch.setattr(running, "run_statistics", statistics)
    plan, store = plan_of("B2", "B8"), Store(str(tmp_path))
    running.measure(plan, store, 1, unwatched)
    assert (
        len(asked) == len(set(asked)) == 4
    )  # two seeds as it is, which both rows need, two of 100 ms
    b2, b8 = running.results(plan, store)
    assert b2.findings[0].value == 0.5
    assert [one.verdict for one in b8.findings] == ["holds", "input"]
    for file in (tmp_path / "rows").iterdir():
        file.unlink()
    running.measure(plan, store, 1, unwatched)
    assert len(asked) == 4


def test_a_run_that_breaks_breaks_its_rows_alone(tmp_path, monkeypatch):
    def statistics(task):
        if task.overrides:
            raise ValueError("not today")
        return {"arbitrage_share": 0.3, "top_three": 0.9}

    monkeypatch.setattr(running, "run_statistics", statistics)
    plan, store = plan_of("B2", "B8"), Store(str(tmp_path))
    running.measure(plan, store, 1, unwatched)
    b2, b8 = running.results(plan, store)
    assert (b2.verdict, b2.fault) == ("error", "100 ms: ValueError: not today")
    assert b8.verdict == "holds"


def test_the_command_prints_writes_and_remembers(tmp_path, capsys):
    out, docs = tmp_path / "out", tmp_path / "validation.md"
    for _ in range(2):
        assert command("A15", "A33", "--quick", "--out", out, "--docs", docs, "--workers", 1) == 0
    printed = capsys.readouterr().out
    assert "A15" in printed
    assert "2 rows: 1 holds, 1 not yet" in printed
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [line["verdicts"] for line in lines] == [{"A15": "holds", "A33": "not yet"}] * 2
    assert "| A33 | Black-Scholes price and Greeks | not yet |" in docs.read_text()
    page = (out / "verify.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "kinked borrow rate" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("A99",), "no row 'A99'"), (("A15", "--prices", "nowhere"), "no folder")],
)
def test_a_wrong_argument_is_refused(arguments, words, tmp_path, capsys):
    assert command(*arguments, "--out", tmp_path / "out") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "letters.txt").write_text("dear")
    assert command("A15", "--out", tmp_path) == 2
    assert "'letters.txt'" in capsys.readouterr().err


# --- verdicts as exit codes ----------------------------------------------------------------------

GOOD = Result("A1", "one", "", (), (true("x", True),))
BAD = replace(GOOD, name="B0", findings=(true("x", False),))
UNCLEAR = replace(GOOD, name="B0", findings=(Finding("x", 1.0, 0.0, 2.0, standard_error=9.0),))


def test_a_failure_that_nobody_knows_of_is_exit_code_1(monkeypatch):
    assert telling.exit_code([GOOD]) == 0
    assert telling.exit_code([GOOD, UNCLEAR]) == 3
    assert telling.exit_code([GOOD, UNCLEAR, BAD]) == 1
    monkeypatch.setattr(telling, "known", lambda: {"B0": "the wheel is square"})
    assert telling.exit_code([GOOD, BAD]) == 0


def test_a_known_failure_is_shown_as_failing_with_its_reason(monkeypatch):
    monkeypatch.setattr(telling, "known", lambda: {"B0": "the wheel is square"})
    text = telling.document([GOOD, BAD], "quick")
    assert "2 rows: 1 holds, 1 fails." in text
    assert "| B0 | one | fails | no chance | - | the wheel is square |" in text


def test_every_known_row_is_a_row():
    names = {row.name for row in all_rows()}
    assert set(telling.known()) <= names
