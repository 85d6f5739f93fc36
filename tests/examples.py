"""Minimal examples of every registered kind: what the contract checks run it with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from experiments.kinds import mechanisms
from sim.bridges.liquidity_network import LiquidityNetworkConfig
from sim.bridges.lock_and_mint import LockAndMintConfig
from sim.exchange import ExchangeConfig
from sim.amm.concentrated_venue import ConcentratedConfig
from sim.amm.constant_product import ConstantProductConfig
from sim.lending.protocol import LendingConfig, enter, open_positions, pair_of, reserve_of
from sim.oracles.oracle import OracleConfig
from sim.orders import BORROW, FLASH_REPAY, LIQUIDATE
from sim.world import VenuePlan

HOME, OTHER = "home", "other"


def config_of(kind: str, **fields: Any) -> Any:
    """Return the config of a mechanism, read strictly as a scenario's."""
    return mechanisms()[kind].config.model_validate({"kind": kind, "chain": HOME, **fields})


def venue(name: str, config: Any) -> VenuePlan:
    """Return the plan of a venue."""
    mechanism = mechanisms()[config.kind]
    return VenuePlan(name, mechanism, config.chain, tuple(mechanism.nodes(config)), config)


# --- venues that others need ---------------------------------------------------------------------

POOL = {"tokens": ["ETH", "USD"], "value_usd": 1e6}
FEEDS = {
    "eth-feed": {"token": "ETH"},
    "usd-feed": {"token": "USD", "source": {"kind": "fixed", "price_usd": 1.0}},
}
RESERVES = {"ETH": {"feed": "eth-feed"}, "USD": {"feed": "usd-feed"}}


def feeds() -> tuple[VenuePlan, ...]:
    """Return price feeds of ETH and USD on the home chain."""
    return tuple(venue(name, config_of("oracle", **fields)) for name, fields in FEEDS.items())


# --- meaningful arguments ------------------------------------------------------------------------


def trade_arguments(world, request, rng):
    tokens = [int(t) for t in rng.permutation(len(world.tokens))[:2]]
    return replace(request, token_in=tokens[0], token_out=tokens[1])


def report_arguments(world, request, rng):
    return replace(request, amount=float(rng.uniform(1_500, 2_500)), a=world.now + 1)


def range_arguments(world, request, rng):
    """Ranges of 60 ticks around the price, some of them narrow or apart from it."""
    if request.verb == 0:
        return request
    center = round(np.log(world.venues.price[request.venue]) / np.log(1.0001) / 60) * 60
    lower = center + 60 * int(rng.integers(-4, 2))
    return replace(
        request,
        a=lower,
        b=lower + 60 * int(rng.integers(1, 4)),
        amount=np.inf if request.verb == 2 and rng.random() < 0.5 else request.amount,
    )


def open_books(world, site):
    """Every actor supplies ETH; three owe USD, one of them more than its collateral allows."""
    for number, plan in enumerate(world.plan.venues):
        if plan.mechanism.kind != "lending":
            continue
        positions = open_positions(world, number, site.group, np.arange(site.rows))
        ether, dollars = (reserve_of(world, number, symbol) for symbol in ("ETH", "USD"))
        claims = np.array([10.0, 10.0, 10.0, 50.0])
        enter(world, positions, ether, claims, are_debts=False)
        enter(world, positions[3:], dollars, np.array([80_000.0]), are_debts=False)
        debts = np.array([8_000.0, 12_000.0, 16_500.0])
        enter(world, positions[:3], dollars, debts, are_debts=True)


def lending_arguments(world, request, rng):
    """The sender's position, or anybody's to liquidate; amounts in the reserve's token."""
    state, _ = world.states["lending"]
    market = int(world.venues.row[request.venue])
    first = int(state.markets[market]["first_reserve"])
    mine = np.flatnonzero(
        (state.positions["market"] == market) & (state.positions["owner"] == request.row)
    )
    reserve = first + request.a
    amount = np.inf if rng.random() < 0.1 else request.amount
    if request.verb == BORROW:
        amount = request.amount * 0.05
    if request.verb == LIQUIDATE:
        victims = np.flatnonzero(state.positions["market"] == market)
        pair = int(pair_of.py_func(first + 1, first))
        return replace(request, a=int(rng.choice(victims)), b=pair, amount=amount)
    return replace(request, a=int(mine[0]), b=reserve, amount=amount)


def bridge_arguments(world, request, rng):
    """From the chain on which the token of the side lives."""
    kind = world.plan.venues[request.venue].mechanism.kind
    state = world.states[kind]
    row = int(world.venues.row[request.venue])
    return replace(request, chain=int(state.chains[row, request.a]))


MECHANISMS: dict[str, dict[str, Any]] = {
    "reference_market": {"configs": (ExchangeConfig(chain=HOME),), "arguments": trade_arguments},
    "oracle": {
        "configs": (config_of("oracle", token="ETH"), config_of("oracle", token="USD")),
        "arguments": report_arguments,
    },
    "constant_product": {
        "configs": (
            config_of("constant_product", **POOL),
            config_of("constant_product", **POOL, fee=0.01, fees_compound=False),
        ),
    },
    "concentrated_liquidity": {
        "configs": (
            config_of("concentrated_liquidity", **POOL, half_width=0.05),
            config_of("concentrated_liquidity", **POOL, tick_spacing=60),
        ),
        "arguments": range_arguments,
    },
    "lending": {
        "configs": (config_of("lending", reserves=RESERVES), config_of("lending", reserves=RESERVES)),
        "beside": feeds(),
        "prepare": open_books,
        "arguments": lending_arguments,
    },
    "lock_and_mint": {
        "configs": tuple(
            config_of(
                "lock_and_mint", other_chain=OTHER, token=token, wrapped=f"b{token}", fee_bps=5.0,
                finality_delay_seconds=30.0, return_delay_seconds=60.0,
            )
            for token in ("ETH", "USD")
        ),
        "arguments": bridge_arguments,
    },
    "liquidity_network": {
        "configs": tuple(
            config_of(
                "liquidity_network", other_chain=OTHER, token=token, other_token=token,
                inventory_usd=2e5,
            )
            for token in ("ETH", "USD")
        ),
        "arguments": bridge_arguments,
    },
}  # fmt: skip
