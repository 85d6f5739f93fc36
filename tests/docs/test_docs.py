"""The pages under docs/: what they show runs, what they list is complete."""

import json
import re
import shlex

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from analysis.metrics import QUANTITIES
from experiments.cli import main
from experiments.composition import build
from experiments.kinds import mechanisms, populations
from experiments.running import run
from experiments.scenario import load_scenario, read_scenario
from experiments.studies import load_study
from experiments.studies.plan import Plan
from experiments.studies.study import shipped_studies
from tests.docs.pages import (
    DOCS,
    PAGES,
    ROOT,
    SHIPPED,
    added_up,
    blocks,
    numbers_of,
    rows_of,
    run_python,
    values_in,
)

CALIBRATION = ROOT / "docs" / "calibration.md"
DEFINITIONS = ROOT / "docs" / "definitions.md"
SCENARIOS = ROOT / "docs" / "scenarios.md"
STUDIES = ROOT / "docs" / "studies.md"
UNITS = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0, "m": 60.0}
KINDS = mechanisms() | populations()


# --- what is shown runs --------------------------------------------------------------------------


@pytest.mark.parametrize("page", [p for p in DOCS if blocks(p, "python")], ids=lambda p: p.stem)
def test_the_python_of_a_page_runs(page, tmp_path):
    assert run_python(page, tmp_path)


def test_each_step_of_the_scenario_walk_through_is_a_scenario(tmp_path):
    file = tmp_path / "my-market.yaml"
    steps = added_up(SCENARIOS)
    for step in steps:
        file.write_text(json.dumps(step), "utf-8")
        assert load_scenario(str(file)).name == "my-market"
    assert len(steps) == 6


def test_the_scenario_of_the_walk_through_liquidates_after_its_crash(tmp_path):
    file = tmp_path / "my-market.yaml"
    file.write_text(json.dumps(added_up(SCENARIOS)[-1]), "utf-8")
    result = run(load_scenario(str(file)), seed=7)
    assert result.summary["n_liquidations"] > 0
    assert result.tables["liquidations"]["time"].min() > 2 * 3_600.0  # the crash begins at 2 h


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p not in {SCENARIOS, STUDIES}], ids=lambda p: p.stem
)
def test_every_yaml_block_elsewhere_is_a_scenario(page, tmp_path):
    for block in blocks(page, "yaml"):
        file = tmp_path / "block.yaml"
        file.write_text(block, "utf-8")
        load_scenario(str(file))


def test_every_yaml_block_of_the_page_on_studies_is_a_study(tmp_path):
    for block in blocks(STUDIES, "yaml"):
        file = tmp_path / "block.yaml"
        file.write_text(block, "utf-8")
        assert Plan(load_study(str(file))).n_runs > 0


@pytest.mark.parametrize("name", shipped_studies())
def test_every_shipped_study_can_be_planned(name):
    study = load_study(name)
    assert study.name == name
    assert Plan(study).n_runs <= study.budget.runs


def _sessions():
    """Return (command, what it prints) of every console block."""
    found = []
    for page in PAGES:
        for block in blocks(page, "console"):
            for session in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, printed = session.partition("\n")
                found.append((command, printed))
    return found


