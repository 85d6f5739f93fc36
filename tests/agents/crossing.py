"""A small world of two chains, a bridge with a pool of its wrapped token, and a network."""

from __future__ import annotations

import numpy as np

from sim import exchange
from sim.amm import constant_product
from sim.bridges import liquidity_network, lock_and_mint
from sim.fee_market import EIP1559
from sim.plan import ChainPlan, PopulationPlan, TokenPlan, VenuePlan, WorldPlan
from sim.status import Status
from sim.units import HOUR, ticks
from sim.world import World

PRICE = 1.0  # USD, of the stablecoin
POOL_USD = 4_000_000.0


def crossing(population, config, *, network=True, fee_bps=5.0, market=False, seed=3, **lock):
    """Return a world with one population that can cross with a stablecoin."""
    pair = (("other", "bUSD"), ("other", "USD"))
    lock_config = lock_and_mint.LockAndMintConfig(
        kind="lock_and_mint", chain="home", other_chain="other", token="USD", wrapped="bUSD",
        **{
            "finality_delay_seconds": 300.0,
            "return_delay_seconds": 600.0,
            "fee_bps": fee_bps,
            **lock,
        },
    )  # fmt: skip
    pool_config = constant_product.ConstantProductConfig(
        kind="constant_product",
        chain="other",
        tokens=["bUSD", "USD"],
        fee=0.0005,
        value_usd=POOL_USD,
    )
    venues = [
        VenuePlan(
            "locker", lock_and_mint.MECHANISM, "home", (("home", "USD"), pair[0]), lock_config
        ),
        VenuePlan("pool", constant_product.MECHANISM, "other", pair, pool_config),
    ]
    if network:
        network_config = liquidity_network.LiquidityNetworkConfig(
            kind="liquidity_network", chain="home", other_chain="other", token="USD",
            other_token="USD", inventory_usd=300_000.0, settle_seconds=600.0, base_fee_bps=2.0,
        )  # fmt: skip
        nodes = (("home", "USD"), ("other", "USD"))
        venues.append(VenuePlan("net", liquidity_network.MECHANISM, "home", nodes, network_config))
    chains = [
        ChainPlan("home", 12.0, True, 30_000_000, EIP1559, 1.0, 1.0, "ETH"),
        ChainPlan("other", 2.0, False, 30_000_000, EIP1559, 0.01, 0.01, "ETH"),
    ]
    if market:
        chains.append(ChainPlan("exchange", 1.0, False, 1 << 60, EIP1559, 0.0, 0.0, ""))
        venues.append(
            VenuePlan("exchange", exchange.MECHANISM, "exchange", (), exchange.ExchangeConfig())
        )
    world = World(
        WorldPlan(
            seed=seed,
            horizon_seconds=48 * HOUR,
            step_seconds=12.0,
            assets=("USD", "ETH"),
            paths=np.array([[PRICE, PRICE], [2_000.0, 2_000.0]]),
            path_step_seconds=48 * HOUR,
            chains=tuple(chains),
            tokens=tuple(
                TokenPlan(chain, symbol, symbol)
                for chain in ("home", "other")
                for symbol in ("USD", "ETH")
            ),
            venues=tuple(venues),
            populations=(PopulationPlan("people", population, "home", config.count, config),),
        )
    )
    lock_and_mint.open_escrows(world, world.states["lock_and_mint"])
    for module in (lock_and_mint, liquidity_network):
        kind = module.MECHANISM.kind
        if kind in world.states:
            mine = world.venues.group == world.group(kind)
            states = world._gather(module.MECHANISM.states, world.states[kind])
            world.venues.quote[mine] = module.estimate.address
            world.venues.quote_binding[mine] = world._bind(*states)
    return world


class Log:
    """The fills of a world, as they come."""

    def __init__(self, world):
        self.world, self.rows = world, []
        self.start = (world.holdings() @ world.prices.fundamental).sum()
        world.on_fills = lambda fills: self.rows.extend(fill.copy() for fill in fills)

    def run(self, hours):
        """Run up to a time, check the world, and return the fills on the way as (kind, row)."""
        self.rows.clear()
        self.world.advance(ticks(hours * HOUR))
        self.world.flush()
        self.world.check()
        total = (self.world.holdings() @ self.world.prices.fundamental).sum()
        assert abs(total - self.start) < 1e-10 * self.start
        return self.rows

    def done(self, kind):
        """Return the executed fills of a kind, such as `constant_product.swap`."""
        verb = self.world.verb_names.index(kind)
        return [f for f in self.rows if f["verb"] == verb and f["status"] == Status.OK]


def shock(world, kind, **fields):
    """Do a shock of the bridge now."""
    kinds = {s.kind: s for s in lock_and_mint.MECHANISM.shocks}
    kinds[kind].apply(world, kinds[kind].config(kind=kind, venue="locker", **fields))
