"""All rows of the validation, in order; a new topic is one module and one line here."""

from __future__ import annotations

from experiments.verify import (
    rows_a_contagion,
    rows_a_lending,
    rows_a_pools,
    rows_a_protocols,
    rows_a_rebalancing,
    rows_a_structures,
    rows_b,
    rows_r,
)
from experiments.verify.rows import Row, number_of

_TOPICS = (
    rows_a_rebalancing,
    rows_a_pools,
    rows_a_lending,
    rows_a_contagion,
    rows_a_structures,
    rows_a_protocols,
)

# Closed forms whose mechanism is not there. When it is, its row is a function under `@ROWS.row` in
# the module of its topic, and its line here goes.
MISSING = {
    "A28": ("peg keeper, buy-back and mint spread", "peg keepers and algorithmic stablecoins"),
    "A29": ("premium, funding and fills of Synthetix perpetuals", "perpetuals"),
    "A30": ("fills of a virtual market maker", "perpetuals"),
    "A31": ("perpetual funding and liquidation price", "perpetuals"),
    "A32": ("GMX impact and pool fee", "perpetuals"),
    "A33": ("Black-Scholes price and Greeks", "options"),
    "A34": ("error of discrete hedging", "options"),
    "A39": ("pro-rata auto-deleveraging", "perpetuals"),
}


def all_rows() -> list[Row]:
    """Return every row, those that cannot be measured yet included, in order."""
    rows = [row for topic in _TOPICS for row in topic.ROWS.rows]
    rows += rows_b.rows() + rows_r.rows()
    rows += [Row(name, title, missing=what) for name, (title, what) in MISSING.items()]
    return sorted(rows, key=lambda row: number_of(row.name))
