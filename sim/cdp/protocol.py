"""CDP markets as a mechanism of the world: their declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.cdp import auction_verbs, reading, verbs
from sim.cdp.building import make, open_markets
from sim.cdp.settings import KIND, CdpConfig
from sim.cdp.state import grown
from sim.registry import Liquidations, Mechanism, Verb

if TYPE_CHECKING:
    from collections.abc import Sequence


def _issues(name: str, config: Any) -> tuple[tuple[str, str], ...]:
    return ((config.chain, config.debt),) if config.debt_asset is not None else ()


def _nodes(config: Any) -> Sequence[tuple[str, str]]:
    return [(config.chain, config.collateral), (config.chain, config.debt)]


def _grow(own: Any) -> Any:
    state = grown(own[0])
    return None if state is None else (state, own[1])


MECHANISM = Mechanism(
    kind=KIND,
    config=CdpConfig,
    verbs=(
        Verb("deposit", verbs.on_deposit, 180_000),
        Verb("withdraw", verbs.on_withdraw, 220_000),
        Verb("draw", verbs.on_draw, 300_000),
        Verb("repay", verbs.on_repay, 170_000),
        Verb("liquidate", verbs.on_liquidate, 450_000, verbs.on_quote_liquidate),
        Verb("bite", auction_verbs.on_bite, 330_000),
        Verb("tend", auction_verbs.on_tend, 130_000),
        Verb("dent", auction_verbs.on_dent, 140_000),
        Verb("deal", auction_verbs.on_deal, 110_000),
        Verb("take", auction_verbs.on_take, 250_000, auction_verbs.on_quote_take),
        Verb("redo", auction_verbs.on_redo, 120_000),
    ),
    states=verbs.unpack.states,
    make=make,
    is_made_first=True,
    issues=_issues,
    react=verbs.on_block,
    nodes=_nodes,
    claims=reading.claims,
    sample=reading.sample,
    sample_positions=reading.sample_positions,
    liquidations=Liquidations(
        ("liquidate", "deal", "take"),
        reading.liquidation_details,
        reading.liquidation_times,
        reading.liquidation_feeds,
    ),
    open=open_markets,
    grow=_grow,
    check=reading.check,
)
