"""Tranche vaults without the way by which stress travels through their redemptions.

`redemption`: an insurer outside takes the shares that are to be redeemed over, at once and at net
asset value, without gate, notice, swing or minimum coverage and also from a stopped vault. So a run
takes no cash out of the vault, and its managers have nothing to sell for. The insurer holds the
shares as anybody does and bears its part of what the vault loses later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.registry import Channel

if TYPE_CHECKING:
    from sim.tranches.state import TrancheState
    from sim.world import World


def _cut(world: World, state: TrancheState) -> None:
    state.vaults["is_insured"] = 1


def _is_there(world: World, state: TrancheState) -> bool:
    return len(state.vaults) > 0


def _paid(world: World, state: TrancheState) -> float:
    return float(state.vaults["insured"] @ world.prices.fundamental[state.vaults["cash"]])


CHANNELS = (Channel("redemption", _cut, _is_there, _paid),)
