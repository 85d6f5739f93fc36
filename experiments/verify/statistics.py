"""What is taken from a run of a base scenario: numbers by name, for all rows that need them.

A statistic is a function of a finished run. Each is taken once from every run of its base, so that
rows share runs; what a row makes of them is in `rows_b`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from analysis.liquidity import price_errors
from analysis.microstructure import lp_outcomes
from analysis.series import measured
from analysis.setting import setting_of
from analysis.stylized_facts import table_of
from sim.units import DAY, HOUR

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from experiments.running import RunResult

Statistics = dict[str, float]
_FORGERY = 2.0 * HOUR  # of `bridge-exploit`
_LATER = 600.0  # s after a sale at which its impact is looked at again
_BLOCKS = 2.0 * 13.1  # s, two mean blocks of the mainnet of `black-thursday`
FULL_RANGE, RANGES = "constant_product", "concentrated_liquidity"


def statistics_of(result: RunResult) -> Statistics:
    """Return every number that rows take from a run, stylized facts included."""
    base = str(result.manifest["scenario"]["name"])
    found = dict(_OF_BASE[base](result))
    facts = table_of(result.tables, setting_of(result.manifest))["value"]
    return found | {f"fact {name}": float(value) for name, value in facts.items()}


def _populations(result: RunResult, kind: str) -> list[str]:
    people = result.manifest["scenario"]["populations"]
    return [name for name, one in people.items() if one["kind"] == kind]


def _venues(result: RunResult, kind: str) -> list[str]:
    venues = result.manifest["scenario"]["venues"]
    return [name for name, one in venues.items() if one["kind"] == kind]


def _done(result: RunResult) -> pd.DataFrame:
    """Return the fills that were executed after the warm-up."""
    fills = measured(result.tables["fills"], float(result.manifest["scenario"]["warmup"]))
    return fills[fills["status"] == "OK"]


# --- a quiet day ---------------------------------------------------------------------------------


def _quiet(result: RunResult) -> Statistics:
    fills = _done(result)
    swaps = fills[fills["kind"].astype(str).str.endswith(".swap") & (fills["venue"] == "eth-usd")]
    mine = swaps[swaps["population"].astype(str).isin(_populations(result, "arbitrageurs"))]
    by_account = mine.groupby("account")["value_in"].sum()
    volume, theirs = float(swaps["value_in"].sum()), float(mine["value_in"].sum())
    pools = measured(result.tables["pools"], float(result.manifest["scenario"]["warmup"]))
    fee = float(result.manifest["scenario"]["venues"]["eth-usd"]["fee"])
    errors = price_errors(pools)["eth-usd"].dropna().abs()
    return {
        "arbitrage_gain": float((mine["value_out"] - mine["value_in"]).sum()),
        "arbitrage_share": theirs / volume,
        "top_three": float(by_account.nlargest(3).sum()) / theirs,
        "inside": float((errors <= fee).mean()),
    }


# --- a crash -------------------------------------------------------------------------------------


def _crash(result: RunResult) -> Statistics:
    return {
        **_pool_outcomes(result),
        **_provider_outcomes(result),
        **_liquidation_outcomes(result),
        **_sale_impact(result),
        "bad_debt_share": float(result.summary["bad_debt_share_peak"]),
        "premium": _premium(result),
    }


def _pool_outcomes(result: RunResult) -> Statistics:
    """Return how ether pools did: share of losers, and full range against ranges."""
    pools = measured(result.tables["pools"], float(result.manifest["scenario"]["warmup"]))
    kinds = dict.fromkeys(_venues(result, FULL_RANGE), FULL_RANGE)
    kinds |= dict.fromkeys(_venues(result, RANGES), RANGES)
    losing, returns = [], {FULL_RANGE: [], RANGES: []}  # type: ignore[var-annotated]
    for venue, path in pools.groupby(pools["venue"].astype(str)):
        if not str(venue).removeprefix("side-").startswith("eth-"):
            continue
        fees, loss = (float(np.ptp(path[name])) for name in ("fees_usd", "lvr_usd"))
        losing.append(loss > fees)
        returns[kinds[str(venue)]].append((fees - loss) / float(path["value_usd"].mean()))
    better = float(np.mean(returns[FULL_RANGE]) - np.mean(returns[RANGES]))
    return {"losing_pools": float(np.mean(losing)), "full_range_better": better}


def _provider_outcomes(result: RunResult) -> Statistics:
    """Return how providers of ranges did against holding."""
    people, ranges = result.manifest["scenario"]["populations"], _venues(result, RANGES)
    mine = [
        name
        for name in _populations(result, "liquidity_providers")
        if people[name]["pool"] in ranges and "eth" in people[name]["pool"]
    ]
    made = lp_outcomes(result.tables, setting_of(result.manifest))
    made = made[made["population"].isin(mine)]
    beyond = float((made["lp_return"] * made["value_start"]).sum())
    pools = result.tables["pools"]
    fees = sum(
        float(pools.loc[pools["venue"] == people[name]["pool"], "fees_usd"].max()) for name in mine
    )
    return {
        "below_holding": float((made["lp_return"] < 0.0).mean()),
        "fees_over_loss": fees / (fees - beyond),
    }


def _liquidation_outcomes(result: RunResult) -> Statistics:
    done = result.tables["liquidations"]
    done = done[done["venue"] == "pool-lending"]
    debts = result.tables["positions"]
    debts = debts[(debts["time"] == debts["time"].min()) & (debts["debt"] > 0.0)]
    near = debts[(debts["health_factor"] >= 1.0) & (debts["health_factor"] * 0.97 < 1.0)]
    middle = float(debts["debt"].median())
    large, small = debts[debts["debt"] >= middle], debts[debts["debt"] < middle]
    repaid = float(done["debt_usd"].sum())
    at_once = float(done.loc[done["delay"] <= _BLOCKS, "debt_usd"].sum())
    return {
        "immediate": at_once / repaid if repaid > 0.0 else math.nan,
        "liquidable": float(near["debt"].sum()),
        "leverage": _leverage(debts),
        "larger_higher": _leverage(large) - _leverage(small),
    }


def _leverage(debts: pd.DataFrame) -> float:
    """Return collateral over equity of all."""
    collateral = float(debts["collateral"].sum())
    return collateral / (collateral - float(debts["debt"].sum()))


def _premium(result: RunResult) -> float:
    """Return how far DAI is above a dollar in its pool on the first day."""
    pools = result.tables["pools"]
    mine = pools[(pools["venue"] == "dai-usdc") & (pools["time"] <= DAY)]
    return float(mine["price"].mean()) - 1.0


def _sale_impact(result: RunResult) -> Statistics:
    """Return how far liquidators' sales of ether move a pool off the reference, and for how long.

    The price before a sale is that after the last fill in the pool; the reference at a time is the
    last sample.
    """
    fills, names = _done(result), _populations(result, "liquidators")
    found = [
        _impact_in(fills, result.tables["pools"], venue, names) for venue in ("eth-dai", "eth-usdc")
    ]
    first, later, value = np.concatenate(found, axis=1)
    if not value.sum() > 0.0:
        return {"moved_first": math.nan, "reverted": math.nan}
    moved = float((first * value).sum() / value.sum())
    return {
        "moved_first": moved,
        "reverted": 1.0 - float((later * value).sum() / value.sum()) / moved,
    }


def _impact_in(
    fills: pd.DataFrame, pools: pd.DataFrame, venue: str, names: list[str]
) -> np.ndarray:
    """Return change of the log gap by each sale, the same ten minutes later, and its value."""
    trades = fills[(fills["venue"] == venue) & (fills["price_after"] > 0.0)]
    samples = pools[(pools["venue"] == venue) & (pools["reference_price"] > 0.0)]
    times, log_price = trades["time"].to_numpy(), np.log(trades["price_after"].to_numpy())
    known, reference = samples["time"].to_numpy(), np.log(samples["reference_price"].to_numpy())
    is_sale = trades["population"].astype(str).isin(names) & trades["token_in"].astype(
        str
    ).str.endswith("/ETH")
    rows = np.flatnonzero(is_sale.to_numpy())
    rows = rows[rows > 0]
    after = np.searchsorted(times, times[rows] + _LATER, side="right") - 1

    def gap(row: np.ndarray, time: np.ndarray) -> np.ndarray:
        at = np.maximum(np.searchsorted(known, time, side="right") - 1, 0)
        return np.asarray(log_price[row] - reference[at])

    now = times[rows]
    before = gap(rows - 1, now)
    value = trades["value_in"].to_numpy()[rows]
    return np.array([gap(rows, now) - before, gap(after, now + _LATER) - before, value])


# --- a run on lenders ----------------------------------------------------------------------------


def _run_on_lenders(result: RunResult) -> Statistics:
    done = result.tables["liquidations"]
    mine = done[done["venue"] == "market-a"]
    return {
        "liquidated": float(mine["debt_usd"].sum()),
        "bad_debt": float(result.summary["bad_debt_end"]) / 1e6,
        "full_after": _full_after(result),
        "dollars_gone": _dollars(result, -0.1) - _dollars(result, 29.0),
        "falls_more": _falls_more(result),
    }


def _full_after(result: RunResult) -> float:
    rows = result.tables["lending"]
    mine = rows[(rows["venue"] == "market-a") & (rows["token"].astype(str) == "a/ETH")]
    full = mine.loc[(mine["utilization"] >= 0.999) & (mine["time"] > _FORGERY), "time"]
    return float(full.min() - _FORGERY) / HOUR if len(full) else math.inf


def _dollars(result: RunResult, hours: float) -> float:
    """Return the dollars that can be withdrawn some hours after the forgery, billions."""
    rows = result.tables["lending"]
    token = rows["token"].astype(str)
    rows = rows[(rows["venue"] == "market-a") & token.isin(["a/USDC", "a/USDT", "a/OTHER"])]
    times = rows["time"].unique()
    at = times[np.abs(times - _FORGERY - hours * HOUR).argmin()]
    rows = rows[rows["time"] == at]
    return float((rows["cash"] * rows["oracle_price"]).sum()) / 1e9


_DERIVED = ("rsETH", "wrsETH", "LST")  # tokens that stand for ether held elsewhere


def _falls_more(result: RunResult) -> float:
    """Return the fall of all deposits less that of plain ones net of loans, billion USD."""
    rows = result.tables["lending"]
    price = rows["oracle_price"]
    plain = ~rows["token"].astype(str).str.rpartition("/")[2].isin(_DERIVED)
    rows = rows.assign(
        locked=rows["supplied"] * price, redeemable=(rows["cash"] * price).where(plain, 0.0)
    )
    totals = rows.groupby("time")[["locked", "redeemable"]].sum()
    falls = totals.iloc[0] - totals.iloc[-1]
    return float(falls["locked"] - falls["redeemable"]) / 1e9


_OF_BASE: Mapping[str, Callable[[RunResult], Statistics]] = {
    "quiet-market-real": _quiet,
    "black-thursday": _crash,
    "bridge-exploit": _run_on_lenders,
}
