"""A cascade as a sentence: trigger, liquidations, what they did to prices, the next trigger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.series import frame_of, value_at
from sim.units import HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

_MOST_WAVES = 5  # told; of longer stories the first ones and the last one
_LEAST_MOVE = 5e-4  # of a price, that is told
_ARROW = " \u2192 "


def story_of(
    number: int, row: pd.Series[Any], mine: pd.DataFrame, tables: Mapping[str, pd.DataFrame]
) -> str:
    """Return one cascade as a sentence.

    Parameters
    ----------
    number : of the cascade
    row : of the table of cascades
    mine : its liquidations, with the columns of `analysis.cause_graph` and `wave`
    tables : records
    """
    waves = [part for _, part in mine.groupby("wave")]
    waves.sort(key=lambda part: float(part["time"].min()))
    left_out = len(waves) - _MOST_WAVES if len(waves) > _MOST_WAVES + 1 else 0
    steps = []
    for k, wave in enumerate(waves):
        if left_out > 0 and k == _MOST_WAVES - 1:
            steps.append(f"{left_out} more waves")
        if left_out <= 0 or k < _MOST_WAVES - 1 or k == len(waves) - 1:
            end = float(waves[k + 1]["time"].min()) if k + 1 < len(waves) else float(row["end"])
            steps += [_trigger(wave, tables), _deeds(wave), *_moves(wave, end, tables)]
    return f"{number}. {_ARROW.join(step for step in steps if step)}. {_result(row)}"


def _result(row: pd.Series[Any]) -> str:
    share = 100.0 * float(row["endogenous_usd"]) / max(float(row["debt_usd"]), 1e-300)
    depth = int(row["depth"])
    return (
        f"In all {_count(row['n_liquidations'], 'liquidation')} of {_money(row['debt_usd'])} in "
        f"{_span(float(row['duration']))} on {row['chains']}, {_count(depth, 'generation')} deep; "
        f"{share:.0f} % of the debt by other liquidations, amplification "
        f"{float(row['amplification']):.2f}."
    )


def _trigger(wave: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> str:
    """Return what made the accounts of a wave unsafe, and when."""
    number, first = int(wave["trigger"].iloc[0]), float(wave["time"].min())
    fills = frame_of(tables, "fills")
    cause = fills[fills["fill_id"] == number] if number > 0 else fills[:0]
    if not len(cause):
        return f"interest or what the owner did, {clock(first)}"
    fill = cause.iloc[0]
    at, venue, kind = float(fill["time"]), str(fill["venue"]), str(fill["kind"])
    if not kind.endswith("oracle.report"):
        return f"{kind.rpartition('.')[2].replace('_', ' ')} in {venue} at {clock(at)}"
    seen = float(fill["submitted"])
    late = f", in force from {clock(first)}" if first - at > 10.0 * MINUTE else ""
    return f"oracle update of {venue} at {clock(at)}{late}{_report_move(venue, seen, tables)}"


def _report_move(feed: str, seen: float, tables: Mapping[str, pd.DataFrame]) -> str:
    """Return by how much a report that was seen at a time moved its feed, where samples show it."""
    oracles = frame_of(tables, "oracles")
    mine = oracles[oracles["feed"].astype(str) == feed]
    observed = (mine["time"] - mine["age"]).to_numpy(float)
    values = mine["reported"].to_numpy(float)
    k = int(np.searchsorted(observed, seen - 1e-3))
    if not 0 < k < len(values) or observed[k] > seen + 1e-3:
        return ""
    return f" ({_percent(values[k] / values[k - 1] - 1.0)})"


def _deeds(wave: pd.DataFrame) -> str:
    n_borrowers = len(wave.groupby(["venue", "position"], observed=True))
    who = wave["liquidator_population"].astype(str)
    n_liquidators = len(wave.groupby([who, "liquidator_account"]))
    return (
        f"{_count(len(wave), 'liquidation')} of {_money(wave['debt_usd'].sum())} "
        f"({_count(n_borrowers, 'borrower')}, {_count(n_liquidators, 'liquidator')})"
    )


def _moves(wave: pd.DataFrame, end: float, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return what the sales of a wave's orders did to a pool, and what became of the reference."""
    told = []
    moves = pool_moves(wave, tables)
    if moves:
        pool = max(moves, key=lambda name: abs(moves[name]))
        if abs(np.expm1(moves[pool])) >= _LEAST_MOVE:
            told.append(f"{_percent(np.expm1(moves[pool]))} in {pool}")
    prices = frame_of(tables, "prices")
    impacts = prices.assign(impact=prices["permanent"] + prices["transient"])
    for asset, path in impacts.groupby(prices["asset"].astype(str)):
        span = [float(wave["time"].min()), end]
        before, after = value_at(path["time"], path["impact"], span)
        if abs(np.expm1(after - before)) >= _LEAST_MOVE:
            told.append(f"{_percent(np.expm1(after - before))} impact on {asset}")
    return told


def pool_moves(wave: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Return by how much the sales in a wave's orders moved each pool, log price."""
    fills = frame_of(tables, "fills")
    fills = fills[(fills["status"] == "OK") & fills["kind"].astype(str).str.endswith(".swap")]
    is_own = fills["order_id"].isin(wave["order_id"])
    moves = {}
    for pool in sorted(set(fills["venue"][is_own].astype(str))):
        here = fills["venue"] == pool
        path = np.log(fills["price_after"][here].to_numpy(float))
        own = is_own[here].to_numpy(bool)
        moves[pool] = float(np.diff(path, prepend=path[:1])[own].sum())
    return moves


def clock(seconds: float) -> str:
    """Return the time of a run as hours and minutes."""
    minutes = round(seconds // MINUTE)
    return f"{minutes // 60}:{minutes % 60:02d}"


def _span(seconds: float) -> str:
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2.0 * HOUR else f"{seconds / HOUR:.1f} h"


def _count(number: Any, noun: str) -> str:
    return f"{int(number):,} {noun}{'' if int(number) == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{100.0 * share:+.1f} %".replace("-", "\u2212")


def _money(amount: Any) -> str:
    for unit, suffix in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if float(amount) >= unit:
            return f"${float(amount) / unit:.1f}{suffix}"
    return f"${float(amount):.0f}"
