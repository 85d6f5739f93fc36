"""The summary of a run: every measured quantity by its one name, from the record tables.

Statistics leave out the warm-up. A quantity without a value (no lending market, nobody liquidated,
an infinite delay) is None, so that the summary is plain JSON.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analysis.funding_liquidity import (
    collateral_velocity,
    coverage_ratios,
    liquidation_distance,
)
from analysis.lending import (
    BAD_DEBT_NAMES,
    LIQUIDATION_NAMES,
    USAGE_NAMES,
    bad_debt_summary,
    liquidation_summary,
    market_income,
    usage_summary,
    vault_income,
)
from analysis.liquidity import (
    depeg_summary,
    markout,
    markout_share,
    pool_summary,
    price_errors,
    swap_fills,
    usd_of_gas,
)
from analysis.microstructure import (
    capital_efficiency,
    depth_medians,
    effective_spreads,
    mean_spread,
    searcher_table,
)
from analysis.series import frame_of, growth, since, wide
from analysis.setting import setting_of
from analysis.tranches import TRANCHE_NAMES, tranche_summary
from sim.units import GWEI, HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from analysis.setting import Setting


class Quantity(NamedTuple):
    """One name of the summary."""

    name: str
    unit: str
    meaning: str


def _quantities(text: str) -> dict[str, Quantity]:
    """Read `name | unit | meaning`, one quantity a line."""
    rows = [[part.strip() for part in line.split("|", 2)] for line in text.strip().splitlines()]
    return {row[0]: Quantity(*row) for row in rows}


QUANTITIES = _quantities(
    """
    measured_hours            | h        | length of the run without the warm-up
    n_fills                   | -        | orders' legs executed
    n_failed                  | -        | orders' legs that failed or were dropped
    gas_usd                   | USD      | gas paid by all participants
    volume_usd                | USD      | swapped in pools
    fees_usd                  | USD      | fees to liquidity providers
    lvr_usd                   | USD      | loss versus rebalancing of liquidity providers
    inventory_usd             | USD      | gain of rebalanced reserves from price changes
    lp_gas_usd                | USD      | gas of liquidity providers
    lp_net_return             | fraction | (fees - loss versus rebalancing - gas) / value at start
    price_error_p01           | fraction | ln(pool / reference), 1 % quantile over all samples
    price_error_p50           | fraction | the same, median
    price_error_p99           | fraction | the same, 99 % quantile
    price_error_abs_p50       | fraction | its absolute value, median
    price_error_abs_p99       | fraction | its absolute value, 99 % quantile
    markout_5m                | fraction | gain of pools on swaps 5 min later / volume
    markout_1h                | fraction | gain of pools on swaps 1 h later / volume
    effective_spread          | fraction | 2 |execution / price before - 1|, mean weighted by volume
    depth_2pct_usd            | USD      | paid in moves a pool by 2 %, both ways, median, all pools
    capital_efficiency        | -        | depth at 1 % / that of constant product pools, all pools
    searcher_gas_share        | fraction | gas and bids of searchers / their gain before them
    debt_start                | USD      | debt outstanding when statistics start
    bad_debt_end              | USD      | debt beyond collateral at the end, latent and recognized
    bad_debt_peak             | USD      | the same, largest over samples
    bad_debt_share_end        | fraction | bad_debt_end / debt_start
    bad_debt_share_peak       | fraction | bad_debt_peak / debt_start
    insolvent_debt_end        | USD      | whole debt of accounts with bad debt at the end
    insolvent_debt_peak       | USD      | the same, largest over samples
    insolvent_debt_var95      | USD      | the same, 95 % quantile over samples
    lender_loss               | USD      | growth of latent and uncovered recognized bad debt
    n_liquidations            | -        | liquidations executed
    liquidated_debt_usd       | USD      | debt repaid by liquidators
    liquidated_share          | fraction | liquidated_debt_usd / debt_start
    lar95                     | USD      | debt liquidated within an hour, 95 % quantile over hours
    borrower_liquidation_loss | USD      | collateral seized less debt repaid, at reference prices
    liquidation_delay_p50     | s        | health factor below 1 to first liquidation, median
    liquidation_delay_p90     | s        | the same, 90 % quantile; none: never
    liquidation_delay_p99     | s        | the same, 99 % quantile; none: never
    n_never_liquidated        | -        | accounts below 1 at the end that nobody liquidated
    n_cascades                | -        | cascades of liquidations, single ones among them
    largest_cascade_usd       | USD      | debt liquidated in the largest cascade
    branching_ratio           | fraction | mean share of a liquidation's cause that others are
    cascade_amplification     | -        | debt liquidated / debt liquidated by exogenous causes
    liquidatable_5pct_usd     | USD      | debt unsafe once collateral falls by 5 %, largest
    lcr_min                   | -        | cash / (30 % of deposits), worst reserve
    collateral_velocity_max   | -        | deposits / deposits not borrowed first, largest asset
    liquidator_herfindahl     | -        | sum of squared shares of debt repaid; 1: one liquidator
    hours_at_full_utilisation | h        | utilization at 99.9 % or more, worst reserve
    stuck_withdrawals_usd_h   | USD h    | withdrawals that found no cash, times their wait
    borrow_usage              | fraction | debt / collateral of debtors, mean over samples
    protocol_revenue          | USD      | income of treasuries: reserve factor, fees, penalties
    depeg_max                 | fraction | largest distance of a wrapped token from par
    depeg_minutes             | min      | time off par of the worst wrapped token
    backing_ratio_min         | fraction | smallest escrow / wrapped supply
    vault_loss_share          | fraction | largest recognized loss of vaults / value at start
    senior_loss_share         | fraction | the same of senior tranches
    mezzanine_loss_share      | fraction | the same of tranches between the first and the last
    junior_loss_share         | fraction | the same of last tranches
    coverage_min              | fraction | smallest value below the senior tranche / vault value
    queue_max                 | cash     | most redemptions waiting, at net asset value
    queue_epochs_max          | epoch    | longest queue over what the gate lets out in an epoch
    run_depth                 | fraction | most redemptions, paid and waiting / value at start
    wealth_taken              | cash     | what leavers and joiners got beyond the fair value
    secondary_discount_max    | fraction | largest discount of shares in pools to net asset value
    oracle_error_max          | fraction | largest |ln(reported / reference)| of a feed
    oracle_age_max            | s        | oldest report in use
    base_fee_max              | gwei     | highest base fee of a chain
    pending_max               | -        | most orders left waiting by a block
    arbitrage_profit          | USD      | value received less value given by arbitrageurs, less gas
    liquidator_profit         | USD      | trading gain of liquidators, less gas
    """
)

_HEADLINE = dict(
    line.strip().split(" | ")
    for line in """
    measured_hours | time measured
    n_fills | fills
    n_failed | orders that failed
    gas_usd | gas paid
    volume_usd | pool volume
    fees_usd | fees to liquidity providers
    lvr_usd | loss versus rebalancing
    lp_net_return | liquidity providers' net return
    price_error_abs_p99 | pool price error, 99 % within
    markout_5m | pools' markout at 5 min
    effective_spread | effective spread
    depth_2pct_usd | depth at 2 %, both ways
    arbitrage_profit | arbitrageurs' gain
    debt_start | debt at the start
    n_liquidations | liquidations
    liquidated_debt_usd | debt liquidated
    liquidated_share | share of debt liquidated
    liquidation_delay_p50 | liquidation delay, median
    n_cascades | cascades
    largest_cascade_usd | largest cascade
    branching_ratio | liquidations caused by others
    liquidatable_5pct_usd | unsafe after a fall of 5 %
    borrower_liquidation_loss | borrowers' loss by liquidation
    liquidator_profit | liquidators' gain
    bad_debt_peak | bad debt, peak
    bad_debt_end | bad debt, end
    lender_loss | lenders' loss
    hours_at_full_utilisation | lent out fully, worst reserve
    stuck_withdrawals_usd_h | withdrawals stuck
    borrow_usage | debt over collateral
    protocol_revenue | treasuries' income
    depeg_max | largest depeg
    depeg_minutes | time off par
    vault_loss_share | vaults' largest loss
    junior_loss_share | junior tranches' largest loss
    mezzanine_loss_share | tranches between, largest loss
    senior_loss_share | senior tranches' largest loss
    coverage_min | smallest coverage of a senior tranche
    queue_epochs_max | longest queue out of a tranche
    run_depth | redemptions asked for
    wealth_taken | taken from those who stayed
    secondary_discount_max | largest discount of shares
    oracle_error_max | largest oracle error
    base_fee_max | highest base fee
    pending_max | longest queue of orders
    """.strip().splitlines()
)


def summarize(
    tables: Mapping[str, pd.DataFrame],
    manifest: Mapping[str, Any],
    only: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return the summary of a run, ready for JSON.

    Parameters
    ----------
    tables : record tables by name; absent and empty ones are allowed
    manifest : with the scenario as run, which names tokens, populations and the warm-up
    only : quantities that are wanted; what they do not need is not computed. All, and the parts,
        when left out

    Returns
    -------
    the names of `QUANTITIES`, and `by_pool`, `by_population`, `by_asset`, `by_chain` and
    `by_status` with parts of them; None where there is no value
    """
    run = _Run(tables, setting_of(manifest))
    summary: dict[str, Any] = {}
    for names, compute in _COMPUTED:
        if only is None or not names.isdisjoint(only):
            summary |= compute(run)
    if only is not None:
        summary = {name: summary[name] for name in QUANTITIES if name in only}
    else:
        prices = since(run.prices, run.start)
        summary |= {
            "by_pool": run.by_pool,
            "by_population": run.by_population,
            "by_asset": _by_asset(prices),
            "by_chain": run.by_chain,
            "by_status": dict(sorted(run.by_status.items())),
        }
    found: dict[str, Any] = _plain(summary)
    return found


