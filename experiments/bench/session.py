"""One benchmark session: the sections in order, progress, and what is printed and written."""

from __future__ import annotations

import json
import time
import traceback
from typing import TYPE_CHECKING

from experiments.bench import against_mesa, growth, operations, peers, space, starts, whole_runs
from experiments.bench.machine import describe
from experiments.bench.page import as_markdown, as_table
from experiments.bench.rows import Row, shown
from experiments.bench.worlds import FULL, QUICK, Effort
from experiments.console import console_of, prepare_engine, say
from experiments.scenario import load_scenario, shipped_scenarios
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

PEERS = "peers"  # installs packages: only where asked for
Section = tuple["Callable[[Effort], Iterator[Row]]", ...]

SECTIONS: dict[str, tuple[str, Section]] = {
    "runs": ("Whole runs", (whole_runs.default_scenario, whole_runs.study)),
    "mesa": ("Against plain Mesa", (against_mesa.against_mesa,)),
    "kernels": ("Against bare kernels", (against_mesa.against_kernels,)),
    "growth": ("Growth", growth.CURVES),
    "operations": ("Operations", (operations.idle, operations.fills, operations.mixed)),
    "memory": ("Memory and build", (space.memory,)),
    "starts": ("Starts", (starts.warm, starts.cold)),
    "threads": ("Threads", (whole_runs.threads,)),
    "recording": ("Recording", (whole_runs.recording, whole_runs.flat_memory)),
    PEERS: ("Other packages", (peers.measure,)),
}


def run_benchmark(
    *, is_quick: bool, as_json: bool, only: Sequence[str], page: Path | None, with_peers: bool
) -> int:
    """Run the sections asked for; returns 0, or 1 where one of them failed.

    Raises
    ------
    InputError
        A section has no such name.
    """
    if unknown := [name for name in only if name not in SECTIONS]:
        raise InputError(f"no section '{unknown[0]}'; there are: {', '.join(SECTIONS)}")
    usual = [name for name in SECTIONS if name != PEERS]
    names = dict.fromkeys([*(only or usual), *([PEERS] if with_peers else [])])
    chosen = {name: SECTIONS[name] for name in names}
    machine = describe()
    prepare_engine([load_scenario(name) for name in shipped_scenarios()])
    rows, n_failed = _measure(chosen, QUICK if is_quick else FULL)
    if page is not None:
        page.write_text(as_markdown(machine, rows), "utf-8")
    if as_json:
        every = [_machine_row(machine), *(row for found in rows.values() for row in found)]
        say(json.dumps([row.as_dict() for row in every], indent=1))
    else:
        console_of().print(as_table(rows))
    return 1 if n_failed else 0


def _machine_row(machine: Mapping[str, str]) -> Row:
    told = "; ".join(f"{name} {value}" for name, value in machine.items())
    return Row("machine", float(machine["cores"]), "cores", note=told)


def _measure(
    chosen: Mapping[str, tuple[str, Section]], effort: Effort
) -> tuple[dict[str, list[Row]], int]:
    """Run sections; a fault ends its part of a section and no other."""
    found: dict[str, list[Row]] = {}
    n_failed, started = 0, time.perf_counter()
    for name, (title, parts) in chosen.items():
        found[title] = []
        for part in parts:
            try:
                for row in part(effort):
                    found[title].append(row)
                    say(f"{_clock(started)} {name}: {_told(row)}", stderr=True)
            except Exception:  # noqa: BLE001 - the other sections are worth having
                n_failed += 1
                say(f"{_clock(started)} {name} failed\n{traceback.format_exc()}", stderr=True)
    return found, n_failed


def _clock(started: float) -> str:
    return f"[{time.perf_counter() - started:6.1f} s]"


def _told(row: Row) -> str:
    met = "" if row.met is None else f" ({row.target}: {'met' if row.met else 'NOT met'})"
    return f"{row.name}: {shown(row.value)} {row.unit}{met}"
