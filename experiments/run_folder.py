"""The folder of a run: all of it or nothing.

It is written under a temporary name beside its place and renamed when it is whole, so that a
reader never sees half a run, and what a run replaces stays until then. Only folders that a run
wrote, and nobody else wrote into, are ever replaced.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, OutputError, UndertowError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTS = ("manifest.json", "summary.json", "records", "figures")  # all that a run writes
_OWN_KEYS = {"scenario", "seed", "content_hash"}  # of a manifest of ours
_MAX_MANIFEST = 1 << 24  # bytes; ours have some ten thousand
_FAULTS = {
    errno.ENOSPC: "the disk is full; free some space or give another --out",
    errno.EDQUOT: "your disk quota is used up; free some space or give another --out",
    errno.EFBIG: "a file would be larger than this system allows; give another --out",
    errno.EROFS: "the disk is read-only; give another --out",
    errno.EACCES: "you may not write here; give another --out",
    errno.EPERM: "you may not write here; give another --out",
    errno.ENOTDIR: "a part of the path is a file; give another --out",
    errno.EEXIST: "a part of the path is a file; give another --out",
    errno.ENAMETOOLONG: "the name is too long; give another --out",
}


def check_place(place: Path, force: bool) -> None:
    """Check that a run folder may be written at a place.

    Raises
    ------
    InputError
        Something is there and `force` is not set, or it is nothing that a run wrote.
    """
    with told_faults(place):
        if not os.path.lexists(place):
            return
        if not force:
            raise InputError(f"{place} exists; give another --out, or --force to replace it")
        if why := _why_not_ours(place):
            raise InputError(f"{place} {why}; it is not replaced, even with --force")


def _why_not_ours(place: Path) -> str:
    """Return why a folder is not one that a run wrote, or nothing when it is, or is empty."""
    if place.is_symlink() or not place.is_dir():
        return "is not a folder"
    here = place.cwd()
    if os.path.ismount(place) or place.resolve() in (here, *here.parents):
        return "is where this command runs, or a disk"
    found = sorted(entry.name for entry in place.iterdir())
    if not found:
        return ""
    if not _is_manifest(place / "manifest.json"):
        return "is not a run folder"
    strange = [name for name in found if name not in PARTS]
    return f"holds {strange[0]!r}, which no run wrote" if strange else ""


def _is_manifest(file: Path) -> bool:
    if not file.is_file() or file.stat().st_size > _MAX_MANIFEST:
        return False
    try:
        data = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.keys() >= _OWN_KEYS


@contextlib.contextmanager
def whole_folder(place: Path, force: bool) -> Iterator[Path]:
    """Give a temporary folder beside `place`, and rename it there when the body is done.

    Whatever ends the body early, Ctrl-C included, leaves the disk as it was.

    Raises
    ------
    InputError
        `place` exists and `force` is not set, or it is not to be replaced.
    OutputError
        The disk is full, read-only or otherwise not to be written.
    """
    check_place(place, force)
    made: list[Path] = []
    try:
        with told_faults(place):
            made += [folder for folder in place.parents if not folder.exists()][::-1]
            place.parent.mkdir(parents=True, exist_ok=True)
            draft = _make_draft(place)
            made.append(draft)
            yield draft
            check_place(place, force)
            _move_in(draft, place)
            made.clear()
    finally:
        _remove(made)


def _make_draft(place: Path) -> Path:
    """Make an empty folder beside a place; leftovers of killed runs are not in its way."""
    number = os.getpid()
    while True:
        draft = place.parent / f".{place.name[:200]}.{number}.part"
        try:
            draft.mkdir()
        except FileExistsError:
            number += 1
        else:
            return draft


def _move_in(draft: Path, place: Path) -> None:
    """Rename a finished folder to its place; what it replaces goes last."""
    if not place.exists():
        draft.rename(place)
        return
    former = _make_draft(place)
    place.rename(former)
    try:
        draft.rename(place)
    except BaseException:
        former.rename(place)
        raise
    shutil.rmtree(former)


def _remove(made: list[Path]) -> None:
    """Remove the draft, then the folders made for it that are still empty."""
    if made:
        shutil.rmtree(made[-1], ignore_errors=True)
    for folder in made[-2::-1]:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def told_faults(place: Path) -> Iterator[None]:
    """Turn faults of the disk into one message."""
    try:
        yield
    except UndertowError:
        raise
    except OSError as error:
        why = _FAULTS.get(error.errno or 0)
        told = error.strerror or error  # without its path: that of a draft means nothing to users
        why = why or f"cannot be written ({told}); give another --out"
        raise OutputError(f"{place}: {why}") from error


def write_json(path: Path, data: Any) -> None:
    """Write JSON that reads well; refuses numbers that JSON does not have."""
    path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", "utf-8")
