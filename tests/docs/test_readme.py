"""The README: its commands, its Python, and the scenarios it lists are those that exist."""

import re
import tomllib

import typer.main

from experiments.cli import app
from tests.docs.pages import ROOT, SHIPPED, blocks, rows_of, run_python

README = ROOT / "README.md"
TEXT = README.read_text("utf-8")


def test_its_python_runs_and_says_what_a_reader_should_see(tmp_path):
    printed = run_python(README, tmp_path)
    (bought,) = re.findall(r"\[([0-9.]+)\] ETH bought", printed)
    # 50,000 USD at 1,980 USD, 1 % below the first price, or less; fee of 0.3 %
    assert float(bought) > 50_000.0 / 1_980.0 * 0.997
    lost, earned = re.findall(r"([0-9.]+) USD (?:lost to arbitrage|earned)", printed)
    assert float(lost) > 0.0
    assert float(earned) > 0.0
    (error,) = re.findall(r"within ([0-9.]+) of the reference", printed)
    assert float(error) < 0.01  # a fee of 30 bp and one block
    assert (tmp_path / "runs" / "quiet" / "summary.json").is_file()


def test_its_agent_is_that_of_the_guide():
    guide = blocks(ROOT / "docs" / "agents.md", "python")[0]
    assert blocks(README, "python")[0] == guide


def test_every_shipped_scenario_is_listed():
    rows = rows_of(TEXT)
    assert set(SHIPPED) <= set(rows)


def test_every_command_is_listed():
    listed = " ".join(rows_of(TEXT))
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert {name for name in commands if f"undertow {name}" not in listed} == set()


def test_options_it_names_exist():
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    parameters = [parameter for one in commands.values() for parameter in one.params]
    known = {option for parameter in parameters for option in parameter.opts} | {
        "--dist"
    }  # pytest's
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) <= known


def test_python_versions_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups()
    versions = [f"3.{minor}" for minor in range(int(low), int(high))]
    assert f"{', '.join(versions[:-1])} or {versions[-1]}" in TEXT


def test_it_is_short():
    assert len(TEXT.splitlines()) < 260
