"""The exact commands that make a recorded result again."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from analysis.report import Repeat, kind_of
from experiments.scenario import load_scenario, shipped_scenarios
from experiments.studies.plan import Plan, code_version
from experiments.studies.study import load_study, shipped_studies
from sim.errors import UndertowError
from sim.kernel import source_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def repeat_of(folder: Path) -> Repeat:
    """Return how the result in a folder is made again.

    Parameters
    ----------
    folder : of a run, a study or a contagion analysis

    Raises
    ------
    sim.errors.InputError
        It is none of these.
    """
    kind = kind_of(folder)
    if kind == "run":
        return _run_again(folder, _read(folder / "manifest.json"))
    if kind == "study":
        return _study_again(folder, _read(folder / "study.json"))
    return _contagion_again(folder, _read(folder / "contagion.json"))


def _read(file: Path) -> dict[str, Any]:
    """Return what a file holds; nothing where it is not readable, which its reader will say."""
    try:
        data = json.loads(file.read_text("utf-8"))
    except (ValueError, OSError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


# --- runs -----------------------------------------------------------------------------------------


def _run_again(folder: Path, manifest: dict[str, Any]) -> Repeat:
    scenario, seed = manifest.get("scenario", {}), str(manifest.get("seed", 1))
    words = shipped_words(scenario)
    place = f"{folder}-again"
    if words:
        lines = [_command("undertow", "run", *words, "--seed", seed, "--out", place)]
        notes = ["The scenario as run is the shipped one of this version."]
    else:
        file = f"{folder}-scenario.yaml"
        lines = [
            _extraction(folder / "manifest.json", file),
            _command("undertow", "run", file, "--seed", seed, "--out", place),
        ]
        notes = ["The first line takes the scenario as run, changes included, out of the manifest."]
        if named := sorted(set(_files_of(scenario))):
            notes.append(f"It reads files, which must be where it names them: {', '.join(named)}.")
    lines.append(_command("undertow", "report", place))
    notes += [
        (
            "The same code on the same platform gives the same content hash, below and in the new "
            "manifest.json."
        ),
        _same_code(manifest.get("code_version") == source_hash(), "run"),
    ]
    return Repeat(lines, notes)


def shipped_words(scenario: dict[str, Any]) -> list[str]:
    """Return the words by which a shipped scenario is run as it was; none where there are none.

    Parameters
    ----------
    scenario : as run, from a manifest
    """
    name, horizon = scenario.get("name"), scenario.get("horizon")
    if name not in shipped_scenarios():
        return []
    try:
        if load_scenario(name).model_dump(mode="json") == scenario:
            return [name]
        if load_scenario(name, until=horizon).model_dump(mode="json") == scenario:
            return [name, "--until", f"{horizon}s"]
    except UndertowError:  # the horizon is none of this scenario
        pass
    return []


def _extraction(manifest: Path, file: str) -> str:
    code = (
        "import json, sys; "
        'json.dump(json.load(open(sys.argv[1]))["scenario"], open(sys.argv[2], "x"))'
    )
    return _command("python", "-c", code, str(manifest), file)


def _files_of(data: Any) -> Iterator[str]:
    """Yield the files that a scenario names."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "file" and isinstance(value, str):
                yield value
            else:
                yield from _files_of(value)
    elif isinstance(data, list):
        for entry in data:
            yield from _files_of(entry)


def _command(*words: str) -> str:
    return shlex.join(words)


# --- studies and contagion ------------------------------------------------------------------------


def _study_again(folder: Path, about: dict[str, Any]) -> Repeat:
    name, place = str(about.get("study", "")), f"{folder}-again"
    is_shipped = name in shipped_studies() and _is_same_study(name, about)
    file = name if is_shipped else "STUDY.yaml"
    lines = [_command("undertow", "sweep", file, "--out", place)]
    if (folder / "verdict.json").is_file():
        lines.append(_command("undertow", "verdict", file, "--out", place))
    lines.append(_command("undertow", "report", place))
    notes = [
        "The study is the shipped one of this version."
        if is_shipped
        else "STUDY.yaml stands for the study file, which the data set does not hold."
    ]
    notes.append(_same_code(about.get("code_version") == code_version(), "runs"))
    return Repeat(lines, notes)


def _is_same_study(name: str, about: dict[str, Any]) -> bool:
    try:
        plan = Plan(load_study(name))
    except UndertowError:
        return False
    mine, outcomes = plan.variation.data, sorted(plan.outcomes)
    return bool(mine == about.get("scenario") and outcomes == sorted(about.get("outcomes", [])))


def _contagion_again(folder: Path, found: dict[str, Any]) -> Repeat:
    about, place = _read(folder / "study.json"), f"{folder}-again"
    scenario = about.get("scenario", {})
    seeds = [*found.get("seeds", []), *found.get("failed_seeds", [])]
    lines, notes = [], ["The scenario is the shipped one of this version."]
    file = str(scenario.get("name", found.get("scenario", "")))
    if shipped_words(scenario) != [file]:
        file = f"{folder}-scenario.yaml"
        lines.append(_extraction(folder / "study.json", file))
        notes = ["The first line takes the scenario as run out of the data set."]
    words = ["--seeds", str(max(seeds, default=1))]
    if (orders := found.get("orders_a_seed")) and found.get("method") != "exact":
        words += ["--subsets", str(orders // 2)]
    words += ["--channels", ",".join(found.get("channels", []))]
    lines.append(_command("undertow", "contagion", file, *words, "--out", place))
    lines.append(_command("undertow", "report", place))
    notes.append(_same_code(about.get("code_version") == code_version(), "worlds"))
    return Repeat(lines, notes)


def _same_code(is_same: bool, what: str) -> str:
    if is_same:
        return f"The code that wrote this page is that of the {what}."
    return f"The code that wrote this page is not that of the {what}: numbers may differ."
