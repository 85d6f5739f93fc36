"""What the validation says: verdicts in words, as a page and as a document.

Everything is shown: what holds, what fails and why as far as known, what chance leaves open, what
is an input and earns no credit, and what has no mechanism yet.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from analysis.report.blocks import Cell, Fact, Facts, Note, Page, Prose, Section, Table, number
from experiments.verify.rows import ERROR, FAILS, HOLDS, INPUT, NOT_YET, OPEN, Finding, Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECTIONS = {
    "A": "Closed forms",
    "B": "Published figures",
    "C": "Stylized facts",
    "R": "Replays of crises",
}
MEANINGS = {
    HOLDS: "within the band, chance accounted for",
    FAILS: "outside",
    OPEN: "too few seeds to tell",
    INPUT: "follows from what was put in; no credit",
    NOT_YET: "its mechanism, or its data, is not there",
    ERROR: "could not be measured",
}
_UNKNOWN = "The reason is not known."
_HOW_TO = (
    "A row of closed forms is one function in the module of its topic, `experiments.verify`.",
    "Rows of published figures are registered in `experiments/verify/published.yaml`. Why rows",
    "are known not to hold stands in `experiments/verify/known.yaml`; a row that fails and is not",
    "there makes the command end with exit code 1. Replays need a folder of market data:",
    "`undertow verify R --prices DIR`.",
)
_CAUTION = (
    "A closed form holds when it is within its tolerance and three standard errors are no larger "
    "than that; a band when the mean is inside by two standard errors. Bands, seeds and expected "
    "signs of published figures were written down before the first run, and no parameter of a "
    "scenario was touched for a row."
)


@functools.cache
def known() -> Mapping[str, str]:
    """Return why rows are known not to hold, by name."""
    from experiments.yaml_source import read_yaml

    name = "known.yaml"
    return dict(read_yaml(name, (files("experiments.verify") / name).read_bytes()).data)


def is_surprise(result: Result) -> bool:
    """Return whether a row does not hold and nobody has said why."""
    return result.verdict in (FAILS, ERROR, OPEN) and result.name not in known()


def exit_code(found: Sequence[Result]) -> int:
    """Return 0; 1 where a row fails that is not known to, 3 where one is only open."""
    verdicts = {result.verdict for result in found if is_surprise(result)}
    if verdicts & {FAILS, ERROR}:
        return 1
    return 3 if OPEN in verdicts else 0


def counts(found: Sequence[Result]) -> str:
    """Return how many rows have which verdict, in words."""
    total = Counter(result.verdict for result in found)
    return ", ".join(f"{total[name]} {name}" for name in MEANINGS if total[name])


def reason(result: Result) -> str:
    """Return why a row does not hold, or is not measured; empty where it holds."""
    if result.missing:
        return result.missing
    said = known().get(result.name, "")
    if result.fault:
        return f"{result.fault} {said}".strip()
    return said if result.verdict in (FAILS, OPEN) else ""


# --- numbers as text -----------------------------------------------------------------------------


def digits(value: float) -> str:
    """Return a number in a few digits."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never" if value > 0.0 else "-"
    return f"{value:.5g}" if abs(value) < 1e6 else f"{value:,.0f}"


def expected(finding: Finding) -> str:
    """Return reference and tolerance, or the band."""
    if math.isfinite(finding.reference):
        width = (finding.high - finding.low) / 2.0
        if width == 0.0:
            return digits(finding.reference)
        return f"{digits(finding.reference)} ± {width:.2g}"
    if math.isinf(finding.low) and math.isinf(finding.high):
        return "-"
    if math.isinf(finding.high):
        return f"at least {digits(finding.low)}"
    if math.isinf(finding.low):
        return f"at most {digits(finding.high)}"
    return f"{digits(finding.low)} to {digits(finding.high)}"


def measured(finding: Finding) -> str:
    """Return value and standard error."""
    error = finding.standard_error
    if error == 0.0 or not math.isfinite(error):
        return digits(finding.value)
    return f"{digits(finding.value)} ± {error:.2g}"


def seeds_of(result: Result) -> str:
    """Return the seeds of a row: a range where they follow each other."""
    seeds = result.seeds
    if not seeds:
        return "no chance"
    if len(seeds) > 2 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


# --- page ----------------------------------------------------------------------------------------


