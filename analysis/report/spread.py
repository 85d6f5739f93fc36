"""When a shock reached each place, against the same world without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.contagion.first_passage import (
    chain_delays,
    check_pair,
    first_passages,
    first_shock,
    reached_venues,
)
from analysis.figures.first_passage import place_graph, plot_first_passage
from analysis.report.blocks import Cell, Prose, Section, Table, number, picture
from analysis.report.source import LeftOut
from analysis.report.wording import clock, plain_words
from analysis.setting import timed_shocks
from sim.units import MINUTE

if TYPE_CHECKING:
    from analysis.report.source import RunSource

_TITLE = "How far the shock came"
_COLUMNS = ("place", "kind", "chain", "first seen in", "after (min)")


def make_section(source: RunSource) -> Section | LeftOut:
    """Return the first-passage map of a run and its twin without shocks.

    Raises
    ------
    sim.errors.InputError
        The two are no pair.
    """
    if not timed_shocks(source.run.manifest):
        return LeftOut(_TITLE, "the scenario has no shock")
    if source.calm is None:
        return LeftOut(
            _TITLE,
            "it takes the same run made with --without-shocks: `undertow report DIR --calm DIR`",
        )
    check_pair(source.run.manifest, source.calm.manifest)
    start = first_shock(source.run.manifest)
    passages = first_passages(source.run.frames, source.calm.frames, start)
    venues = reached_venues(passages, source.run.manifest)
    graph = place_graph(source.run.frames, source.setting.tokens)
    drawn = picture(
        lambda: plot_first_passage(graph, passages, chain_delays(venues)),
        "When each pool, bridge and reserve first differed from the world without the shock by "
        "more than the threshold of its metric (docs/contagion-network.md); tokens have the color "
        "of what is reached first with them.",
    )
    words = (
        "The same scenario and seed were run without shocks. Times count from the first shock, at "
        f"{clock(start)}; what differs, and from when on, the shock alone has done."
    )
    rows = [
        [
            Cell(str(row.place)),
            Cell(str(row.kind)),
            Cell(str(row.chain)),
            Cell(plain_words(str(row.metric)) or "–"),
            number(float(str(row.delay)) / MINUTE),
        ]
        for row in venues.itertuples()
    ]
    table = Table("spread-table", "When the shock arrived", _COLUMNS, rows)
    return Section("spread", _TITLE, [b for b in (Prose([words]), drawn, table) if b is not None])
