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
from experiments.studies.plan import Plan, code_version, requirements_of
from experiments.studies.store import Store
from experiments.studies.study import load_study
from experiments.studies.sweep import seconds_a_run, sweep
from experiments.studies.verdicts import (
    EXIT_CODES,
    by_setting,
    compared,
    extreme_passing,
    findings_table,
    overall,
    plain,
    sentence,
)
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

MULTIPLICITY = (
    "each requirement at each setting is decided at the stated confidence, not all together; the "
    "worst corner holds for all design points of a setting together, and the intervals of "
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
    for lever in (largest, smallest):
        if lever is not None and lever not in study.levers:
            known = ", ".join(study.levers) or "none"
            raise InputError(f"no lever '{lever}'; levers of {study.name}: {known}")
    place = place_of(out, study.name)
    store = Store(place)
    if once:
        decision = decide_once(plan, store, wanted)
    else:
        prepare_engine([plan.variation.base])
        with show_sweep(study.name) as watch:
            decision = decide_in_rounds(
                plan, store, lambda: make_engine(engine, address, workers), wanted, watch
            )
    print_decision(decision)
    say(MULTIPLICITY)
    code = EXIT_CODES[overall(decision.findings)]
    answer: list[dict[str, Any]] = []
    lever = largest or smallest
    if lever is not None:
        rows = extreme_passing(plan, decision.findings, lever, largest=largest is not None)
        answer = [{str(k): plain(v) for k, v in row.items()} for row in rows.to_dict("records")]
        word = "largest" if largest else "smallest"
        say(f"\n{word} {lever} that passes every requirement:")
        print_table(answer)
        code = _code_of(answer, lever)
    worth_quoting = _worth_quoting(decision)
    reference = worth_quoting[0].setting
    outcomes = list(dict.fromkeys(requirement.outcome for requirement in wanted))
    differences = plain(compared(plan, decision.rows, outcomes, reference).to_dict("records"))
    if differences:
        say(
            f"\ndifferences from {reference.text}, run by run: of the mean, and the share of "
            f"pairs that is higher and lower; {plan.study.confidence:.0%} intervals of all at "
            "once (Bonferroni):"
        )
        print_table(differences)
    quote = "\n".join(sentence(plan, f, decision.looks) for f in worth_quoting)
    say("\n" + quote)
    paired = {"reference": reference.levers, "differences": differences}
    if decision.is_stopped:
        say(f"stopped; go on with: undertow verdict {name} --out {place}")
        code = STOPPED
    _write(plan, store, decision, {"extreme": answer, "compared": paired, "quote": quote})
    return code


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
        "multiplicity": MULTIPLICITY,
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
