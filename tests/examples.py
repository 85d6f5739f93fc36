"""Minimal examples of every registered kind: what the contract checks run it with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from experiments.kinds import mechanisms, populations
from sim.amm.token_pool import PoolPair
from sim.cdp import building as cdp_building
from sim.cdp.verbs import BITE, DEAL, DENT, DRAW, REDO, TAKE, TEND
from sim.cdp.verbs import LIQUIDATE as FIXED
from sim.exchange import ExchangeConfig
from sim.lending.building import enter, open_positions, reserve_of
from sim.lending.verbs import pair_of
from sim.llamma import building as llamma_building
from sim.llamma import verbs as llamma
from sim.orders import (
    ADD,
    BORROW,
    DEPOSIT,
    FLASH_LOAN,
    FLASH_REPAY,
    LIQUIDATE,
    LIQUIDATE_FOR_CLAIM,
    SET_MODE,
    SWAP,
    UNWIND,
    UNWIND_REPAY,
    USE_AS_COLLATERAL,
)
from sim.outside import GENESIS, OUTSIDE
from sim.plan import PopulationPlan, VenuePlan
from sim.trial import ACTORS, small_plan

HOME, OTHER = "home", "other"


def config_of(kind: str, **fields: Any) -> Any:
    """Return the config of a mechanism, read strictly as a scenario's."""
    given = {"kind": kind, "chain": HOME, **fields}
    return mechanisms()[kind].config.model_validate(given)


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
FIXED_GAS = {"kind": "fixed", "price_usd": 1_000.0}
VAULTS = {"collateral": "ETH", "debt": "DAI", "feed": "eth-feed", "stability_fee": 0.08}
BANDS = {"collateral": "ETH", "debt": "cUSD", "feed": "eth-feed", "rate": 0.05}
ENGLISH = {"kind": "english", "lot_size": 20.0, "bid_duration_minutes": 1.0, "auction_hours": 0.1}
SLOW = {"kind": "english", "lot_size": 10.0, "bid_duration_minutes": 5.0, "auction_hours": 0.5}
FED = {"ETH": {"feed": "eth-feed"}, "USD": {"feed": "usd-feed"}}
PAIR = {"collateral": "ETH", "loan": "USD", "liquidation_loan_to_value": 0.86, "fee": 0.1}
RESERVES = {"ETH": {"feed": "eth-feed"}, "USD": {"feed": "usd-feed", "backstop": 100.0}}
MODES = {
    "dollars": {
        "loan_to_value": 0.8, "liquidation_threshold": 0.85, "liquidation_bonus": 0.02,
        "collateral_assets": ["ETH"], "borrowable_assets": ["USD"],
    },
}  # fmt: skip


def feeds() -> tuple[VenuePlan, ...]:
    """Return price feeds of ETH and USD on the home chain."""
    return tuple(venue(name, config_of("oracle", **fields)) for name, fields in FEEDS.items())


# --- meaningful arguments ------------------------------------------------------------------------


def trade_arguments(world, request, rng):
    """Two tokens; a deposit goes to the chain of the one sold."""
    tokens = [int(t) for t in rng.permutation(len(world.tokens))[:2]]
    request = replace(request, token_in=tokens[0], token_out=tokens[1], a=0)
    if request.verb == DEPOSIT:
        home = world.chain(world.tokens[tokens[0]].chain)
        return replace(request, chain=home)
    return request


def report_arguments(world, request, rng):
    return replace(request, amount=float(rng.uniform(1_500, 2_500)), a=world.now + 1)


def range_arguments(world, request, rng):
    """New ranges around the price or apart from it; and the ranges of positions there are."""
    if request.verb == SWAP:
        return request
    state, _ = world.states["concentrated_liquidity"]
    held = state.position[
        (state.position["pool"] == world.venues.row[request.venue])
        & (state.position["group"] == world.group(ACTORS))
    ]
    if request.verb != ADD and len(held):
        position = held[int(rng.integers(len(held)))]
        return replace(
            request,
            row=int(position["account"]),
            a=int(position["tick_lower"]),
            b=int(position["tick_upper"]),
            amount=float(position["liquidity"]) * float(rng.choice([0.1, 1.0, 1.5])),
        )
    center = round(np.log(world.venues.price[request.venue]) / np.log(1.0001) / 60) * 60
    lower = center + 60 * int(rng.integers(-4, 2))
    return replace(request, a=lower, b=lower + 60 * int(rng.integers(1, 4)))


