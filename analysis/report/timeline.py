"""The timeline: what happened when, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from analysis.report import moments
from analysis.report.blocks import Cell, Section, Table
from analysis.report.happenings import LEAST_LOSS, LEAST_QUEUE, shock_words
from analysis.report.wording import clock, lasting, percent, plural, price, usd
from analysis.setting import timed_shocks
from sim.units import GWEI

if TYPE_CHECKING:
    from analysis.report.source import RunSource

_MOST = 3  # events of one kind
_WAITING = 10  # orders left waiting from which a queue is an event


class Event(NamedTuple):
    """Something that happened at a time, seconds since the start of the run."""

    time: float
    kind: str
    words: str


def make_section(source: RunSource) -> Section:
    """Return the timeline of a run."""
    events = sorted(events_of(source), key=lambda event: event.time)
    rows = [
        [Cell(clock(event.time), event.time), Cell(event.kind), Cell(event.words)]
        for event in events
    ]
    table = Table("timeline-events", "What happened when", ("time", "what", "details"), rows)
    return Section("timeline", "Timeline", [table])


def events_of(source: RunSource) -> list[Event]:
    """Return the events that the records show, in no order."""
    return [*_given(source), *_prices(source), *_lending(source), *_rest(source)]


def _given(source: RunSource) -> list[Event]:
    events = [
        Event(time, "shock", shock_words(shock))
        for time, shock in timed_shocks(source.run.manifest)
    ]
    if source.setting.warmup > 0.0:
        events.append(Event(source.setting.warmup, "warm-up ends", "statistics start"))
    return events


def _prices(source: RunSource) -> list[Event]:
    events = []
    for fall in moments.falls(source.table("prices"), source.setting.warmup)[:_MOST]:
        depth = percent(-fall.share)
        events += [
            Event(fall.peak_time, "price peak", f"{fall.asset} at {price(fall.peak)}"),
            Event(
                fall.trough_time,
                "price trough",
                f"{fall.asset} at {price(fall.trough)}, {depth} below its peak",
            ),
        ]
    return events


def _lending(source: RunSource) -> list[Event]:
    done, events = source.measured("liquidations"), []
    if busiest := moments.busiest_hour(done):
        count = plural(busiest.n_liquidations, "liquidation")
        events += [
            Event(float(done["time"].min()), "first liquidation", str(_first_venue(source))),
            Event(busiest.start, "busiest hour begins", f"{count} of {usd(busiest.debt)}"),
            Event(float(done["time"].max()), "last liquidation", ""),
        ]
    peak = moments.bad_debt_peak(
        source.table("positions"), source.table("lending"), source.setting.warmup
    )
    if peak:
        events.append(Event(peak.time, "bad debt peaks", f"{usd(peak.value)}, in {peak.name} most"))
    for one in moments.full_reserves(source.measured("lending"))[:_MOST]:
        events.append(
            Event(one.time, "reserve lent out", f"{one.name}, {lasting(one.value)} in all")
        )
    for one in moments.first_refusals(source.measured("populations"))[:_MOST]:
        events.append(Event(one.time, "withdrawals refused", f"first of {one.name}"))
    return events


def _first_venue(source: RunSource) -> str:
    done = source.measured("liquidations")
    first = done.iloc[int(done["time"].to_numpy().argmin())]
    return f"{first['venue']} on {first['chain']}, {usd(float(first['debt_usd']))}"


def _rest(source: RunSource) -> list[Event]:
    bridges, chains = source.measured("bridges"), source.measured("chains")
    events = [
        Event(one.time, "cover lost", f"{one.name}, {percent(one.value)} backed at the worst")
        for one in moments.uncovered(bridges)
    ]
    for worst, episodes in moments.depegs(bridges):
        for episode in episodes[:_MOST]:
            words = f"{worst.name}, for {lasting(episode.end - episode.start)}"
            events.append(Event(episode.start, "depeg begins", words))
        events.append(
            Event(worst.time, "depeg is widest", f"{worst.name}, {percent(worst.value)} off par")
        )
    events += _tranches(source)
    for one in moments.oracle_errors(source.measured("oracles"))[:_MOST]:
        words = f"{one.name}, {percent(one.value)} off the reference"
        events.append(Event(one.time, "oracle error is widest", words))
    for one in moments.block_peaks(chains, "pending"):
        if one.value >= _WAITING:
            words = f"{one.name}, {plural(one.value, 'order')} left waiting"
            events.append(Event(one.time, "longest queue", words))
    for one in moments.block_peaks(chains, "base_fee"):
        median = chains.loc[chains["chain"].astype(str) == one.name, "base_fee"].median()
        if one.value > 2.0 * median:
            words = f"{one.name}, {one.value / GWEI:,.1f} gwei"
            events.append(Event(one.time, "gas price peaks", words))
    return events


def _tranches(source: RunSource) -> list[Event]:
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
    return [
        *(
            Event(one.time, "tranche loss peaks", f"{one.name}, {percent(one.value)}")
            for one in lost
        ),
        *(
            Event(one.time, "longest queue out", f"{one.name}, {one.value:.1f} epochs")
            for one in waited
        ),
        *(
            Event(one.time, "discount is widest", f"{one.name}, {percent(one.value)}")
            for one in discounts
        ),
    ]
