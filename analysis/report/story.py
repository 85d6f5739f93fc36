"""The story of a run, told from its records: what happened, who lost, and what the records say why.

Every number is one of the summary or is read from a record table; a sentence without its number in
the records is not written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.classes import gains_by_class
from analysis.report import moments
from analysis.report.blocks import Fact, Facts, Heading, Prose, Section
from analysis.report.wording import (
    arguments,
    clock,
    gain,
    lasting,
    listed,
    percent,
    plain_words,
    plural,
    price,
    usd,
)
from analysis.series import since
from sim.units import GWEI, HOUR

if TYPE_CHECKING:
    import pandas as pd

    from analysis.report.source import RunSource

_MOST = 4  # things of one kind named in a sentence
_SMALL = 1.0  # USD below which nothing was gained or lost


def make_section(source: RunSource) -> Section:
    """Return the first section of the page."""
    blocks = [
        Facts(_facts(source)),
        Prose(_opening(source)),
        Heading("What happened"),
        Prose(_happened(source), is_list=True),
        Heading("Who lost, who gained"),
        Prose(_who(source), is_list=True),
    ]
    if why := _why(source):
        blocks += [Heading("Why, as far as the records say"), Prose(why, is_list=True)]
    return Section("story", "The story", blocks)


def _facts(source: RunSource) -> list[Fact]:
    """Return the numbers that matter most, as many as the run has."""
    found = []
    fallen = moments.falls(source.table("prices"), source.setting.warmup)
    if fallen:
        worst = fallen[0]
        found.append(
            Fact(
                f"{worst.asset}, largest fall",
                percent(worst.share),
                f"{price(worst.peak)} to {price(worst.trough)}",
            )
        )
    if debt := source.value("debt_start"):
        count, share = source.value("n_liquidations") or 0, source.value("liquidated_share") or 0.0
        liquidated = usd(source.value("liquidated_debt_usd") or 0.0)
        found += [
            Fact("Debt liquidated", liquidated, f"{count:,.0f} liquidations, {percent(share)}"),
            Fact(
                "Bad debt at its peak",
                usd(source.value("bad_debt_peak") or 0.0),
                f"of {usd(debt)} of debt; {usd(source.value('bad_debt_end') or 0.0)} at the end",
            ),
        ]
    if stuck := source.value("hours_at_full_utilisation"):
        found.append(Fact("Lent out fully", f"{stuck:,.1f} h", "the worst reserve"))
    if (depeg := source.value("depeg_max")) and source.value("depeg_minutes"):
        minutes = source.value("depeg_minutes") or 0.0
        found.append(Fact("Largest depeg", percent(depeg), f"{lasting(60.0 * minutes)} off par"))
    if volume := source.value("volume_usd"):
        net = source.value("lp_net_return")
        told = f"providers' net return {percent(net)}" if net is not None else ""
        found.append(Fact("Swapped in pools", usd(volume), told))
    if (failed := source.value("n_failed")) and (fills := source.value("n_fills")) is not None:
        share = failed / (failed + fills)
        found.append(Fact("Orders that failed", percent(share), f"{failed:,.0f} order legs"))
    return found


def _opening(source: RunSource) -> list[str]:
    scenario, setting = source.scenario, source.setting
    chains = list(scenario.get("chains", {}))
    end = (source.value("measured_hours") or 0.0) * HOUR
    words = f"One run of {setting.name} with seed {source.run.manifest['seed']}: {lasting(end)}"
    words += f" on {plural(len(chains), 'chain')} ({listed(chains)})"
    if setting.warmup > 0.0:
        words += (
            f", after a warm-up of {lasting(setting.warmup)} that all statistics leave out. Times "
            "count from the start of the run, warm-up included"
        )
    lines = [f"{words}."]
    if description := str(scenario.get("description", "")).strip():
        lines.append(f"The scenario says of itself: {description}")
    return lines


# --- what happened --------------------------------------------------------------------------------


def _happened(source: RunSource) -> list[str]:
    return [
        *_shocks(source),
        *_prices(source),
        *_liquidations(source),
        *_bad_debt(source),
        *_cash(source),
        *_bridges(source),
        *_oracles(source),
        *_congestion(source),
    ]


def _shocks(source: RunSource) -> list[str]:
    shocks = sorted(source.scenario.get("shocks", []), key=lambda shock: shock.get("at") or 0.0)
    if not shocks:
        return ["The scenario has no shocks; prices and what participants do are all that moves."]
    return [f"{clock(shock.get('at') or 0.0)}: {shock_words(shock)}." for shock in shocks]


def shock_words(shock: dict[str, object]) -> str:
    """Return what a shock of a manifest is, in words."""
    deed = dict(shock.get("do") or {})  # type: ignore[call-overload]
    kind = plain_words(deed.pop("kind", "shock"))
    name = f" “{shock['name']}”" if shock.get("name") else ""
    told = arguments(deed)
    return f"shock{name}, {kind}" + (f" ({told})" if told else "")


def _prices(source: RunSource) -> list[str]:
    found = moments.falls(source.table("prices"), source.setting.warmup)
    if not found:
        return ["No reference price fell by half a percent."]
    return [
        f"{fall.asset} fell by {percent(-fall.share)}, from {price(fall.peak)} at "
        f"{clock(fall.peak_time)} to {price(fall.trough)} at {clock(fall.trough_time)}, and ended "
        f"at {price(fall.end)} (largest fall from a peak, reference price at samples)."
        for fall in found[:_MOST]
    ]


def _liquidations(source: RunSource) -> list[str]:
    if source.value("debt_start") is None:
        return []
    done = source.measured("liquidations")
    busiest = moments.busiest_hour(done)
    if busiest is None:
        return ["Nobody was liquidated."]
    first, last = float(done["time"].min()), float(done["time"].max())
    share, debt = source.value("liquidated_share"), source.value("debt_start") or 0.0
    of_debt = f" ({percent(share)} of the {usd(debt)} at the start)" if share is not None else ""
    lines = [
        f"{plural(len(done), 'liquidation')} repaid {usd(float(done['debt_usd'].sum()))} of debt"
        f"{of_debt}, from {clock(first)} to {clock(last)}.",
        f"The busiest hour began at {clock(busiest.start)}: "
        f"{plural(busiest.count, 'liquidation')} of {usd(busiest.debt)}.",
    ]
    return lines + _delays(source)


def _delays(source: RunSource) -> list[str]:
    median, late = source.value("liquidation_delay_p50"), source.value("liquidation_delay_p90")
    if median is None:
        return []
    tail = f"one in ten more than {lasting(late)}" if late is not None else "one in ten never"
    never = source.value("n_never_liquidated") or 0
    rest = f"; {plural(never, 'account')} below a health factor of 1 at the end" if never else ""
    return [
        f"Half of the accounts in trouble waited more than {lasting(median)} for their first "
        f"liquidation, {tail}{rest}."
    ]


def _bad_debt(source: RunSource) -> list[str]:
    peak = moments.bad_debt_peak(
        source.table("positions"), source.table("lending"), source.setting.warmup
    )
    if source.value("bad_debt_peak") is None:
        return []
    if peak is None:
        return ["No account that was sampled owed more than its collateral was worth."]
    end, loss = source.value("bad_debt_end") or 0.0, source.value("lender_loss") or 0.0
    return [
        f"Bad debt peaked at {usd(peak.value)} at {clock(peak.time)}, most of it in {peak.name}, "
        f"and stood at {usd(end)} at the end; it grew by {usd(loss)} since the start of "
        f"statistics, which is what lenders bear."
    ]


def _cash(source: RunSource) -> list[str]:
    lines = [
        f"{one.name} was lent out to 99.9 % or more for {lasting(one.value)} in all, first at "
        f"{clock(one.time)}."
        for one in moments.full_reserves(source.measured("lending"))[:_MOST]
    ]
    refused = moments.first_refusals(source.measured("populations"))
    if refused:
        first = min(one.time for one in refused)
        total = sum(one.value for one in refused)
        names = listed([one.name for one in refused[:_MOST]])
        lines.append(
            f"Withdrawals found no cash from {clock(first)} on; claims times waiting add up to "
            f"{usd(total)} h, most of it of {names}. That is illiquidity, not a loss."
        )
    return lines


def _bridges(source: RunSource) -> list[str]:
    bridges = source.measured("bridges")
    lines = [
        f"{one.name} lost cover at {clock(one.time)}: its wrapped tokens were backed to "
        f"{percent(one.value)} at the worst."
        for one in moments.uncovered(bridges)
    ]
    for worst, episodes in moments.depegs(bridges):
        total = sum(episode.end - episode.start for episode in episodes)
        side = "below" if worst.value < 0.0 else "above"
        lines.append(
            f"The wrapped token of {worst.name} was off its par for {lasting(total)} from "
            f"{clock(episodes[0].start)} on, at worst {percent(abs(worst.value))} {side} it at "
            f"{clock(worst.time)}."
        )
    return lines


def _oracles(source: RunSource) -> list[str]:
    found = moments.oracle_errors(source.measured("oracles"))[:_MOST]
    return [
        f"The feed {one.name} was {percent(abs(one.value))} "
        f"{'above' if one.value > 0.0 else 'below'} the reference at {clock(one.time)}."
        for one in found
    ]


def _congestion(source: RunSource) -> list[str]:
    chains, lines = source.measured("chains"), []
    fees = {one.name: one for one in moments.block_peaks(chains, "base_fee")}
    for queue in moments.block_peaks(chains, "pending"):
        fee = fees.get(queue.name)
        told = f", and its gas price peaked at {fee.value / GWEI:,.1f} gwei" if fee else ""
        at = f" ({clock(fee.time)})" if fee else ""
        lines.append(
            f"Blocks of {queue.name} left up to {plural(queue.value, 'order')} waiting "
            f"({clock(queue.time)}){told}{at}."
        )
    return lines


# --- who lost, who gained -------------------------------------------------------------------------


def _who(source: RunSource) -> list[str]:
    gains = gains_by_class(source.summary.get("by_population", {}), source.setting)
    trading = gains["trading_gain"]
    losers = trading[trading < -_SMALL].head(_MOST)
    winners = trading[trading > _SMALL].iloc[::-1].head(_MOST)
    if losers.empty or winners.empty:
        return ["Nobody gained or lost a dollar by what happened in the protocols."]
    return [
        f"Lost: {_amounts(losers)}.",
        f"Gained: {_amounts(winners)}.",
        f"These are trading gains: all change of value but that of the prices of what somebody "
        f"held at the start, gas paid included. They add up to {usd(abs(float(trading.sum())))} "
        "over all, as they must: what one loses another has.",
        *_holdings(gains),
    ]


def _amounts(gains: pd.Series[float]) -> str:
    return listed([f"{name} {gain(float(value))}" for name, value in gains.items()])


def _holdings(gains: pd.DataFrame) -> list[str]:
    moved = gains["holding_gain"]
    people = moved[moved < -_SMALL].sort_values().head(_MOST)
    if people.empty:
        return []
    return [
        f"Beside that, what they held at the start lost value with its prices: {_amounts(people)}."
    ]


# --- why ------------------------------------------------------------------------------------------


def _why(source: RunSource) -> list[str]:
    return [*_liquidation_causes(source), *_failures(source)]


def _liquidation_causes(source: RunSource) -> list[str]:
    done = source.measured("liquidations")
    if done.empty:
        return []
    causes = source.table("causes")
    joined = done[["fill_id", "debt_usd"]].merge(causes, on="fill_id")
    parts = (joined["debt_usd"] * joined["weight"]).groupby(joined["parent_kind"].astype(str)).sum()
    total = float(parts.sum())
    if total <= 0.0:
        return []
    market = float(parts.get("fill", 0.0)) / total
    lines = [
        f"Of the debt liquidated, {percent(float(parts.get('price', 0.0)) / total)} is traced to "
        f"moves of fundamental prices and {percent(market)} to earlier trades of this run on the "
        "reference market, by their weighted causes (shares below 5 % of one liquidation join the "
        "fundamental)."
    ]
    if market == 0.0:
        assets = source.scenario.get("assets", {}).values()
        if not any(asset.get("impact") for asset in assets):
            lines.append(
                "Trades have no impact on the reference price in this scenario, so that no "
                "liquidation can cause another one through it."
            )
    return lines


def _failures(source: RunSource) -> list[str]:
    counts = source.summary.get("by_status", {})
    failed = {name: n for name, n in counts.items() if name != "OK"}
    if not failed:
        return []
    total = sum(counts.values())
    most = sorted(failed, key=lambda name: -failed[name])[:_MOST]
    words = listed([f"{plain_words(name).lower()} ({failed[name]:,})" for name in most])
    share = sum(failed.values()) / total
    line = f"{percent(share)} of {total:,} order legs failed or were dropped, most by {words}."
    fills = since(source.table("fills"), source.setting.warmup)
    lost = fills[fills["status"] != "OK"]
    by_sender = lost["population"].astype(str).value_counts().head(_MOST)
    senders = listed([f"{name} {n:,}" for name, n in by_sender.items()])
    return [f"{line} Senders: {senders}."]