def open_books(world, site):
    """Every actor supplies ETH; three owe USD, two of them too much and one beyond its worth."""
    for number, plan in enumerate(world.plan.venues):
        if plan.mechanism.kind != "lending":
            continue
        positions = open_positions(world, number, site.group, np.arange(site.rows))
        ether, dollars = (reserve_of(world, number, symbol) for symbol in ("ETH", "USD"))
        claims = np.array([10.0, 10.0, 10.0, 50.0])
        enter(world, positions, ether, claims, are_debts=False)
        enter(world, positions[3:], dollars, np.array([80_000.0]), are_debts=False)
        debts = np.array([8_000.0, 16_500.0, 20_500.0])
        enter(world, positions[:3], dollars, debts, are_debts=True)


def lending_arguments(world, request, rng):
    """The sender's position, or a debtor's to liquidate; a flash loan with its repayment."""
    state, desk = world.states["lending"]
    market = int(world.venues.row[request.venue])
    first = int(state.markets[market]["first_reserve"])
    mine = np.flatnonzero(
        (state.positions["market"] == market) & (state.positions["owner"] == request.row)
    )
    reserve = first + request.a
    amount = np.inf if rng.random() < 0.1 else request.amount
    if request.verb == BORROW:
        amount = request.amount * 0.05
    if request.verb == USE_AS_COLLATERAL:
        return replace(request, a=int(mine[0]), b=reserve, amount=float(rng.integers(2)))
    if request.verb == SET_MODE:
        return replace(request, a=int(mine[0]), b=int(rng.integers(-1, 3)))
    if request.verb == UNWIND:
        back = replace(request, verb=UNWIND_REPAY, a=int(mine[0]), b=first + 1, amount1=100.0)
        part = float(rng.choice([0.1, 1.0, 20.0]))
        return replace(request, a=int(mine[0]), b=first, amount=part), replace(back, amount=100.0)
    if request.verb in (LIQUIDATE, LIQUIDATE_FOR_CLAIM):
        debtors = np.flatnonzero(
            (state.positions["market"] == market) & (state.debt_reserve[:, 0] >= 0)
        )
        pair = int(pair_of.py_func(first + 1, first))
        victim = int(rng.choice(debtors)) if len(debtors) else 0
        return replace(request, a=victim, b=pair, amount=amount, amount1=float(mine[0]))
    if request.verb == FLASH_LOAN:
        owed = request.amount * (1.0 + desk.flash_fee[market])
        back = replace(request, verb=FLASH_REPAY, b=reserve, amount=owed, amount1=owed)
        return replace(request, b=reserve), back
    return replace(request, a=int(mine[0]), b=reserve, amount=amount)


def open_vaults(world, site):
    """Every actor has DAI and a vault in each CDP market; one of them owes more than it has."""
    for number, plan in enumerate(world.plan.venues):
        if plan.mechanism.kind == "cdp":
            vaults = cdp_building.open_vaults(world, number, site.group, np.arange(site.rows))
            owed = np.array([0.0, 1_500.0, 2_200.0, 80_000.0])
            cdp_building.enter(world, vaults, np.array([5.0, 1.0, 1.0, 50.0]), owed)
    for row in range(site.rows):
        world.endow(site.group, row, world.token(HOME, "DAI"), 2e4)


