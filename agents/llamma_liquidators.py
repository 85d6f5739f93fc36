"""Liquidators of a crvUSD market: they close loans whose health is negative.

Before each block every liquidator looks at the loans whose bands the price has reached. Where the
collateral of an unhealthy loan, sold on the reference market, brings more than the debt less the
debt tokens in the bands, it pays with what it holds, for a part if that is not enough, and sells
the collateral after its deposit delay. All bid for the same loans: the first in the block wins.
Soft liquidation is not theirs: any arbitrageur of pools does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from pydantic import Field

from agents.population import ColumnarAgent
from sim.chain import clock_at
from sim.exchange import ExchangeState, draft_sale, exchange_of, is_under_way
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.llamma.loans import quote_liquidate
from sim.llamma.state import LlammaState
from sim.llamma.trading import top_of
from sim.llamma.verbs import LIQUIDATE
from sim.mempool import Outbox, post
from sim.orders import FILL, PRICE, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import ticks
from sim.venues import Venues, draft, spendable

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_FILL, _PRICE = cause(FILL), cause(PRICE)
_WHOLE = 1.0 - 1e-9  # of what is held
_GAS_USD = 10_000.0  # of each for gas
_DUST = 1e-9  # of collateral that is not worth a sale
GROUP, VENUE, MARKET, EXCHANGE, EXCHANGE_CHAIN = range(5)  # .number
MARGIN, LEAST, DELAY, KEPT = range(4)  # .terms


@columnar
class LlammaLiquidatorState(NamedTuple):
    """Columns of liquidators, and what they share."""

    asked: I8  # int64, (n,), tick until which an order may be pending
    sold: I8  # int64, (n,), tick until which a sale may be pending
    tip_share: F8  # float64, (n,), share of the expected profit bid as priority fee
    n_orders: I8  # int64, (n,), liquidations sent
    terms: F8  # float64, (4,), see MARGIN …: share of proceeds, USD, ticks, collateral kept for gas
    number: I8  # int64, (5,), see GROUP …


class LlammaLiquidatorsConfig(Config):
    """Liquidators of one crvUSD market."""

    kind: Literal["llamma_liquidators"]
    chain: str = Field(description="Chain of the market.")
    llamma: str = Field(description="crvUSD market.")
    count: int = Field(1, gt=0, le=1_000, description="Number of liquidators.")
    inventory_usd: float = Field(
        gt=0.0,
        description="Debt tokens of each at the start.",
        json_schema_extra={"unit": "USD", "stress": {"liquidator_capital": "multiply"}},
    )
    margin: float = Field(
        0.005, ge=0.0, lt=1.0, description="Share of the proceeds that they want to keep."
    )
    min_profit_usd: float = Field(
        0.0,
        ge=0.0,
        description="Least expected profit after gas.",
        json_schema_extra={"unit": "USD"},
    )
    tip_share: float = Field(
        0.3, ge=0.0, lt=1.0, description="Share of expected profit bid as priority fee."
    )
    deposit_delay_seconds: float = Field(
        300.0, ge=0.0, description="Time to the reference market.", json_schema_extra={"unit": "s"}
    )


class LlammaLiquidator(ColumnarAgent):
    """One liquidator: a view on a row of its population."""


unpack = view_of(LlammaLiquidatorState, LlammaState, Outbox, Ledger, Prices, Venues, ExchangeState)


@kernel
def best_loan(people, llamma, prices, held, now):  # type: ignore[no-untyped-def]
    """Return (loan, fraction, collateral, profit in USD before gas) that is best; loan -1: none."""
    best, fraction, seized, gain = -1, 0.0, 0.0, 0.0
    row = people.number[MARKET]
    m = llamma.markets[row]
    keep = 1.0 - people.terms[MARGIN]
    for loan in range(llamma.loans.shape[0]):
        mine = llamma.loans[loan]
        if mine.market != row or mine.n == 0 or top_of(m, mine.first, now) < m.price:
            continue
        status, closed, x, y = quote_liquidate(llamma, loan, 1.0, now)
        if status != OK:
            continue
        cost = max(closed - x, 0.0)
        part = min(1.0, _WHOLE * held / cost) if cost > 0.0 else 1.0
        if not part > 0.0:
            continue
        if part < 1.0:
            _, closed, x, y = quote_liquidate(llamma, loan, part, now)
        worth = y * prices.reference[m.collateral_token] * keep
        profit = worth - (closed - x) * prices.reference[m.debt_token]
        if profit > gain:
            best, fraction, seized, gain = loan, part, y, profit
    return best, fraction, seized, gain


@kernel(inline=False)
def pursue(people, llamma, box, ledger, prices, venues, row, clock):  # type: ignore[no-untyped-def]
    """Let one liquidator post an order for its best loan."""
    group, venue = people.number[GROUP], people.number[VENUE]
    m, chain = llamma.markets[people.number[MARKET]], box.chains[clock.chain]
    gas = venues.gas[venues.first_verb[venue] + LIQUIDATE]
    held = spendable(box, ledger, clock.chain, group, row, m.debt_token, gas)
    loan, fraction, seized, gain = best_loan(people, llamma, prices, held, clock.now)
    if loan < 0:
        return
    native_usd = prices.reference[chain.native]
    profit = gain - gas * chain.base_fee * native_usd
    left = balance_of(ledger, group, row, chain.native)
    if profit <= people.terms[LEAST] or left <= 2.0 * gas * chain.base_fee:
        return
    order = draft(box, venues, venue, LIQUIDATE, group, row, clock.now)
    order.a, order.amount, order.limit = loan, fraction, seized * _WHOLE
    tip = people.tip_share[row] * profit / (gas * max(native_usd, 1e-12))
    order.tip = min(tip, 0.5 * left / gas - chain.base_fee)
    order.max_fee += order.tip
    order.expires = clock.now + 4 * chain.interval
    last = venues.last_fill[venue]
    order.parent = _FILL + last if last > 0 else _PRICE + max(prices.asset[m.collateral_token], 0)
    people.n_orders[row] += 1
    post(box, order)
    people.asked[row] = order.expires


@kernel
def sell(people, llamma, box, ledger, venues, market, row, clock):  # type: ignore[no-untyped-def]
    """Sell what one liquidator has won on the reference market."""
    group, venue = people.number[GROUP], people.number[EXCHANGE]
    m = llamma.markets[people.number[MARKET]]
    held = balance_of(ledger, group, row, m.collateral_token) - people.terms[KEPT]
    if held <= _DUST:
        return
    if clock.now <= people.sold[row] or is_under_way(market, group, row, m.collateral_token):
        return
    pair, delay = (m.collateral_token, m.debt_token), int(people.terms[DELAY])
    order = draft_sale(market, box, venues, venue, group, row, pair, delay, clock.now)
    order.amount = held
    last = venues.last_fill[people.number[VENUE]]
    order.parent = _FILL + last if last > 0 else 0
    people.sold[row] = order.expires
    post(box, order)


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Look for loans, or sell on the reference market."""
    people, llamma, box, ledger, prices, venues, market = unpack(binding)
    clock = clock_at(message)
    for row in range(people.asked.shape[0]):
        if clock.chain == people.number[EXCHANGE_CHAIN]:
            sell(people, llamma, box, ledger, venues, market, row, clock)
        elif clock.now > people.asked[row]:
            pursue(people, llamma, box, ledger, prices, venues, row, clock)
    return OK


