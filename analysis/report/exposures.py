"""Who would lose how much if another failed, when statistics start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.contagion.exposures import exposure_graph, largest_exposures, rank_nodes
from analysis.figures import plot_exposures
from analysis.report.blocks import Prose, Section, picture, table_of
from analysis.report.source import LeftOut
from analysis.report.wording import clock

if TYPE_CHECKING:
    from analysis.report.source import RunSource

_TITLE = "Exposures"
_ROWS = 20
_EDGES = {
    "who": "who loses",
    "to": "if this fails",
    "kind": "as",
    "value": "exposure (USD)",
    "share_of_equity": "of its equity",
}
_NODES = {
    "node": "who",
    "kind": "kind",
    "equity": "equity (USD)",
    "exposed_to_it": "others' exposure to it (USD)",
    "debt_rank": "DebtRank",
}


def make_section(source: RunSource) -> Section | LeftOut:
    """Return the largest exposures and the DebtRank of each population, venue and bridge."""
    frames = source.run.frames
    if "holdings" not in frames or frames["holdings"].empty:
        return LeftOut(_TITLE, "no holdings were recorded (records.position_seconds is 0)")
    start = max(source.setting.warmup, float(frames["holdings"]["time"].min()))
    graph = exposure_graph(frames, source.run.manifest, start)
    if not graph.number_of_edges():
        return LeftOut(_TITLE, "nobody had anything at stake with anybody")
    edges = largest_exposures(graph, _ROWS)
    nodes = rank_nodes(graph).head(_ROWS).reset_index()
    drawn = picture(
        lambda: plot_exposures(graph),
        "The largest exposures: who loses on the left, then markets and pools, then issuers; the "
        "width of an arrow grows with the exposure.",
    )
    words = (
        f"Exposures at {clock(start)}, when statistics start. DebtRank is the share of all "
        "populations' equity that the others lose if one alone fails wholly; it is a reading of "
        "balance sheets, not a result of the simulation."
    )
    blocks = [
        Prose([words]),
        drawn,
        table_of(
            "exposures-table", "The largest exposures", edges, _EDGES, usd=("value",),
            share=("share_of_equity",),
        ),
        table_of(
            "ranks-table", "Whose failure costs others most", nodes, _NODES,
            usd=("equity", "exposed_to_it"), share=("debt_rank",),
        ),
    ]  # fmt: skip
    return Section("exposures", _TITLE, [block for block in blocks if block is not None])