def open_bands(world, site):
    """Every actor has cUSD; three have loans in each market, the last of them owes too much."""
    for number, plan in enumerate(world.plan.venues):
        if plan.mechanism.kind == "llamma":
            loans = llamma_building.open_loans(world, number, site.group, np.arange(site.rows))
            owed = np.array([5_000.0, 15_000.0, 17_500.0])
            llamma_building.enter(world, loans[:3], np.full(3, 10.0), owed, np.array([8, 10, 4]))
            state = world.states["llamma"]
            market = state.markets[int(world.venues.row[number])]
            for column, name in ((state.loans[int(loans[2])], "scaled"), (market, "scaled_debt"),
                                 (market, "issued")):  # fmt: skip
                column[name] += 3_000.0
            world.endow(OUTSIDE, GENESIS, int(market["debt_token"]), 3_000.0)
    for row in range(site.rows):
        world.endow(site.group, row, world.token(HOME, "cUSD"), 2e4)


def llamma_arguments(world, request, rng):
    """The sender's loan, or any to liquidate; amounts that may fit."""
    state = world.states["llamma"]
    mine = state.loans["market"] == int(world.venues.row[request.venue])
    own = int(np.flatnonzero(mine & (state.loans["owner"] == request.row))[0])
    if request.verb == llamma.SWAP:
        amount = 1_000.0 if request.a == 1 else 0.5
        return replace(request, amount=amount * float(rng.choice([0.01, 1.0, 5.0])))
    if request.verb == llamma.LIQUIDATE:
        victim = int(rng.choice(np.flatnonzero(mine)))
        return replace(request, a=victim, amount=float(rng.choice([0.3, 1.0, 2.0])))
    if request.verb == llamma.REPAY:
        return replace(request, a=own, amount=float(rng.choice([100.0, 3_000.0, np.inf])))
    if request.verb in (llamma.CREATE, llamma.BORROW):
        debt = float(rng.choice([100.0, 2_000.0, 50_000.0]))
        return replace(request, a=own, b=int(rng.integers(3, 12)), amount=2.0, amount1=debt)
    return replace(request, a=own, amount=float(rng.choice([0.1, 2.0])))


def cdp_arguments(world, request, rng):
    """The sender's vault, an unsafe one, or an auction; amounts that may fit."""
    state, _ = world.states["cdp"]
    market = int(world.venues.row[request.venue])
    mine = state.vaults["market"] == market
    own = int(np.flatnonzero(mine & (state.vaults["owner"] == request.row))[0])
    amount = np.inf if rng.random() < 0.1 else request.amount
    if request.verb in {FIXED, BITE}:
        victim = int(rng.choice(np.flatnonzero(mine)))
        return replace(request, a=victim, amount=amount)
    lots = state.active[: state.counter[1]]
    lots = lots[state.auctions["market"][lots] == market]
    if request.verb in {TEND, DENT, DEAL, TAKE, REDO} and len(lots):
        lot = int(rng.choice(lots))
        record = state.auctions[lot]
        amount = {
            TEND: float(rng.choice([0.0, 0.5, 1.1]) * record["to_raise"]),
            DENT: float(rng.choice([0.3, 0.9]) * record["lot"]),
            TAKE: float(rng.choice([0.3, 2.0]) * record["lot"]),
        }.get(request.verb, 0.0)
        return replace(request, a=lot, amount=amount)
    if request.verb == DRAW:
        amount = request.amount * 10.0
    return replace(request, a=own, amount=amount)


def bridge_arguments(world, request, rng):
    """From the chain on which the token of the side lives."""
    kind = world.plan.venues[request.venue].mechanism.kind
    state = world.states[kind]
    row = int(world.venues.row[request.venue])
    return replace(request, chain=int(state.chains[row, request.a]))


def staking_arguments(world, request, rng):
    """Stakes of ether, unstakes of what the sender holds, claims of requests there are."""
    state = world.states["liquid_staking"]
    row = int(world.venues.row[request.venue])
    if request.verb == 1:
        held = world.balance(world.group(ACTORS), request.row, int(state.token[row]))
        return replace(request, amount=held * float(rng.uniform(0.05, 0.5)))
    if request.verb == 2:
        mine = np.flatnonzero(
            (state.requests["stage"] == 2)
            & (state.requests["pool"] == row)
            & (state.requests["row"] == request.row)
        )
        return replace(request, a=int(mine[0]) if len(mine) else request.a)
    return replace(request, amount=request.amount * 0.2)


