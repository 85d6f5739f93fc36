"""Expected against simulated: quantities of shipped scenarios over seeds, misses included.

`python -m experiments.expected SCENARIO --seeds 20 [--set PATH=VALUE ...]` prints the table that
docs/expected.md shows. What was expected was written down before the scenario ran; a row without a
range states what came out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from experiments.running import RunResult, run
from experiments.scenario import load_scenario
from sim.units import DAY, GWEI, HOUR

if TYPE_CHECKING:
    import pandas as pd

_BIN_SECONDS = 600.0
_EXPLOIT_AT = 2.0 * HOUR


class Row(NamedTuple):
    """A quantity of a run, and what it was expected to be."""

    name: str
    unit: str
    compute: Callable[[RunResult], float]
    low: float | None  # None: no bound
    high: float | None
    source: str


# --- black-thursday ------------------------------------------------------------------------------


def liquidated_share(result: RunResult, *, venue: str, until: float = np.inf) -> float:
    """Return the debt liquidated before a time over the debt of the start, %."""
    done = result.tables["liquidations"]
    done = done[(done["venue"] == venue) & (done["time"] < until)]
    held = result.tables["positions"]
    held = held[held["venue"] == venue]
    start = held.loc[held["time"] == held["time"].min(), "debt"].sum()
    return float(100.0 * done["debt_usd"].sum() / start)


def seized(result: RunResult, *, until: float) -> float:
    """Return the collateral that mainnet liquidators took before a time, million USD."""
    done = result.tables["liquidations"]
    is_there = done["venue"].isin(["cdp", "pool-lending"]) & (done["time"] < until)
    return float(done.loc[is_there, "seized_usd"].sum() / 1e6)


def pool_gap(result: RunResult, *, first: float, last: float) -> float:
    """Return the largest gap of a mainnet ether pool to the reference between two hours, %."""
    pools = result.tables["pools"]
    pools = pools[pools["venue"].isin(["eth-dai", "eth-usdc"])]
    pools = pools[pools["time"].between(first * HOUR, last * HOUR)]
    return float(100.0 * np.abs(np.log(pools["price"] / pools["reference_price"])).max())


def fano(result: RunResult) -> float:
    """Return variance over mean of liquidations per ten minutes; 1 where they come at random."""
    done = result.tables["liquidations"]
    end = float(result.tables["prices"]["time"].max())
    counts = np.histogram(done["time"], np.arange(6.0 * HOUR, end + 1.0, _BIN_SECONDS))[0]
    return float(counts.var() / counts.mean()) if counts.sum() else float("nan")


def _hourly_volatility(result: RunResult) -> pd.Series[float]:
    prices = result.tables["prices"]
    ether = prices[prices["asset"] == "ETH"].set_index("time")["reference"]
    squares: pd.Series[float] = np.log(ether).diff() ** 2
    return squares.groupby(ether.index // HOUR).sum() ** 0.5


def volume_with_volatility(result: RunResult) -> float:
    """Return the rank correlation of hourly pool volume with realized volatility."""
    pools = result.tables["pools"]
    total = pools.groupby("time", observed=True)["volume_usd"].sum().diff().clip(lower=0.0)
    hourly = total.groupby(total.index // HOUR).sum()
    return float(hourly.corr(_hourly_volatility(result), method="spearman"))


def _gas_price(result: RunResult) -> pd.Series[float]:
    chains = result.tables["chains"]
    chains = chains[chains["chain"] == "mainnet"]
    return chains.groupby(chains["time"] // HOUR)["gas_price_p60"].median()


def gas_with_volatility(result: RunResult) -> float:
    """Return the rank correlation of the hourly gas price with realized volatility."""
    return float(_gas_price(result).corr(_hourly_volatility(result), method="spearman"))


def gas_price_peak(result: RunResult) -> float:
    """Return the largest hourly gas price of 12 March, gwei."""
    return float(_gas_price(result).loc[:23].max() / GWEI)


def delay_of(result: RunResult, *, venue: str) -> float:
    """Return the median time from unsafe at reference prices to the liquidation, min."""
    done = result.tables["liquidations"]
    return float(done.loc[done["venue"] == venue, "delay"].median() / 60.0)


def _of_summary(result: RunResult, *, name: str, times: float = 1.0) -> float:
    value = result.summary[name]
    return float("nan") if value is None else times * float(value)


def losses_over_fees(result: RunResult) -> float:
    """Return loss versus rebalancing over fees."""
    return float(result.summary["lvr_usd"] / result.summary["fees_usd"])


_TARGET = "calibration target, in sample"
_SIGN = "sign"
_BLACK_THURSDAY = (
    Row(
        "M1 (`cdp`): debt liquidated on 12 March",
        "%",
        partial(liquidated_share, venue="cdp", until=DAY),
        5,
        12,
        _TARGET,
    ),
    Row(
        "M1: debt liquidated in 48 h",
        "%",
        partial(liquidated_share, venue="cdp"),
        None,
        None,
        "mechanical, undefended: 42.5",
    ),
    Row(
        "M2 (`pool-lending`): debt liquidated on 12 March",
        "%",
        partial(liquidated_share, venue="pool-lending", until=DAY),
        15,
        30,
        _TARGET,
    ),
    Row(
        "M2: debt liquidated in 48 h",
        "%",
        partial(liquidated_share, venue="pool-lending"),
        None,
        None,
        "mechanical, undefended: 67",
    ),
    Row(
        "collateral liquidated on 12 March",
        "m USD",
        partial(seized, until=DAY),
        16,
        30,
        "P: 23, of all lenders; ± 30 % GUESS",
    ),
    Row(
        "largest bad debt over debt",
        "%",
        partial(_of_summary, name="bad_debt_share_peak", times=100.0),
        0,
        0.1,
        "mechanical check",
    ),
    Row(
        "largest pool gap, 10:40 to 11:10",
        "%",
        partial(pool_gap, first=10.67, last=11.17),
        5,
        15,
        "GUESS",
    ),
    Row(
        "largest pool gap, 23:20 to 02:40",
        "%",
        partial(pool_gap, first=23.33, last=26.67),
        5,
        15,
        "GUESS",
    ),
    Row(
        "highest hourly gas price of 12 March",
        "gwei",
        gas_price_peak,
        150,
        230,
        "D: 191; an input, in sample",
    ),
    Row("Fano factor of liquidations by 10 min", "1", fano, 1, None, _SIGN),
    Row("loss versus rebalancing over fees", "1", losses_over_fees, 1, None, _SIGN),
    Row(
        "rank correlation of hourly volume and volatility",
        "1",
        volume_with_volatility,
        0,
        None,
        _SIGN,
    ),
    Row(
        "rank correlation of hourly gas price and volatility",
        "1",
        gas_with_volatility,
        0,
        None,
        _SIGN + "; background by the hour is an input",
    ),
    Row(
        "median delay of liquidation, M1, oracle an hour late",
        "min",
        partial(delay_of, venue="cdp"),
        60,
        None,
        _SIGN,
    ),
    Row(
        "median delay of liquidation, M2",
        "min",
        partial(delay_of, venue="pool-lending"),
        None,
        60,
        _SIGN,
    ),
    Row(
        "largest depeg of wrapped DAI",
        "%",
        partial(_of_summary, name="depeg_max", times=100.0),
        0.5,
        None,
        _SIGN,
    ),
)


# --- bridge-exploit ------------------------------------------------------------------------------


def _market(result: RunResult, tokens: Sequence[str]) -> pd.DataFrame:
    rows = result.tables["lending"]
    short = rows["token"].astype(str).str.rpartition("/")[2]
    return rows[(rows["venue"] == "market-a") & short.isin(list(tokens))].assign(short=short)


def _total(result: RunResult, tokens: Sequence[str], column: str, hours: float) -> float:
    rows = _market(result, tokens)
    times = rows["time"].unique()
    at = times[np.abs(times - _EXPLOIT_AT - hours * HOUR).argmin()]
    rows = rows[rows["time"] == at]
    return float((rows[column] * rows["oracle_price"]).sum() / 1e9)


def ether_full_after(result: RunResult) -> float:
    """Return the time from the exploit to a utilization of 99.9 % of ether, h; inf: never."""
    rows = _market(result, ["ETH"])
    full = rows.loc[(rows["utilization"] >= 0.999) & (rows["time"] > _EXPLOIT_AT), "time"]
    return float((full.min() - _EXPLOIT_AT) / HOUR) if len(full) else float("inf")


_DOLLARS = ("USDC", "USDT", "OTHER")
_LENT = ("ETH", *_DOLLARS)


def dollars_gone(result: RunResult) -> float:
    """Return the fall of dollars that can be withdrawn within 29 h, billion USD."""
    return _total(result, _DOLLARS, "cash", -0.1) - _total(result, _DOLLARS, "cash", 29.0)


def withdrawn(result: RunResult, *, hours: float) -> float:
    """Return the fall of what is supplied on chain A, ether and dollars, billion USD."""
    return _total(result, _LENT, "supplied", -0.1) - _total(result, _LENT, "supplied", hours)


def highest_rate(result: RunResult, *, column: str) -> float:
    """Return the highest rate of USDC and USDT, % a year."""
    return float(100.0 * _market(result, ["USDC", "USDT"])[column].max())


def hours_full(result: RunResult) -> float:
    """Return the time that USDC spends at 99.9 % or more, h."""
    rows = _market(result, ["USDC"])
    step = float(np.median(np.diff(rows["time"])))
    return float((rows["utilization"] >= 0.999).sum() * step / HOUR)


def _bridge_exploit(expected: float) -> tuple[Row, ...]:
    low, high = 0.75 * expected, 1.25 * expected
    reported = "P; ± 25 %"
    bad = partial(_of_summary, name="bad_debt_end", times=1e-6)
    peak = partial(_of_summary, name="bad_debt_peak", times=1e-6)
    return (
        Row("bad debt at the end", "m USD", bad, low, high, f"P: {expected:g} ± 25 %"),
        Row("largest bad debt", "m USD", peak, None, None, "-"),
        Row("ether fully lent out after", "h", ether_full_after, 1.05, 1.75, reported + " of 1.4"),
        Row(
            "dollars that can be withdrawn fall within 29 h by",
            "bn USD",
            dollars_gone,
            3.0,
            5.0,
            reported + " of 4.0",
        ),
        Row(
            "withdrawn in a day",
            "bn USD",
            partial(withdrawn, hours=24.0),
            4.95,
            8.25,
            reported + " of 6.6",
        ),
        Row(
            "withdrawn until the end",
            "bn USD",
            partial(withdrawn, hours=69.9),
            6.3,
            10.6,
            reported + " of 8.45",
        ),
        Row(
            "highest borrow rate of dollars",
            "% a year",
            partial(highest_rate, column="borrow_rate"),
            11,
            19,
            reported + " of 15; slopes of 2025",
        ),
        Row("USDC at 99.9 %", "h", hours_full, 48, 72, "P: four days, longer than the run"),
    )


ROWS: Mapping[str, tuple[Row, ...]] = {
    "black-thursday": _BLACK_THURSDAY,
    "bridge-exploit": _bridge_exploit(230.1),
    "bridge-exploit uniform": _bridge_exploit(123.7),
}


# --- seeds and table -----------------------------------------------------------------------------


def values_of(seed: int, *, name: str, overrides: Sequence[str] = ()) -> list[float]:
    """Run one seed and return the quantities of its rows; `name`: a key of `ROWS`."""
    result = run(load_scenario(name.split(maxsplit=1)[0], list(overrides)), seed)
    return [row.compute(result) for row in ROWS[name]]


def verdict(row: Row, mean: float) -> str:
    """Return whether a mean lies within what was expected."""
    if row.low is None and row.high is None:
        return "-"
    is_low = row.low is not None and mean < row.low
    is_high = row.high is not None and mean > row.high
    return "miss" if is_low or is_high or not np.isfinite(mean) else "as expected"


def _range(row: Row) -> str:
    if row.low is None:
        return "-" if row.high is None else f"below {row.high:g}"
    return f"above {row.low:g}" if row.high is None else f"{row.low:g} to {row.high:g}"


def table(rows: Sequence[Row], values: np.ndarray) -> str:
    """Return the Markdown table; `values`: float64, (n_seeds, n_rows)."""
    lines = [
        "| quantity | unit | expected | mean | standard error | smallest | largest | | source |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row, found in zip(rows, values.T, strict=True):
        mean, count = float(found.mean()), len(found)
        error = float(found.std(ddof=1) / count**0.5) if count > 1 else float("nan")
        shown = " | ".join(f"{x:.3g}" for x in (mean, error, found.min(), found.max()))
        lines.append(
            f"| {row.name} | {row.unit} | {_range(row)} | {shown} | {verdict(row, mean)} "
            f"| {row.source} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of a scenario."""
    parser = argparse.ArgumentParser(prog="experiments.expected", description=__doc__)
    parser.add_argument("scenario", choices=sorted(ROWS))
    parser.add_argument("--seeds", type=int, default=20, help="seeds 1 to N")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    given = parser.parse_args(arguments)
    overrides = list(given.overrides)
    if given.scenario.endswith(" uniform"):
        overrides.append("venues.bridge.loss_allocation=uniform")
    one = partial(values_of, name=given.scenario, overrides=overrides)
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        values = np.array(list(pool.map(one, range(1, given.seeds + 1))), float)
    sys.stdout.write(table(ROWS[given.scenario], values) + "\n")


if __name__ == "__main__":
    main()
