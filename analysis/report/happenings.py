"""What happened in a run, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.report import moments
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
from analysis.setting import timed_shocks
from sim.units import GWEI

if TYPE_CHECKING:
    from analysis.report.source import RunSource

_MOST = 4  # things of one kind named in a sentence
LEAST_LOSS = 0.001  # of a tranche's value, or discount of its shares, from which it is told
LEAST_QUEUE = 0.1  # epochs


def happenings(source: RunSource) -> list[str]:
    """Return what happened, a sentence or two each."""
    return [
        *_shocks(source),
        *_prices(source),
        *_liquidations(source),
        *_bad_debt(source),
        *_cash(source),
        *_tranches(source),
        *_bridges(source),
        *_oracles(source),
        *_congestion(source),
    ]


def _shocks(source: RunSource) -> list[str]:
    shocks = timed_shocks(source.run.manifest)
    if not shocks:
        return ["The scenario has no shocks; prices and what participants do are all that moves."]
    return [f"{clock(time)}: {shock_words(shock)}." for time, shock in shocks]


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
    lines = [
        f"{fall.asset} fell by {percent(-fall.share)}, from {price(fall.peak)} at "
        f"{clock(fall.peak_time)} to {price(fall.trough)} at {clock(fall.trough_time)}, and ended "
        f"at {price(fall.end)}."
        for fall in found[:_MOST]
    ]
    lines[0] += (
        " A fall is the largest from a peak to a later trough, of reference prices at samples."
    )
    return lines


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
        (
            f"{plural(len(done), 'liquidation')} repaid {usd(float(done['debt_usd'].sum()))} of "
            f"debt{of_debt}, from {clock(first)} to {clock(last)}."
        ),
        (
            f"The busiest hour began at {clock(busiest.start)}: "
            f"{plural(busiest.n_liquidations, 'liquidation')} of {usd(busiest.debt)}."
        ),
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
        (
            f"Half of the accounts in trouble waited more than {lasting(median)} for their first "
            f"liquidation, {tail}{rest}."
        )
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
        (
            f"Bad debt peaked at {usd(peak.value)} at {clock(peak.time)}, most of it in "
            f"{peak.name}, and stood at {usd(end)} at the end. Its growth since statistics start, "
            f"{gain(loss)}, is the lenders' loss; illiquidity is apart from it."
        ),
        *_debtors(source, peak.time),
    ]


def _debtors(source: RunSource, time: float) -> list[str]:
    """Return who owed beyond their collateral at a sample."""
    positions = source.table("positions")
    short = positions[(positions["time"] == time) & (positions["shortfall"] > 0.0)]
    if short.empty:
        return []
    owed = short.groupby(short["population"].astype(str))["shortfall"].sum().nlargest(_MOST)
    told = listed(f"{name} {usd(float(value))}" for name, value in owed.items())
    count = plural(len(short), "account")
    return [f"At that peak {count} owed more than the collateral was worth: {told}."]


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


def _tranches(source: RunSource) -> list[str]:
    """Return which tranches lost, who waited to leave, and at what discount shares traded."""
    tranches = source.measured("tranches")
    if tranches.empty:
        return []
    lost, waited, discounts = (
        moments.tranche_extremes(tranches, value, least)[:_MOST]
        for value, least in (
            ("loss", LEAST_LOSS),
            ("queue_epochs", LEAST_QUEUE),
            ("discount", LEAST_LOSS),
        )
    )
    told = listed(f"{one.name} {percent(one.value)} by {clock(one.time)}" for one in lost)
    lines = [f"Losses that tranches recognized, of their value: {told}."] if lost else []
    if not lost:
        lines.append("No tranche recognized a loss.")
    if waited:
        told = listed(f"{one.name} {one.value:.1f} epochs ({clock(one.time)})" for one in waited)
        lines.append(f"The longest queues of those who wanted out, at the gate: {told}.")
    if discounts:
        told = listed(f"{one.name} {percent(one.value)} ({clock(one.time)})" for one in discounts)
        lines.append(f"The widest discounts at which shares traded in pools: {told}.")
    if (taken := source.value("wealth_taken")) is not None:
        did = "took from" if taken > 0.0 else "left to"
        lines.append(
            f"Leavers {did} those who stayed {abs(taken):,.0f} of the vault's cash: they are paid "
            "by the net asset value, not by what could be recovered."
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
        f"{'above' if one.value > 0.0 else 'below'} the reference at its widest, at "
        f"{clock(one.time)}."
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
