"""The story of a run, told from its records: what happened, who lost, and what the records say why.

Every number is one of the summary or is read from a record table; a sentence without its number in
the records is not written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.classes import gains_by_class
from analysis.report import moments
from analysis.report.blocks import Fact, Facts, Heading, Prose, Section
from analysis.report.happenings import LEAST_LOSS, happenings
from analysis.report.reasons import who_gained, why
from analysis.report.wording import gain, lasting, listed, percent, plural, price, usd
from sim.units import HOUR

if TYPE_CHECKING:
    import pandas as pd

    from analysis.report.source import RunSource

_SMALL = 1.0  # USD below which nothing was gained or lost


def make_section(source: RunSource) -> Section:
    """Return the first section of the page."""
    blocks = [
        Facts(_facts(source)),
        Prose(_opening(source)),
        Heading("What happened"),
        Prose(happenings(source), is_list=True),
        Heading("Who lost, who gained"),
        Prose(who_gained(source), is_list=True),
    ]
    if reasons := why(source):
        blocks += [Heading("Why, as far as the records say"), Prose(reasons, is_list=True)]
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
    if loss := source.value("junior_loss_share"):
        senior = source.value("senior_loss_share") or 0.0
        found.append(
            Fact("Junior tranches' loss", percent(loss), f"of the seniors {percent(senior)}")
        )
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
    return [f"{words}.", *_short_story(source)]


def _short_story(source: RunSource) -> list[str]:
    """Return the run in two or three sentences."""
    parts = []
    if fallen := moments.falls(source.table("prices"), source.setting.warmup):
        parts.append(f"{fallen[0].asset} fell by {percent(-fallen[0].share)}.")
    if source.value("n_liquidations"):
        debt, share = source.value("liquidated_debt_usd"), source.value("liquidated_share")
        told = f", {percent(share)} of all debt" if share is not None else ""
        parts.append(f"Liquidators repaid {usd(debt or 0.0)}{told}.")
    if (peak := source.value("bad_debt_peak")) is not None:
        end = usd(source.value("bad_debt_end") or 0.0)
        told = f"Bad debt reached {usd(peak)} and stood at {end} at the end." if peak else ""
        parts.append(told or "No bad debt arose.")
    tranches = source.measured("tranches")
    lost = moments.tranche_extremes(tranches, "loss", LEAST_LOSS) if len(tranches) else []
    if lost:
        told = listed(f"the {one.name} lost {percent(one.value)} of its value" for one in lost)
        parts.append(f"{told[0].upper()}{told[1:]}.")
    gains = _class_gains(source)
    if len(gains) and gains.iloc[0] < -_SMALL:
        first, last = gains.index[0], gains.index[-1]
        parts.append(
            f"Of all classes, the largest loss is that of {first} ({gain(float(gains.iloc[0]))}), "
            f"the largest gain that of {last} ({gain(float(gains.iloc[-1]))})."
        )
    return [" ".join(parts)] if parts else []


def _class_gains(source: RunSource) -> pd.Series[float]:
    by_population = source.summary.get("by_population", {})
    return gains_by_class(by_population, source.setting)["trading_gain"]
