"""The composition root: from a scenario and a seed to a world, and the Mesa model around it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from agents.population import Population
from experiments.kinds import mechanisms, populations, shock_kinds
from experiments.references import EXCHANGE, placed
from experiments.scenario import check_scenario
from experiments.shock_times import shock_times
from sim.agenda import SHOCK_RANK
from sim.errors import InputError
from sim.exchange import ExchangeConfig
from sim.fee_market import EIP1559, FEE_MARKETS
from sim.model import Model
from sim.plan import ChainPlan, PopulationPlan, TokenPlan, VenuePlan, WorldPlan
from sim.reference.conditions import make_conditions
from sim.reference.impact import make_impact, make_venue_terms
from sim.reference.paths import make_paths
from sim.units import ticks
from sim.world import World

if TYPE_CHECKING:
    from collections.abc import Collection

    from experiments.scenario import Scenario
    from sim.reference.candles import Candles


def build(
    scenario: Scenario,
    seed: int = 1,
    candles: dict[str, Candles] | None = None,
    without: Collection[str] = (),
) -> Model:
    """Return the model of a scenario: a `mesa.Model` at time 0.

    Parameters
    ----------
    scenario : from `load_scenario`
    seed : whole number from 0 to 2**63 - 1; the same seed gives the same run, to the last bit
    candles : candles of replayed assets that are in memory already
    without : channels of stress that are cut, such as {"impact", "oracle_lag"}: see `sim.channels`

    Raises
    ------
    InputError
        It is no scenario, the seed is out of range, or a part of the scenario cannot be built;
        says which.
    """
    check_scenario(scenario)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InputError(f"seed ({seed}) must be a whole number from 0 to {2**63 - 1}")
    try:
        world = World(plan_of(scenario, seed, candles, without))
    except InputError as error:
        raise placed(scenario, error) from error
    model = Model(world)
    _add_populations(model, world)
    _schedule_shocks(world, scenario)
    return model


def plan_of(
    scenario: Scenario,
    seed: int,
    candles: dict[str, Candles] | None = None,
    without: Collection[str] = (),
) -> WorldPlan:
    """Return the plan of a scenario's world, prices drawn."""
    configs = {name: asset.price for name, asset in scenario.assets.items()}
    paths = make_paths(
        configs,
        scenario.horizon,
        scenario.price_step_seconds,
        seed,
        scenario.correlations,
        candles,
    )
    chains = [_chain_plan(name, chain) for name, chain in scenario.chains.items()]
    venues = [plan for name, venue in scenario.venues.items() for plan in venue_plans(name, venue)]
    if scenario.reference_market is not None:
        terms = scenario.reference_market.model_dump()
        interval = terms.pop("interval_seconds")
        chains.append(ChainPlan(EXCHANGE, interval, False, 1 << 60, EIP1559, 0.0, 0.0, ""))
        config = ExchangeConfig(kind="reference_market", chain=EXCHANGE, **terms)
        venues.append(VenuePlan(EXCHANGE, mechanisms()["reference_market"], EXCHANGE, (), config))
    steps = scenario.step_seconds or max(
        chain.blocks.interval_seconds for chain in scenario.chains.values()
    )
    return WorldPlan(
        seed=seed,
        horizon_seconds=scenario.horizon,
        step_seconds=steps,
        assets=tuple(scenario.assets),
        paths=paths,
        path_step_seconds=scenario.price_step_seconds,
        chains=tuple(chains),
        tokens=tuple(_token_plans(scenario)),
        venues=tuple(venues),
        populations=tuple(
            _population_plan(name, people, scenario)
            for name, people in scenario.populations.items()
        ),
        impact=make_impact([asset.impact for asset in scenario.assets.values()]),
        terms=make_venue_terms([asset.terms for asset in scenario.assets.values()]),
        conditions=make_conditions(
            [asset.trailing for asset in scenario.assets.values()],
            [asset.impact for asset in scenario.assets.values()],
            [asset.terms for asset in scenario.assets.values()],
            scenario.horizon,
        ),
        without=tuple(sorted(set(without))),
        mempool_capacity=scenario.mempool_capacity,
        fill_capacity=max(65_536, 2 * scenario.mempool_capacity),
    )


def _chain_plan(name: str, chain: Any) -> ChainPlan:
    return ChainPlan(
        name=name,
        interval_seconds=chain.blocks.interval_seconds,
        is_random=chain.blocks.kind == "exponential",
        gas_limit=chain.gas_limit,
        fee_market=FEE_MARKETS[chain.fee_market.kind],
        base_fee_gwei=chain.fee_market.base_fee_gwei,
        base_fee_floor_gwei=chain.fee_market.floor_gwei,
        native=chain.native,
        is_first_come=chain.ordering == "first_come",
        is_protected=chain.losing_orders == "revert_protected",
        has_nonces=chain.account_order == "nonce",
        lifetime_seconds=chain.mempool.lifetime_seconds,
        pool_gas=chain.mempool.gas,
        replacement=chain.mempool.replacement,
        background=chain.background,
    )


def _token_plans(scenario: Scenario) -> list[TokenPlan]:
    plans = []
    for name, chain in scenario.chains.items():
        for token in chain.tokens:
            if isinstance(token, str):
                plans.append(TokenPlan(name, token, token))
            else:
                plans.append(TokenPlan(name, token.symbol, token.asset, token.scale))
    return plans


def venue_plans(name: str, venue: Any) -> list[VenuePlan]:
    """Return the plan of a venue, and of those that come with it."""
    mechanism = mechanisms()[venue.kind]
    return [
        VenuePlan(name, mechanism, config.chain, tuple(mechanism.nodes(config)), config)
        for name, config in ((name, venue), *mechanism.pairs(name, venue))
    ]


def _population_plan(name: str, people: Any, scenario: Scenario) -> PopulationPlan:
    chain = getattr(people, "chain", None) or next(iter(scenario.chains))
    return PopulationPlan(
        name, populations()[people.kind], chain, getattr(people, "count", 1), people
    )


def _add_populations(model: Model, world: World) -> None:
    for plan, site in zip(world.plan.populations, world.population_sites, strict=True):
        if plan.kind.view is not None:
            Population(model, plan.kind.view, site.rows, world.columns_of(site), plan.name)


def _schedule_shocks(world: World, scenario: Scenario) -> None:
    kinds = shock_kinds()
    for shock, time in zip(scenario.shocks, shock_times(scenario), strict=True):
        kind = kinds[shock.do.kind]
        body = functools.partial(kind.apply, world, shock.do)
        world.call_at(ticks(time), SHOCK_RANK, body)