@pytest.mark.parametrize(("command", "printed"), _sessions())
def test_a_command_prints_what_its_page_says(command, printed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = blocks(SCENARIOS, "yaml")[0]
    (tmp_path / "my-market.yaml").write_text(first, "utf-8")
    program, *arguments = shlex.split(command)
    with pytest.raises(SystemExit) as end:
        main(arguments)
    shown = capsys.readouterr()
    assert (program, end.value.code) == ("undertow", 2)
    assert shown.err == printed


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    missing = [target for target in targets if not (page.parent / target).is_file()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_modules_and_names_that_a_page_mentions_exist(page):
    from importlib import import_module

    text = page.read_text("utf-8")
    for dotted in sorted(
        set(re.findall(r"`((?:sim|agents|experiments|analysis)(?:\.\w+)+)`", text))
    ):
        module, _, name = dotted.rpartition(".")
        try:
            import_module(dotted)
        except ModuleNotFoundError:
            assert hasattr(import_module(module), name), dotted


def test_the_quiet_pool_is_as_deep_as_its_calibration_says():
    """2.75 m USD of input, fee apart, move the price by 1 %, each way."""
    mine = "populations={me: {kind: accounts, chain: mainnet, holds: {USD: 1e8, ETH: 1e5}}, %s}"
    shipped = read_scenario("quiet-market-real").data["populations"]
    providers = {name: shipped[name] for name in ("middle-lps", "tight-lps")}
    scenario = load_scenario(
        "quiet-market-real",
        [mine % json.dumps(providers)[1:-1], "assets.ETH.price={kind: fixed, price: 2250}"],
        until=60.0,
    )
    for side, limit in ((1, 1.01), (0, 1.0 / 1.01)):
        world, paid = build(scenario).world, []
        world.on_fills = lambda fills, paid=paid: paid.extend(fills["value_in"])
        price = float(world.venues.price[world.venue("eth-usd")]) * limit
        world.submit(
            "eth-usd", "swap", "me", 0, a=side, amount=1e8 if side else 5e4, price_limit=price
        )
        world.advance(world.horizon)
        world.flush()
        assert max(paid) * (1.0 - 0.0005) == pytest.approx(2.75e6, rel=0.02)


# --- what is listed is complete ------------------------------------------------------------------


def test_every_quantity_of_the_summary_is_defined_with_its_unit():
    rows = rows_of(DEFINITIONS.read_text("utf-8"))
    for quantity in QUANTITIES.values():
        unit, meaning = rows[quantity.name]
        assert (unit, meaning.replace("\\|", "|")) == (quantity.unit, quantity.meaning)


def test_every_part_of_the_summary_is_defined():
    summary = run(load_scenario("quiet-market", until=1_800.0), seed=1).summary
    rows = rows_of(DEFINITIONS.read_text("utf-8"))
    assert set(summary) <= set(rows)
    for name in ("by_population", "by_asset", "by_chain"):
        for quantity in next(iter(summary[name].values())):
            assert quantity in rows[name][0], (name, quantity)


def _calibration(name):
    """Return the rows of a scenario's tables."""
    text = CALIBRATION.read_text("utf-8")
    section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    return rows_of(section)


def _expected(value, unit):
    """Return the numbers that a cell must show for a value of a scenario file."""
    if isinstance(value, str):
        amount, letter = re.fullmatch(r"([0-9.]+)([a-z]+)", value).groups()
        return [float(amount) * UNITS[letter] / UNITS[unit]]
    if isinstance(value, list):
        return [number for entry in value for number in _expected(entry, unit)]
    return [float(value)]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_number_of_a_scenario_has_value_unit_and_source(name):
    rows, wrong = _calibration(name), []
    for path, value in numbers_of(name).items():
        shown, unit, source = rows.get(path, ["no row", "", ""])
        if isinstance(value, bool):
            is_right = shown == str(value).lower()
        else:
            is_right = values_in(shown) == _expected(value, unit)
        if not (is_right and unit and source):
            wrong.append(f"{path}: {value!r} in the file, {shown} in docs/calibration.md")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", SHIPPED)
def test_calibration_speaks_of_nothing_that_a_scenario_has_not(name):
    assert set(_calibration(name)) == set(numbers_of(name))


def _defaults(config, place=()):
    """Return (path, value) of every numeric default of a configuration, nested ones included."""
    for name, field in config.model_fields.items():
        value, path = field.default, (*place, name)
        if isinstance(value, BaseModel):
            yield from _defaults(type(value), path)
        elif value is PydanticUndefined:
            parts = [part for part in getattr(field.annotation, "__args__", ()) if part is not None]
            for part in parts:
                if isinstance(part, type) and issubclass(part, BaseModel):
                    yield from _defaults(part, (*path, "*"))
        elif isinstance(value, int | float | tuple) and value != ():
            yield ".".join(path), value


def _used_kinds():
    used = {}
    for name in SHIPPED:
        data = read_scenario(name).data
        for part in ("venues", "populations"):
            used |= {config["kind"]: None for config in data.get(part, {}).values()}
    return sorted(used)


@pytest.mark.parametrize("kind", _used_kinds())
def test_every_default_of_a_kind_in_use_has_value_unit_and_source(kind):
    text = CALIBRATION.read_text("utf-8").partition("\n## Defaults")[2]
    rows, wrong = rows_of(text), []
    for path, value in _defaults(KINDS[kind].config):
        shown, unit, source = rows.get(f"{kind}.{path}", ["no row", "", ""])
        if isinstance(value, bool):
            is_right = shown == str(value).lower()
        else:
            is_right = values_in(shown) == _expected(
                list(value) if isinstance(value, tuple) else value, ""
            )
        if not (is_right and unit and source):
            wrong.append(f"{kind}.{path}: {value!r} by default, {shown} in docs/calibration.md")
    assert not wrong, "\n".join(wrong)


def test_the_gas_of_every_operation_has_a_source():
    rows = rows_of(CALIBRATION.read_text("utf-8").partition("\n## Gas of operations")[2])
    gas = {f"{m.kind}.{verb.name}": verb.gas for m in mechanisms().values() for verb in m.verbs}
    assert {name: values_in(cells[0]) for name, cells in rows.items()} == {
        name: [float(amount)] for name, amount in gas.items()
    }
    assert all(cells[1] for cells in rows.values())


def test_every_kind_is_described():
    agents = rows_of((ROOT / "docs" / "agents.md").read_text("utf-8"))
    protocols = rows_of((ROOT / "docs" / "protocols.md").read_text("utf-8"))
    assert set(populations()) <= set(agents)
    assert set(mechanisms()) <= set(protocols)