def tranche_arguments(world, request, rng):
    """Deposits of dollars, redemptions of what the sender holds, cancellations of requests."""
    state = world.states["tranches"]
    row, k = int(world.venues.row[request.venue]), int(rng.integers(2))
    if request.verb == 1:
        held = world.balance(world.group(ACTORS), request.row, int(state.share[row, k]))
        part = np.inf if rng.random() < 0.1 else held * float(rng.uniform(0.05, 0.5))
        return replace(request, a=k, amount=part)
    if request.verb == 2:
        mine = np.flatnonzero(
            (state.requests["kind"] > 0)
            & (state.requests["vault"] == row)
            & (state.requests["row"] == request.row)
        )
        return replace(request, a=int(mine[0]) if len(mine) else request.a)
    return replace(request, a=k, amount=request.amount * 0.1)


def give_shares(world, site):
    """Every actor has a tenth of each tranche of every vault."""
    state = world.states["tranches"]
    for row, vault in enumerate(state.vaults):
        for k in range(int(vault["n_tranches"])):
            part = float(state.nav[row, k]) / 10.0
            world.endow_column(site.group, int(state.share[row, k]), part)


TRANCHED = {"token": "USD", "value_usd": 1e6, "epoch_hours": 0.05, "valuation_minutes": 0.5}
TWO = [{"name": "senior"}, {"name": "junior", "thickness": 0.2}]
STAKED = {"token": "ETH", "exchange_rate": 1.1, "minimum_delay_seconds": 60.0}
CURVE = {"kind": "points", "points": [[10.0, 5.0], [100.0, 40.0], [400.0, 250.0]]}
DEPTH = {"tokens": ["ETH", "USD"], "inventory_usd": 1e6, "refill_half_life_seconds": 60.0}

BASKET = {"tokens": ["ETH", "USD", "GAS"], "value_usd": 1e6}


def pair_of_basket(kind):
    """The second pair of the first venue of the example."""
    return PoolPair(kind=kind, chain=HOME, pool="tested-0", tokens=["ETH", "GAS"])


