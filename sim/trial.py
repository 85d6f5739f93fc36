"""A trial: a small world in which one order at a time is sent and everything it moved is seen.

Before each block, after all reactions, the trial copies the state of the world and asks the venue
for its quotes; after the block it compares. `sim.check` judges mechanisms by it.
"""

from __future__ import annotations

import functools
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sim.draws import normal_column
from sim.errors import EngineError, InvariantError, UndertowError
from sim.fee_market import EIP1559
from sim.kernel import bind, blank, invoke, kernel, view_of
from sim.ledger import balance_of
from sim.mempool import Outbox, join, post
from sim.orders import ORDER, QUOTE
from sim.plan import ChainPlan, PopulationPlan, TokenPlan, VenuePlan, WorldPlan
from sim.registry import Config, PopulationKind
from sim.snapshots import changed, state_of
from sim.status import Status
from sim.venues import Venues, draft
from sim.world import World

ACTORS = "actors"  # the accounts that send the orders of a trial
N_ACTORS = 4
CHAINS = ("home", "other")
TOKENS = ("ETH", "USD", "GAS")  # on both chains; GAS pays the gas and nothing else
USD_EACH = 1e5  # value of an actor's balance of each token
EXCHANGE = "exchange"  # a third chain, for a reference market: blocks each second, gas is free
_PRICES = {"ETH": 2_000.0, "USD": 1.0, "GAS": 1_000.0}
_INTERVALS = {"home": 12.0, "other": 2.3}


# --- a small world -------------------------------------------------------------------------------


class ActorsConfig(Config):
    """Accounts without a will of their own."""


def _fund(world: World, site: Any, state: Any) -> None:
    for chain in CHAINS:
        for symbol in TOKENS:
            token = world.token(chain, symbol)
            world.endow_column(site.group, token, USD_EACH / _PRICES[symbol])


def _no_state(world: World, site: Any) -> tuple[()]:
    return ()


def actors(prepare: Any = None) -> PopulationPlan:
    """Return the actors of a trial; `prepare(world, site)` is called while they are made."""
    kind = PopulationKind(
        kind=ACTORS,
        config=ActorsConfig,
        states=(),
        make=_no_state if prepare is None else lambda world, site: prepare(world, site) or (),
        react=None,
        fund=_fund,
        chains=lambda world, site: range(len(CHAINS)),
    )
    return PopulationPlan(ACTORS, kind, CHAINS[0], N_ACTORS, ActorsConfig())


def small_plan(
    venues: tuple[VenuePlan, ...],
    populations: tuple[PopulationPlan, ...] = (),
    *,
    seed: int = 1,
    horizon_seconds: float = 86_400.0,
    volatility: float = 0.0,
) -> WorldPlan:
    """Return the plan of a small world: two chains with ETH, USD and GAS each, and an exchange.

    Parameters
    ----------
    venues, populations : what stands in it
    seed : of all draws
    horizon_seconds : length of the prices
    volatility : of ETH per day; 0: all prices stand still, at 2,000, 1 and 1,000 USD
    """
    step = 10.0
    n = int(horizon_seconds / step) + 1
    paths = np.array([np.full(n + 1, price) for price in _PRICES.values()])
    if volatility > 0.0:
        moves = volatility * np.sqrt(step / 86_400.0) * normal_column(seed, "small:ETH", n)
        paths[0, 1:] *= np.exp(np.cumsum(moves))
    return WorldPlan(
        seed=seed,
        horizon_seconds=horizon_seconds,
        step_seconds=12.0,
        assets=TOKENS,
        paths=paths,
        path_step_seconds=step,
        chains=(
            *(
                ChainPlan(name, _INTERVALS[name], False, 30_000_000, EIP1559, 1.0, 1.0, "GAS")
                for name in CHAINS
            ),
            ChainPlan(EXCHANGE, 1.0, False, 1 << 60, EIP1559, 0.0, 0.0, ""),
        ),
        tokens=tuple(TokenPlan(chain, symbol, symbol) for chain in CHAINS for symbol in TOKENS),
        venues=venues,
        populations=populations,
        mempool_capacity=1_024,
        fill_capacity=8_192,
    )


