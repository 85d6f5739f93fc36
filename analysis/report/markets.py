"""Pools, lending markets, bridges and block space: figures and tables of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.figures import FIGURES
from analysis.lending import hours_at_full_utilization, reserve_names
from analysis.report.blocks import Cell, Section, Table, number, picture, table_of
from analysis.report.source import LeftOut
from analysis.report.wording import plain_words
from analysis.series import wide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analysis.report.blocks import Picture
    from analysis.report.source import RunSource

_LARGEST = 25  # single liquidations shown
_POOLS = {
    "pool": "pool",
    "volume_usd": "volume (USD)",
    "fees_usd": "fees (USD)",
    "lvr_usd": "loss versus rebalancing (USD)",
    "lp_gas_usd": "providers' gas (USD)",
    "lp_net_return": "providers' net return",
    "inventory_usd": "inventory gain (USD)",
    "value_start_usd": "value at the start (USD)",
    "price_error_abs_p99": "price error, 99 % within",
}
_ASSETS = {
    "asset": "asset",
    "reference_start": "start (USD)",
    "reference_low": "low (USD)",
    "reference_high": "high (USD)",
    "reference_end": "end (USD)",
}
_CHAINS = {
    "chain": "chain",
    "n_blocks": "blocks",
    "gas_used": "gas used",
    "base_fee_median": "base fee, median (gwei)",
    "base_fee_max": "base fee, highest (gwei)",
    "pending_max": "most orders left waiting",
}
_LIQUIDATIONS = {
    "hour": "time (h)",
    "venue": "market",
    "borrower_population": "borrower",
    "liquidator_population": "liquidator",
    "debt_usd": "debt repaid (USD)",
    "seized_usd": "collateral seized (USD)",
    "health_factor": "health factor before",
    "delay": "waited (s)",
}
_TRANCHES = {
    "venue": "vault",
    "tranche": "tranche",
    "stage": "stage",
    "nav": "net asset value (cash)",
    "fair": "recoverable value (cash)",
    "loss": "recognized loss (cash)",
    "income": "income (cash)",
    "queue": "waiting to leave (cash)",
    "coverage": "coverage of the senior",
    "discount": "discount of shares",
}
_CASH = ("nav", "fair", "loss", "income", "queue")  # of them, amounts of the cash token
_CAPTIONS = {
    "prices": "Pool prices in color over the reference price in black, and below how far each pool "
    "is from it. Circles are liquidations, their area in proportion to the debt repaid. Dashed "
    "lines mark shocks, grey the warm-up.",
    "liquidity": "Result of each pool's liquidity providers since the start of statistics: fees "
    "earned, loss versus rebalancing, and what the reserves gained from prices alone.",
    "health": "Health factors of debt at oracle prices through time: bands hold 50 % and 90 % of "
    "the debt, the line its median. Below the red line accounts can be liquidated.",
    "liquidations": "Debt liquidated in each interval and bad debt at reference prices, by chain. "
    "Bad debt is sampled with the debtors, every hour or so.",
    "utilization": "Share of each reserve that is lent out, and its borrow rate. At 100 % nobody "
    "can withdraw.",
    "bridges": "Cover of wrapped tokens (escrow over supply), and how far they trade from par.",
    "network": "Tokens by what is locked in them at the end, pools and bridges by what flowed "
    "through them in the whole run.",
    "block_space": "Gas prices and orders left waiting, by chain.",
    "lp_outcomes": "Share of the liquidity providers who made at most so much: against holding "
    "what they had, and in dollars; one line a population.",
    "stylized_facts": "Tails of returns, memory of volatility, clustering of liquidations, and "
    "which stylized facts of real markets this run shows.",
    "cascade_timeline": "Every wave of liquidations by time and debt; the largest cascades have "
    "colors of their own.",
    "cascade_tree": "The waves of one cascade: which of them caused which.",
    "tranches": "Value of the tranches of the largest vault, the last at the bottom, so that "
    "borders are attachment points; below, who waits to leave, and the discount of traded shares.",
}


def make_pools(source: RunSource) -> Section | LeftOut:
    """Return prices and pools."""
    title = "Prices and pools"
    by_pool, by_asset = source.summary.get("by_pool", {}), source.summary.get("by_asset", {})
    blocks = [
        *figures_of(source, "prices", "liquidity", "lp_outcomes", "stylized_facts"),
        *_parts("pools", "Pools since the start of statistics", by_pool, _POOLS, "pool"),
        *_parts("assets", "Reference prices at samples", by_asset, _ASSETS, "asset"),
    ]
    if not blocks:
        return LeftOut(title, "nothing was sampled (records.sample_seconds is 0)")
    return Section("pools", title, blocks)


def make_lending(source: RunSource) -> Section | LeftOut:
    """Return lending markets: health of debt, liquidations, bad debt, utilization."""
    title = "Lending and liquidations"
    if not len(source.table("lending")) and not len(source.table("positions")):
        return LeftOut(title, "the run has no lending or CDP market")
    blocks = [
        *figures_of(source, "health", "liquidations", "utilization"),
        *_reserves(source),
        *_largest_liquidations(source),
    ]
    return Section("lending", title, blocks)


def make_bridges(source: RunSource) -> Section | LeftOut:
    """Return bridges."""
    title = "Bridges"
    bridges = source.measured("bridges")
    if bridges.empty:
        return LeftOut(title, "the run has no bridge")
    shown = pd.DataFrame(
        {
            "minted": wide(bridges, "venue", "minted").iloc[-1],
            "locked": wide(bridges, "venue", "locked").iloc[-1],
            "backing_ratio": wide(bridges, "venue", "backing_ratio").min(),
            "depeg": wide(bridges, "venue", "depeg").abs().max(),
        }
    ).reset_index(names="bridge")
    columns = {
        "bridge": "bridge",
        "locked": "locked at the end (token)",
        "minted": "minted at the end (token)",
        "backing_ratio": "smallest cover",
        "depeg": "largest depeg",
    }
    table = table_of(
        "bridges-table", "Bridges; a liquidity network locks and mints inventories", shown, columns,
        share=("backing_ratio", "depeg"),
    )  # fmt: skip
    return Section("bridges", title, [*figures_of(source, "bridges"), table])


def make_tranches(source: RunSource) -> Section | LeftOut:
    """Return tranche vaults: figure, and the tranches at the end."""
    title = "Tranches"
    frames = source.run.frames
    if "tranches" not in frames or frames["tranches"].empty:
        return LeftOut(title, "the run has no tranche vault")
    names = frames["tranches"][["venue", "tranche"]].astype(str)
    last = frames["tranches"].assign(**names).groupby(["venue", "tranche"]).last().reset_index()
    columns = {column: words for column, words in _TRANCHES.items() if column in last}
    shares = [column for column in columns if column in ("coverage", "discount")]
    cash = [column for column in columns if column in _CASH]
    table = table_of(
        "tranches-table", "Tranches at the end", last, columns, usd=cash, share=shares
    )  # amounts of the cash token are written as those of dollars are
    return Section("tranches", title, [*figures_of(source, "tranches"), table])


def make_network(source: RunSource) -> Section | LeftOut:
    """Return the graph of tokens."""
    drawn = figures_of(source, "network")
    title = "Who is joined to whom"
    return Section("network", title, drawn) if drawn else LeftOut(title, "the run has no pool")


def make_block_space(source: RunSource) -> Section | LeftOut:
    """Return block space: gas prices, queues, and how orders ended."""
    by_status = source.summary.get("by_status", {})
    rows = [[Cell(status), number(count)] for status, count in by_status.items()]
    blocks = [
        *figures_of(source, "block_space"),
        *_parts("chains", "Chains", source.summary.get("by_chain", {}), _CHAINS, "chain"),
        Table("statuses", "Order legs by how they ended", ("status", "order legs"), rows),
    ]
    return Section("block-space", "Block space and orders", blocks)


def make_other_figures(source: RunSource) -> Section:
    """Return the figures that no other section shows; there may be none."""
    drawn = figures_of(source, *(name for name in sorted(FIGURES) if name not in _CAPTIONS))
    return Section("figures", "Further figures", drawn)


def figures_of(source: RunSource, *names: str) -> list[Picture]:
    """Draw those of some figures that this version has and the run has data for."""
    drawn = [
        picture(
            lambda name=name: FIGURES[name](source.run.frames, source.setting),  # type: ignore[misc]
            _CAPTIONS.get(name, plain_words(name).capitalize() + "."),
        )
        for name in names
        if name in FIGURES
    ]
    return [one for one in drawn if one is not None]


def _parts(
    name: str, caption: str, parts: Mapping[str, Any], columns: dict[str, str], key: str
) -> list[Table]:
    """Return the table of a part of the summary, such as `by_pool`."""
    if not parts:
        return []
    frame = pd.DataFrame([{key: part, **values} for part, values in parts.items()])
    known = {column: words for column, words in columns.items() if column in frame}
    money = [column for column in known if column.endswith("_usd")]
    shares = [column for column in known if column in ("lp_net_return", "price_error_abs_p99")]
    return [table_of(f"{name}-table", caption, frame, known, usd=money, share=shares)]


def _reserves(source: RunSource) -> list[Table]:
    markets = source.measured("lending")
    if markets.empty:
        return []
    named = markets.assign(reserve=reserve_names(markets))
    last = named.groupby("reserve").last()
    frame = pd.DataFrame(
        {
            "supplied": last["supplied"] * last["oracle_price"],
            "borrowed": last["borrowed"] * last["oracle_price"],
            "peak": named.groupby("reserve")["utilization"].max(),
            "end": last["utilization"],
            "full": hours_at_full_utilization(markets),
            "rate": named.groupby("reserve")["borrow_rate"].max(),
        }
    ).reset_index(names="reserve")
    columns = {
        "reserve": "reserve",
        "supplied": "supplied at the end (USD, oracle prices)",
        "borrowed": "borrowed at the end (USD, oracle prices)",
        "end": "utilization at the end",
        "peak": "highest utilization",
        "full": "lent out fully (h)",
        "rate": "highest borrow rate (per year)",
    }
    kinds = {"usd": ("supplied", "borrowed"), "share": ("peak", "end", "rate")}
    return [table_of("reserves", "Reserves of lending markets", frame, columns, **kinds)]


def _largest_liquidations(source: RunSource) -> list[Table]:
    done = source.measured("liquidations")
    if done.empty:
        return []
    largest = done.nlargest(_LARGEST, "debt_usd").assign(hour=lambda frame: frame["time"] / 3600.0)
    count = min(_LARGEST, len(done))
    caption = f"The {count} largest of {len(done):,} liquidations" if count > 1 else "Liquidation"
    shown = largest.astype(dict.fromkeys(largest.select_dtypes("category"), "str"))
    money = ("debt_usd", "seized_usd")
    return [table_of("largest-liquidations", caption, shown, _LIQUIDATIONS, usd=money)]
