"""Tranche vaults as a mechanism of the world: their declaration.

A vault's account holds its positions as any account does; what they are worth it learns by
appraisals (`sim.appraisal`), so that a new kind of venue can be held without a word here. The
orders that open and close them are sent for the account by a population of managers.

Differences from deployed protocols: whoever is served at the end of an epoch is paid without a
claim; a redemption's price is that of the epoch which serves it; there is no treasury.
"""

from __future__ import annotations

from sim.registry import Mechanism, Verb
from sim.tranches import verbs
from sim.tranches.building import EPOCH, make, open_vaults
from sim.tranches.channels import CHANNELS
from sim.tranches.reading import check, claims, sample
from sim.tranches.settings import KIND, TrancheVaultConfig
from sim.tranches.shocks import SHOCKS

MECHANISM = Mechanism(
    kind=KIND,
    role="tranche_investors",  # shares are worth what the vault holds
    config=TrancheVaultConfig,
    verbs=(
        Verb("deposit", verbs.on_deposit, 150_000),
        Verb("redeem", verbs.on_redeem, 150_000),
        Verb("cancel", verbs.on_cancel, 100_000),
    ),
    states=verbs.unpack.states,
    make=make,
    open=open_vaults,
    is_made_first=True,
    issues=lambda name, config: tuple(
        (config.chain, f"{name}-{tranche.name}") for tranche in config.tranches
    ),
    nodes=lambda config: [(config.chain, config.token)],
    react=verbs.on_block,
    claims=claims,
    sample=sample,
    check=check,
    events=((EPOCH, verbs.on_epoch),),
    shocks=SHOCKS,
    channels=CHANNELS,
)