# --- one order -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """One order, or one leg of it; fields as in `World.submit`."""

    venue: int
    verb: int  # place in the mechanism's verbs
    row: int = 0
    amount: float = 0.0
    amount1: float = 0.0
    limit: float = 0.0
    price_limit: float = 0.0
    a: int = 0
    b: int = 0
    chain: int = -1  # -1: the venue's
    token_in: int = -1  # -1: as the side of a swap says
    token_out: int = -1
    flag_bits: int = 0


class Outcome(NamedTuple):
    """What became of a request."""

    status: Status
    fills: np.ndarray  # ORDER records, one a leg
    quoted: np.ndarray  # ORDER records as the quote of each leg left them
    quote_status: list[Status | None]  # None: the verb takes no quotes
    pool_quote: np.ndarray  # (1,) QUOTE record of a pool or bridge; status -2: none asked
    quote_wrote: list[str]  # what the quotes changed, which is nothing
    before: dict[str, np.ndarray]  # state right before the block, gas left out
    after: dict[str, np.ndarray]  # and right after it
    balances: tuple[np.ndarray, np.ndarray]  # of the sender, by token, before and after


_own = view_of(Outbox, Venues)


@kernel(inline=False)
def _post(binding, numbers, words, group, row, now):  # type: ignore[no-untyped-def]
    """Draft and post one order of one or more legs."""
    box, venues = _own(binding)
    head = _draft_leg(box, venues, numbers, words, 0, group, row, now)
    for k in range(1, numbers.shape[0]):
        join(box, head, _draft_leg(box, venues, numbers, words, k, group, row, now))
    return post(box, head)


@kernel
def _draft_leg(box, venues, numbers, words, k, group, row, now):  # type: ignore[no-untyped-def]
    order = draft(box, venues, words[k, 0], words[k, 1], group, row, now)
    order.amount, order.amount1 = numbers[k, 0], numbers[k, 1]
    order.limit, order.price_limit = numbers[k, 2], numbers[k, 3]
    order.a, order.b = words[k, 2], words[k, 3]
    if words[k, 4] >= 0:
        order.chain = words[k, 4]
        order.max_fee = 2.0 * box.chains[order.chain].base_fee
    order.token_in, order.token_out, order.flag_bits = words[k, 5], words[k, 6], words[k, 7]
    return order


@kernel(inline=False)
def call_handler(address, binding, message):  # type: ignore[no-untyped-def]
    """Call a table entry from Python."""
    return invoke(address, binding, message)


