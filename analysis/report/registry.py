"""Which sections the page of a run has, in their order; a new one is a module and a line here.

A section is made from a `RunSource`. It returns a `Section`, or `LeftOut` with the reason, which
the page then names among its limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.report import cascades, exposures, gains, markets, quantities, spread, story, timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from analysis.report.blocks import Section
    from analysis.report.source import LeftOut, RunSource

RUN_SECTIONS: tuple[Callable[[RunSource], Section | LeftOut], ...] = (
    story.make_section,
    timeline.make_section,
    gains.make_section,
    cascades.make_section,
    markets.make_lending,
    markets.make_pools,
    markets.make_bridges,
    markets.make_tranches,
    markets.make_network,
    exposures.make_section,
    spread.make_section,
    markets.make_block_space,
    markets.make_other_figures,
    quantities.make_section,
)
