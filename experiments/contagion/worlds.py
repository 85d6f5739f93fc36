"""One world of a contagion analysis: run without records, and valued at its two ends.

Net values are those of `World.account_holdings` at fundamental prices, which are equal in paired
worlds: tokens at F, wrapped ones at their backing, loans non-recourse, liquidity at what would be
withdrawn. A party's loss is its value at time 0 less its value at the end.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.composition import build
from sim.channels import ROLES, absorbed_by_channel, channels_of
from sim.outside import BASE_FEES, OUTSIDE, VALIDATORS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from experiments.scenario import Scenario
    from sim.world import World

CONTENT = "content"  # column: hash of everything that happened
LOSS, ABSORBED = "loss_", "absorbed_"  # columns: of a party, of a channel


def outcome_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that a world fills."""
    losses = (f"{LOSS}{role}" for role in ROLES)
    return (*losses, *(f"{ABSORBED}{name}" for name in channels), CONTENT)


def channels_in(scenario: Scenario) -> tuple[str, ...]:
    """Return the channels that a scenario has, by building its world; in alphabetical order."""
    return channels_of(build(scenario).world)


def value_by_role(world: World) -> dict[str, float]:
    """Return the net value of every role at fundamental prices of now, USD.

    The accounts of protocols themselves are the treasury, unless their mechanism says otherwise.
    """
    world.refresh_prices()
    found: dict[str, list[float]] = {role: [] for role in ROLES}
    for group, accounts in enumerate(world.account_holdings()):
        values = accounts @ world.prices.fundamental
        if group == OUTSIDE:
            for row, value in enumerate(values.tolist()):
                role = "validators" if row in (VALIDATORS, BASE_FEES) else "outside"
                found[role].append(value)
        else:
            found[_role_of(world, group)] += values.tolist()
    return {role: math.fsum(values) for role, values in found.items()}


def _role_of(world: World, group: int) -> str:
    if group >= world.n_venue_groups:
        return world.plan.populations[group - world.n_venue_groups].kind.role
    kind = world.group_names[group]
    return next(v.mechanism.role for v in world.plan.venues if v.mechanism.kind == kind)


def run_world(
    scenario: Scenario,
    seed: int,
    without: Collection[str],
    names: Collection[str],
    watch: Callable[..., None] = lambda: None,
) -> dict[str, Any]:
    """Run a world with some channels cut and return what each party lost.

    Parameters
    ----------
    without : channels that are cut
    names : columns to return, of `outcome_names`
    watch : called every 10 ms or so of work

    Returns
    -------
    losses by role and what the outside absorbed by channel, USD; and the hash of the content
    """
    model = build(scenario, seed, without=without)
    world = model.world
    content = hashlib.sha256()
    world.on_fills = lambda fills: content.update(np.ascontiguousarray(fills).tobytes())
    world.on_pause = watch
    before = value_by_role(world)
    model.run_until(scenario.horizon)
    world.flush()
    world.check()
    after = value_by_role(world)
    content.update(world.ledger.balance.tobytes())
    content.update(np.array(list(after.values())).tobytes())
    found: dict[str, Any] = {f"{LOSS}{role}": before[role] - after[role] for role in ROLES}
    found |= {f"{ABSORBED}{name}": usd for name, usd in absorbed_by_channel(world).items()}
    found[CONTENT] = content.hexdigest()[:32]
    return {name: found.get(name, 0.0) for name in names}
