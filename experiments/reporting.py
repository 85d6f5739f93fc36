"""`undertow report`: one HTML page for the folder of a run, a study or a contagion analysis.

Only typer and the standard library are imported here; the command loads what it needs.
"""

import contextlib
import os
from pathlib import Path
from typing import Annotated

import typer

NAME = "report.html"
_MARK = 4096  # characters in which a page of ours says that it is one


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of a run, a study or a contagion.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="HTML file to write; DIR/report.html when left out."),
    ] = None,
    calm: Annotated[
        Path | None,
        typer.Option(
            metavar="CALM", help="The same run, made with --without-shocks: adds how far they came."
        ),
    ] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a report that exists; nothing else.")
    ] = False,
) -> None:
    """Make one self-contained HTML page: story, figures, tables, limits, how to repeat it."""
    from analysis.report import make_report
    from experiments.console import say
    from experiments.repeating import repeat_of

    place = out if out is not None else folder / NAME
    check_page(place, force)
    page = make_report(folder, repeat_of(folder), calm)
    write_page(place, page, force)
    say(f"report  {place}  ({len(page.encode()) / 1e6:.1f} MB)")


def check_page(place: Path, force: bool) -> None:
    """Check that a page may be written at a place.

    Raises
    ------
    InputError
        Something is there and `force` is not set, or it is no page of ours.
    """
    from sim.errors import InputError

    if not os.path.lexists(place):
        return
    if place.is_dir() and not place.is_symlink():
        raise InputError(f"{place} is a folder; give another --out, the name of a file")
    if not force:
        raise InputError(f"{place} exists; give another --out, or --force to replace it")
    if not is_page(place):
        raise InputError(f"{place} is no report; it is not replaced, even with --force")


def is_page(file: Path) -> bool:
    """Return whether a file is a page of ours; what a link leads to is not."""
    from analysis.report.page import is_report

    if file.is_symlink() or not file.is_file():
        return False
    with contextlib.suppress(OSError), file.open(encoding="utf-8", errors="replace") as opened:
        return is_report(opened.read(_MARK))
    return False


def write_page(place: Path, page: str, force: bool) -> None:
    """Write a page so that a reader sees all of it or nothing.

    Raises
    ------
    InputError
        As `check_page`, for what has come there since.
    OutputError
        The disk is full, or the place cannot be written.
    """
    from experiments.run_folder import told_faults

    with told_faults(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name[:200]}.{os.getpid()}.part")
        try:
            with draft.open("x", encoding="utf-8") as file:
                file.write(page)
            check_page(place, force)
            draft.replace(place)
        finally:
            draft.unlink(missing_ok=True)
