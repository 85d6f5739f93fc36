"""Where the files are that a scenario names, and that they may be read.

A path in a scenario file is taken from that file's folder, one on the command line from where the
command runs. Files of books and pools may not lie outside the folder of the scenario that names
them, links followed, unless it holds their hash: a scenario of unknown origin reads nothing else.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.faults import fault

if TYPE_CHECKING:
    from experiments.yaml_source import Place, Source

_MAX_BYTES = 1 << 30  # six years of one-minute candles have a fifth of it


def file_at(
    source: Source, place: Place, name: str, folder: Path, noun: str, *, may_leave: bool
) -> Path:
    """Return the path of a file that is named at a place of a scenario.

    Parameters
    ----------
    folder : of the scenario file
    noun : what kind of file it is, for messages
    may_leave : whether it may lie outside that folder

    Raises
    ------
    ScenarioError
        It lies outside the folder, is no file, is too large or cannot be read.
    """
    is_from_file = isinstance(source.origin(place), int)
    path = (folder if is_from_file else Path.cwd()) / name
    if is_from_file and not may_leave and not _lies_in(path, folder):
        raise fault(
            source,
            place,
            f"{noun} {name} lies outside the folder of the scenario, {folder}; move it there, give "
            "its sha256, or name it with --set",
        )
    try:
        mode, size = path.stat().st_mode, path.stat().st_size
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise fault(source, place, f"{noun} {path} cannot be read ({why})") from None
    if not stat.S_ISREG(mode):
        raise fault(source, place, f"{noun} {path} is not a file; name a CSV or Parquet file")
    if size > _MAX_BYTES:
        why = f"{noun} {path} has {size:,} bytes; at most {_MAX_BYTES:,} are read"
        raise fault(source, place, f"{why}: cut out what is needed")
    return path


def _lies_in(path: Path, folder: Path) -> bool:
    """Return whether a path, links followed, is inside a folder."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # no such path, which its reader will say
        return True
