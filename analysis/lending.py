"""What happened in lending markets: bad debt, liquidations, utilization.

Bad debt is what accounts owe beyond their collateral at reference prices: latent while the debt
stands, recognized once the market has written it off. Debtors are sampled every hour or so, hence
peaks are over samples, where the definition has block ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.series import growth, held_seconds, quantile, since, value_at, wide
from sim.units import HOUR

if TYPE_CHECKING:
    from collections.abc import Mapping

BAD_DEBT_NAMES = (
    *("debt_start", "bad_debt_end", "bad_debt_peak", "bad_debt_share_end", "bad_debt_share_peak"),
    *("insolvent_debt_end", "insolvent_debt_peak", "insolvent_debt_var95", "lender_loss"),
)
LIQUIDATION_NAMES = (
    *("n_liquidations", "liquidated_debt_usd", "liquidated_share", "lar95"),
    *("borrower_liquidation_loss", "liquidation_delay_p50", "liquidation_delay_p90"),
    *("liquidation_delay_p99", "n_never_liquidated", "liquidator_herfindahl"),
)
USAGE_NAMES = ("hours_at_full_utilisation", "borrow_usage")
VALUE_AT_RISK = 0.95  # share of samples or hours that stay below
FULL = 0.999  # utilization from which a reserve counts as full


def bad_debt_path(positions: pd.DataFrame, markets: pd.DataFrame) -> pd.DataFrame:
    """Return latent plus recognized bad debt through time.

    Parameters
    ----------
    positions, markets : record tables

    Returns
    -------
    float64, USD; index: the times at which debtors were sampled (those of `lending` when none was);
    one column a lending market
    """
    latent = _sum_by_venue(positions, "shortfall")
    recognized = recognized_bad_debt(markets)
    times = latent.index if len(latent) else recognized.index
    venues = sorted({*latent.columns, *recognized.columns})
    path = latent.reindex(index=times, columns=venues).fillna(0.0)
    for venue in recognized.columns:
        path[venue] += np.nan_to_num(value_at(recognized.index, recognized[venue], times))
    return path


def recognized_bad_debt(markets: pd.DataFrame) -> pd.DataFrame:
    """Return bad debt written off and not covered: USD; index time, one column a lending market."""
    return _sum_by_venue(markets, "bad_debt")


def _sum_by_venue(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    sums = frame.groupby(["time", "venue"], observed=True)[value].sum().reset_index()
    return wide(sums, "venue", value)


def debt_at(positions: pd.DataFrame, time: float) -> float:
    """Return the debt outstanding (USD, oracle prices) at the sample nearest to a time."""
    if positions.empty:
        return 0.0
    times = positions["time"].to_numpy()
    nearest = times[np.argmin(np.abs(times - time))]
    return float(positions["debt"].to_numpy()[times == nearest].sum())


def insolvent_debt_path(positions: pd.DataFrame) -> pd.Series[float]:
    """Return the whole debt (USD) of accounts that owe more than they have; index: time."""
    insolvent = positions["debt"].where(positions["shortfall"] > 0.0, 0.0)
    return insolvent.groupby(positions["time"]).sum()


def borrower_liquidation_loss(liquidations: pd.DataFrame) -> float:
    """Return what liquidations cost borrowers, USD: collateral seized less debt repaid.

    Both at the reference price of the block. The borrower pays no gas for it.
    """
    return float((liquidations["seized_usd"] - liquidations["debt_usd"]).sum())


def lender_loss(path: pd.Series[float], start: float) -> float:
    """Return the growth since a time of latent and uncovered recognized bad debt, USD.

    Parameters
    ----------
    path : of `bad_debt_path`, all markets together
    """
    if path.empty:
        return 0.0
    before = value_at(path.index, path, [start])[0]
    return float(path.iloc[-1] - (0.0 if np.isnan(before) else before))


def hours_at_full_utilization(markets: pd.DataFrame) -> pd.Series[float]:
    """Return for how many hours each reserve was lent out to 99.9 % or more.

    Returns
    -------
    float64, hours; index: reserves as `venue token`
    """
    named = markets.assign(reserve=reserve_names(markets))
    share = wide(named, "reserve", "utilization")
    hours = {name: held_seconds(share.index, share[name] >= FULL) / HOUR for name in share}
    return pd.Series(hours, dtype=float)


def reserve_names(markets: pd.DataFrame) -> pd.Series[str]:
    """Return `venue token` of each row, the token without its chain."""
    tokens = markets["token"].astype(str).str.replace(r"^.*/", "", regex=True)
    return markets["venue"].astype(str) + " " + tokens


def liquidation_delays(liquidations: pd.DataFrame, positions: pd.DataFrame) -> pd.Series[float]:
    """Return how long each account in trouble waited for its first liquidation, seconds.

    From the time at which its health factor at reference prices fell below 1. Accounts below 1 (at
    oracle prices) in the last sample that nobody liquidated wait for ever: infinity. Accounts that
    healed by themselves are left out.
    """
    key = ["venue", "position"]
    done = liquidations.assign(venue=liquidations["venue"].astype(str)).sort_values("time")
    first = done.drop_duplicates(key).set_index(key)["delay"].astype(float)
    last = positions[positions["time"] == positions["time"].max()]
    last = last[(last["health_factor"] < 1.0) & (last["debt"] > 0.0)]
    ill = pd.MultiIndex.from_arrays([last["venue"].astype(str), last["position"]], names=key)
    never = pd.Series(np.inf, index=ill[~ill.isin(first.index)], dtype=float)
    return pd.concat([first, never]) if len(never) else first


def herfindahl(weights: pd.Series[float]) -> float:
    """Return the sum of squared shares: 1 for one, 1/n for n equal ones, NaN for none."""
    total = weights.sum()
    return float(((weights / total) ** 2).sum()) if total > 0.0 else float("nan")


def liquidator_shares(liquidations: pd.DataFrame) -> pd.Series[float]:
    """Return the debt that each liquidator repaid, USD; index: population and account."""
    population = liquidations["liquidator_population"].astype(str)
    return liquidations.groupby([population, "liquidator_account"])["debt_usd"].sum()


def liquidations_at_risk(liquidations: pd.DataFrame, start: float, end: float) -> float:
    """Return the debt liquidated within an hour, 95 % quantile over the hours from start to end."""
    n_hours = max(int(np.ceil((end - start) / HOUR - 1e-9)), 1)
    hour = ((liquidations["time"].to_numpy(float) - start) // HOUR).astype(int)
    hour = np.clip(hour, 0, n_hours - 1)
    by_hour = np.bincount(hour, liquidations["debt_usd"].to_numpy(float), n_hours)
    return quantile(by_hour, VALUE_AT_RISK)


def borrow_usage(positions: pd.DataFrame) -> float:
    """Return debt over collateral of all debtors at oracle prices, mean over samples."""
    sums = positions.groupby("time")[["debt", "collateral"]].sum()
    sums = sums[sums["collateral"] > 0.0]
    return float((sums["debt"] / sums["collateral"]).mean()) if len(sums) else float("nan")


def market_income(markets: pd.DataFrame, start: float) -> float:
    """Return what treasuries of lending markets earned since a time, USD.

    Their share of interest and of liquidation bonuses, what bad debt took from them apart; at the
    oracle prices of the end.
    """
    earned = markets["treasury"] + markets["borne_by_treasury"]
    named = markets.assign(reserve=reserve_names(markets), earned=earned)
    tokens = growth(named, "reserve", "earned", start)
    price = wide(named, "reserve", "oracle_price").ffill()
    return float((tokens * price.iloc[-1]).sum()) if len(price) else 0.0


def vault_income(
    deficits: pd.DataFrame, prices: pd.DataFrame, assets: Mapping[str, str], start: float
) -> float:
    """Return stability fees and penalties of CDP markets since a time, USD.

    Income heals unbacked debt, bears losses, or adds to the surplus. At the reference prices of the
    end; a debt token without one counts as a dollar.

    Parameters
    ----------
    deficits, prices : record tables of the whole run
    assets : asset whose price a token has, by `chain/symbol`
    """
    spent = deficits["surplus"] + deficits["from_surplus"] + deficits["healed"]
    tokens = growth(deficits.assign(earned=spent), "venue", "earned", start)
    token_of = dict(zip(deficits["venue"].astype(str), deficits["token"].astype(str), strict=True))
    last = wide(prices, "asset", "reference").ffill().tail(1)
    price = {str(name): float(column.iloc[-1]) for name, column in last.items()}
    return float(
        sum(
            earned * price.get(assets.get(token_of[str(venue)], ""), 1.0)
            for venue, earned in tokens.items()
        )
    )


def bad_debt_summary(
    positions: pd.DataFrame, markets: pd.DataFrame, start: float
) -> dict[str, float]:
    """Return `BAD_DEBT_NAMES` of a run; units in `analysis.metrics.QUANTITIES`.

    Parameters
    ----------
    positions, markets : record tables of the whole run
    start : time at which statistics start, seconds
    """
    debt = debt_at(positions, start)
    path = bad_debt_path(positions, markets).sum(axis=1)
    bad = since(path.rename("usd").reset_index(), start)
    end, peak = (float(bad["usd"].iloc[-1]), float(bad["usd"].max())) if len(bad) else (0.0, 0.0)
    insolvent = insolvent_debt_path(since(positions, start))
    return {
        "debt_start": debt,
        "bad_debt_end": end,
        "bad_debt_peak": peak,
        "bad_debt_share_end": _share(end, debt),
        "bad_debt_share_peak": _share(peak, debt),
        "insolvent_debt_end": float(insolvent.iloc[-1]) if len(insolvent) else 0.0,
        "insolvent_debt_peak": float(insolvent.max()) if len(insolvent) else 0.0,
        "insolvent_debt_var95": quantile(insolvent, VALUE_AT_RISK) if len(insolvent) else 0.0,
        "lender_loss": lender_loss(path, start),
    }


def liquidation_summary(
    positions: pd.DataFrame, markets: pd.DataFrame, liquidations: pd.DataFrame, start: float
) -> dict[str, float]:
    """Return `LIQUIDATION_NAMES` of a run; units in `analysis.metrics.QUANTITIES`.

    Parameters
    ----------
    positions, markets, liquidations : record tables of the whole run
    start : time at which statistics start, seconds
    """
    done = since(liquidations, start)
    delays = liquidation_delays(done, since(positions, start))
    liquidated = float(done["debt_usd"].sum())
    end_time = max((float(f["time"].max()) for f in (positions, markets) if len(f)), default=start)
    return {
        "n_liquidations": len(done),
        "liquidated_debt_usd": liquidated,
        "liquidated_share": _share(liquidated, debt_at(positions, start)),
        "lar95": liquidations_at_risk(done, start, end_time),
        "borrower_liquidation_loss": borrower_liquidation_loss(done),
        "liquidation_delay_p50": quantile(delays, 0.5),
        "liquidation_delay_p90": quantile(delays, 0.9),
        "liquidation_delay_p99": quantile(delays, 0.99),
        "n_never_liquidated": int(np.isinf(delays.to_numpy(float)).sum()),
        "liquidator_herfindahl": herfindahl(liquidator_shares(done)),
    }


def usage_summary(positions: pd.DataFrame, markets: pd.DataFrame, start: float) -> dict[str, float]:
    """Return `USAGE_NAMES` of a run; units in `analysis.metrics.QUANTITIES`.

    Parameters
    ----------
    positions, markets : record tables of the whole run
    start : time at which statistics start, seconds
    """
    full = hours_at_full_utilization(since(markets, start))
    return {
        "hours_at_full_utilisation": float(full.max()) if len(full) else 0.0,
        "borrow_usage": borrow_usage(since(positions, start)),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else float("nan")
