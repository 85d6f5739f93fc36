"""A world made from a plan in Python: the engine without a scenario, and without Mesa."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.amm import constant_product
from sim.fee_market import EIP1559
from sim.plan import ChainPlan, TokenPlan, VenuePlan, WorldPlan
from sim.world import World

_POOL: dict[str, Any] = {
    "kind": "constant_product",
    "chain": "mainnet",
    "tokens": ["ETH", "USD"],
    "value_usd": 1e6,
}


def engine_world() -> World:
    """Return a world of one chain and one pool at a fixed price, without participants."""
    mechanism = constant_product.MECHANISM
    config: Any = mechanism.config(**_POOL)
    pool = VenuePlan("eth-usd", mechanism, "mainnet", tuple(mechanism.nodes(config)), config)
    return World(
        WorldPlan(
            seed=1,
            horizon_seconds=3_600.0,
            step_seconds=12.0,
            assets=("ETH", "USD"),
            paths=np.repeat([[2_000.0], [1.0]], 3_601, axis=1),
            path_step_seconds=1.0,
            chains=(ChainPlan("mainnet", 12.0, False, 30_000_000, EIP1559, 0.0, 0.0, "ETH"),),
            tokens=(TokenPlan("mainnet", "ETH", "ETH"), TokenPlan("mainnet", "USD", "USD")),
            venues=(pool,),
            populations=(),
        )
    )
