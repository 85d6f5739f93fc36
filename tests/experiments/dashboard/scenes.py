"""A small scenario with all that the dashboard shows: two chains, a bridge, a lending book."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from experiments.scenario import load_scenario

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from experiments.scenario import Scenario

FIXED = {"kind": "fixed", "interval_seconds": 12}


def data(**changes: Any) -> dict[str, Any]:
    """Return the scenario as plain data, with parts replaced."""
    made: dict[str, Any] = {
        "version": 1,
        "name": "small",
        "horizon": "6h",
        "price_step_seconds": 4,
        "assets": {
            "ETH": {"price": {"kind": "gbm", "price": 2000, "volatility": 0.03}},
            "USD": {"price": {"kind": "fixed", "price": 1}},
        },
        "chains": {
            "main": {"blocks": FIXED, "native": "ETH", "tokens": ["ETH", "USD"]},
            "side": {"blocks": FIXED, "native": "ETH", "tokens": ["ETH"]},
        },
        "venues": {
            "eth-feed": {
                "kind": "oracle",
                "chain": "main",
                "token": "ETH",
                "source": {"kind": "reported", "deviation": 0.005, "heartbeat_seconds": 3600},
            },
            "usd-feed": {
                "kind": "oracle",
                "chain": "main",
                "token": "USD",
                "source": {"kind": "fixed", "price_usd": 1},
            },
            "eth-usd": {
                "kind": "constant_product",
                "chain": "main",
                "tokens": ["ETH", "USD"],
                "fee": 0.003,
                "value_usd": 1e6,
            },
            "bridge": {
                "kind": "lock_and_mint",
                "chain": "main",
                "other_chain": "side",
                "token": "USD",
                "wrapped": "wUSD",
                "finality_delay_seconds": 60,
                "return_delay_seconds": 60,
            },
            "market": {
                "kind": "lending",
                "chain": "main",
                "reserves": {
                    "ETH": {"feed": "eth-feed", "loan_to_value": 0.7, "liquidation_threshold": 0.8},
                    "USD": {"feed": "usd-feed", "loan_to_value": 0.7, "liquidation_threshold": 0.8},
                },
            },
        },
        "populations": {
            "suppliers": {
                "kind": "suppliers",
                "chain": "main",
                "market": "market",
                "asset": "USD",
                "count": 10,
                "supplied_usd": 1e7,
            },
            "borrowers": {
                "kind": "borrowers",
                "chain": "main",
                "market": "market",
                "collateral": "ETH",
                "debt": "USD",
                "count": 200,
                "debt_usd": 5e6,
                "health_quantiles": [[0.05, 1.1], [0.5, 1.5], [0.95, 3.0]],
            },
            "lps": {
                "kind": "liquidity_providers",
                "chain": "main",
                "pool": "eth-usd",
                "count": 50,
                "value_usd": 2e6,
            },
            "arbitrageurs": {
                "kind": "arbitrageurs",
                "chain": "main",
                "count": 2,
                "inventory_usd": 5e5,
                "min_profit_usd": 5,
            },
            "liquidators": {
                "kind": "liquidators",
                "chain": "main",
                "market": "market",
                "count": 3,
                "inventory_usd": 1e6,
                "inventory_tokens": ["USD"],
            },
            "keepers": {"kind": "oracle_keepers", "chain": "main"},
        },
        "shocks": [],
    }
    return made | changes


def write(folder: Path, **changes: Any) -> Path:
    """Write the scenario to a file."""
    file = folder / "small.yaml"
    file.write_text(json.dumps(data(**changes), indent=1), "utf-8")  # which is YAML, too
    return file


@functools.cache
def _loaded(folder: Path) -> Scenario:
    return load_scenario(str(write(folder)))


def small(folder: Path) -> Scenario:
    """Return the scenario, validated."""
    return _loaded(folder)


def recorded(world: Any) -> list[np.ndarray]:
    """Return a list to which every batch of fills of a world will be added."""
    kept: list[np.ndarray] = []
    then = world.on_fills

    def keep(fills: np.ndarray) -> None:
        kept.append(fills.copy())
        then(fills)

    world.on_fills = keep
    return kept