MECHANISMS: dict[str, dict[str, Any]] = {
    "reference_market": {
        # Deposits stay unsold, so that one order is under way at a time; those of the other chain
        # are refused.
        "configs": (ExchangeConfig(deposits={HOME: 1_000_000}, inventory_usd=5e5),),
        "arguments": trade_arguments,
    },
    "oracle": {
        "configs": (config_of("oracle", token="ETH"), config_of("oracle", token="USD")),
        "arguments": report_arguments,
    },
    "constant_product": {
        "configs": (
            config_of("constant_product", **POOL),
            config_of("constant_product", **POOL, fee=0.01, fees_compound=False),
            config_of("constant_product", **POOL, protocol_fee=True),
        ),
    },
    "concentrated_liquidity": {
        "configs": (
            config_of("concentrated_liquidity", **POOL, half_width=0.05),
            config_of("concentrated_liquidity", **POOL, tick_spacing=60, protocol_fee=[4, 10]),
        ),
        "arguments": range_arguments,
    },
    "quoted_depth": {
        "configs": (
            config_of("quoted_depth", **DEPTH, curve=CURVE, fee=0.001),
            config_of(
                "quoted_depth", **DEPTH, anchor="own", permanent_bps=0.1,
                curve={
                    "kind": "power_law", "amount": 50.0, "impact_bps": 30.0, "exponent": 0.75,
                    "depth": 400.0, "measured": "marginal",
                },
            ),
        ),
    },
    "weighted": {
        "configs": (
            config_of("weighted", **BASKET, weights=[0.5, 0.3, 0.2]),
            pair_of_basket("weighted"),
            config_of("weighted", **POOL, weights=[0.8, 0.2], fee=0.01),
        ),
    },
    "stableswap": {
        "configs": (
            config_of(
                "stableswap", **BASKET, amplification=200.0, rates=[2_000.0, 1.0, 1_000.0],
                off_peg_multiplier=5.0, composition=[0.2, 0.5, 0.3],
            ),
            pair_of_basket("stableswap"),
            config_of(
                "stableswap", **POOL, amplification=50.0, rates=[2_000.0, 1.0], fee=0.01,
                ramp={"to": 100.0, "start_hours": 0.1},
            ),
        ),
    },
    "liquid_staking": {
        "configs": (
            config_of("liquid_staking", **STAKED, issued="sETH", report_interval_seconds=0.0),
            config_of(
                "liquid_staking", **STAKED, issued="pETH", exit_capacity_per_day=20_000.0,
                report_interval_seconds=300.0, queue_shares_losses=False,
            ),
        ),
        "arguments": staking_arguments,
    },
    "tranches": {
        "configs": (
            config_of(
                "tranches", **TRANCHED, gate=0.3, minimum_coverage=0.1, swing=0.01, stop_loss=0.2,
                tranches=[
                    {"name": "senior", "rate": 0.05}, {"name": "mezzanine", "thickness": 0.1,
                    "rate": 0.09}, {"name": "junior", "thickness": 0.1, "notice_hours": 0.1},
                ],
            ),
            config_of(
                "tranches", **TRANCHED, tranches=TWO, income={"kind": "adaptive_split"},
                nav="book", recognition_delay_hours=0.05,
            ),
            config_of(
                "tranches", **TRANCHED, tranches=TWO, nav="exit",
                income={"kind": "leverage", "fewest_backers": 1.0, "most_backers": 3.0},
            ),
        ),
        "prepare": give_shares,
        "arguments": tranche_arguments,
    },
    "lending": {
        "configs": (
            config_of("lending", reserves=RESERVES, efficiency_modes=MODES),
            config_of(
                "lending",
                reserves=RESERVES,
                loss_order=["backstop", "suppliers"],
                full_close_value=2_000.0,
                dust_value=1_000.0,
            ),
            config_of("lending", reserves=FED, isolated_pair=PAIR),
        ),
        "beside": feeds(),
        "prepare": open_books,
        "arguments": lending_arguments,
    },
    "cdp": {
        "configs": (
            config_of("cdp", **VAULTS, debt_asset="USD", surplus_at_start=100.0),
            config_of("cdp", **VAULTS, backstop=300.0, liquidation=SLOW),
            config_of(
                "cdp", **VAULTS, liquidation={"kind": "dutch", "stale_after_minutes": 8.0}
            ),
        ),
        "beside": feeds(),
        "prepare": open_vaults,
        "arguments": cdp_arguments,
    },
    "llamma": {
        "configs": (
            config_of("llamma", **BANDS, debt_asset="USD"),
            config_of("llamma", **BANDS, has_dynamic_fee=False, debt_ceiling=60_000.0),
        ),
        "beside": feeds(),
        "prepare": open_bands,
        "arguments": llamma_arguments,
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
                inventory_usd=2e5, relayer_fee=fees,
            )
            for token, fees in (("ETH", {"fill_gas": 0}), ("USD", None))
        ),
        "arguments": bridge_arguments,
    },
}  # fmt: skip


# --- populations ---------------------------------------------------------------------------------


STAKED_DEPTH = config_of(
    "quoted_depth", tokens=["sETH", "ETH"], curve=CURVE, anchor="own", mid=1.09,
    refill_half_life_seconds=120.0, inventory_usd=1e6,
)  # fmt: skip


def vault_place(*people: tuple[str, Any]) -> Any:
    """Return a plan with a CDP market of English auctions, a moving price of ETH, and people."""
    rules = dict(ENGLISH, lot_size=5.0, bid_duration_minutes=0.5)
    vaults = config_of("cdp", **VAULTS, debt_asset="USD", liquidation=rules)
    pool = config_of("constant_product", tokens=["ETH", "DAI"], value_usd=1e6)
    return _plan((*feeds(), venue("vaults", vaults), venue("eth-dai", pool)), people)


def band_place(*people: tuple[str, Any]) -> Any:
    """Return a plan with a crvUSD market, a moving price of ETH, and people."""
    market = config_of("llamma", **BANDS, debt_asset="USD")
    pool = config_of("constant_product", tokens=["ETH", "cUSD"], value_usd=1e6)
    venues = (venue("bands", market), venue("eth-cusd", pool), venue("exchange", ExchangeConfig()))
    return _plan((*feeds(), *venues), people)


