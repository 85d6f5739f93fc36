"""The page of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.reading import RunFolderError, load_run
from analysis.report.blocks import Page, Section
from analysis.report.limits import make_limits, make_repeat
from analysis.report.registry import RUN_SECTIONS
from analysis.report.source import LeftOut, Repeat, RunSource

if TYPE_CHECKING:
    from pathlib import Path

    from analysis.reading import Run


def run_page(folder: Path, repeat: Repeat, calm: Path | None = None) -> Page:
    """Return the page of a run folder.

    Parameters
    ----------
    folder : of the run
    repeat : how it is made again
    calm : folder of the same run without shocks

    Raises
    ------
    analysis.reading.RunFolderError
        The folder is not a whole run, or the run did not end.
    """
    run = load_run(folder)
    _check_whole(run)
    source = RunSource(run, repeat, load_run(calm) if calm is not None else None)
    sections: list[Section] = []
    left_out: list[LeftOut] = []
    for make in RUN_SECTIONS:
        made = make(source)
        if isinstance(made, LeftOut):
            left_out.append(made)
        elif made.blocks:
            sections.append(made)
    sections += [make_limits(source, left_out), make_repeat(source)]
    name, seed = source.setting.name, run.manifest["seed"]
    subtitle = str(source.scenario.get("description", "")).strip()
    return Page(f"{name}, seed {seed}", subtitle or "A run of Undertow.", sections)


def _check_whole(run: Run) -> None:
    status = run.manifest.get("status")
    if status != "done" or not run.summary:
        why = f"its status is {status!r}" if status != "done" else "it has no summary.json"
        raise RunFolderError(f"{run.folder} is not a finished run, for {why}; repeat the run")
    for key in ("scenario", "seed"):
        if key not in run.manifest:
            raise RunFolderError(f"{run.folder}/manifest.json has no {key}; repeat the run")
