"""What pools and liquidity providers lived through: result, price error, markout, depeg.

The result of a pool splits into fees - loss versus rebalancing + inventory (Milionis et al. 2022),
where inventory is what the reserves would have gained had they been rebalanced without cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.reading import load_run
from analysis.series import codes, frame_of, growth, since, value_at, wide
from analysis.setting import setting_of
from sim.units import HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from analysis.setting import Setting


class Episode(NamedTuple):
    """A depeg, seconds since the start of the run."""

    start: float
    end: float


def measures(folder: Path | str) -> dict[str, pd.DataFrame]:
    """Return what is measured of liquidity in a run folder, as data frames by name.

    `pools`, `searchers`, `lps` (see `analysis.microstructure`), `reserves`,
    `collateral_velocity` and `liquidation_distance` (see `analysis.funding_liquidity`), and `depth`
    (index time and venue, one column a move, USD)

    Raises
    ------
    analysis.reading.RunFolderError
        The folder is not a whole run.
    """
    run = load_run(folder)
    return measures_of(run.frames, setting_of(run.manifest))


def measures_of(tables: Mapping[str, pd.DataFrame], setting: Setting) -> dict[str, pd.DataFrame]:
    """Return what `measures` does, from record tables; absent and empty ones are allowed."""
    from analysis import funding_liquidity, microstructure  # they build on this module

    markets, depth = frame_of(tables, "lending"), frame_of(tables, "depth")
    depth = depth.assign(venue=depth["venue"].astype(str))
    return {
        "pools": microstructure.pool_table(tables, setting),
        "searchers": microstructure.searcher_table(tables, setting),
        "lps": microstructure.lp_outcomes(tables, setting),
        "reserves": funding_liquidity.reserve_table(tables, setting),
        "collateral_velocity": funding_liquidity.collateral_velocity(markets, setting.assets),
        "liquidation_distance": funding_liquidity.liquidation_distance(
            frame_of(tables, "positions")
        ),
        "depth": depth.pivot_table("usd", ["time", "venue"], "move"),
    }


def pool_results(pools: pd.DataFrame, fills: pd.DataFrame, start: float) -> pd.DataFrame:
    """Return the result of each pool since a time, split, through time.

    Inventory is what is left of the change in value where nobody added or removed liquidity, which
    makes the split exact. Elsewhere it is the sum over samples of reserves times price changes.

    Parameters
    ----------
    pools, fills : record tables of the whole run
    start : seconds; all components are 0 there

    Returns
    -------
    DataFrame with the columns time (s), venue and, in USD, value, fees, lvr, inventory and total =
    fees - lvr + inventory; pools of a pair without two reference prices are left out
    """
    flowing = set(liquidity_fills(fills, pools)["venue"].astype(str))
    parts = []
    for venue, pool in pools.groupby(pools["venue"].astype(str)):
        if (pool["reference_price"] > 0.0).all():
            parts.append(_pool_result(str(venue), pool, start, has_flows=venue in flowing))
    if parts:
        return pd.concat(parts, ignore_index=True)
    names = ("time", "venue", "value", "fees", "lvr", "inventory", "total")
    return pd.DataFrame({name: pd.Series(dtype=float) for name in names})


def _pool_result(venue: str, pool: pd.DataFrame, start: float, has_flows: bool) -> pd.DataFrame:
    pool = pool.sort_values("time")
    pool = pool.iloc[max(int((pool["time"] <= start).sum()) - 1, 0) :]  # from the sample at `start`
    fees, lvr, value = (
        (pool[name] - pool[name].iloc[0]).to_numpy()
        for name in ("fees_usd", "lvr_usd", "value_usd")
    )
    inventory = _sampled_inventory(pool) if has_flows else value - fees + lvr
    return pd.DataFrame(
        {
            "time": pool["time"].to_numpy(),
            "venue": venue,
            "value": pool["value_usd"].to_numpy(),
            "fees": fees,
            "lvr": lvr,
            "inventory": inventory,
            "total": fees - lvr + inventory,
        }
    )


def _sampled_inventory(pool: pd.DataFrame) -> NDArray[np.float64]:
    """Return the running sum of reserves at the last sample times price changes since, USD."""
    reserve0, reserve1 = pool["reserve0"].to_numpy(), pool["reserve1"].to_numpy()
    ratio = pool["reference_price"].to_numpy()
    whole = reserve0 * ratio + reserve1
    price1 = np.divide(pool["value_usd"].to_numpy(), whole, np.zeros_like(whole), where=whole > 0)
    gains = reserve0[:-1] * np.diff(ratio * price1) + reserve1[:-1] * np.diff(price1)
    return np.concatenate([[0.0], np.cumsum(gains)])


def liquidity_fills(fills: pd.DataFrame, pools: pd.DataFrame) -> pd.DataFrame:
    """Return the fills that added liquidity to pools, removed it or collected its fees."""
    done = pool_fills(fills, pools)
    return done[~_is_swap(done)]


def swap_fills(fills: pd.DataFrame, pools: pd.DataFrame) -> pd.DataFrame:
    """Return the swaps executed in pools."""
    done = pool_fills(fills, pools)
    return done[_is_swap(done)]


def pool_fills(fills: pd.DataFrame, pools: pd.DataFrame) -> pd.DataFrame:
    """Return the fills executed in pools."""
    venues = set(pools["venue"].astype(str).unique())
    return fills[(fills["status"] == "OK") & fills["venue"].isin(venues)]


def _is_swap(fills: pd.DataFrame) -> pd.Series[bool]:
    kinds = fills["kind"].astype("category")  # a verb is looked at once, not once a fill
    swaps = [kind for kind in kinds.cat.categories if str(kind).rpartition(".")[2] == "swap"]
    return kinds.isin(swaps)


def price_errors(pools: pd.DataFrame) -> pd.DataFrame:
    """Return ln(pool price / reference price), a fraction, at each sample; one column a pool.

    Pools of a pair without two reference prices are left out.
    """
    known = pools[(pools["reference_price"] > 0.0) & (pools["price"] > 0.0)]
    return wide(
        known.assign(error=np.log(known["price"] / known["reference_price"])), "venue", "error"
    )


def markout(
    swaps: pd.DataFrame, prices: pd.DataFrame, assets: Mapping[str, str], horizon: float
) -> NDArray[np.float64]:
    """Return what each swap had earned the pool after a time, USD, its fee included.

    amount_in x P_in(t + horizon) - amount_out x P_out(t + horizon) at reference prices, linear
    between samples; NaN where a token has no price or the run ends before.

    Parameters
    ----------
    swaps : fills, from `swap_fills`
    prices : record table
    assets : asset whose price a token has, by token as `chain/symbol`
    horizon : seconds
    """
    gain = np.zeros(len(swaps))
    later = swaps["time"].to_numpy(float) + horizon
    series = {str(name): one for name, one in prices.groupby(prices["asset"].astype(str))}
    for side, sign in (("in", 1.0), ("out", -1.0)):
        price = np.full(len(swaps), np.nan)
        tokens, column = codes(swaps[f"token_{side}"])
        for k, token in enumerate(tokens):
            one = series.get(assets.get(token, ""))
            if one is not None:
                here = column == k
                price[here] = np.interp(
                    later[here], one["time"], one["reference"], left=np.nan, right=np.nan
                )
        gain += sign * swaps[f"amount_{side}"].to_numpy(float) * price
    return gain


def markout_share(swaps: pd.DataFrame, gains: NDArray[np.float64]) -> float:
    """Return markout as a fraction of the value swapped; NaN when no swap has one."""
    has_price = ~np.isnan(gains)
    volume = float(swaps["value_in"].to_numpy(float)[has_price].sum())
    return float(gains[has_price].sum()) / volume if volume > 0.0 else float("nan")


def depeg_episodes(times: Any, depeg: Any) -> list[Episode]:
    """Return when a price was off its par.

    A depeg starts when the price stays beyond 50 bp for 10 minutes and ends when it then stays
    within 20 bp for an hour; one that does not end lasts until the last sample.

    Parameters
    ----------
    times : float64, (n,), seconds, ascending
    depeg : float64, (n,), price / par - 1
    """
    at, size = np.asarray(times, float), np.abs(np.asarray(depeg, float))
    starts = _lasting(at, size > 0.005, 10 * MINUTE)
    ends = _lasting(at, size < 0.002, HOUR)
    episodes: list[Episode] = []
    after = -np.inf
    for start in starts:
        if start < after:
            continue
        later = ends[ends > start]
        after = float(later[0]) if len(later) else np.inf
        episodes.append(Episode(float(start), min(after, float(at[-1]))))
    return episodes


def _lasting(
    times: NDArray[np.float64], holds: NDArray[np.bool_], seconds: float
) -> NDArray[np.float64]:
    """Return the starts of the stretches in which a condition holds for so long or longer."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]]).astype(int)))
    first, last = edges[::2], edges[1::2] - 1
    return times[first[times[last] - times[first] >= seconds]]