def market_place(*people: tuple[str, Any], more: tuple[VenuePlan, ...] = ()) -> Any:
    """Return a plan with venues of every kind, a moving price of ETH, and some people.

    `more` are venues beside those.
    """
    other_pool = config_of("constant_product", chain=OTHER, tokens=["bUSD", "USD"], value_usd=1e6)
    bridge = config_of(
        "lock_and_mint", other_chain=OTHER, token="USD", wrapped="bUSD",
        finality_delay_seconds=30.0, return_delay_seconds=60.0,
    )  # fmt: skip
    network = MECHANISMS["liquidity_network"]["configs"][1]
    venues = (
        *feeds(),
        venue("bridge", bridge),
        venue("network", network),
        venue("eth-usd", config_of("constant_product", **POOL)),
        venue("eth-usd-5", config_of("concentrated_liquidity", **POOL, fee=0.0005, half_width=0.5)),
        venue("busd-usd", other_pool),
        venue("market", config_of("lending", reserves=RESERVES)),
        venue("staking", MECHANISMS["liquid_staking"]["configs"][0]),
        venue("seth-eth", STAKED_DEPTH),
        venue("exchange", ExchangeConfig()),
        *more,
    )
    return _plan(venues, people)


def _plan(venues: tuple[VenuePlan, ...], people: tuple[tuple[str, Any], ...]) -> Any:
    return small_plan(
        venues,
        tuple(
            PopulationPlan(name, populations()[c.kind], c.chain, getattr(c, "count", 1), c)
            for name, c in people
        ),
        seed=25,  # ETH falls by a fifth in ten minutes
        volatility=1.5,
        horizon_seconds=900.0,
    )


def people_of(kind: str, **fields: Any) -> Any:
    """Return the config of a population, read strictly as a scenario's."""
    given = {"kind": kind, "chain": HOME, **fields}
    return populations()[kind].config.model_validate(given)


LENDERS = people_of("suppliers", market="market", asset="USD", count=5, supplied_usd=1e6)
DEBTORS = people_of(
    "borrowers", market="market", collateral="ETH", debt="USD", count=8, debt_usd=9.8e5,
    health_quantiles=[[0.05, 1.0005], [0.5, 1.05], [0.9, 1.5]], alarm_low=1.2, alarm_high=1.6,
    reaction_minutes=1.0, unwind_pool="eth-usd", unwind_discount=0.001, unwind_hours=0.05,
    unwind_slippage=0.5, unwind_pause_minutes=1.0,
)  # fmt: skip
VAULT_BOOK = people_of(
    "vault_owners", cdp="vaults", count=8, debt_usd=3e5,
    health_quantiles=[[0.05, 1.0005], [0.5, 1.05], [0.9, 1.5]], alarm_low=1.2, alarm_high=1.6,
    reaction_minutes=1.0,
)  # fmt: skip
BAND_BOOK = people_of(
    "llamma_borrowers", llamma="bands", count=8, debt_usd=3e5, borrowed_low=0.9,
    awake_share=1.0, alarm=0.05, reaction_minutes=0.5,
)  # fmt: skip
BRIDGED = {"other_chain": OTHER}
BOOK = (("lenders", LENDERS), ("debtors", DEBTORS))
TRADERS = people_of("noise_traders", count=20, swaps_per_day=2_000.0, median_usd=2_000.0)
KEEPERS = ("keepers", people_of("oracle_keepers"))
CROSSERS = people_of(
    "noise_traders", chain=OTHER, count=20, swaps_per_day=2_000.0, median_usd=10_000.0,
    venues=["busd-usd"],
)  # fmt: skip
# An exploiter pledges what it took elsewhere; all that it has here is gas.
GAS_MARKET = (
    venue("gas-feed", config_of("oracle", token="GAS", source=FIXED_GAS)),
    venue("gas-market", config_of(
        "lending", reserves={"GAS": {"feed": "gas-feed"}, "USD": {"feed": "usd-feed"}}
    )),
)  # fmt: skip
GAS_LENDERS = people_of(
    "suppliers", market="gas-market", asset="USD", count=5, supplied_usd=1e6
)  # fmt: skip
OTHER_POOL = config_of("constant_product", **{**POOL, "chain": OTHER, "tokens": ["USD", "ETH"]})
RUN_VAULT = config_of(
    "tranches", **TRANCHED, tranches=TWO, gate=0.5, feeds=["eth-feed"], exit_pools=["eth-usd-5"]
)
SECONDARY = config_of("constant_product", tokens=["vault-senior", "USD"], value_usd=1e5)
HOLDERS = people_of(
    "tranche_investors", vault="vault", tranche="senior", count=5, share=0.5,
    coverage_trigger=0.199, informed_share=1.0, slow_share=0.0, informed_minutes=[0.5, 1.0],
    look_minutes=0.5,
)  # fmt: skip
MANAGER = people_of(
    "vault_managers", vault="vault", liquidity=[{"pool": "eth-usd-5", "share": 0.8}],
    look_minutes=0.5, gas_usd=500.0,
)  # fmt: skip
MORE = {
    "exploiter": GAS_MARKET,
    "cross_chain_arbitrage": (
        venue("other-eth-usd", OTHER_POOL),
        venue("ether-network", MECHANISMS["liquidity_network"]["configs"][0]),
    ),
    "tranche_investors": (venue("vault", RUN_VAULT), venue("senior-usd", SECONDARY)),
    "vault_managers": (venue("vault", RUN_VAULT),),
}

