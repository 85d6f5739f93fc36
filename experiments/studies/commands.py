"""The bodies of `undertow sweep` and `undertow verdict`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.console import prepare_engine, say
from experiments.studies.console import (
    print_decision,
    print_plan,
    print_sweep,
    print_table,
    show_sweep,
)
from experiments.studies.deciding import Decision, decide_in_rounds, decide_once
from experiments.studies.engines import make_engine
from experiments.studies.estimates import FAIL, PASS, UNDECIDED
from experiments.studies.extremes import extreme_passing, search_confidence
from experiments.studies.plan import Plan, code_version, requirements_of
from experiments.studies.store import Store
from experiments.studies.study import load_study
from experiments.studies.sweep import seconds_a_run, sweep
from experiments.studies.verdicts import (
    EXIT_CODES,
    by_setting,
    compared,
    findings_table,
    overall,
    percent,
    plain,
    sentence,
)
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.studies.requirements import Requirement

JOINTLY = (
    "the worst corner holds for all design points of a setting together, and the intervals of "
    "differences for all differences together (Bonferroni)"
)
STOPPED = 130  # as a shell says of a job that Ctrl-C ended


def place_of(out: str | None, name: str) -> str:
    """Return where the data set of a study lies: studies/NAME when it is not said."""
    return out if out is not None else str(Path("studies") / name)


def sweep_command(
    name: str,
    out: str | None,
    engine: str,
    address: str | None,
    workers: int | None,
    threads: int,
    *,
    only_plan: bool,
) -> int:
    """Run what is missing of a study, or say what that would be; returns the exit code."""
    study = load_study(name)
    plan = Plan(study)
    place = place_of(out, study.name)
    store = Store(place)
    if only_plan:
        done = set(store.rows(["run_id"])["run_id"]) if store.names("runs") else set()
        missing = sum(spec.run_id not in done for spec in plan.runs())
        print_plan(plan, workers or os.cpu_count() or 1, missing, seconds_a_run(store))
        return 0
    prepare_engine([plan.variation.base])
    with show_sweep(study.name) as watch:
        progress = sweep(
            plan, store, make_engine(engine, address, workers), threads=threads, watch=watch
        )
    print_sweep(progress, place, f"undertow sweep {name} --out {place}")
    return STOPPED if progress.is_stopping else 0


def verdict_command(
    name: str,
    out: str | None,
    engine: str,
    address: str | None,
    workers: int | None,
    requirements: Sequence[str],
    *,
    once: bool,
    largest: str | None,
    smallest: str | None,
) -> int:
    """Decide a study's requirements; returns 0 PASS, 1 FAIL or 3 UNDECIDED."""
    study = load_study(name)
    plan = Plan(study)
    wanted = requirements_of(study, requirements)
    if not wanted:
        raise InputError(f"study {study.name} has no requirements; give one with --require")
    if largest is not None and smallest is not None:
        raise InputError("--largest and --smallest are two questions; ask one at a time")
    lever = largest or smallest
    confidence = study.confidence if lever is None else search_confidence(plan, lever)
    place = place_of(out, study.name)
    store = Store(place)
    if once:
        decision = decide_once(plan, store, wanted, confidence)
    else:
        prepare_engine([plan.variation.base])
        with show_sweep(study.name) as watch:
            decision = decide_in_rounds(
                plan,
                store,
                lambda: make_engine(engine, address, workers),
                wanted,
                watch,
                confidence,
            )
    print_decision(decision)
    say(_multiplicity(lever, confidence))
    code = EXIT_CODES[overall(decision.findings)]
    more: dict[str, Any] = {"multiplicity": _multiplicity(lever, confidence), "extreme": []}
    if lever is not None:
        more["extreme"] = _extreme(plan, decision, lever, largest=largest is not None)
        code = _code_of(more["extreme"], lever)
    more |= _compared(plan, decision, wanted) | _quoted(plan, decision)
    if decision.is_stopped:
        asked = "".join(f" --require '{text}'" for text in requirements)
        asked += f" --{'largest' if largest else 'smallest'} {lever}" if lever else ""
        say(f"stopped; go on with: undertow verdict {name} --out {place}{asked}")
        code = STOPPED
    _write(plan, store, decision, more)
    return code