class _Run:
    """Records of a run, and what several quantities have in common, computed when asked for."""

    def __init__(self, tables: Mapping[str, pd.DataFrame], setting: Setting) -> None:
        self.tables = tables
        self.setting = setting
        self.start = setting.warmup

    def table(self, name: str) -> pd.DataFrame:
        return frame_of(self.tables, name)

    @property
    def has_lending(self) -> bool:
        return len(self.table("positions")) > 0 or len(self.table("lending")) > 0

    @cached_property
    def prices(self) -> pd.DataFrame:
        return self.table("prices")

    @cached_property
    def _gas_usd(self) -> NDArray[np.float64]:
        return usd_of_gas(self.table("fills"), self.prices, self.setting.natives)

    @cached_property
    def fills(self) -> pd.DataFrame:
        return since(self.table("fills").assign(gas_usd=self._gas_usd), self.start)

    @cached_property
    def by_pool(self) -> dict[str, dict[str, float]]:
        pools, fills = self.table("pools"), self.table("fills")
        return pool_summary(pools, fills, self._gas_usd, self.start)

    @cached_property
    def by_population(self) -> dict[str, dict[str, float]]:
        return _by_population(self.table("equity"), self.start)

    @cached_property
    def by_chain(self) -> dict[str, dict[str, float]]:
        return _by_chain(since(self.table("chains"), self.start))

    @cached_property
    def by_status(self) -> dict[str, int]:
        counts = since(self.table("fills"), self.start)["status"].astype(str).value_counts()
        return {str(k): int(n) for k, n in counts.items()}


