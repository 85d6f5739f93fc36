"""The page of a contagion analysis: which channel losses came through, and who bore them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from analysis.figures.contagion import FIGURES
from analysis.report.blocks import (
    Cell,
    Commands,
    Fact,
    Facts,
    Heading,
    Note,
    Page,
    Picture,
    Prose,
    Section,
    Table,
    picture,
    share,
)
from analysis.report.blocks import usd as usd_cell
from analysis.report.wording import gain, listed, percent, plain_words, plural, usd
from analysis.style import make_figure
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from analysis.report.source import Repeat

_FEW = 10  # seeds below which bootstrap intervals are too narrow
_LEAST = 1.0  # USD below which a channel did nothing worth a sentence
_NEEDED = ("scenario", "seeds", "channels", "effects", "by_party", "victims", "loss", "contagion")
_MEASURES = ("solo", "knock_out", "shapley")
_CAPTIONS = {
    "contagion_shares": "Loss of the victims through each channel, mean over seeds with 95 % "
    "bootstrap intervals: what the channel does alone, what cutting it alone would save, and its "
    "Shapley value. Shapley values add up to the loss by contagion.",
    "contagion_heat_map": "Shapley value of each channel for each party. Victims stand left of the "
    "line. What one party loses another gains.",
}


class ContagionError(InputError):
    """A folder holds no whole contagion analysis; the message names it and what is missing."""


def contagion_page(folder: Path, repeat: Repeat) -> Page:
    """Return the page of a contagion analysis.

    Raises
    ------
    ContagionError
        `contagion.json` cannot be read or lacks something.
    """
    content = load_contagion(folder)
    sections = [
        Section("story", "The story", _story(content)),
        Section("channels", "Channels", _channels(content)),
        Section("victims", "Who bears it", _parties(content)),
        Section("limits", "Assumptions and limits", _limits(content)),
        Section("repeat", "How to repeat it", _repeat(content, repeat)),
    ]
    seeds = plural(len(content["seeds"]), "seed")
    subtitle = f"Paired worlds of {seeds}, in which channels of stress are cut one by one."
    return Page(f"Contagion in {content['scenario']}", subtitle, sections)


def load_contagion(folder: Path) -> dict[str, Any]:
    """Return what `contagion.json` of a folder holds.

    Raises
    ------
    ContagionError
        It cannot be read, or lacks something.
    """
    file = folder / "contagion.json"
    try:
        content = json.loads(file.read_text("utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ContagionError(f"{file} cannot be read ({error}); repeat the analysis") from error
    missing = [name for name in _NEEDED if name not in content]
    if missing:
        raise ContagionError(f"{file} has no {missing[0]}; repeat the analysis")
    return dict(content)


# --- story ----------------------------------------------------------------------------------------


def _story(content: Mapping[str, Any]) -> list[Any]:
    loss, contagion = content["loss"], content["contagion"]
    direct = content.get("direct_loss", {})
    facts = [
        Fact("Victims' loss", usd(loss["mean"]), _interval(loss)),
        Fact("of it direct", usd(direct.get("mean") or 0.0), "with every channel cut"),
        Fact("of it by contagion", usd(contagion["mean"]), _interval(contagion)),
    ]
    ranked = sorted(content["effects"], key=lambda row: -abs(row["shapley"]["mean"]))
    if ranked:
        first = ranked[0]
        told = f"{gain(first['shapley']['mean'])} of loss"
        facts.append(Fact("Largest channel", plain_words(first["channel"]), told))
    return [
        Facts(facts),
        Prose(_opening(content)),
        Heading("Which channels it came through"),
        Prose([*_ranked(ranked, content), *_interaction(content)], is_list=True),
        Heading("Who bears it"),
        Prose(_bearers(content), is_list=True),
    ]


def _opening(content: Mapping[str, Any]) -> list[str]:
    loss, contagion = usd(content["loss"]["mean"]), usd(content["contagion"]["mean"])
    direct = usd(content.get("direct_loss", {}).get("mean") or 0.0)
    seeds = plural(len(content["seeds"]), "seed")
    channels = plural(len(content["channels"]), "channel")
    line = (
        f"In {content['scenario']}, the victims lose {loss} (mean of {seeds}) when all of "
        f"{channels} are open, and {direct} when none is. The difference, {contagion}, is loss by "
        "contagion: the worlds of a seed have every random number in common and differ by the "
        "channels alone."
    )
    return [line]


def _ranked(ranked: list[dict[str, Any]], content: Mapping[str, Any]) -> list[str]:
    shares, lines = content.get("shares"), []
    for row in ranked:
        name, value = row["channel"], row["shapley"]["mean"]
        if abs(value) < _LEAST:
            continue
        told = f" ({percent(shares[name])} of it)" if shares else ""
        lines.append(
            f"{plain_words(name)}: {gain(value)}{told}, {_interval(row['shapley'])}; alone "
            f"{gain(row['solo']['mean'])}, and cutting it alone would save "
            f"{usd(row['knock_out']['mean'])}."
        )
    small = [
        plain_words(row["channel"])
        for row in ranked
        if row.get("fires_in", 1.0) and abs(row["shapley"]["mean"]) < _LEAST
    ]
    if small:
        lines.append(f"Below a dollar: {listed(small)}.")
    silent = [row["channel"] for row in ranked if not row.get("fires_in", 1.0)]
    if silent:
        told = listed(plain_words(name) for name in silent)
        lines.append(f"Never fired, so that their effect is exactly 0: {told}.")
    if shares is None:
        lines.append(
            "Shares are not given, since a channel lowers the victims' loss or there is none."
        )
    return lines


def _interaction(content: Mapping[str, Any]) -> list[str]:
    found = content.get("interaction")
    if not found:
        return []
    told = f"{gain(found['mean'])}, {_interval(found)}"
    return [f"Interaction, the loss by contagion that no channel causes alone: {told}."]


def _bearers(content: Mapping[str, Any]) -> list[str]:
    totals = {
        party: sum(row[party] for row in content["by_party"].values())
        for party in next(iter(content["by_party"].values()), {})
    }
    losers = {name: usd_lost for name, usd_lost in totals.items() if usd_lost > _LEAST}
    winners = {name: -usd_lost for name, usd_lost in totals.items() if usd_lost < -_LEAST}
    lines = []
    for word, parties in (("Lost", losers), ("Gained", winners)):
        ordered = sorted(parties, key=lambda name: -parties[name])
        told = listed(f"{plain_words(name)} {usd(parties[name])}" for name in ordered)
        lines.append(f"{word} by contagion: {told or 'nobody'}.")
    if "outside" in winners:
        lines.append(
            "The outside bears what a cut channel would have passed on. With the channel open it "
            "bears that no longer, which counts as its gain here."
        )
    return lines


def _interval(found: Mapping[str, Any]) -> str:
    if found.get("low") is None or found.get("high") is None:
        return "no interval (one seed)"
    return f"95 % interval {usd(found['low'])} to {usd(found['high'])}"


# --- channels and parties -------------------------------------------------------------------------


def _channels(content: Mapping[str, Any]) -> list[Any]:
    shares = content.get("shares") or {}
    columns = (
        "channel", "fires in seeds", "alone (USD)", "knocked out (USD)", "Shapley value (USD)",
        "interval from", "to", "share of contagion", "borne outside when cut (USD)",
    )  # fmt: skip
    rows = []
    for row in content["effects"]:
        means = [row[measure]["mean"] for measure in _MEASURES]
        ends = [row["shapley"].get("low"), row["shapley"].get("high")]
        cells = [Cell(row["channel"]), share(row.get("fires_in"))]
        cells += [usd_cell(value) for value in (*means, *ends)]
        cells += [share(shares.get(row["channel"])), usd_cell(row.get("absorbed"))]
        rows.append(cells)
    table = Table("effects", "What each channel does to the victims", columns, rows)
    return [*_figure("contagion_shares", content), table]


def _parties(content: Mapping[str, Any]) -> list[Any]:
    by_party, victims = content["by_party"], content["victims"]
    parties = list(next(iter(by_party.values()), {}))
    rows = [
        [
            Cell(plain_words(party)),
            Cell("victim" if party in victims else "other"),
            *(usd_cell(by_party[channel][party]) for channel in by_party),
            usd_cell(sum(row[party] for row in by_party.values())),
        ]
        for party in parties
    ]
    columns = ("party", "side", *(plain_words(channel) for channel in by_party), "all channels")
    caption = "Shapley value of each channel by party, USD lost (a gain is negative)"
    return [*_figure("contagion_heat_map", content), Table("by-party", caption, columns, rows)]


def _figure(name: str, content: Mapping[str, Any]) -> list[Picture]:
    """Draw one of the figures of contagion, where there are channels to draw."""
    if not content["channels"]:
        return []
    plot = FIGURES[name]
    height = 1.6 + 0.55 * max(len(content["channels"]), 4)
    drawn = picture(lambda: plot(content, make_figure(height, 10.0).subplots()), _CAPTIONS[name])
    return [drawn] if drawn else []


# --- limits and repeating -------------------------------------------------------------------------


def _limits(content: Mapping[str, Any]) -> list[Any]:
    orders = content.get("orders_a_seed")
    is_exact = content.get("method") == "exact"
    worlds, seeds = plural(content.get("worlds", 0), "world"), plural(len(content["seeds"]), "seed")
    blocks: list[Any] = []
    if failed := content.get("failed_seeds"):
        told = listed(str(seed) for seed in failed)
        blocks.append(Note(f"Seeds left out because a world of theirs failed: {told}."))
    if len(content["seeds"]) < _FEW:
        few = f"With {seeds}, bootstrap intervals are too narrow: run more before quoting them."
        blocks.append(Note(few))
    lines = [
        (
            "A channel is cut by replacing what it transmits by its stress-free value; shocks and "
            "all random numbers stay. An outside account absorbs the difference, which the table "
            "of channels shows: what the outside bears in place of a channel is part of the "
            "comparison."
        ),
        (
            "Shapley values are exact: all sets of the channels that fire were run."
            if is_exact
            else f"Shapley values are estimated from {orders} orders of the channels a seed; they "
            "add up to the loss by contagion all the same."
        ),
        (
            f"{worlds} of {seeds}. Intervals are percentile bootstrap intervals over seeds: they "
            "say how the mean varies with chance, not how right the scenario is."
        ),
        "Channels that the scenario does not have are not compared.",
    ]
    return [*blocks, Prose(lines, is_list=True)]


def _repeat(content: Mapping[str, Any], repeat: Repeat) -> list[Any]:
    blocks: list[Any] = []
    if repeat.commands:
        blocks += [
            Prose(["In a shell, in the folder that the paths start from:"]),
            Commands(repeat.commands),
        ]
    blocks.append(Prose(list(repeat.notes), is_list=True))
    facts = {
        "seeds": listed(str(seed) for seed in content["seeds"]),
        "channels": listed(content["channels"]),
        "victims": listed(plain_words(name) for name in content["victims"]),
    }
    rows = [[Cell(name), Cell(value)] for name, value in facts.items()]
    return [*blocks, Table("provenance", "What was compared", ("what", "value"), rows)]