class Trial:
    """A world with actors who send one order at a time.

    Parameters
    ----------
    plan : a plan with `actors`, such as a `small_plan`

    Raises
    ------
    InvariantError
        The world of the plan is wrong before anything happened.
    """

    def __init__(self, plan: WorldPlan) -> None:
        self.world = World(plan)
        self.group = self.world.group(ACTORS)
        self._fills: list[np.ndarray] = []
        self._seen: dict[str, Any] = {}
        self._waiting: tuple[Request, ...] = ()
        self.world.on_fills = lambda fills: self._fills.append(fills.copy())
        for chain in range(len(plan.chains)):
            self.world.add_python_reaction(chain, functools.partial(self._look, chain))
        self.world.check()

    def send(self, *legs: Request) -> Outcome:
        """Send one order and run the world through the block that takes it.

        Raises
        ------
        InvariantError
            The order stopped the engine, or the interpreted twin found a wrong index.
        """
        world, head = self.world, legs[0]
        chain = head.chain if head.chain >= 0 else int(world.venues.chain[head.venue])
        self._waiting, self._seen, self._fills = legs, {}, []
        try:
            self._post(legs)
            world.advance(int(world.box.chains[chain]["next"]))
        except UndertowError as error:
            if isinstance(error, EngineError):
                raise InvariantError(f"it stopped the engine: {error}") from error
            raise
        except (IndexError, OverflowError, ValueError, FloatingPointError) as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(at.filename).name}:{at.lineno}"
            raise InvariantError(f"{type(error).__name__} at {place}: {error}") from error
        finally:
            self._waiting = ()
        world.flush()
        fills = np.concatenate(self._fills)
        return Outcome(
            status=Status(int(fills["status"][0])),
            fills=fills,
            after=state_of(world, without_gas=True),
            balances=(self._seen.pop("held"), self.balances(head.row)),
            **self._seen,
        )

    def balances(self, row: int) -> np.ndarray:
        """Return what an actor holds: float64, (n_tokens,), token units."""
        ledger = self.world.ledger
        return np.array(
            [balance_of(ledger, self.group, row, t) for t in range(len(self.world.tokens))]
        )

    def _post(self, legs: tuple[Request, ...]) -> None:
        venues = self.world.venues
        words = []
        for leg in legs:
            token_in, token_out = leg.token_in, leg.token_out
            if venues.token0[leg.venue] >= 0 and leg.verb == 0:
                pair = int(venues.token0[leg.venue]), int(venues.token1[leg.venue])
                token_in, token_out = pair if leg.a == 0 else pair[::-1]
            words.append(
                (leg.venue, leg.verb, leg.a, leg.b, leg.chain, token_in, token_out, leg.flag_bits)
            )
        numbers = [(leg.amount, leg.amount1, leg.limit, leg.price_limit) for leg in legs]
        binding = bind(self.world.box, venues)
        _post(
            int(binding.ctypes.data),
            np.array(numbers, float),
            np.array(words, np.int64),
            self.group,
            legs[0].row,
            self.world.now,
        )

    def _look(self, chain: int) -> None:
        """Before a block: copy the state, and ask for the quotes of the order that waits."""
        box = self.world.box
        if not self._waiting or int(box.chains[chain]["pending"]) == 0:
            return
        before = state_of(self.world)
        slot, quoted, statuses = int(box.heap[chain, 0]), [], []
        while slot >= 0:
            order = blank(1, ORDER)
            order[0] = box.orders[slot]
            order["time"], order["height"] = self.world.now, int(box.chains[chain]["height"])
            statuses.append(self._quote(order))
            quoted.append(order)
            slot = int(box.orders[slot]["next_leg"])
        pool_quote = self._quote_pool()
        self._seen = {
            "quoted": np.concatenate(quoted),
            "quote_status": statuses,
            "pool_quote": pool_quote,
            "quote_wrote": changed(before, state_of(self.world)),
            "before": state_of(self.world, without_gas=True),
            "held": self.balances(self._waiting[0].row),
        }

    def _quote(self, order: np.ndarray) -> Status | None:
        tables, verb = self.world.tables, int(order["verb"][0])
        plan = self.world.plan.venues[int(order["venue"][0])]
        number = verb - int(self.world.venues.first_verb[int(order["venue"][0])])
        if plan.mechanism.verbs[number].quote is None:
            return None
        return Status(
            call_handler(tables.quote[verb], tables.verb_binding[verb], order.ctypes.data)
        )

    def _quote_pool(self) -> np.ndarray:
        venues, head, made = self.world.venues, self._waiting[0], blank(1, QUOTE)
        if venues.quote_binding[head.venue] == 0 or head.verb != 0 or head.a not in {0, 1}:
            made["status"] = -2
            return made
        made["venue"], made["side"], made["amount"] = head.venue, head.a, head.amount
        made["price_limit"] = head.price_limit
        made["status"] = call_handler(
            venues.quote[head.venue], venues.quote_binding[head.venue], made.ctypes.data
        )
        return made