def _fill_counts(run: _Run) -> dict[str, Any]:
    n_failed = sum(n for status, n in run.by_status.items() if status != "OK")
    return {"n_fills": run.by_status.get("OK", 0), "n_failed": n_failed}


def _activity(run: _Run) -> dict[str, float]:
    populations = run.table("populations")
    stuck = growth(populations, "population", "stuck_usd_hours", run.start)
    has_market = len(run.table("lending")) > 0
    return {
        "gas_usd": float(populations["gas"][populations["time"] > run.start].sum()),
        "stuck_withdrawals_usd_h": float(stuck.sum()) if has_market else math.nan,
    }


def _chain_totals(run: _Run) -> dict[str, float]:
    return {
        name: max((chain[name] for chain in run.by_chain.values()), default=math.nan)
        for name in ("base_fee_max", "pending_max")
    }


def headline(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the lines of a summary table: what is measured, its value as text, its unit.

    Quantities of what the run did not have (lending, bridges) are left out.
    """
    lines = []
    for name, label in _HEADLINE.items():
        if (value := summary.get(name)) is not None:
            text, unit = _as_text(float(value), QUANTITIES[name].unit)
            lines.append((label, text, unit))
    return lines


def _as_text(value: float, unit: str) -> tuple[str, str]:
    if unit == "fraction":
        return f"{100.0 * value:,.3f}", "%"
    if unit == "-" and value == int(value):
        return f"{value:,.0f}", ""
    if unit == "USD" and abs(value) >= 100.0:
        return f"{value:,.0f}", unit
    return f"{value:,.2f}", "" if unit == "-" else unit


def _bad_debt(run: _Run) -> dict[str, float]:
    """Return bad debt; NaN, as the two that follow, where the run has no lending market."""
    if not run.has_lending:
        return dict.fromkeys(BAD_DEBT_NAMES, math.nan)
    return bad_debt_summary(run.table("positions"), run.table("lending"), run.start)


def _liquidations(run: _Run) -> dict[str, float]:
    if not run.has_lending:
        return dict.fromkeys(LIQUIDATION_NAMES, math.nan)
    positions, markets = run.table("positions"), run.table("lending")
    return liquidation_summary(positions, markets, run.table("liquidations"), run.start)


def _usage(run: _Run) -> dict[str, float]:
    if not run.has_lending:
        return dict.fromkeys(USAGE_NAMES, math.nan)
    return usage_summary(run.table("positions"), run.table("lending"), run.start)


def _revenue(run: _Run) -> dict[str, float]:
    markets, deficits = run.table("lending"), run.table("deficits")
    if not len(markets) and not len(deficits):
        return {"protocol_revenue": math.nan}
    income = market_income(markets, run.start)
    income += vault_income(deficits, run.prices, run.setting.assets, run.start)
    return {"protocol_revenue": income}


def _measured_hours(run: _Run) -> float:
    """Return the time from the end of the warm-up to the end; a run goes to its horizon."""
    return max(run.setting.horizon - run.start, 0.0) / HOUR


def _liquidity_totals(by_pool: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return sums over pools; the return is that of all pools with loss versus rebalancing."""
    names = ("volume_usd", "fees_usd", "lvr_usd", "inventory_usd", "lp_gas_usd")
    total = {name: sum(pool.get(name, 0.0) for pool in by_pool.values()) for name in names}
    measured = [pool for pool in by_pool.values() if "lvr_usd" in pool]
    net = sum(pool["fees_usd"] - pool["lvr_usd"] - pool["lp_gas_usd"] for pool in measured)
    value = sum(pool["value_start_usd"] for pool in measured)
    return total | {"lp_net_return": net / value if value > 0.0 else math.nan}


def _price_error_quantiles(pools: pd.DataFrame) -> dict[str, float]:
    errors = price_errors(pools).to_numpy(float)
    errors = errors[~np.isnan(errors)]
    if not len(errors):
        errors = np.array([np.nan])
    size = np.abs(errors)
    return {
        **{f"price_error_p{q:02d}": float(np.quantile(errors, q / 100)) for q in (1, 50, 99)},
        **{f"price_error_abs_p{q:02d}": float(np.quantile(size, q / 100)) for q in (50, 99)},
    }


def _markouts(swaps: pd.DataFrame, prices: pd.DataFrame, setting: Setting) -> dict[str, float]:
    horizons = {"markout_5m": 5 * MINUTE, "markout_1h": HOUR}
    return {
        name: markout_share(swaps, markout(swaps, prices, setting.assets, seconds))
        for name, seconds in horizons.items()
    }


def _trading(run: _Run) -> dict[str, float]:
    """Return what trading cost and how deep pools were."""
    pools, depth = since(run.table("pools"), run.start), since(run.table("depth"), run.start)
    spreads = since(effective_spreads(run.table("fills"), run.table("pools")), run.start)
    medians = depth_medians(depth)
    near = medians.loc[:, np.abs(medians.columns.to_numpy(float)) == 0.02].to_numpy(float)
    return {
        "effective_spread": mean_spread(spreads),
        "depth_2pct_usd": float(near.sum()) if near.size else math.nan,
        "capital_efficiency": _whole_efficiency(depth, pools),
    }


def _whole_efficiency(depth: pd.DataFrame, pools: pd.DataFrame) -> float:
    """Return the capital efficiency of all pools, weighted by their mean value."""
    each = capital_efficiency(depth, pools).dropna()
    value = pools.groupby(pools["venue"].astype(str))["value_usd"].mean().reindex(each.index)
    return float((each * value).sum() / value.sum()) if value.sum() > 0.0 else math.nan


def _searcher_gas_share(run: _Run) -> dict[str, float]:
    found = searcher_table(run.tables, run.setting)
    gross = float(found["gross_usd"].sum())
    share = float(found["gas_usd"].sum()) / gross if gross > 0.0 else math.nan
    return {"searcher_gas_share": share}


def _funding(run: _Run) -> dict[str, float]:
    """Return whether lenders can be paid, and how much a fall of prices would seize."""
    markets = since(run.table("lending"), run.start)
    velocity = collateral_velocity(markets, run.setting.assets)
    distance = liquidation_distance(since(run.table("positions"), run.start))
    return {
        "liquidatable_5pct_usd": float(distance[0.05].max()),
        "lcr_min": float(coverage_ratios(markets).min().min()),
        "collateral_velocity_max": float(velocity.max().max()),
    }


def _cascades(run: _Run) -> dict[str, float]:
    """Return what cascades add up to; NaN where the run has no liquidations to speak of."""
    from analysis.cascades import find_cascades  # loads sparse matrices, for this alone

    names = ("largest_cascade_usd", "branching_ratio", "cascade_amplification")
    found = dict.fromkeys(("n_cascades", *names), math.nan)
    if not len(run.table("lending")):
        return found
    done = since(find_cascades(run.tables).graph.liquidations, run.start)
    found["n_cascades"] = float(done["cascade"].nunique())
    if len(done):
        debt, outside = done["debt_usd"], done["debt_usd"] * (1.0 - done["endogenous"])
        found["largest_cascade_usd"] = float(debt.groupby(done["cascade"]).sum().max())
        found["branching_ratio"] = float(done["endogenous"].mean())
        found["cascade_amplification"] = float(debt.sum() / (outside.sum() or math.nan))
    return found


def _oracle_quantities(oracles: pd.DataFrame) -> dict[str, float]:
    known = oracles[(oracles["reported"] > 0.0) & (oracles["reference"] > 0.0)]
    error = (known["reported"] / known["reference"]).map(math.log).abs()
    return {"oracle_error_max": float(error.max()), "oracle_age_max": float(oracles["age"].max())}


def _by_population(equity: pd.DataFrame, start: float) -> dict[str, dict[str, float]]:
    """Return value and gains of whole populations since the start of statistics, USD."""
    whole = equity[equity["account"] == -1]
    value = wide(whole, "population", "value").ffill()
    parts = {
        name: growth(whole, "population", name, start)
        for name in ("holding_gain", "trading_gain", "gas")
    }
    return {
        name: {"value_end": float(value[name].iloc[-1])}
        | {part: float(series[name]) for part, series in parts.items()}
        for name in value.columns.astype(str)
    }


def _gain_of(
    kind: str, by_population: Mapping[str, Mapping[str, float]], setting: Setting
) -> float:
    gains = [
        row["trading_gain"]
        for name, row in by_population.items()
        if kind in setting.kinds.get(name, "")
    ]
    return sum(gains) if gains else math.nan


def _arbitrage_profit(fills: pd.DataFrame, setting: Setting) -> float:
    """Return the gain of arbitrageurs, fill by fill at the reference price of the block, USD.

    So valued, what they still hold gains and loses nothing. Fills with a token that has no
    reference price are left out; the gas of failed orders counts.
    """
    names = [name for name, kind in setting.kinds.items() if "arbitrage" in kind]
    own = fills[fills["population"].isin(names)]
    if own.empty:
        return math.nan
    priced = own[(own["status"] == "OK") & (own["value_in"] > 0.0) & (own["value_out"] > 0.0)]
    return float((priced["value_out"] - priced["value_in"]).sum() - own["gas_usd"].sum())


def _by_chain(chains: pd.DataFrame) -> dict[str, dict[str, float]]:
    return {
        str(name): {
            "n_blocks": len(chain),
            "gas_used": int(chain["gas_used"].sum()),
            "base_fee_median": float(chain["base_fee"].median()) / GWEI,
            "base_fee_max": float(chain["base_fee"].max()) / GWEI,
            "pending_max": int(chain["pending"].max()),
        }
        for name, chain in chains.groupby(chains["chain"].astype(str))
    }


def _by_asset(prices: pd.DataFrame) -> dict[str, dict[str, float]]:
    return {
        str(name): {
            "reference_start": float(asset["reference"].iloc[0]),
            "reference_low": float(asset["reference"].min()),
            "reference_high": float(asset["reference"].max()),
            "reference_end": float(asset["reference"].iloc[-1]),
        }
        for name, asset in prices.groupby(prices["asset"].astype(str))
    }


def _plain(value: Any) -> Any:
    """Return plain Python numbers; None for what is not finite."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, np.integer):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None


_PRICE_ERRORS = (
    *("price_error_p01", "price_error_p50", "price_error_p99"),
    *("price_error_abs_p50", "price_error_abs_p99"),
)
_COMPUTED: tuple[tuple[frozenset[str], Callable[[_Run], dict[str, Any]]], ...] = tuple(
    (frozenset(names.split()), compute)
    for names, compute in (
        ("measured_hours", lambda run: {"measured_hours": _measured_hours(run)}),
        ("n_fills n_failed", _fill_counts),
        ("gas_usd stuck_withdrawals_usd_h", _activity),
        (
            "volume_usd fees_usd lvr_usd inventory_usd lp_gas_usd lp_net_return",
            lambda run: _liquidity_totals(run.by_pool),
        ),
        (
            " ".join(_PRICE_ERRORS),
            lambda run: _price_error_quantiles(since(run.table("pools"), run.start)),
        ),
        (
            "markout_5m markout_1h",
            lambda run: _markouts(
                swap_fills(run.fills, run.table("pools")), run.prices, run.setting
            ),
        ),
        ("effective_spread depth_2pct_usd capital_efficiency", _trading),
        ("searcher_gas_share", _searcher_gas_share),
        ("liquidatable_5pct_usd lcr_min collateral_velocity_max", _funding),
        (
            "n_cascades largest_cascade_usd branching_ratio cascade_amplification",
            _cascades,
        ),
        (" ".join(BAD_DEBT_NAMES), _bad_debt),
        (" ".join(LIQUIDATION_NAMES), _liquidations),
        (" ".join(USAGE_NAMES), _usage),
        ("protocol_revenue", _revenue),
        (
            "depeg_max depeg_minutes backing_ratio_min",
            lambda run: depeg_summary(run.table("bridges"), run.start),
        ),
        (
            " ".join(TRANCHE_NAMES),
            lambda run: tranche_summary(run.table("tranches"), run.start),
        ),
        (
            "oracle_error_max oracle_age_max",
            lambda run: _oracle_quantities(since(run.table("oracles"), run.start)),
        ),
        ("base_fee_max pending_max", _chain_totals),
        (
            "arbitrage_profit",
            lambda run: {"arbitrage_profit": _arbitrage_profit(run.fills, run.setting)},
        ),
        (
            "liquidator_profit",
            lambda run: {"liquidator_profit": _gain_of("liquidat", run.by_population, run.setting)},
        ),
    )
)
