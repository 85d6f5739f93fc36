"""Bid policies: what the accounts of a population offer for block space.

A population bids as its behavior says unless it has a policy. A policy gives the price of the whole
order, base fee included, and replaces the behavior's own bid and tip:

* `static`: a fixed price of each account, whatever blocks cost;
* `percentile`: a percentile of what the last blocks paid, estimated now and then;
* `adaptive`: the same estimate; an order that is still waiting after some blocks is sent again with
  a bid higher by the chain's replacement step, up to a multiple of the first one.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
from pydantic import Field, create_model, model_validator

from sim.chain import plain_bid
from sim.draws import uniforms
from sim.gas_prices import HISTORY, recent
from sim.kernel import kernel
from sim.registry import Config
from sim.units import GWEI, MINUTE, ticks

OWN, STATIC, PERCENTILE, ADAPTIVE = range(4)
KINDS = ("own", "static", "percentile", "adaptive")

POLICY = np.dtype(
    [
        ("kind", "i8"),
        ("n_blocks", "i8"),  # over which an estimate looks back
        ("every", "i8"),  # ticks between estimates
        ("rebid_blocks", "i8"),  # blocks that an order waits before its bid is raised
        ("stays", "i8"),  # ticks that an order is left in the mempool, 0 = as its sender says
        ("stream", "i8"),  # of the fixed prices
        ("low", "f8"),  # native per gas, range of the fixed prices
        ("high", "f8"),
        ("percentile", "f8"),  # fraction
        ("most", "f8"),  # highest bid, over the first one
        ("share", "f8"),  # of the accounts that follow the policy
    ],
    align=True,
)


class BidConfig(Config):
    """How the accounts of a population bid for block space."""

    kind: Literal["own", "static", "percentile", "adaptive"] = Field(
        "own",
        description="As the behavior says; a fixed price; a percentile of recent blocks; that, "
        "raised while the order waits.",
    )
    share: float = Field(
        1.0,
        ge=0.0,
        le=1.0,
        description="Share of the accounts that bid so, spread evenly; the others bid as their "
        "behavior says.",
    )
    low_gwei: float = Field(
        10.0,
        gt=0.0,
        description="Lowest fixed price of an account.",
        json_schema_extra={"unit": "gwei"},
    )
    high_gwei: float = Field(
        40.0,
        gt=0.0,
        description="Highest fixed price of an account.",
        json_schema_extra={"unit": "gwei"},
    )
    percentile: float = Field(
        0.6, gt=0.0, lt=1.0, description="Share of recent gas that paid at most the bid."
    )
    n_blocks: int = Field(
        20, gt=0, le=HISTORY - 2, description="Blocks over which an estimate looks back."
    )
    estimate_minutes: float = Field(
        1.0,
        ge=0.0,
        le=1e5,
        description="Time between estimates; 0: one for each order.",
        json_schema_extra={"unit": "min"},
    )
    rebid_blocks: int = Field(
        10, gt=0, le=100_000, description="Blocks that an order waits before its bid is raised."
    )
    most_multiple: float = Field(
        10.0, ge=1.0, le=1e6, description="Highest bid, over the first one."
    )
    stays_seconds: float = Field(
        0.0,
        ge=0.0,
        le=3.2e7,
        description="Time that an order is left in the mempool; 0: as the behavior says.",
        json_schema_extra={"unit": "s"},
    )

    @model_validator(mode="after")
    def _check(self) -> BidConfig:
        if self.low_gwei > self.high_gwei:
            raise ValueError(
                f"low_gwei ({self.low_gwei:g}) is above high_gwei ({self.high_gwei:g}); swap them"
            )
        return self


@functools.cache
def with_bid(config: type[Config]) -> type[Config]:
    """Return the config of a population with a `bid` block."""
    field: Any = (
        BidConfig | None,
        Field(None, description="How its accounts bid; as their behavior says if left out."),
    )
    return create_model(config.__name__, __base__=config, __doc__=config.__doc__, bid=field)


def set_policy(record: Any, config: BidConfig, stream: int) -> None:
    """Write a policy into its record."""
    record["kind"] = KINDS.index(config.kind)
    record["n_blocks"] = config.n_blocks
    record["every"] = ticks(config.estimate_minutes * MINUTE)
    record["rebid_blocks"] = config.rebid_blocks
    record["stays"] = ticks(config.stays_seconds)
    record["stream"] = stream
    record["low"], record["high"] = config.low_gwei * GWEI, config.high_gwei * GWEI
    record["percentile"], record["most"] = config.percentile, config.most_multiple
    record["share"] = config.share


@kernel
def follows(policy, row):  # type: ignore[no-untyped-def]
    """Return whether an account follows its population's policy; the rows are spread evenly."""
    return policy.kind != OWN and int((row + 1) * policy.share) > int(row * policy.share)


@kernel
def estimate(box, policy, order):  # type: ignore[no-untyped-def]
    """Return the population's estimate of the gas price on a chain, made anew when it is old."""
    chain = box.chains[order.chain]
    if chain.is_held != 0:
        return chain.base_fee
    if (
        box.estimate[order.chain, order.group] <= 0.0
        or order.arrival >= box.estimated_at[order.chain, order.group] + policy.every
    ):
        price = recent(box, order.chain, policy.n_blocks, policy.percentile)
        box.estimate[order.chain, order.group] = price if price > 0.0 else chain.base_fee
        box.estimated_at[order.chain, order.group] = order.arrival
    return box.estimate[order.chain, order.group]


@kernel
def offer(chain, order, price):  # type: ignore[no-untyped-def]
    """Set the bid of an order to a price, base fee included."""
    order.tip = max(price - chain.base_fee, 0.0)
    order.max_fee = price
    if chain.is_base_fee != 0:
        order.max_fee = max(price, plain_bid(chain) + order.tip)


@kernel
def apply_policy(box, order, seed):  # type: ignore[no-untyped-def]
    """Bid as the sender's population does, where it has a policy."""
    policy = box.policies[order.group]
    if not follows(policy, order.row):
        return
    chain = box.chains[order.chain]
    if policy.kind == STATIC:
        u = uniforms(seed, policy.stream, 0, order.row, 0)[0]
        price = policy.low + (policy.high - policy.low) * u
        order.tip, order.max_fee = max(price - chain.base_fee, 0.0), price
    else:
        offer(chain, order, estimate(box, policy, order))
    if policy.kind == ADAPTIVE:
        order.rebid_at = chain.height + policy.rebid_blocks
        order.first_bid = order.max_fee
    if policy.stays > 0:
        order.expires = order.arrival + policy.stays


@kernel
def raise_due(box, order):  # type: ignore[no-untyped-def]
    """Raise the bid of an order that has waited long enough; returns whether it was raised."""
    chain = box.chains[order.chain]
    if order.rebid_at < 0 or chain.height < order.rebid_at:
        return False
    policy = box.policies[order.group]
    order.rebid_at = chain.height + policy.rebid_blocks
    if order.max_fee * (1.0 + chain.replacement) > policy.most * order.first_bid:
        return False
    order.tip *= 1.0 + chain.replacement
    order.max_fee *= 1.0 + chain.replacement
    return True
