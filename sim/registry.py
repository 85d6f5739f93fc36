"""What a protocol declares about itself, once: its configuration, state, verbs and checks.

A new mechanism is one module that exports a `Mechanism`, and one line in the table of the
composition root. The engine, the recorder, the summary and the checks work from this declaration
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from sim.kernel import Handler

if TYPE_CHECKING:
    from sim.world import World


class Config(BaseModel):
    """Base of every part of a scenario: strict, immutable, no unknown keys."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Verb(NamedTuple):
    """One thing that can be asked of a venue."""

    name: str
    execute: Handler  # message: order
    gas: int  # gas of the transaction
    quote: Handler | None = None  # message: order; writes its amounts only; allows it as a leg
    spare_gas: int = 0  # declared beyond `gas` for what is not known before; `order.gas_left` is
    # how much of it an execution gives back


class Claim(NamedTuple):
    """Tokens that accounts of one group hold in a venue, or owe to it, beyond their balances.

    The venue's own account carries the opposite claim, so that all holdings of a token, balances
    and claims together, add up to its supply (to 0 for a wrapped token, whose backing is the
    escrow). A claim that names no venue counts in `equity` and is absent from `holdings`.
    """

    group: int
    rows: np.ndarray  # int64, (n,)
    token: int
    amount: np.ndarray  # float64, (n,), token units; debts are negative
    venue: int = -1  # number of the venue that owes it, or is owed


class ShockKind(NamedTuple):
    """Something that a scenario can make happen at a given time."""

    kind: str
    config: type[Config]
    apply: Callable[[World, Any], None]


def _always(world: World, own: Any) -> bool:
    return True


def _nothing(world: World, own: Any) -> float:
    return 0.0


class Channel(NamedTuple):
    """A way by which stress travels, and how a world is built without it.

    Cutting is a `do()` on one variable: the transmission gets its stress-free value for the whole
    run, shocks and random numbers stay as they are, and what somebody must pay for it is paid by an
    account of the outside world.
    """

    name: str
    cut: Callable[[World, Any], None]
    # ^ (world, own state), once, at time 0, when all is made and nothing has run; larger states go
    # through `World.replace_state`
    is_there: Callable[[World, Any], bool] = _always  # whether this world has it at all
    absorbed: Callable[[World, Any], float] = _nothing
    # ^ USD that the outside world has borne so far in its place; 0 where no token moves


class Liquidations(NamedTuple):
    """How fills of a mechanism become rows of the `liquidations` record."""

    verbs: tuple[str, ...]  # an executed order for one of these is a liquidation
    details: Callable[[World, np.ndarray], dict[str, Any]]
    # ^ columns that the fills do not say, such as the borrower, or say otherwise; text as numbers
    times: Callable[[World, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
    # ^ (world, fills, slack) -> ticks: account last safe, price observed
    feeds: Callable[[World, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
    # ^ (world, fills) -> feeds of what was seized and of what was repaid, -1: none; and the price
    # of what was seized at which the health factor was taken, NaN: what its feed reported then


class VenueSite(NamedTuple):
    """Where a venue stands: what the world gives a mechanism to make its state row."""

    name: str
    number: int  # row of Venues
    row: int  # row in the mechanism's state
    chain: int
    group: int
    account: int
    tokens: tuple[int, ...]  # the venue's tokens, in order
    own_tokens: tuple[int, ...]  # tokens that the venue issues
    config: Any


Columns = dict[str, Any]
# ^ of a record, by name: arrays of one length. A text column holds the numbers of what it names (of
# venues in `venue` and `feed`, else of `token`, `chain`, `population`, `asset`), or is a list of
# strings.


def _pair_of(config: Any) -> list[tuple[str, str]]:
    return [(config.chain, symbol) for symbol in getattr(config, "tokens", ())]


@dataclass(frozen=True)
class Mechanism:
    """Declaration of one kind of protocol."""

    kind: str
    config: type[Config]
    verbs: tuple[Verb, ...]
    states: tuple[type, ...]  # what its handlers unpack, in order; its own state first
    make: Callable[[World, Sequence[VenueSite]], Any]  # -> own state; funds the venues
    quote: Handler | None = None  # message: quote; pools only
    estimate: Handler | None = None  # message: quote; venues that are no pools, such as bridges
    appraise: Handler | None = None  # message: appraisal; what an account has in a venue
    curve: Handler | None = None  # message: row of a pool; the trading function of `custom_curve`
    is_made_first: bool = False  # gives its tokens the prices from which others start
    issues: Callable[[str, Any], tuple[tuple[str, str], ...]] = lambda name, config: ()
    # ^ (chain, symbol) of the tokens that a venue mints
    react: Handler | None = None  # message: clock; runs before each block of every chain
    pairs: Callable[[str, Any], Sequence[tuple[str, Config]]] = lambda name, config: ()
    # ^ (name, config) of further venues that come with one: a venue is an edge between two tokens
    nodes: Callable[[Any], Sequence[tuple[str, str]]] = _pair_of  # (chain, symbol) it works with
    claims: Callable[[World, Any], list[Claim]] = lambda world, state: []
    sample: Callable[[World, Any], dict[str, Columns]] = lambda world, state: {}
    # ^ by record; the recorder adds `time`, the chain of a venue, and what all pools have
    sample_positions: Callable[[World, Any], dict[str, Columns]] = lambda world, state: {}
    liquidations: Liquidations | None = None
    open: Callable[[World, Any], None] = lambda world, state: None  # once all is funded
    grow: Callable[[Any], Any] = lambda own: None  # -> larger state when a table is nearly full
    check: Callable[[World, Any], None] = lambda world, state: None
    events: tuple[tuple[str, Handler], ...] = ()  # event kinds it handles
    shocks: tuple[ShockKind, ...] = ()
    role: str = "treasury"  # whose gains and losses those of its own accounts count as
    channels: tuple[Channel, ...] = ()  # ways by which stress travels through it


@dataclass(frozen=True)
class PopulationSite:
    """Where a population stands: what the world gives a behaviour to make its columns."""

    name: str
    number: int
    group: int
    rows: int
    chain: int
    stream: int  # number of its random stream
    config: Any


@dataclass(frozen=True)
class PopulationKind:
    """Declaration of one kind of participant."""

    kind: str
    config: type[Config]
    states: tuple[type, ...]  # what `react` unpacks, in order; its own state first
    make: Callable[[World, PopulationSite], Any]  # -> own state
    react: Handler | None  # message: clock; runs before each block of its chains
    fund: Callable[[World, PopulationSite, Any], None]  # gives it its tokens at the start
    view: type | None = None  # Mesa agent class of one row
    tokens: Callable[[World, PopulationSite], Sequence[int]] | None = None  # it can hold; None: all
    chains: Callable[[World, PopulationSite], Sequence[int]] | None = None  # None: its own chain
    columns: Callable[[World, PopulationSite, Any], dict[str, Any]] | None = None  # more columns
    role: str = "traders"  # whose losses and gains are counted together: see `sim.channels.ROLES`
    channels: tuple[Channel, ...] = ()  # ways by which stress travels through it