def _multiplicity(lever: str | None, confidence: float) -> str:
    """Return over how much the stated confidence holds."""
    each = (
        "each requirement at each setting is decided at the stated confidence, not all together"
        if lever is None
        else f"each value of {lever} is decided at {percent(confidence)}, so that the value picked "
        "holds at the stated confidence (Bonferroni); each row of the other levers on its own"
    )
    return f"{each}; {JOINTLY}"


def _extreme(plan: Plan, decision: Decision, lever: str, *, largest: bool) -> list[dict[str, Any]]:
    """Print and return the extreme value of a lever that passes everything."""
    rows = extreme_passing(plan, decision.findings, lever, largest=largest)
    answer = [{str(k): plain(v) for k, v in row.items()} for row in rows.to_dict("records")]
    say(f"\n{'largest' if largest else 'smallest'} {lever} that passes every requirement:")
    print_table(answer)
    return answer


def _compared(
    plan: Plan, decision: Decision, requirements: Sequence[Requirement]
) -> dict[str, Any]:
    """Print and return by how much the settings differ from the one quoted first."""
    reference = _worth_quoting(decision)[0].setting
    outcomes = list(dict.fromkeys(requirement.outcome for requirement in requirements))
    differences = plain(compared(plan, decision.rows, outcomes, reference).to_dict("records"))
    if differences:
        say(
            f"\ndifferences from {reference.text}, run by run: of the mean, and the share of "
            f"pairs that is higher and lower; {percent(plan.study.confidence)} intervals of all "
            "at once (Bonferroni):"
        )
        print_table(differences)
    return {"compared": {"reference": reference.levers, "differences": differences}}


def _quoted(plan: Plan, decision: Decision) -> dict[str, Any]:
    """Print and return the sentences that a forum post would quote."""
    quote = "\n".join(sentence(plan, f, decision.looks) for f in _worth_quoting(decision))
    say("\n" + quote)
    return {"quote": quote}


def _code_of(answer: Sequence[dict[str, Any]], lever: str) -> int:
    if all(row[lever] is not None for row in answer):
        return EXIT_CODES[PASS]
    is_open = any(row["next_verdict"] == UNDECIDED for row in answer if row[lever] is None)
    return EXIT_CODES[UNDECIDED if is_open else FAIL]


def _worth_quoting(decision: Decision) -> list[Any]:
    """Return the findings of the first setting, and of the last that passes."""
    verdicts = by_setting(decision.findings)
    passing = [text for text, verdict in verdicts.items() if verdict == PASS]
    text = passing[-1] if passing else next(iter(verdicts))
    return [f for f in decision.findings if f.setting.text == text]


def _write(plan: Plan, store: Store, decision: Decision, more: dict[str, Any]) -> None:
    """Write verdict.json, and the figure where the data set is on disk."""
    table = findings_table(decision.findings)
    content = {
        "study": plan.study.name,
        "verdict": overall(decision.findings),
        "confidence": plan.study.confidence,
        "looks": decision.looks,
        "stopped": decision.why_stopped,
        "book_response": {name: lever.book for name, lever in plan.study.levers.items()},
        "code_version": code_version(),
        "identity": plan.identity,
        "findings": plain(table.to_dict("records")),
        **more,
    }
    store.write("verdict.json", (json.dumps(content, indent=2) + "\n").encode())
    say(f"verdict  {store.place}/verdict.json")
    if store.is_local and plan.study.levers:
        from analysis.figures.verdicts import draw_verdicts

        path = Path(store.root) / "verdict.png"
        draw_verdicts(table, list(plan.study.levers), path)
        say(f"figure   {path}")
