"""Small worlds of two chains with one bridge, and a way to send over it by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sim.bridges import liquidity_network, lock_and_mint
from sim.fee_market import EIP1559
from sim.kernel import kernel, view_of
from sim.mempool import Outbox, post
from sim.plan import ChainPlan, PopulationPlan, TokenPlan, VenuePlan, WorldPlan
from sim.registry import Config, PopulationKind
from sim.units import ticks
from sim.venues import Venues, draft
from sim.world import World

HOME_BLOCK, OTHER_BLOCK = 12.0, 2.0
TOKENS_EACH = 1_000.0
ROWS = 5


class HoldersConfig(Config):
    wrapped_each: float = 0.0


def _fund(world, site, state):
    for chain, symbol in (("home", "ETH"), ("other", "ETH")):
        world.endow_column(site.group, world.token(chain, symbol), TOKENS_EACH)
    if site.config.wrapped_each:
        world.endow_column(site.group, world.token("other", "bETH"), site.config.wrapped_each)


def _make(world, site):
    return ()


def _chains(world, site):
    return range(2)


HOLDERS = PopulationKind(
    kind="holders",
    config=HoldersConfig,
    states=(),
    make=_make,
    react=None,
    fund=_fund,
    chains=_chains,
)
_own = view_of(Outbox, Venues)


@kernel(inline=False)
def _post_send(binding, venue, chain, side, group, row, now, amount, limit):
    box, venues = _own(binding)
    order = draft(box, venues, venue, 0, group, row, now)
    order.chain, order.a, order.amount, order.limit = chain, side, amount, limit
    return post(box, order)


class BridgeWorld:
    """A world with one bridge: send, run, look."""

    def __init__(self, venue, wrapped_each=0.0, **plan):
        chains = (
            ChainPlan("home", HOME_BLOCK, False, 30_000_000, EIP1559, 0.0, 0.0, "ETH"),
            ChainPlan("other", OTHER_BLOCK, False, 30_000_000, EIP1559, 0.0, 0.0, "ETH"),
        )
        self.world = World(
            WorldPlan(
                seed=1,
                horizon_seconds=1e6,
                step_seconds=12.0,
                assets=("ETH",),
                paths=np.full((1, 2), 2_000.0),
                path_step_seconds=1e6,
                chains=chains,
                tokens=(TokenPlan("home", "ETH", "ETH"), TokenPlan("other", "ETH", "ETH")),
                venues=(venue,),
                populations=(
                    PopulationPlan(
                        "people", HOLDERS, "home", ROWS, HoldersConfig(wrapped_each=wrapped_each)
                    ),
                ),
                **plan,
            )
        )
        self.statuses = []
        self.fills = []
        self.world.on_fills = self._keep
        self.state = self.world.states[venue.mechanism.kind]
        if venue.mechanism is lock_and_mint.MECHANISM:
            lock_and_mint.open_escrows(self.world, self.state)

    def _keep(self, fills):
        for fill in fills:
            self.statuses.append(int(fill["status"]))
            self.fills.append(fill.copy())

    def send(self, row, side, amount, limit=0.0):
        world = self.world
        number = _post_send(
            world._own_binding, 0, side, side, world.group("people"), row, world.now,
            float(amount), float(limit),
        )  # fmt: skip
        assert number > 0

    def run(self, seconds):
        """Run up to a time; return the statuses of the orders that were taken on the way."""
        before = len(self.statuses)
        self.world.advance(ticks(seconds))
        self.world.flush()
        return self.statuses[before:]

    def held(self, chain, symbol):
        return self.world.balances("people", self.world.token(chain, symbol))

    def shock(self, kind, **fields):
        mechanism = self.world.plan.venues[0].mechanism
        shock = {shock.kind: shock for shock in mechanism.shocks}[kind]
        shock.apply(self.world, shock.config(kind=kind, venue="bridge", **fields))

    def value(self):
        """Value of each group at fundamental prices, USD."""
        return self.world.holdings() @ self.world.prices.fundamental


@pytest.fixture
def lock_world():
    """Return a builder: a world with a lock-and-mint bridge, ETH to bETH."""

    def build(wrapped_each=0.0, **fields):
        given = {"finality_delay_seconds": 100.0, "return_delay_seconds": 1_000.0, **fields}
        config = lock_and_mint.LockAndMintConfig(
            kind="lock_and_mint", chain="home", other_chain="other", token="ETH", wrapped="bETH",
            **given,
        )  # fmt: skip
        nodes = (("home", "ETH"), ("other", "bETH"))
        return BridgeWorld(
            VenuePlan("bridge", lock_and_mint.MECHANISM, "home", nodes, config), wrapped_each
        )

    return build


@pytest.fixture
def network_world():
    """Return a builder: a world with a liquidity network of ETH on both chains."""

    def build(**fields):
        config = liquidity_network.LiquidityNetworkConfig(
            kind="liquidity_network", chain="home", other_chain="other", token="ETH",
            other_token="ETH", **{"inventory_usd": 2_000_000.0, **fields},
        )  # fmt: skip
        nodes = (("home", "ETH"), ("other", "ETH"))
        return BridgeWorld(VenuePlan("bridge", liquidity_network.MECHANISM, "home", nodes, config))

    return build
