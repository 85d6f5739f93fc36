"""What it costs to trade, how deep markets are, and what those who keep them in line earn.

Spreads and depth are measured against pools' own marginal prices, everything else against the
reference market. All are data frames, documented with their units in docs/definitions.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.liquidity import (
    markout,
    markout_share,
    pool_fills,
    pool_results,
    pool_summary,
    price_errors,
    swap_fills,
    usd_of_gas,
)
from analysis.series import frame_of, since, value_at
from sim.units import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analysis.setting import Setting

SEARCHERS = (
    *("arbitrageurs", "cycle_arbitrage", "cross_chain_arbitrage", "staking_arbitrageurs"),
    *("liquidators", "keepers"),
)  # kinds of populations that look for gains in what others do
_ONE_PERCENT = 0.01
_SUMMED = (
    *("value_start_usd", "volume_usd", "fees_usd", "lvr_usd", "inventory_usd", "lp_gas_usd"),
    "lp_net_return",
)


def effective_spreads(fills: pd.DataFrame, pools: pd.DataFrame) -> pd.DataFrame:
    """Return what each swap paid around the price before it, its fee included.

    Parameters
    ----------
    fills, pools : record tables of the whole run

    Returns
    -------
    the executed swaps with the column `effective_spread`, fraction: twice the distance of the
    execution price from the pool's marginal price before the swap
    """
    parts = []
    for venue, part in pool_fills(fills, pools).groupby("venue", observed=True):
        first = pools[pools["venue"] == venue].sort_values("time")
        done = part[part["price_after"] > 0.0].sort_values("fill_id")
        before = done["price_after"].shift()
        start = value_at(first["time"], first["price"], done["time"].head(1))
        before = before.fillna(float(start[0]) if len(start) else np.nan)
        parts.append(done.assign(before=before))
    if not parts:
        return swap_fills(fills, pools).assign(effective_spread=np.zeros(0))
    swaps = swap_fills(pd.concat(parts), pools)
    paid0 = swaps["detail"] == 0
    amount0 = swaps["amount_in"].where(paid0, swaps["amount_out"])
    amount1 = swaps["amount_out"].where(paid0, swaps["amount_in"])
    execution = amount1 / amount0.where(amount0 > 0.0)
    return swaps.assign(effective_spread=2.0 * (execution / swaps["before"] - 1.0).abs())


def mean_spread(spreads: pd.DataFrame) -> float:
    """Return the mean effective spread, weighted by the USD paid in; NaN where nobody swapped."""
    known = spreads.dropna(subset="effective_spread")
    volume = float(known["value_in"].sum())
    total = float((known["effective_spread"] * known["value_in"]).sum())
    return total / volume if volume > 0.0 else float("nan")


def depth_medians(depth: pd.DataFrame) -> pd.DataFrame:
    """Return the median depth of each pool, USD; index venue, one column a move (fraction)."""
    named = depth.assign(venue=depth["venue"].astype(str))
    return named.pivot_table("usd", "venue", "move", aggfunc="median")


def capital_efficiency(depth: pd.DataFrame, pools: pd.DataFrame) -> pd.Series[float]:
    """Return the depth at 1 % of each pool over that of a constant product pool of its value.

    Both sides together, median over samples; 1 for a constant product pool. The reserves of such a
    pool are half its value each, and change by the square root of the price.
    """
    near = depth[depth["move"].abs() == _ONE_PERCENT]
    found = near.assign(venue=near["venue"].astype(str)).groupby(["time", "venue"])["usd"].sum()
    value = pools.assign(venue=pools["venue"].astype(str)).set_index(["time", "venue"])["value_usd"]
    up, down = np.sqrt(1.0 + _ONE_PERCENT) - 1.0, 1.0 / np.sqrt(1.0 - _ONE_PERCENT) - 1.0
    plain = 0.5 * value * (up + down)
    ratio: pd.Series[float] = found / plain.where(plain > 0.0).reindex(found.index)
    return pd.Series(ratio.groupby("venue").median())


def pool_table(tables: Mapping[str, pd.DataFrame], setting: Setting) -> pd.DataFrame:
    """Return one row a pool: what it earned, what it cost to trade, how deep it was.

    Columns: value_start_usd, volume_usd, fees_usd, lvr_usd, inventory_usd, il_usd, lp_gas_usd
    (USD); lp_net_return, hold_return, usd_return, markout_5m, markout_1h, price_error_p50,
    price_error_abs_p99, effective_spread (fractions); turnover (1/day); capital_efficiency;
    depth_up_1 … depth_down_5 (USD).
    """
    fills, pools, prices = (frame_of(tables, name) for name in ("fills", "pools", "prices"))
    start = setting.warmup
    gas = usd_of_gas(fills, prices, setting.natives)
    found = pool_summary(pools, fills, gas, start)
    rows = pd.DataFrame.from_dict(found, orient="index", columns=_SUMMED, dtype=float)
    rows = rows.rename_axis("venue")
    rows = rows.join(_returns(tables, setting)).join(_marks(tables, setting))
    errors = price_errors(since(pools, start))
    rows["price_error_p50"] = errors.median()
    rows["price_error_abs_p99"] = errors.abs().quantile(0.99)
    spreads = since(effective_spreads(fills, pools), start)
    rows["effective_spread"] = pd.Series(
        {str(k): mean_spread(part) for k, part in spreads.groupby("venue", observed=True)},
        dtype=float,
    )
    recent, later = since(frame_of(tables, "depth"), start), since(pools, start)
    days = max(float(pools["time"].max()) - start, 0.0) / DAY if len(pools) else 0.0
    value = later.groupby(later["venue"].astype(str))["value_usd"].mean()
    rows["turnover"] = rows["volume_usd"] / (value * days).where(value * days > 0.0)
    rows["capital_efficiency"] = capital_efficiency(recent, later)
    named = {
        move: f"depth_{'up' if move > 0.0 else 'down'}_{abs(move) * 100:g}"
        for move in sorted(set(recent["move"].tolist()))
    }
    return rows.join(depth_medians(recent).rename(columns=named))


def _returns(tables: Mapping[str, pd.DataFrame], setting: Setting) -> pd.DataFrame:
    """Return impermanent loss, and returns in USD and against holding, of each pool.

    Only of pools from which nobody took liquidity, nor added any.
    """
    pools, fills = frame_of(tables, "pools"), frame_of(tables, "fills")
    results = pool_results(pools, fills, setting.warmup)
    swaps = set(swap_fills(fills, pools).index)
    moved = pool_fills(fills, pools)
    flowing = set(moved[~moved.index.isin(swaps)]["venue"].astype(str))
    found = {}
    for venue, path in results.groupby("venue"):
        pool = pools[(pools["venue"] == venue) & pools["time"].isin(path["time"])]
        value = float(path["value"].iloc[0])
        if venue in flowing or not value > 0.0:
            continue
        first, last, end = pool.iloc[0], pool.iloc[-1], path.iloc[-1]
        unit = last["value_usd"] / (last["reserve0"] * last["reference_price"] + last["reserve1"])
        hold = (first["reserve0"] * last["reference_price"] + first["reserve1"]) * unit - value
        gain = float(end["inventory"] - end["lvr"])
        found[str(venue)] = {
            "il_usd": hold - gain,
            "usd_return": float(end["total"]) / value,
            "hold_return": hold / value,
        }
    columns = ("il_usd", "usd_return", "hold_return")
    return pd.DataFrame.from_dict(found, orient="index", columns=columns)


def _marks(tables: Mapping[str, pd.DataFrame], setting: Setting) -> pd.DataFrame:
    swaps = since(swap_fills(frame_of(tables, "fills"), frame_of(tables, "pools")), setting.warmup)
    prices = frame_of(tables, "prices")
    found = {
        str(venue): {
            name: markout_share(part, markout(part, prices, setting.assets, seconds))
            for name, seconds in (("markout_5m", 5.0 * MINUTE), ("markout_1h", HOUR))
        }
        for venue, part in swaps.groupby("venue", observed=True)
    }
    return pd.DataFrame.from_dict(found, orient="index", columns=("markout_5m", "markout_1h"))


def searcher_table(tables: Mapping[str, pd.DataFrame], setting: Setting) -> pd.DataFrame:
    """Return what each population of searchers gained, fill by fill at reference prices.

    Index population; columns kind, n_filled, n_failed, gross_usd (value received less value given,
    costs of the reference market among it), gas_usd (fees and bids, of failed orders too),
    profit_usd = gross_usd - gas_usd, gas_share = gas_usd / gross_usd (NaN where nothing was gained)
    """
    fills = frame_of(tables, "fills")
    gas = usd_of_gas(fills, frame_of(tables, "prices"), setting.natives)
    fills = since(fills.assign(gas_usd=gas), setting.warmup)
    rows = {}
    for name, kind in setting.kinds.items():
        own = fills[fills["population"] == name] if kind in SEARCHERS else fills[:0]
        if not len(own):
            continue
        is_ok = own["status"] == "OK"
        priced = own[is_ok & (own["value_in"] > 0.0) & (own["value_out"] > 0.0)]
        gross = float((priced["value_out"] - priced["value_in"]).sum())
        paid = float(own["gas_usd"].sum())
        rows[name] = {
            "kind": kind,
            "n_filled": int(is_ok.sum()),
            "n_failed": int((~is_ok).sum()),
            "gross_usd": gross,
            "gas_usd": paid,
            "profit_usd": gross - paid,
            "gas_share": paid / gross if gross > 0.0 else float("nan"),
        }
    columns = ("kind", "n_filled", "n_failed", "gross_usd", "gas_usd", "profit_usd", "gas_share")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.rename_axis("population")


def lp_outcomes(tables: Mapping[str, pd.DataFrame], setting: Setting) -> pd.DataFrame:
    """Return what each liquidity provider made of what it had at the start.

    Columns population, account, value_start, value_end (USD, all it holds, wallet included);
    usd_return = value_end / value_start - 1, and hold_return, what its first holdings would have
    returned; lp_return = usd_return - hold_return: fees less impermanent loss; fractions. Gas is
    paid out of what it holds. Providers who held nothing are left out.
    """
    equity = frame_of(tables, "equity")
    names = [name for name, kind in setting.kinds.items() if kind == "liquidity_providers"]
    mine = equity[(equity["account"] >= 0) & equity["population"].isin(names)]
    mine = mine.assign(population=mine["population"].astype(str)).sort_values("time")
    key = ["population", "account"]
    ends = mine.groupby(key).agg(
        value_start=("value", "first"),
        value_end=("value", "last"),
        holding_gain=("holding_gain", "last"),
        trading_gain=("trading_gain", "last"),
    )
    ends = ends[ends["value_start"] > 0.0].reset_index()
    ends["usd_return"] = ends["value_end"] / ends["value_start"] - 1.0
    ends["hold_return"] = ends.pop("holding_gain") / ends["value_start"]
    ends["lp_return"] = ends.pop("trading_gain") / ends["value_start"]
    return ends
