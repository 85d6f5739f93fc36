"""The files of books and pools that a scenario starts from: found, checked and pinned.

Like price files they are named in full with their SHA-256 in the scenario as run, so that a run can
be repeated, and are refused when they have changed. What only the built world knows, such as the
assets of a market, is checked there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.faults import fault
from experiments.file_places import file_at
from sim.errors import ScenarioError
from sim.table_files import FileSource, TableFile

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.scenario import Scenario
    from experiments.yaml_source import Place, Source


def with_known_books(source: Source, scenario: Scenario, folder: Path) -> Scenario:
    """Return the scenario with the place and hash of every file of positions or liquidity.

    A population with a file has as many members as the file has accounts.

    Raises
    ------
    ScenarioError
        A file is missing or wrong.
    """
    update: dict[str, Any] = {}
    for section in ("venues", "populations"):
        parts = getattr(scenario, section)
        found = {n: _with_known_file(source, (section, n), p, folder) for n, p in parts.items()}
        update[section] = found
    return scenario.model_copy(update=update)


def _with_known_file(source: Source, place: Place, part: Any, folder: Path) -> Any:
    """Return a part of a scenario with what is known of the files that it names."""
    update: dict[str, Any] = {}
    for field in type(part).model_fields:
        given = getattr(part, field)
        if isinstance(given, FileSource):
            where = (*place, field, "file")
            is_pinned = given.sha256 is not None
            path = file_at(source, where, given.file, folder, "file", may_leave=is_pinned)
            known, n_accounts = _read(source, where, given, path)
            update[field] = known
            if n_accounts is not None and getattr(part, "count", 1) is None:
                update["count"] = n_accounts
    return part.model_copy(update=update) if update else part


def _read(
    source: Source, place: Place, given: FileSource, path: Path
) -> tuple[FileSource, int | None]:
    """Return a source with path and hash, and the number of accounts in its file."""
    known = given.model_copy(update={"file": str(path)})
    try:
        held = known.read()
    except ScenarioError as error:
        raise fault(source, place, str(error)) from None
    table = held if isinstance(held, TableFile) else held.table
    return known.model_copy(update={"sha256": table.sha256}), getattr(held, "n_accounts", None)
