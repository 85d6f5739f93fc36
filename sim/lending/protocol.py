"""Lending markets as a mechanism of the world: their declaration."""

from __future__ import annotations

from sim.lending import claim_liquidation, standing, unwinding, verbs
from sim.lending.appraisal import on_appraise
from sim.lending.building import make
from sim.lending.channels import CHANNELS
from sim.lending.reading import (
    check,
    claims,
    liquidation_details,
    liquidation_feeds,
    liquidation_times,
    sample,
    sample_positions,
)
from sim.lending.settings import KIND, LendingConfig
from sim.lending.shocks import SHOCKS
from sim.registry import Liquidations, Mechanism, Verb

MECHANISM = Mechanism(
    kind=KIND,
    config=LendingConfig,
    verbs=(
        Verb("supply", verbs.on_supply, 180_000),
        Verb("withdraw", verbs.on_withdraw, 220_000),
        Verb("borrow", verbs.on_borrow, 300_000),
        Verb("repay", verbs.on_repay, 170_000),
        Verb("liquidate", verbs.on_liquidate, 450_000, verbs.on_quote_liquidate),
        Verb("flash_loan", verbs.on_flash_loan, 90_000, verbs.on_quote_flash_loan),
        Verb("flash_repay", verbs.on_flash_repay, 90_000, verbs.on_quote_flash_repay),
        Verb("liquidate_for_claim", claim_liquidation.on_liquidate_for_claim, 450_000),
        Verb("use_as_collateral", standing.on_use_as_collateral, 130_000),
        Verb("set_mode", standing.on_set_mode, 130_000),
        Verb("unwind", unwinding.on_unwind, 220_000, unwinding.on_quote_unwind),
        Verb("unwind_repay", unwinding.on_unwind_repay, 170_000, unwinding.on_quote_unwind_repay),
    ),
    states=verbs.unpack_all.states,
    make=make,
    react=verbs.on_block,
    appraise=on_appraise,
    nodes=lambda config: [(config.chain, symbol) for symbol in config.reserves],
    claims=claims,
    sample=sample,
    sample_positions=sample_positions,
    liquidations=Liquidations(
        ("liquidate", "liquidate_for_claim"),
        liquidation_details,
        liquidation_times,
        liquidation_feeds,
    ),
    check=check,
    shocks=SHOCKS,
    channels=CHANNELS,
)