def depeg_summary(bridges: pd.DataFrame, start: float) -> dict[str, float]:
    """Return the largest depeg (fraction) and the minutes off par of the worst wrapped token."""
    off = wide(since(bridges, start), "venue", "depeg").dropna(axis=1, how="all")
    minutes = [
        sum(episode.end - episode.start for episode in depeg_episodes(off.index, off[name]))
        / MINUTE
        for name in off
    ]
    backing = wide(since(bridges, start), "venue", "backing_ratio")
    return {
        "depeg_max": float(off.abs().max().max()) if off.size else float("nan"),
        "depeg_minutes": max(minutes, default=float("nan")),
        "backing_ratio_min": float(backing.min().min()) if backing.size else float("nan"),
    }


def pool_summary(
    pools: pd.DataFrame, fills: pd.DataFrame, gas_usd: NDArray[np.float64], start: float
) -> dict[str, dict[str, float]]:
    """Return the quantities of each pool; names and units in `analysis.metrics.QUANTITIES`.

    Parameters
    ----------
    pools, fills : record tables of the whole run
    gas_usd : float64, (n_fills,), USD, gas of each fill
    start : time at which statistics start, seconds
    """
    results = pool_results(pools, fills, start)
    last = results.groupby("venue").last()
    first = results.groupby("venue").first()
    volume = growth(pools, "venue", "volume_usd", start)
    fees = growth(pools, "venue", "fees_usd", start)
    paid = liquidity_fills(fills.assign(gas_usd=gas_usd), pools)
    paid = since(paid, start)
    gas = paid.groupby(paid["venue"].astype(str))["gas_usd"].sum()
    errors = price_errors(since(pools, start))
    summary = {}
    for venue in volume.index:
        row = {"volume_usd": float(volume[venue]), "fees_usd": float(fees[venue])}
        row["lp_gas_usd"] = float(gas.get(venue, 0.0))
        if venue in last.index:
            lvr, value = float(last["lvr"][venue]), float(first["value"][venue])
            net = row["fees_usd"] - lvr - row["lp_gas_usd"]
            row |= {
                "lvr_usd": lvr,
                "inventory_usd": float(last["inventory"][venue]),
                "value_start_usd": value,
                "lp_net_return": net / value if value > 0.0 else float("nan"),
            }
        if venue in errors:
            row["price_error_abs_p99"] = float(errors[venue].abs().quantile(0.99))
        summary[str(venue)] = row
    return summary


def usd_of_gas(
    fills: pd.DataFrame, prices: pd.DataFrame, natives: Mapping[str, str]
) -> NDArray[np.float64]:
    """Return what the gas of each fill cost, USD at the reference price of its time.

    Parameters
    ----------
    fills, prices : record tables
    natives : asset whose price the native token of a chain has, by chain
    """
    usd = np.zeros(len(fills))
    chains, column = codes(fills["chain"])
    for k, chain in enumerate(chains):
        here, one = column == k, prices[prices["asset"] == natives.get(chain, "")]
        if len(one):
            price = value_at(one["time"], one["reference"], fills["time"].to_numpy(float)[here])
            usd[here] = fills["gas_paid"].to_numpy(float)[here] * np.nan_to_num(price)
    return usd
