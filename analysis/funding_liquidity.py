"""Whether lenders can be paid, how often collateral is counted, and what a price move would seize.

The liquidity coverage ratio is the Basel one by analogy: cash that is there, over the share of
deposits that leave under stress.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.lending import FULL, reserve_names
from analysis.series import frame_of, held_seconds, since, wide
from sim.units import HOUR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analysis.setting import Setting

RUN_OFF = 0.3  # share of deposits withdrawn under stress: a guess, to be stated with the ratio
FALLS = (0.01, 0.02, 0.05, 0.10, 0.20)  # of collateral against debt


def coverage_ratios(markets: pd.DataFrame, run_off: float = RUN_OFF) -> pd.DataFrame:
    """Return cash / (run_off x supplied) through time; one column a reserve as `venue token`.

    Parameters
    ----------
    markets : record table `lending`
    run_off : share of the deposits that are withdrawn under stress
    """
    lent = markets[markets["supplied"] > 0.0]
    ratio = lent["cash"] / (run_off * lent["supplied"])
    return wide(lent.assign(reserve=reserve_names(lent), ratio=ratio), "reserve", "ratio")


def reserve_table(tables: Mapping[str, pd.DataFrame], setting: Setting) -> pd.DataFrame:
    """Return one row a reserve of a lending market, `venue token`.

    Columns utilization_mean, utilization_max (fractions), hours_full (at 99.9 % or more), lcr_min
    and lcr_mean (liquidity coverage at a run-off of 30 %), supplied_usd and borrowed_usd at the
    end, at oracle prices
    """
    markets = since(frame_of(tables, "lending"), setting.warmup)
    named = markets.assign(
        reserve=reserve_names(markets),
        supplied_usd=markets["supplied"] * markets["oracle_price"],
        borrowed_usd=markets["borrowed"] * markets["oracle_price"],
    )
    used, covered = wide(named, "reserve", "utilization"), coverage_ratios(markets)
    last = named.groupby("reserve")[["supplied_usd", "borrowed_usd"]].last()
    full = {name: held_seconds(used.index, used[name] >= FULL) / HOUR for name in used}
    table = pd.DataFrame(
        {
            "utilization_mean": used.mean(),
            "utilization_max": used.max(),
            "hours_full": pd.Series(full, dtype=float),
            "lcr_min": covered.min(),
            "lcr_mean": covered.mean(),
        }
    )
    return table.join(last).rename_axis("reserve")


def collateral_velocity(markets: pd.DataFrame, assets: Mapping[str, str]) -> pd.DataFrame:
    """Return how often the tokens of an asset are counted as deposits; one column an asset.

    All deposits of its tokens over those that were not borrowed first, USD at oracle prices: 1
    without re-use, 1 / h where all is borrowed and deposited again with a haircut h. Tokens of one
    asset, such as ether and staked ether, count together.

    Parameters
    ----------
    markets : record table `lending`
    assets : asset whose price a token has, by token
    """
    price = markets["oracle_price"]
    named = markets.assign(
        asset=markets["token"].astype(str).map(assets),
        counted=markets["supplied"] * price,
        borrowed=markets["borrowed"] * price,
    )
    counted, borrowed = (
        named.pivot_table(value, "time", "asset", aggfunc="sum")
        for value in ("counted", "borrowed")
    )
    plain = counted - borrowed
    return (counted / plain.where(plain > 0.0)).dropna(axis=1, how="all")


def liquidation_distance(positions: pd.DataFrame) -> pd.DataFrame:
    """Return the debt (USD) that becomes liquidatable when collateral falls against debt.

    Of accounts that are safe now, at oracle prices; index time, one column a fall (fraction).

    Parameters
    ----------
    positions : record table
    """
    safe = positions[positions["health_factor"] >= 1.0]
    times = np.unique(positions["time"].to_numpy(float))
    found = {}
    for fall in FALLS:
        hit = safe[safe["health_factor"] * (1.0 - fall) < 1.0]
        found[fall] = hit.groupby("time")["debt"].sum().reindex(times).fillna(0.0)
    table = pd.DataFrame(found, index=pd.Index(times, name="time"), dtype=float)
    return table.rename_axis(columns="fall")
