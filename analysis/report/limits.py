"""What a run assumes, what it cannot say, and how to make it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analysis.report.blocks import (
    Cell,
    Commands,
    Heading,
    Note,
    Prose,
    Section,
    Table,
    number,
)
from analysis.report.wording import lasting, listed, plain_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from analysis.report.source import LeftOut, RunSource

_PRICE_KINDS = {
    "fixed": "does not move",
    "gbm": "is drawn (geometric Brownian motion)",
    "waypoints": "passes through known prices at known times and is drawn in between",
    "replay": "is replayed from a file of candles",
}


def make_limits(source: RunSource, left_out: Sequence[LeftOut]) -> Section:
    """Return assumptions and limits of a run.

    Parameters
    ----------
    source : the run
    left_out : sections that the page does not have
    """
    blocks: list[Any] = [
        Note(
            "This is one path of one scenario. It shows what can happen and how; it says nothing "
            "about how likely that is. A study (undertow sweep, undertow verdict) does."
        ),
        Heading("Assumptions of this run"),
        Prose(_assumptions(source.scenario), is_list=True),
        Heading("Limits of these numbers"),
        Prose(_limits(source.scenario), is_list=True),
    ]
    if left_out:
        blocks += [
            Heading("Not on this page"),
            Prose([f"{one.title}: {one.reason}." for one in left_out], is_list=True),
        ]
    return Section("limits", "Assumptions and limits", blocks)


def _assumptions(scenario: Mapping[str, Any]) -> list[str]:
    lines = [*_prices(scenario)]
    for name, chain in scenario.get("chains", {}).items():
        blocks, market = chain.get("blocks", {}), chain.get("fee_market", {})
        demand = "with" if chain.get("background") else "without"
        lines.append(
            f"Chain {name}: {blocks.get('kind', '')} blocks, on average every "
            f"{lasting(float(blocks.get('interval_seconds', 0.0)))}; "
            f"{plain_words(market.get('kind', ''))} fees; {demand} demand for block space from "
            "outside."
        )
    venues = _counted(scenario.get("venues", {}))
    people = _counted(scenario.get("populations", {}))
    lines.append(f"Protocols: {venues or 'none'}.")
    lines.append(f"Populations: {people or 'none'}. Who is not named here does not exist.")
    return lines


def _prices(scenario: Mapping[str, Any]) -> Iterator[str]:
    for name, asset in scenario.get("assets", {}).items():
        kind = str(asset.get("price", {}).get("kind", ""))
        moves = _PRICE_KINDS.get(kind, f"is of the kind {plain_words(kind)}")
        impact = "trades move it" if asset.get("impact") else "no trade of the run moves it"
        yield f"The reference price of {name} {moves}; {impact}."


def _counted(parts: Mapping[str, Any]) -> str:
    kinds: dict[str, int] = {}
    for part in parts.values():
        kind = plain_words(part.get("kind", ""))
        kinds[kind] = kinds.get(kind, 0) + 1
    return listed(f"{count} {kind}" if count > 1 else kind for kind, count in kinds.items())


def _limits(scenario: Mapping[str, Any]) -> list[str]:
    records = scenario.get("records", {})
    lines = []
    for field, what in (
        ("sample_seconds", "Pools, markets, prices, oracles and bridges"),
        ("position_seconds", "Debtors, and with them bad debt and its peak,"),
        ("equity_seconds", "Values of populations"),
    ):
        seconds = float(records.get(field) or 0.0)
        told = f"are sampled every {lasting(seconds)}" if seconds else "are not sampled"
        lines.append(f"{what} {told}; what happened between two samples is not in their extremes.")
    lines.append(
        "What orders and fills say (swaps, liquidations, gas, causes) is complete, not sampled."
    )
    lines.append(
        "Causes are those that the engine recorded. What would have happened otherwise needs a "
        "second run with the same random numbers (undertow contagion)."
    )
    return lines


def make_repeat(source: RunSource) -> Section:
    """Return the commands that make the run again, and what it was made with."""
    manifest = source.run.manifest
    blocks: list[Any] = [Prose(["In a shell, in the folder that the paths start from:"])]
    if source.repeat.commands:
        blocks.append(Commands(source.repeat.commands))
    blocks.append(Prose(list(source.repeat.notes), is_list=True))
    versions = manifest.get("versions", {})
    facts = {
        "seed": manifest.get("seed"),
        "content hash of the records": manifest.get("content_hash"),
        "code version (hash of the sources)": manifest.get("code_version"),
        "platform": listed(str(part) for part in manifest.get("platform", {}).values()),
        "wall-clock time (s)": manifest.get("wall_seconds"),
        **{f"version of {name}": version for name, version in versions.items()},
    }
    rows = [[Cell(name), Cell(str(value))] for name, value in facts.items() if value is not None]
    blocks.append(Table("provenance", "What the run was made with", ("what", "value"), rows))
    blocks.append(parameters(source.scenario))
    return Section("repeat", "How to repeat it", blocks)


def parameters(scenario: Mapping[str, Any]) -> Table:
    """Return every value of a scenario by its path, folded away."""
    rows = [[Cell(path), value] for path, value in _values("", scenario)]
    caption = "The scenario as run: "
    words = f"{caption}{plural(len(rows), 'value')} by path, as for --set"
    return Table("parameters", words, ("path", "value"), rows, is_folded=True)


def _values(path: str, data: Any) -> Iterator[tuple[str, Cell]]:
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _values(f"{path}.{key}" if path else str(key), value)
    elif isinstance(data, list) and any(isinstance(entry, dict) for entry in data):
        for k, value in enumerate(data):
            yield from _values(f"{path}[{k}]", value)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        yield path, number(data, 6)
    elif data not in (None, "", [], {}):
        yield path, Cell(str(data))
