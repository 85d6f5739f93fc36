"""Who lost and who gained in a run, and why, as far as its records say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.classes import COVER, gains_by_class
from analysis.report.wording import gain, listed, percent, plain_words, usd
from analysis.series import since

if TYPE_CHECKING:
    import pandas as pd

    from analysis.report.source import RunSource

_MOST = 4  # things of one kind named in a sentence
_SMALL = 1.0  # USD below which nothing was gained or lost


def who_gained(source: RunSource) -> list[str]:
    """Return who lost and who gained."""
    gains = gains_by_class(source.summary.get("by_population", {}), source.setting)
    trading = gains["trading_gain"]
    losers = trading[trading < -_SMALL].head(_MOST)
    winners = trading[trading > _SMALL].iloc[::-1].head(_MOST)
    if losers.empty or winners.empty:
        return ["Nobody gained or lost a dollar by what happened in the protocols."]
    return [
        f"Lost: {_amounts(losers)}.",
        f"Gained: {_amounts(winners)}.",
        (
            "These are trading gains: all change of value but that of the prices of what somebody "
            "held at the start, gas paid included. They add up to "
            f"{usd(abs(float(trading.sum())))} over all, as they must: what one loses another has."
        ),
        *_holdings(gains),
        *_cover(source, gains),
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


def _cover(source: RunSource, gains: pd.DataFrame) -> list[str]:
    """Return who bears cover that was taken out of bridges."""
    if COVER not in gains.index or (source.value("backing_ratio_min") or 1.0) >= 1.0:
        return []
    return [
        (
            f"The loss of {COVER} is borne by those who hold the tokens: it is in the price change "
            "of what they held."
        )
    ]


def why(source: RunSource) -> list[str]:
    """Return what the records say about causes."""
    return [*_order_causes(source), *_liquidation_causes(source), *_failures(source)]


def _order_causes(source: RunSource) -> list[str]:
    """Return what orders named as their causes."""
    causes = source.measured("causes")
    if causes.empty:
        return []
    parts = causes.groupby(causes["parent_kind"].astype(str))["weight"].sum()
    words = {
        "price": "moves of prices",
        "fill": "earlier orders of the run",
        "routine": "the sender's own routine",
        "accrual": "interest",
        "shock": "shocks",
        "none": "nothing that was recorded",
    }
    total = float(parts.sum())
    told = [
        f"{percent(float(weight) / total)} {words.get(str(kind), str(kind))}"
        for kind, weight in parts.sort_values(ascending=False).items()
        if weight > 0.0
    ]
    return [f"Order legs name as their direct cause: {listed(told)}."]


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
        (
            f"Of the debt liquidated, {percent(float(parts.get('price', 0.0)) / total)} is traced "
            f"to moves of fundamental prices and {percent(market)} to earlier trades of this run "
            "on the reference market, by their weighted causes (shares below 5 % of one "
            "liquidation join the fundamental)."
        )
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
    line = f"{percent(share)} of {total:,} order legs failed or were dropped, mostly for {words}."
    fills = since(source.table("fills"), source.setting.warmup)
    lost = fills[fills["status"] != "OK"]
    by_sender = lost["population"].astype(str).value_counts().head(_MOST)
    senders = listed([f"{name} {n:,}" for name, n in by_sender.items()])
    return [f"{line} Most of them were sent by {senders}."]