def make(world: World, site: PopulationSite) -> LlammaLiquidatorState:
    """Return the columns of a population of liquidators."""
    config, n = site.config, site.rows
    market = world.shared[LlammaState].markets[int(world.venues.row[world.venue(config.llamma)])]
    native = int(world.box.chains[site.chain]["native"])
    kept = _gas_of(world, native) if int(market["collateral_token"]) == native else 0.0
    venue, exchange = world.venue(config.llamma), exchange_of(world)
    chain = int(world.venues.chain[exchange]) if exchange >= 0 else -1
    return LlammaLiquidatorState(
        asked=np.full(n, -1, np.int64),
        sold=np.full(n, -1, np.int64),
        tip_share=np.full(n, config.tip_share),
        n_orders=np.zeros(n, np.int64),
        terms=np.array(
            [config.margin, config.min_profit_usd, ticks(config.deposit_delay_seconds), kept]
        ),
        number=np.array(
            [site.group, venue, int(world.venues.row[venue]), exchange, chain], np.int64
        ),
    )


def _gas_of(world: World, native: int) -> float:
    """Return the native tokens that each has for gas."""
    return _GAS_USD / float(world.prices.fundamental[native])


def fund(world: World, site: PopulationSite, state: LlammaLiquidatorState) -> None:
    """Give everyone its debt tokens, and gas."""
    market = world.shared[LlammaState].markets[int(state.number[MARKET])]
    token = int(market["debt_token"])
    price = float(world.prices.fundamental[token])
    world.endow_column(site.group, token, site.config.inventory_usd / price)
    native = int(world.box.chains[site.chain]["native"])
    world.endow_column(site.group, native, _gas_of(world, native))


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what they can hold: collateral, debt token and gas."""
    plan = world.plan.venues[world.venue(site.config.llamma)]
    symbols = {plan.config.collateral, plan.config.debt, world.plan.chains[site.chain].native}
    return [world.token(site.config.chain, symbol) for symbol in sorted(symbols)]


def chains(world: World, site: PopulationSite) -> list[int]:
    """Return the chains before whose blocks they act: their own, and the reference market's."""
    exchange = [k for k, name in enumerate(world.chain_names) if name == "exchange"]
    return [site.chain, *exchange]


KIND = PopulationKind(
    kind="llamma_liquidators",
    config=LlammaLiquidatorsConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=LlammaLiquidator,
    role="liquidators",
    tokens=tokens,
    chains=chains,
)
