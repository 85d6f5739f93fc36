"""`undertow verify`: closed forms, published figures, facts and replays, as a scored table.

Only typer and the standard library are imported here; the command loads what it needs.
"""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

_STOPPED = 130  # as a shell says of a job that Ctrl-C ended


def verify(
    rows: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ROW]...", help="Rows such as A3, or sections such as B; all."),
    ] = None,
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Folder of finished rows, page and history.")
    ] = "runs/verify",
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=1024, metavar="N", help="Processes; all cores when left out."),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of market data, for replays: prices/ and lending/."
        ),
    ] = None,
    docs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the document there as well.")
    ] = None,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few seeds: minutes instead of a night.")
    ] = False,
    findings: Annotated[
        bool, typer.Option("--findings", help="Print every number, not only rows.")
    ] = False,
) -> None:
    """Run the validation; start it again after any stop and it goes on.

    Exit code 0; 1 where a row fails that is not known to, 3 where one is only open.
    """
    from experiments.studies.store import Store
    from experiments.studies.sweep import only_driver
    from experiments.verify.running import DOCUMENT, PAGE, RESULTS, Plan, history, measure, note
    from experiments.verify.running import results as results_of
    from experiments.verify.telling import document, exit_code, page

    _name_data(prices)
    plan, store = Plan(_chosen(rows or []), is_full=not quick), Store(out)
    effort = "quick" if quick else "full"
    _check_place(store)
    with only_driver(store):
        _prepare(plan)
        try:
            measure(plan, store, workers or os.cpu_count() or 1, _show)
        except KeyboardInterrupt:
            _say_stopped()
            raise typer.Exit(_STOPPED) from None
        found = results_of(plan, store)
        note(plan, store, found)
        store.write(RESULTS, _as_json([result.as_data() for result in found]))
        store.write(PAGE, _html(page(found, history(store), effort)))
        text = document(found, effort)
        store.write(DOCUMENT, text.encode())
    if docs is not None:
        _write(docs, text)
    _print(found, with_findings=findings)
    _say_places(out, docs)
    raise typer.Exit(exit_code(found))


def _name_data(folder: Path | None) -> None:
    """Let this process and its workers know where market data are."""
    from experiments.verify.rows_r import FOLDER
    from sim.errors import InputError

    if folder is None:
        return
    if not folder.is_dir():
        raise InputError(
            f"--prices {folder} is no folder; give one that holds prices/ and lending/"
        )
    os.environ[FOLDER] = str(folder.resolve())


def _chosen(names: list[str]) -> list[Any]:
    from experiments.verify.registry import all_rows
    from sim.errors import InputError

    rows = all_rows()
    asked = [name.upper() for name in names]
    known = {row.name for row in rows} | {row.section for row in rows}
    for name in asked:
        if name not in known:
            raise InputError(
                f"no row {name!r}; give names such as A3, or sections: "
                f"{', '.join(sorted({row.section for row in rows}))}"
            )
    return [row for row in rows if not asked or row.name in asked or row.section in asked]


_OWN = {"rows", "runs", "history.jsonl", "results.json", "verify.html", "validation.md"}


def _check_place(store: Any) -> None:
    """Refuse a folder that holds what this command did not write."""
    from sim.errors import InputError

    root = Path(store.root)
    if not store.is_local or not root.exists():
        return
    if not root.is_dir():
        raise InputError(f"{store.place} is a file; give a folder")
    strange = sorted(p.name for p in root.iterdir() if p.name not in _OWN and p.name[0] != ".")
    if strange:
        raise InputError(f"{store.place} holds {strange[0]!r}; give a new folder as --out")


def _prepare(plan: Any) -> None:
    """Compile what the runs need, once, before processes start."""
    from experiments.console import prepare_engine
    from experiments.scenario import load_scenario
    from experiments.verify.rows_b import registered

    bases = {row.group for row in plan.rows if row.group in registered()["bases"]}
    is_needed = any(not row.missing for row in plan.rows)
    names = sorted(bases | {"quiet-market"}) if is_needed else []
    prepare_engine([load_scenario(name) for name in names])


def _show(name: str, done: int, total: int) -> None:
    """Show what is finished, on standard error."""
    from experiments.console import say

    say(f"{done} of {total}: {name}", stderr=True)


def _say_stopped() -> None:
    from experiments.console import say

    say("undertow: stopped; start it again and it goes on", stderr=True)


def _html(page: Any) -> bytes:
    from analysis.report.page import as_html

    return as_html(page).encode()


def _as_json(data: Any) -> bytes:
    import json

    return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()


def _write(place: Path, text: str) -> None:
    from experiments.run_folder import told_faults

    with told_faults(place):
        place.write_text(text, "utf-8")


def _print(found: list[Any], *, with_findings: bool) -> None:
    from rich.table import Table

    from experiments.console import console_of, say
    from experiments.verify.telling import counts, expected, measured, reason

    table = Table(box=None)
    for title in ("row", "claim", "verdict", "value", "expected"):
        table.add_column(title, no_wrap=title in ("row", "verdict"), overflow="fold")
    for result in found:
        lone = result.findings[0] if len(result.findings) == 1 else None
        shown = (measured(lone), expected(lone)) if lone else (_share(result), "")
        why = reason(result)
        claim = f"{result.title}\n{why}" if why and why != result.title else result.title
        table.add_row(result.name, claim, result.verdict, *shown)
        if with_findings:
            for one in result.findings:
                table.add_row(
                    "", f"  {one.name} ({one.unit})", one.verdict, measured(one), expected(one)
                )
    console_of().print(table)
    say(f"{len(found)} rows: {counts(found)}")


def _share(result: Any) -> str:
    """Return how many findings of a row hold, of those that count."""
    judged = [one.verdict for one in result.findings if one.verdict != "input"]
    return f"{judged.count('holds')} of {len(judged)}" if judged else ""


def _say_places(out: str, docs: Path | None) -> None:
    from experiments.console import say

    say(f"page     {out}/verify.html")
    say(f"table    {out}/validation.md")
    if docs is not None:
        say(f"table    {docs}")
