"""The command line: what it prints, how it ends, what it loads."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from experiments import cli, console
from experiments.scenario import load_scenario, shipped_scenarios
from sim.records import TABLES

HEAVY = {
    "agents", "llvmlite", "matplotlib", "mesa", "networkx", "numba", "numpy", "pandas", "pyarrow",
    "pydantic", "ray", "scipy", "seaborn", "sim", "yaml",
}  # fmt: skip
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TYPER_USE_RICH": "0"}


def child(*arguments, **options):
    """Start the command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "experiments", *arguments],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - no threads here
        **options,
    )


def heed_interrupts():
    """Listen to Ctrl-C even where the tests run in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


# --- starting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_help_and_version_load_nothing_heavy(arguments):
    code = (
        "import sys\nfrom experiments.cli import main\n"
        f"try: main({arguments})\nexcept SystemExit as end: assert not end.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )

    allowed = {"pydantic"} if arguments[0] == "run" else set()  # typer looks for models in options
    assert HEAVY & set(done.stderr.split()) <= allowed


def test_help_names_every_command(undertow):
    told = undertow("--help")

    assert told.code == 0
    for command in ("run", "scenarios", "schema", "records", "compile"):
        assert re.search(rf"^\W*{command}\b", told.out, re.MULTILINE)


def test_version_is_the_distributions(undertow):
    assert undertow("--version").out == f"undertow {version('undertow')}\n"


def test_our_packages_are_ours():
    assert cli.foreign_packages() == {}


def test_a_distribution_that_took_our_place_is_named(monkeypatch, undertow, tmp_path):
    theirs = tmp_path / "agents" / "__init__.py"
    theirs.parent.mkdir()
    theirs.write_text('"""Agents of another project."""')
    find = cli.find_spec

    def find_spec(name):
        return SimpleNamespace(origin=str(theirs)) if name == "agents" else find(name)

    monkeypatch.setattr(cli, "find_spec", find_spec)
    done = undertow("--version")

    assert done.code == 1
    assert f"another distribution owns a package of ours (agents from {theirs})" in done.err
    assert done.err.count("\n") == 1


def test_the_shell_completes_names_of_scenarios():
    words = {"COMP_WORDS": "undertow run qu", "COMP_CWORD": "2"}

    done = subprocess.run(
        [sys.executable, "-c", "from experiments.cli import main; main()"],
        env={**ENVIRONMENT, **words, "_UNDERTOW_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == [n for n in shipped_scenarios() if n.startswith("qu")]


# --- commands that describe -----------------------------------------------------------------------


def test_schema_prints_a_json_schema_of_2020_12(undertow):
    jsonschema = pytest.importorskip("jsonschema")
    told = json.loads(undertow("schema").out)

    assert told["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    jsonschema.Draft202012Validator.check_schema(told)
    assert {"assets", "chains", "venues", "populations", "shocks"} <= set(told["properties"])


def test_records_prints_every_column_with_its_unit(undertow):
    told = undertow("records")

    assert told.code == 0
    for table in TABLES.values():
        assert table.name in told.out
        assert all(column.name in told.out for column in table.columns)


def test_records_prints_one_table_alone(undertow):
    told = undertow("records", "prices").out

    assert told.startswith("prices: ")
    assert "health_factor" not in told


def test_scenarios_list_prints_every_shipped_one(undertow):
    told = undertow("scenarios", "list").out

    assert all(re.search(rf"^\W*{name} ", told, re.MULTILINE) for name in shipped_scenarios())


@pytest.mark.parametrize("name", sorted(shipped_scenarios()))
def test_scenarios_show_prints_the_file_as_it_is(undertow, here, name):
    text = shipped_scenarios()[name].read_text("utf-8")
    (here / "mine.yaml").write_text(text, "utf-8")

    assert undertow("scenarios", "show", name).out == text
    assert undertow("scenarios", "show", "mine.yaml").out == text


def test_scenarios_check_says_what_a_scenario_holds_and_writes_nothing(undertow, here):
    done = undertow("scenarios", "check", "quiet-market", "--set", "horizon=12h")

    assert (done.code, list(here.iterdir())) == (0, [])
    assert re.search(r"quiet-market +12 h +1 +1 +1 ", done.out)


def test_text_of_a_scenario_is_never_taken_for_markup(undertow, here):
    text = shipped_scenarios()["quiet-market"].read_text("utf-8")
    marked = "description: '[red]all[/red] :smile: [/x] of it'"
    (here / "mine.yaml").write_text(re.sub(r"description: .*", marked, text))

    told = " ".join(undertow("scenarios", "check", "mine.yaml").out.split())

    assert "[red]all[/red] :smile: [/x] of it" in told


# --- run ------------------------------------------------------------------------------------------


def test_run_prints_a_summary_and_the_paths_of_what_it_wrote(undertow, here):
    done = undertow("run", "quiet-market", "--seed", "3", "--until", "1h", "--no-figures")

    place = here / "runs" / "quiet-market-3"
    assert done.code == 0
    assert done.out.startswith("quiet-market, seed 3")
    assert "pool volume" in done.out
    assert re.search(
        r"\d+ blocks, \d+ orders, \d+ fills in [\d.]+ s; content [0-9a-f]{16}\n", done.out
    )
    assert "records  runs/quiet-market-3/records\n" in done.out
    assert sorted(entry.name for entry in place.iterdir()) == [
        "manifest.json",
        "records",
        "summary.json",
    ]


def test_run_takes_settings_a_folder_and_force(undertow, here):
    arguments = ("run", "quiet-market", "--until", "10m", "--no-figures", "--out", "a/b")

    assert undertow(*arguments).code == 0
    assert undertow(*arguments).code == 2
    assert undertow(*arguments, "--force", "--set", "venues.eth-usd.fee=0.01").code == 0
    manifest = json.loads((here / "a" / "b" / "manifest.json").read_text())
    assert manifest["scenario"]["venues"]["eth-usd"]["fee"] == 0.01


def _state(hours=1.0):
    """Return a model and a recorder as progress sees them."""
    chains = {"height": np.array([1_000, 234, 9_999]), "native": np.array([0, 1, -1])}
    world = SimpleNamespace(box=SimpleNamespace(chains=chains), time=hours * 3_600)
    model = SimpleNamespace(world=world)
    return model, SimpleNamespace(n_fills=5_000)


def test_progress_is_a_plain_line_now_and_then_where_there_is_no_terminal(monkeypatch, capsys):
    scenario = load_scenario("quiet-market")
    now = iter([0.0, 9.9, 10.0, 10.1, 20.5])
    monkeypatch.setattr(console.time, "perf_counter", lambda: next(now))

    with console.show_progress(scenario) as progress:
        for hours in (1, 2, 3, 4):
            progress(*_state(hours))

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "quiet-market:    2.0 of 168 h  1,234 blocks  500 fills/s",
        "quiet-market:    4.0 of 168 h  1,234 blocks  244 fills/s",
    ]


def test_progress_is_a_bar_on_a_terminal(monkeypatch, capsys):
    terminal = Console(stderr=True, force_terminal=True, width=100, markup=False)
    monkeypatch.setattr(console, "console_of", lambda **_: terminal)
    scenario = load_scenario("quiet-market")

    with console.show_progress(scenario) as progress:
        time.sleep(0.12)
        progress(*_state(84))
        time.sleep(0.12)

    told = capsys.readouterr().err
    assert re.search(r"quiet-market .*84\.0 of 168 h  1,234 blocks  [\d,]+ fills/s", told)


def test_the_first_compilation_is_announced(monkeypatch, capsys):
    monkeypatch.setattr(console, "is_ready", lambda _: False)
    monkeypatch.setattr(console, "compile_all", lambda _: 12.3)
    console.prepare_engine([])
    told = capsys.readouterr().err
    assert "compiling the engine" in told
    assert "12 s" in told

    monkeypatch.setattr(console, "is_ready", lambda _: True)
    console.prepare_engine([])
    assert capsys.readouterr().err == ""


# --- ending ---------------------------------------------------------------------------------------


def test_a_run_that_is_interrupted_leaves_nothing(here):
    long = ("price_step_seconds=60", "chains.mainnet.blocks.interval_seconds=0.02")
    settings = [word for setting in long for word in ("--set", setting)]
    process = child("run", "quiet-market", *settings, "--out", "a/b", cwd=here)
    deadline = time.monotonic() + 60
    while not any(here.rglob("*.parquet")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)

    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[1]

    assert process.returncode == 130
    assert told.splitlines()[-1] == "undertow: stopped; nothing half-written is left"
    assert "Traceback" not in told
    assert list(here.iterdir()) == []


def test_a_termination_is_an_orderly_end(undertow):
    before = signal.getsignal(signal.SIGTERM)
    try:
        undertow("--version")
        with pytest.raises(SystemExit) as end:
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert end.value.code == 143


def test_a_reader_who_goes_away_is_no_fault(here):
    reader, writer = os.pipe()
    os.close(reader)
    process = child("records", cwd=here, stdout=writer)
    os.close(writer)

    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_output_that_cannot_be_written_is_told_once(here):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = child("--version", cwd=here, stdout=full)

    told = process.communicate(timeout=60)[1]
    assert told == "undertow: standard output: No space left on device\n"
    assert process.returncode == 1


def test_too_little_memory_is_told_without_a_traceback(monkeypatch, undertow):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr("experiments.scenario.load_scenario", fail)
    done = undertow("run", "quiet-market")

    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "undertow: out of memory; give the scenario fewer agents, a shorter horizon or larger "
        "steps\n"
    )


def test_a_bug_keeps_its_traceback(monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("experiments.scenario.load_scenario", fail)

    with pytest.raises(ZeroDivisionError):
        cli.main(["run", "quiet-market"])
