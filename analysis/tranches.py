"""Tranche vaults: losses by seniority, coverage, runs, and what leavers took from those who stayed.

Loss and coverage are recognized ones, by the vault's own policy; amounts are in its cash token.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from analysis.series import since

if TYPE_CHECKING:
    import pandas as pd

TRANCHE_NAMES = (
    "vault_loss_share",
    "senior_loss_share",
    "mezzanine_loss_share",
    "junior_loss_share",
    "coverage_min",
    "queue_max",
    "queue_epochs_max",
    "run_depth",
    "wealth_taken",
    "secondary_discount_max",
)


def tranche_summary(tranches: pd.DataFrame, start: float) -> dict[str, float]:
    """Return the quantities of all vaults together; NaN where the run has none.

    Parameters
    ----------
    tranches : record table
    start : seconds, where statistics begin
    """
    table = since(tranches, start)
    if not len(table):
        return dict.fromkeys(TRANCHE_NAMES, math.nan)
    table = table.assign(venue=table["venue"].astype(str))
    last = table.groupby("venue")["level"].transform("max")
    first = table[table["time"] == table["time"].min()]
    whole = table.groupby(["venue", "time"]).agg(
        queue=("queue", "sum"), paid=("paid", "first"), taken=("taken", "first")
    )
    paid = whole["paid"] - whole["paid"].groupby("venue").transform("first")
    taken = whole["taken"].groupby("venue")
    value = float(first["nav"].sum())
    is_senior, is_junior = table["level"] == 0, table["level"] == last
    return {
        "vault_loss_share": _loss_share(table),
        "senior_loss_share": _loss_share(table[is_senior]),
        "mezzanine_loss_share": _loss_share(table[~is_senior & ~is_junior]),
        "junior_loss_share": _loss_share(table[is_junior]),
        "coverage_min": float(table["coverage"].min()),
        "queue_max": float(whole["queue"].groupby("time").sum().max()),
        "queue_epochs_max": float(table["queue_epochs"].max()),
        "run_depth": float((whole["queue"] + paid).groupby("time").sum().max()) / value,
        "wealth_taken": float((taken.last() - taken.first()).sum()),
        "secondary_discount_max": float(table["discount"].max()),
    }


def _loss_share(table: pd.DataFrame) -> float:
    """Return the largest loss over time as a share of the value at the start; NaN: no tranche."""
    by_time = table.groupby("time")[["loss", "nav"]].sum()
    if not len(by_time) or not by_time["nav"].iloc[0] > 0.0:
        return math.nan
    loss = by_time["loss"] - by_time["loss"].iloc[0]
    return float(max(loss.max(), 0.0) / by_time["nav"].iloc[0])