def page(found: Sequence[Result], history: Sequence[Mapping[str, Any]], effort: str) -> Page:
    """Return the page: verdicts, findings by section, what is missing, history."""
    by_verdict = Counter(result.verdict for result in found)
    facts = [
        Fact(name, f"{by_verdict[name]}", MEANINGS[name]) for name in MEANINGS if by_verdict[name]
    ]
    sections = [
        Section(
            "verdicts",
            "Verdicts",
            [Facts(facts), Note(_CAUTION), _row_table(found), *_failures(found)],
        )
    ]
    for letter, title in SECTIONS.items():
        mine = [result for result in found if result.section == letter and result.findings]
        if mine:
            sections.append(Section(f"section-{letter}", title, [_finding_table(letter, mine)]))
    sections.append(Section("history", "History", [_history_table(history)]))
    last = history[-1] if history else {}
    subtitle = f"{counts(found)}; {effort}, code {last.get('code', '-')}, {last.get('time', '-')}"
    return Page("Validation", subtitle, sections)


def _failures(found: Sequence[Result]) -> list[Any]:
    lines = [
        f"{result.name} {result.verdict}: {result.title}. {reason(result) or _UNKNOWN}"
        for result in found
        if result.verdict in (FAILS, ERROR, OPEN)
    ]
    return [Prose(lines, is_list=True)] if lines else []


def _row_table(found: Sequence[Result]) -> Table:
    rows = [
        [
            Cell(result.name),
            Cell(result.title),
            Cell(result.verdict),
            Cell(seeds_of(result) if result.findings else "-"),
            Cell(result.source),
            Cell(reason(result)),
        ]
        for result in found
    ]
    columns = ("row", "claim", "verdict", "seeds", "source", "why not")
    return Table("rows", "Every row", columns, rows)


def _finding_table(letter: str, found: Sequence[Result]) -> Table:
    rows = [
        [
            Cell(result.name),
            Cell(finding.name),
            number(finding.value, 5),
            number(finding.standard_error if math.isfinite(finding.standard_error) else None, 2),
            Cell(expected(finding)),
            Cell(finding.unit),
            Cell(finding.verdict),
        ]
        for result in found
        for finding in result.findings
    ]
    columns = ("row", "finding", "value", "standard error", "expected", "unit", "verdict")
    return Table(f"findings-{letter}", f"{SECTIONS[letter]}: findings", columns, rows)


def _history_table(history: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for line in history:
        total = Counter(line["verdicts"].values())
        verdicts = [number(total[name]) for name in MEANINGS]
        rows.append([Cell(line["time"]), Cell(line["code"]), Cell(line["effort"]), *verdicts])
    return Table("history", "Every run", ("time", "code", "effort", *MEANINGS), rows)


# --- document ------------------------------------------------------------------------------------


def document(found: Sequence[Result], effort: str) -> str:
    """Return the document as Markdown: every row, then every finding."""
    lines = [
        "# Validation",
        "",
        "Closed forms, published figures, stylized facts and replays of crises: what holds,",
        "what does not, and what is not there yet. Made by",
        "",
        "```sh",
        f"undertow verify{' --quick' if effort == 'quick' else ''} --docs docs/validation.md",
        "```",
        "",
        _CAUTION,
        "",
        *_HOW_TO,
        "",
        f"{len(found)} rows: {counts(found)}.",
        "",
        *(f"* **{name}**: {meaning}" for name, meaning in MEANINGS.items()),
    ]
    for letter, title in SECTIONS.items():
        mine = [result for result in found if result.section == letter]
        if mine:
            lines += ["", f"## {title}", "", *_document_rows(mine), "", *_document_findings(mine)]
    return "\n".join(lines).rstrip() + "\n"


def _document_rows(found: Sequence[Result]) -> list[str]:
    lines = ["| row | claim | verdict | seeds | source | why not |", "|---|---|---|---|---|---|"]
    for result in found:
        seeds = seeds_of(result) if result.findings else "-"
        cells = (result.name, result.title, result.verdict, seeds, result.source, reason(result))
        lines.append(_line(cells))
    return lines


def _document_findings(found: Sequence[Result]) -> list[str]:
    lines = ["| row | finding | value | expected | unit | verdict |", "|---|---|---|---|---|---|"]
    for result in found:
        for one in result.findings:
            cells = (result.name, one.name, measured(one), expected(one), one.unit, one.verdict)
            lines.append(_line(cells))
    return lines if len(lines) > 2 else []


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") or "-" for cell in cells) + " |"
