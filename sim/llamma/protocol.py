"""crvUSD markets as a mechanism of the world: their declaration."""

from __future__ import annotations

from typing import Any

from sim.llamma import reading, verbs
from sim.llamma.building import make, open_markets
from sim.llamma.settings import KIND, LlammaConfig
from sim.registry import Liquidations, Mechanism, Verb


def _issues(name: str, config: Any) -> tuple[tuple[str, str], ...]:
    return ((config.chain, config.debt),) if config.debt_asset is not None else ()


MECHANISM = Mechanism(
    kind=KIND,
    config=LlammaConfig,
    verbs=(
        Verb("swap", verbs.on_swap, 250_000, verbs.on_quote_swap),
        Verb("create", verbs.on_create, 650_000),
        Verb("borrow", verbs.on_borrow, 700_000),
        Verb("add_collateral", verbs.on_add_collateral, 650_000),
        Verb("remove_collateral", verbs.on_remove_collateral, 650_000),
        Verb("repay", verbs.on_repay, 550_000),
        Verb("liquidate", verbs.on_liquidate, 500_000, verbs.on_quote_liquidate),
    ),
    states=verbs.unpack.states,
    make=make,
    quote=verbs.on_quote,
    is_made_first=True,
    issues=_issues,
    react=verbs.on_block,
    nodes=lambda config: [(config.chain, config.collateral), (config.chain, config.debt)],
    claims=reading.claims,
    sample=reading.sample,
    sample_positions=reading.sample_positions,
    liquidations=Liquidations(
        ("liquidate",),
        reading.liquidation_details,
        reading.liquidation_times,
        reading.liquidation_feeds,
    ),
    open=open_markets,
    check=reading.check,
)
