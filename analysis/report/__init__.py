"""One self-contained HTML page for a run, a study or a contagion analysis.

The story comes first, then figures and tables, assumptions and limits, and how to repeat it. The
page is made from recorded files alone; the same files give the same page.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from analysis.report.page import as_html
from analysis.report.source import Repeat
from sim.errors import InputError, UndertowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from analysis.report.blocks import Page

__all__ = ["FolderKind", "Repeat", "kind_of", "make_report"]

FolderKind: TypeAlias = Literal["run", "study", "contagion"]
_SIGNS: dict[FolderKind, str] = {
    "contagion": "contagion.json",
    "run": "manifest.json",
    "study": "study.json",
}


def kind_of(folder: Path | str) -> FolderKind:
    """Return what a folder holds.

    Raises
    ------
    sim.errors.InputError
        There is no such folder, or it is none that we wrote.
    """
    place = Path(folder)
    if not place.is_dir():
        what = "is not a folder" if place.exists() else "does not exist"
        raise InputError(f"{place} {what}; give the folder of a run, a study or a contagion")
    for kind, sign in _SIGNS.items():
        if (place / sign).is_file():
            return kind
    raise InputError(
        f"{place} is no result that can be reported, for it has none of "
        f"{', '.join(sorted(_SIGNS.values()))}; give the folder that `undertow run`, "
        "`undertow sweep` or `undertow contagion` wrote"
    )


def make_report(
    folder: Path | str,
    repeat: Repeat = Repeat(),  # noqa: B008 - immutable
    calm: Path | str | None = None,
) -> str:
    """Return the page of a folder as HTML.

    Parameters
    ----------
    folder : of a run, a study or a contagion analysis
    repeat : how the result is made again
    calm : folder of the same run without shocks, for how far they came

    Raises
    ------
    sim.errors.InputError
        It is not such a folder, what it holds is not finished, or `calm` is not its twin.
    """
    place = Path(folder)
    kind = kind_of(place)
    if calm is not None and (kind != "run" or kind_of(calm) != "run"):
        raise InputError(f"{place} and {calm} must both be folders of runs; leave --calm out")
    make_page = _page_of(kind, None if calm is None else Path(calm))
    try:
        return as_html(make_page(place, repeat))
    except UndertowError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # what others have written
        raise InputError(
            f"{place} holds what this version cannot read ({type(error).__name__}: {error}); "
            "it may be of another version, or changed: make the result again"
        ) from error


def _page_of(kind: FolderKind, calm: Path | None) -> Callable[[Path, Repeat], Page]:
    """Return who makes the page of a kind of folder; only what it needs is loaded."""
    if kind == "study":
        from analysis.report.study_page import study_page

        return study_page
    if kind == "contagion":
        from analysis.report.contagion_page import contagion_page

        return contagion_page
    from analysis.report.run_page import run_page

    return partial(run_page, calm=calm)