POPULATIONS: dict[str, dict[str, Any]] = {
    "accounts": {"holds": {"ETH": 1.0}},
    # not the staking token's: its backing per token rounds with the supply, which rows add to
    "noise_traders": {
        "swaps_per_day": 2_000.0, "median_usd": 500.0, "venues": ["eth-usd", "eth-usd-5"],
    },
    "arbitrageurs": {"inventory_usd": 1e5, "tip_share": 0.1},
    "cycle_arbitrage": {"start_tokens": ["USD"], "inventory_usd": 1e5, "max_length": 2},
    "oracle_keepers": {},
    "informed_traders": {"signals_per_day": 2_000.0, "median_wallet_usd": 5_000.0},
    "momentum_traders": {"looks_per_day": 2_000.0, "median_wallet_usd": 5_000.0},
    "liquidity_providers": {
        "pool": "eth-usd-5", "value_usd": 2e5, "keeper_share": 0.3, "leaver_share": 0.5,
        "price_trigger": 0.05, "delay_hours": 0.002,  # the price falls within one look at the pool
    },
    "bridge_users": {**BRIDGED, "transfers_per_day": 2_000.0, "median_usd": 500.0},
    "payments": {
        **BRIDGED, "token": "USD", "other_token": "USD", "payments_per_day": 2_000.0,
        "median_usd": 500.0,
    },
    "relayers": {**BRIDGED, "inventory_usd": 1e5},
    "staking_arbitrageurs": {"staking": "staking", "pool": "seth-eth", "inventory_usd": 2e4},
    "cross_chain_arbitrage": {
        **BRIDGED, "pool": "eth-usd", "other_pool": "other-eth-usd", "inventory_usd": 1e5,
    },
    "suppliers": {
        "market": "market", "asset": "USD", "supplied_usd": 1e5, "utilization_trigger": 0.5,
        "calm_utilization": 0.4, "fast_share": 1.0, "medium_share": 0.0, "slow_share": 0.0,
        "stuck_borrow_share": 0.5, "stuck_assets": ["ETH"], "stuck_minutes": 1.0,
    },
    "rate_seekers": {
        "market": "market", "asset": "USD", "funds_usd": 1e5, "outside_rate": 1e-4,
        "look_minutes": 1.0, "time_constant_hours": 1.0,
    },
    "borrowers": DEBTORS.model_dump(exclude={"kind", "chain", "count"}),
    "liquidators": {"market": "market", "inventory_usd": 1e5, "claim_share": 1.0},
    "vault_owners": VAULT_BOOK.model_dump(exclude={"kind", "chain", "count"}),
    "keepers": {"cdp": "vaults", "inventory_usd": 2e5},
    "llamma_borrowers": BAND_BOOK.model_dump(exclude={"kind", "chain", "count"}),
    "llamma_liquidators": {"llamma": "bands", "inventory_usd": 2e5},
    "tranche_investors": {
        "vault": "vault", "tranche": "senior", "share": 0.4, "pool": "senior-usd",
        "informed_share": 0.5, "slow_share": 0.5, "informed_minutes": [0.5, 1.0],
        "slow_hours": [0.02, 0.05], "coverage_trigger": 0.199, "fall_trigger": 1e-6,
        "appetite_log_sd": 0.1, "look_minutes": 0.5, "cash_usd": 1e4, "calm_hours": 0.05,
    },
    "vault_managers": {
        "vault": "vault", "deposits": [{"market": "market", "share": 0.3}],
        "liquidity": [{"pool": "eth-usd", "share": 0.2}, {"pool": "eth-usd-5", "share": 0.4}],
        "look_minutes": 0.5, "buffer": 0.2, "gas_usd": 500.0,
    },
    "exploiter": {
        "market": "gas-market", "collateral": "GAS", "debt": "USD", "amount": 4.0,
        "start_seconds": 60.0, "spread_seconds": 60.0,
    },
}  # fmt: skip
BESIDE: dict[str, tuple[tuple[str, Any], ...]] = {
    "suppliers": BOOK,
    "rate_seekers": BOOK,
    "borrowers": (*BOOK[:1], KEEPERS),
    "liquidators": (*BOOK, KEEPERS),
    "cycle_arbitrage": (("traders", TRADERS),),
    "cross_chain_arbitrage": (("traders", TRADERS),),
    "liquidity_providers": (("traders", TRADERS),),
    "exploiter": (("gas-lenders", GAS_LENDERS),),
    "relayers": (("crossers", CROSSERS),),
    "vault_owners": (KEEPERS,),
    "keepers": (("owners", VAULT_BOOK), KEEPERS),
    "llamma_borrowers": (KEEPERS,),
    "llamma_liquidators": (("owners", BAND_BOOK), KEEPERS),
    "tranche_investors": (("manager", MANAGER), KEEPERS),
    "vault_managers": (("holders", HOLDERS), KEEPERS),
}
VAULT_KINDS = ("vault_owners", "keepers")  # act in vault_place, all others in market_place
BAND_KINDS = ("llamma_borrowers", "llamma_liquidators")  # act in band_place
WHEEL = ("next",)  # links of the timing wheel
DEPEND_ON_ALL: dict[str, tuple[str, ...]] = {
    "noise_traders": WHEEL,
    "informed_traders": WHEEL,
    "momentum_traders": WHEEL,
    "bridge_users": WHEEL,
    "payments": WHEEL,
    "suppliers": ("speed", "can_borrow", "orders"),  # classes have shares by value
    "borrowers": (
        "alarm",
        "target",
        "has_means",
        "orders",
    ),  # health factors have quantiles by debt
    "liquidators": ("endowment", "claim_position", "orders"),  # shares by rank
    "vault_owners": (
        "alarm",
        "target",
        "has_means",
        "orders",
    ),  # health factors have quantiles by debt
    "keepers": ("endowment", "is_direct", "orders"),  # shares by rank; they take turns
    "llamma_borrowers": ("orders",),  # debts add up to what the book says
}
ROWS = {"exploiter": 1, "vault_managers": 1}
ACTS_FOR = {"vault_managers": "tranches"}


def population_of(kind: str) -> tuple[Any, Any]:
    """Return a config of a kind of population, and the plan of a world that it fits in."""
    fields = dict(POPULATIONS[kind])
    if "count" in populations()[kind].config.model_fields:
        fields["count"] = 1
    if kind in VAULT_KINDS:
        return people_of(kind, **fields), vault_place(*BESIDE[kind])
    if kind in BAND_KINDS:
        return people_of(kind, **fields), band_place(*BESIDE[kind])
    return people_of(kind, **fields), market_place(*BESIDE.get(kind, ()), more=MORE.get(kind, ()))
