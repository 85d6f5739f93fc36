"""Check of any mechanism, ours or yours, against the contract that the engine relies on.

`check_mechanism` puts venues of the mechanism into a small world and sends them random orders of
every verb, a third of them with garbage. It verifies that

* money is conserved, venues hold what they owe, and `World.check` passes after every order;
* a fill says what the sender paid and got;
* a refused order changes nothing but gas;
* quotes write nothing, and executing what was quoted gives what was quoted;
* samples have the columns that the records declare;
* equal seeds give equal bits, and so does the interpreted twin, where a wrong index raises.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.errors import InvariantError
from sim.interpreted import interpreted
from sim.orders import CHAINED
from sim.plan import VenuePlan
from sim.sample_check import check_samples
from sim.snapshots import changed, state_hash
from sim.status import Status
from sim.trial import N_ACTORS, Outcome, Request, Trial, actors, small_plan
from sim.world import World

if TYPE_CHECKING:
    from sim.registry import Config, Mechanism

Legs = tuple[Request, ...]
Arguments = Callable[[World, Request, np.random.Generator], Request | Legs]
Prepare = Callable[[World, Any], None]
OK = Status.OK
_ROUNDING = 1e-12  # of the largest amount in a comparison: some thousand rounding errors
_DRIFT = 1e-9  # of a token's turnover, that a venue may be short by
_GARBAGE_SHARE = 0.35
_BAD_NUMBERS = (math.nan, math.inf, -math.inf, -1.0, 0.0, -0.0, 5e-324, 1e300)
_BAD_WORDS = (-1, 2, 7, -7, 255, 1 << 31, -(1 << 40), (1 << 62) - 1, -(1 << 62))
_UNITS = {
    "_usd": "USD",
    "_seconds": "s",
    "_minutes": "min",
    "_hours": "h",
    "_gwei": "gwei",
    "_bps": "bp",
    "_per_day": "day",
}


def check_mechanism(
    mechanism: Mechanism,
    *configs: Config,
    beside: Sequence[VenuePlan] = (),
    prepare: Prepare | None = None,
    arguments: Arguments | None = None,
    n_orders: int = 100,
    seed: int = 1,
    twin: bool = True,
) -> str:
    """Check a mechanism against the contract of the engine.

    Parameters
    ----------
    mechanism : what is checked
    configs : of one or more venues of it, in a `sim.trial.small_plan`; two find wrong rows, and are
        joined into composite orders where swaps take quotes
    beside : venues of other mechanisms that these need, such as price feeds
    prepare : called with world and site while the senders are made, for example to open positions
    arguments : makes a random request meaningful, or an order of several legs: called with the
        world, a request that has venue, verb, row, side 0 or 1 in `a` and amounts the sender has,
        and a generator
    n_orders : orders sent
    seed : of orders and world
    twin : whether to run the interpreted twin too, first, in a child process

    Returns
    -------
    SHA-256 of the state at the end

    Raises
    ------
    InvariantError
        The mechanism breaks the contract; names kind, verb, order and what broke.
    """
    check_config(mechanism.kind, mechanism.config)
    once = functools.partial(
        run_orders, mechanism, configs, tuple(beside), prepare, arguments, n_orders, seed
    )
    return run_twice(mechanism.kind, once, twin=twin)


def run_twice(kind: str, once: Callable[[], str], *, twin: bool) -> str:
    """Run something in the interpreted twin and twice here; returns the hash all agree on.

    Raises
    ------
    InvariantError
        They do not agree, or one of them failed.
    """
    theirs = interpreted([once])[0] if twin else None
    if isinstance(theirs, InvariantError):
        raise InvariantError(f"{theirs} (in the interpreted twin)")
    first, second = once(), once()
    if first != second:
        raise InvariantError(f"{kind}: two runs of one seed end in different states")
    if theirs is not None and theirs != first:
        raise InvariantError(f"{kind}: compiled and interpreted runs end in different states")
    return first


def check_config(kind: str, config: type[Config]) -> None:
    """Check that every setting of a kind is described, and has the unit that its name says.

    Raises
    ------
    InvariantError
        One is not; names it.
    """
    for name, field in config.model_fields.items():
        if name in {"kind", "chain"}:
            continue
        if not field.description:
            raise InvariantError(f"{kind}: setting '{name}' has no description")
        extra = field.json_schema_extra
        given = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
        for suffix, unit in _UNITS.items():
            if name.endswith(suffix) and unit not in given.replace("/", " ").split():
                raise InvariantError(
                    f"{kind}: setting '{name}' must declare its unit, "
                    f'json_schema_extra={{"unit": "{unit}"}}; it declares {given or "none"}'
                )


# --- orders --------------------------------------------------------------------------------------


def trial_of(
    mechanism: Mechanism,
    configs: Sequence[Any],
    beside: Sequence[VenuePlan],
    prepare: Prepare | None,
    seed: int,
) -> tuple[Trial, list[int]]:
    """Return a trial and the numbers of its venues of a mechanism."""
    tested = [
        VenuePlan(f"tested-{k}", mechanism, config.chain, tuple(mechanism.nodes(config)), config)
        for k, config in enumerate(configs)
    ]
    first = len(beside)
    plan = small_plan((*beside, *tested), (actors(prepare),), seed=seed)
    return Trial(plan), list(range(first, first + len(tested)))


def run_orders(
    mechanism: Mechanism,
    configs: Sequence[Any],
    beside: Sequence[VenuePlan],
    prepare: Prepare | None,
    arguments: Arguments | None,
    n_orders: int,
    seed: int,
) -> str:
    """Send random orders and judge each; returns the hash of the state at the end."""
    trial, venues = trial_of(mechanism, configs, beside, prepare, seed)
    rng = np.random.default_rng(seed)
    is_joint = len(venues) > 1 and mechanism.quote is not None
    for k in range(n_orders):
        if is_joint and k % 8 == 7:
            legs = joint_swaps(trial, venues, rng)
        else:
            venue = venues[k % len(venues)]
            verb = int(rng.integers(len(mechanism.verbs)))
            legs = random_order(trial, venue, verb, rng, arguments)
        send_and_judge(trial, legs)
    check_samples(trial.world)
    return state_hash(trial.world)


def random_order(
    trial: Trial, venue: int, verb: int, rng: np.random.Generator, arguments: Arguments | None
) -> Legs:
    """Return an order that may well succeed, or, one time in three, one with garbage in it."""
    row, side = int(rng.integers(N_ACTORS)), int(rng.integers(2))
    tokens = _tokens_of(trial.world, venue)
    held = [float(trial.balances(row)[t]) for t in (tokens[side % len(tokens)], tokens[-1])]
    shares = 10.0 ** rng.uniform(-5.0, 0.1, 2)
    request = Request(
        venue,
        verb,
        row,
        amount=held[0] * float(shares[0]),
        amount1=held[1] * float(shares[1]),
        a=side,
    )
    made = request if arguments is None else arguments(trial.world, request, rng)
    head, *tail = made if isinstance(made, tuple) else (made,)
    return (spoiled(head, rng) if rng.random() < _GARBAGE_SHARE else head, *tail)


def _tokens_of(world: World, venue: int) -> list[int]:
    tokens = [world.token(*node) for node in world.plan.venues[venue].tokens]
    return tokens or list(range(len(world.tokens)))


def spoiled(request: Request, rng: np.random.Generator) -> Request:
    """Return a request with garbage in one of its fields."""
    field = str(rng.choice(["amount", "amount", "amount1", "limit", "price_limit", "a", "b"]))
    bad: Any = _BAD_WORDS if field in {"a", "b"} else _BAD_NUMBERS
    return replace(request, **{field: bad[int(rng.integers(len(bad)))]})


def joint_swaps(trial: Trial, venues: Sequence[int], rng: np.random.Generator) -> Legs:
    """Return two swaps in different venues as one order, the second with what the first gives."""
    first, second = (int(venue) for venue in rng.permutation(venues)[:2])
    (head,) = random_order(trial, first, 0, rng, None)
    is_chained = rng.random() < 0.5
    tail = replace(head, venue=second, a=1 - head.a, flag_bits=CHAINED if is_chained else 0)
    if rng.random() < 0.2:
        tail = replace(tail, limit=1e30)
    return head, tail


# --- verdicts ------------------------------------------------------------------------------------


def send_and_judge(trial: Trial, legs: Sequence[Request]) -> Outcome:
    """Send one order and check everything that holds of any order.

    Raises
    ------
    InvariantError
        Something does not; names kind, verb, order and what broke.
    """
    head, world = legs[0], trial.world
    mechanism = world.plan.venues[head.venue].mechanism
    who = f"{mechanism.kind}.{mechanism.verbs[head.verb].name}"
    try:
        outcome = trial.send(*legs)
        _judge_quotes(trial, legs, outcome)
        world.check()
        if outcome.status == OK:
            _judge_fills(trial, legs, outcome)
        else:
            _judge_refusal(outcome)
        _judge_books(world)
    except InvariantError as error:
        asked = " then ".join(_text_of(leg) for leg in legs)
        raise InvariantError(f"{who}({asked}): {error}") from error
    return outcome


def _text_of(leg: Request) -> str:
    given = {
        name: value
        for name, value in vars(leg).items()
        if name != "verb" and value != type(leg).__dataclass_fields__[name].default
    }
    return ", ".join(f"{name}={value!r}" for name, value in given.items())


def _judge_quotes(trial: Trial, legs: Sequence[Request], outcome: Outcome) -> None:
    """Check that quotes write nothing, and say what is then done."""
    if outcome.quote_wrote:
        raise InvariantError(f"its quote wrote {', '.join(outcome.quote_wrote[:4])}")
    if len(legs) > 1:
        return  # the engine quotes legs one after the other, and stops if one is then refused
    status, quoted, fill = outcome.quote_status[0], outcome.quoted[0], outcome.fills[0]
    if status == OK and outcome.status == OK:
        for name in ("amount_in", "amount_out", "fee_paid"):
            _same(f"{name}, quoted and filled", quoted[name], fill[name], quoted[name], fill[name])
    if status is not None and status != OK and outcome.status == OK:
        raise InvariantError(f"its quote said {status.name}, and it was filled")
    asked = outcome.pool_quote[0]
    is_pool = trial.world.venues.token0[legs[0].venue] >= 0  # a bridge's estimate is not binding
    if is_pool and asked["status"] == OK and outcome.status == OK:
        for name in ("amount_in", "amount_out", "fee_paid"):
            _same(f"{name}, asked and filled", asked[name], fill[name], asked[name], fill[name])


def _judge_refusal(outcome: Outcome) -> None:
    """Check that a refused order changed nothing but gas."""
    if wrong := changed(outcome.before, outcome.after):
        raise InvariantError(
            f"it was refused ({outcome.status.name}) and yet changed {', '.join(wrong[:4])}"
        )


def _judge_fills(trial: Trial, legs: Sequence[Request], outcome: Outcome) -> None:
    """Check that fills have sensible numbers, keep limits and say what the sender paid and got."""
    moved: dict[int, float] = {}
    is_late = False
    for leg, fill in zip(legs, outcome.fills, strict=True):
        for name in ("amount_in", "amount_out", "fee_paid"):
            if not 0.0 <= fill[name] < math.inf:
                raise InvariantError(f"its fill has {name} {fill[name]}")
        if trial.world.venues.token0[leg.venue] >= 0 and leg.verb == 0:
            _judge_swap(leg, fill)
        elif fill["amount_out"] > 0.0:
            is_late = True  # bridges pay later
        for name, sign in (("in", -1.0), ("out", 1.0)):
            token = int(fill[f"token_{name}"])
            if token >= 0:
                moved[token] = moved.get(token, 0.0) + sign * float(fill[f"amount_{name}"])
    before, after = outcome.balances
    native = {int(token) for token in trial.world.box.chains["native"]}  # also pays gas
    for token, amount in moved.items():
        if token in native:
            continue
        got = after[token] - before[token]
        if is_late and amount > 0.0 and got == 0.0:
            continue
        name = trial.world.token_names[token]
        _same(f"{name} in the sender's account, by the fill and by the ledger", amount, got,
              before[token], after[token])  # fmt: skip


def _judge_swap(leg: Request, fill: Any) -> None:
    if leg.flag_bits == 0 and fill["amount_in"] > leg.amount * (1.0 + _ROUNDING):
        raise InvariantError(f"it took {fill['amount_in']!r}, more than the amount")
    if fill["amount_out"] < leg.limit:
        raise InvariantError(f"it gave {fill['amount_out']!r}, less than the limit")


def _judge_books(world: World) -> None:
    """Check that balances and claims add up to the supply, and venues hold what they owe."""
    supply, turnover = world.ledger.supply, world.ledger.turnover
    allowed = _DRIFT * (1.0 + turnover)
    total = world.holdings().sum(axis=0)
    is_issued = np.zeros(len(supply), bool)
    for site in world.venue_sites:
        is_issued[list(site.own_tokens)] = True
    wrong = np.abs(total - supply) > allowed
    wrong &= ~(is_issued & (np.abs(total) <= allowed))  # what is a debt of its issuer: adds up to 0
    if wrong.any() or not np.isfinite(total).all():
        token = int(np.flatnonzero(wrong | ~np.isfinite(total))[0])
        raise InvariantError(
            f"balances and claims of {world.token_names[token]} add up to {total[token]:.15g}, "
            f"its supply is {supply[token]:.15g}"
        )
    accounts = world.account_holdings()
    for site in world.venue_sites:
        left = accounts[site.group][site.account]
        short = (left < -allowed) & ~is_issued
        if short.any():
            token = int(np.flatnonzero(short)[0])
            raise InvariantError(
                f"{site.name} owes {-left[token]:.12g} {world.token_names[token]} "
                "more than it holds"
            )


def _same(what: str, x: float, y: float, *operands: float) -> None:
    allowed = _ROUNDING * max(abs(float(operand)) for operand in operands)
    if not abs(float(x) - float(y)) <= allowed:
        raise InvariantError(f"{what}, differ: {float(x)!r} and {float(y)!r}")
