"""Who gained and who lost: the classes, then every population."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analysis.classes import COVER, class_of, gains_by_class
from analysis.figures.gains import plot_gains
from analysis.report.blocks import Prose, Section, picture, table_of
from analysis.report.source import LeftOut

if TYPE_CHECKING:
    from analysis.report.source import RunSource

_TITLE = "Gains and losses"
_CENT = 0.01  # USD; accounts that never had one are left out
_COLUMNS = {
    "trading_gain": "trading gain (USD)",
    "holding_gain": "price change of first holdings (USD)",
    "gas": "of it gas paid (USD)",
    "value_end": "value at the end (USD)",
}


def make_section(source: RunSource) -> Section | LeftOut:
    """Return who gained and who lost, since the start of statistics."""
    by_population = source.summary.get("by_population", {})
    gains = gains_by_class(by_population, source.setting)
    if gains.empty:
        return LeftOut(_TITLE, "no equity was recorded (records.equity_seconds is 0)")
    columns = {name: _COLUMNS[name] for name in ("trading_gain", "gas", "holding_gain")}
    columns["value_end"] = _COLUMNS["value_end"]
    classes = gains.reset_index()
    populations = pd.DataFrame(
        [
            {"population": name, "class": class_of(name, source.setting), **row}
            for name, row in by_population.items()
            if any(abs(value or 0.0) >= _CENT / 2 for value in row.values())
        ]
    ).sort_values("trading_gain", kind="stable")
    blocks = [
        Prose(_how_to_read(source)),
        picture(
            lambda: plot_gains(gains["trading_gain"]) if gains["trading_gain"].any() else None,
            "Trading gain of each class since the start of statistics: losses to the left "
            "(hatched), gains to the right; classes below 0.05 % of the largest bar are left out.",
        ),
        table_of(
            "gains-by-class", "Gains by class", classes, {"class": "class", **columns}, usd=columns
        ),
        table_of(
            "gains-by-population",
            "Gains by population, protocol account and outside account",
            populations,
            {"population": "population", "class": "class", **columns},
            usd=columns,
        ),
    ]
    return Section("gains", _TITLE, [block for block in blocks if block is not None])


def _how_to_read(source: RunSource) -> list[str]:
    lines = [
        (
            "A trading gain is the change of an account's value, less what the balances and claims "
            "of its start are worth more now. Values are at fundamental prices, claims at what "
            "could be withdrawn for them, never at oracle prices. So it includes what tokens that "
            "were bought or sold gained in price afterwards: it is not the profit of each trade at "
            "its own time, which arbitrage_profit and markouts are."
        )
    ]
    if len(source.table("positions")):
        lines.append(
            "Loans count as non-recourse: a debt counts at most its collateral, and what is "
            "missing is taken from the lenders' claims at once. So a loss of lenders by bad debt "
            "has its gain with the borrowers, and collateral that lost its worth is a price change "
            "of what borrowers held."
        )
    if (source.value("backing_ratio_min") or 1.0) < 1.0:
        lines.append(
            "Wrapped tokens count at the smaller of par and escrow over supply. What was taken out "
            f"of a bridge is a trading loss of {COVER}. Those who held wrapped tokens at the start "
            f"bear it as a price change of their holdings; with the other sign it stands as a "
            f"price change of {COVER}."
        )
    return lines
