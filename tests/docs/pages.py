"""The blocks of documentation pages: read, run, and added up."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments.scenario import read_scenario, shipped_scenarios
from experiments.yaml_source import read_yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]
SHIPPED = sorted(shipped_scenarios())


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language, in order."""
    text = page.read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_python(page: Path, folder: Path) -> str:
    """Run all Python blocks of a page as one module, warnings as errors; return what it prints."""
    file = folder / f"{page.stem.lower()}_blocks.py"
    file.write_text("\n\n".join(blocks(page, "python")), "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def added_up(page: Path) -> list[dict[str, Any]]:
    """Return what the YAML blocks of a page make, each added to those before it."""
    made: list[dict[str, Any]] = []
    for block in blocks(page, "yaml"):
        part = read_yaml(page.name, block.encode()).data
        made.append(merged(made[-1] if made else {}, part))
    return made


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return a mapping with another laid over it; one that names its kind replaces the old one."""
    result = dict(old)
    for key, value in new.items():
        before = old.get(key)
        joins = isinstance(before, dict) and isinstance(value, dict) and "kind" not in value
        result[key] = merged(before, value) if joins else value
    return result


def numbers_of(name: str) -> dict[str, Any]:
    """Return every number, switch and duration of a shipped scenario by its path."""
    data = dict(read_scenario(name).data)
    del data["version"]
    return dict(_numbers("", data))


def _numbers(path: str, data: Any) -> list[tuple[str, Any]]:
    if isinstance(data, dict):
        parts = [(f"{path}.{key}".lstrip("."), value) for key, value in data.items()]
    elif isinstance(data, list) and not _is_numeric(data):
        parts = [(f"{path}[{k}]", value) for k, value in enumerate(data)]
    else:
        is_text = isinstance(data, str) and not re.fullmatch(r"[0-9.]+(s|m|h|d)", data)
        return [] if is_text or data is None else [(path, data)]
    return [found for part in parts for found in _numbers(*part)]


def _is_numeric(data: Any) -> bool:
    if isinstance(data, list):
        return all(_is_numeric(entry) for entry in data)
    return isinstance(data, int | float)


def rows_of(text: str) -> dict[str, list[str]]:
    """Return the other cells of each table row whose first cell is code, by that code."""
    rows = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            first, *others = (cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|")))
            rows[first.strip("`")] = others
    return rows


def values_in(cell: str) -> list[float]:
    """Return the numbers in a table cell."""
    return [
        float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", cell.replace(",", ""))
    ]
