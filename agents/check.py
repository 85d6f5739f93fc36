"""Check of any population, ours or yours, against the contract of reactions.

`check_population` puts a population into a world and runs it. It verifies that

* reacting writes orders and its own columns, and nothing else;
* what rows draw and send does not depend on how many rows there are;
* `World.check` passes at the end, and no order is malformed;
* every setting is described and has its unit;
* equal seeds give equal bits, and so does the interpreted twin, where a wrong index raises.
"""

from __future__ import annotations

import functools
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.check import check_config, run_twice
from sim.errors import EngineError, InvariantError
from sim.plan import PopulationPlan, WorldPlan
from sim.python_turn import PythonTurn
from sim.registry import Config, PopulationKind, PopulationSite
from sim.snapshots import fingerprint, state_hash
from sim.status import Status
from sim.units import ticks
from sim.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

TESTED = "tested"
_MORE_ROWS = 4
_MALFORMED = {Status.BAD_AMOUNT, Status.BAD_RANGE, Status.NOT_ALLOWED}
_FIELDS = ("arrival", "expires", "verb", "venue", "chain", "a", "b", "parent", "flag_bits")
_AMOUNTS = ("amount", "amount1", "limit", "price_limit", "tip")
_ROUNDING = 1e-9


def check_population(
    kind: PopulationKind,
    config: Any,
    plan: WorldPlan,
    *,
    rows: int = 13,
    run_seconds: float = 600.0,
    depends_on_all: Sequence[str] = (),
    twin: bool = True,
    must_act: bool = False,
    acts_for: str = TESTED,
) -> str:
    """Check a population against the contract of reactions.

    Parameters
    ----------
    kind, config : what is checked; the number of its rows is `rows`, whatever the config says
    plan : the world it acts in, with whomever it needs there
    rows : agents of it; 1: a kind of one agent, whose rows are not compared
    run_seconds : length of the run
    depends_on_all : columns that depend on the whole population by design, such as ranks, and
        "orders" where orders do, too; a column that is the same up to one factor, as shares of a
        total are, needs no mention
    twin : whether to run the interpreted twin too, first, in a child process
    must_act : whether a run in which no order of it is taken is refused: it would show little
    acts_for : account group in whose name it sends orders, where it is not its own

    Returns
    -------
    SHA-256 of the state at the end

    Raises
    ------
    InvariantError
        The population breaks the contract; names the kind and what broke.
    """
    check_config(kind.kind, kind.config)
    once = functools.partial(
        watch, kind, config, plan, rows, run_seconds, must_act=must_act, acts_for=acts_for
    )
    result = run_twice(kind.kind, once, twin=twin)
    check_rows(kind, config, plan, rows, run_seconds, depends_on_all)
    return result


def with_population(kind: PopulationKind, config: Any, plan: WorldPlan, rows: int) -> WorldPlan:
    """Return the plan with the population added last."""
    if "count" in type(config).model_fields:
        config = config.model_copy(update={"count": rows})
    else:
        rows = 1
    chain = getattr(config, "chain", None) or plan.chains[0].name
    tested = PopulationPlan(TESTED, kind, chain, rows, config)
    return replace(plan, populations=(*plan.populations, tested))


# --- what reacting writes ------------------------------------------------------------------------


def watch(
    kind: PopulationKind,
    config: Any,
    plan: WorldPlan,
    rows: int,
    run_seconds: float,
    *,
    must_act: bool = False,
    acts_for: str = TESTED,
) -> str:
    """Run a population and see what its reactions write; returns the hash of the state at the end.

    Raises
    ------
    InvariantError
        They write what is not theirs, send malformed orders or none, or break the world.
    """
    seen: dict[str, int] = {}

    def before() -> None:
        seen.clear()
        seen.update(fingerprint(world, TESTED))

    def after() -> None:
        now = fingerprint(world, TESTED)
        found = [name for name in now if now[name] != seen.get(name, now[name])]
        if found:
            raise InvariantError(
                f"{kind.kind}: reacting at {world.time:.6f} s wrote {', '.join(found[:4])}; "
                "it may write orders and its own columns only"
            )

    turn = PythonTurn(lambda message: before())
    watched = with_population(kind, config, plan, rows)
    *others, tested = watched.populations
    watcher = PopulationPlan("before", _watcher(kind, turn), tested.chain, 0, tested.config)
    world = World(replace(watched, populations=(*others, watcher, tested)))
    for chain in _chains_of(kind, world, world.population_sites[-1]):
        world.add_python_reaction(chain, after)
    fills: list[np.ndarray] = []
    world.on_fills = lambda made: fills.append(made.copy())
    _run(kind, world, run_seconds)
    world.flush()
    made = np.concatenate(fills)
    mine = made[made["group"] == world.group(acts_for)]
    _check_fills(kind, world, mine, must_act=must_act)
    return state_hash(world)


def _watcher(kind: PopulationKind, turn: Any) -> PopulationKind:
    """Return a population without rows whose reaction is a Python turn, on the chains of a kind."""
    return PopulationKind(
        kind="watcher",
        config=Config,
        states=(),
        make=lambda world, site: (),
        react=turn,
        fund=lambda world, site, state: None,
        tokens=lambda world, site: (),
        chains=lambda world, site: _chains_of(kind, world, site),
    )


def _chains_of(kind: PopulationKind, world: World, site: PopulationSite) -> list[int]:
    return [site.chain] if kind.chains is None else list(kind.chains(world, site))


def _run(kind: PopulationKind, world: World, run_seconds: float) -> None:
    try:
        world.check()
        world.advance(ticks(run_seconds))
        world.check()
    except InvariantError as error:
        if str(error).startswith(f"{kind.kind}:"):
            raise
        raise InvariantError(f"{kind.kind}: {error}") from error
    except (EngineError, IndexError, OverflowError, ValueError) as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        raise InvariantError(
            f"{kind.kind}: {type(error).__name__} at {Path(at.filename).name}:{at.lineno}: {error}"
        ) from error


def _check_fills(kind: PopulationKind, world: World, mine: np.ndarray, *, must_act: bool) -> None:
    if must_act and kind.react is not None and not len(mine):
        raise InvariantError(
            f"{kind.kind}: no order of it was taken in {world.time:g} s, so that little was "
            "checked; give it reasons to act, or a longer run"
        )
    for fill in mine:
        status = Status(int(fill["status"]))
        if status in _MALFORMED or not np.isfinite([fill["tip"], fill["max_fee"]]).all():
            raise InvariantError(
                f"{kind.kind}: row {fill['row']} sent {world.verb_names[fill['verb']]} with amount "
                f"{float(fill['amount'])!r}, a={fill['a']}, b={fill['b']}: {status.name}"
            )


# --- independence of rows ------------------------------------------------------------------------


def check_rows(
    kind: PopulationKind,
    config: Any,
    plan: WorldPlan,
    rows: int,
    run_seconds: float,
    depends_on_all: Sequence[str] = (),
) -> None:
    """Check that more rows leave the columns and the orders of the others as they were.

    The orders are compared in worlds whose blocks take none: nobody gets in anybody's way.

    Raises
    ------
    InvariantError
        They do not; names the column or the order.
    """
    few = World(with_population(kind, config, plan, rows))
    n = few.population_sites[-1].rows
    if n == 1:
        return
    many = World(with_population(kind, config, plan, n + _MORE_ROWS))
    is_scaled = _check_columns(kind, few, many, n, depends_on_all)
    if "orders" in depends_on_all:
        return
    fields = ("row", *_FIELDS) if is_scaled else ("row", *_FIELDS, *_AMOUNTS)
    x, y = (_orders_of(world, run_seconds) for world in (few, many))
    x, y = x[x["row"] < n], y[y["row"] < n]
    for name in fields:
        if x[name].tobytes() != y[name].tobytes():
            k = (
                int(np.flatnonzero(x[name] != y[name])[0])
                if len(x) == len(y)
                else min(len(x), len(y))
            )
            raise InvariantError(
                f"{kind.kind}: with {_MORE_ROWS} more rows the first {n} rows send other orders: "
                f"{len(x)} and {len(y)} of them, {name} differs from order {k} on"
            )


def _first_difference(x: np.ndarray, y: np.ndarray) -> int:
    both = min(len(x), len(y))
    return int(np.argmax(np.append(x[:both] != y[:both], True)))


def _check_columns(
    kind: PopulationKind, few: World, many: World, n: int, depends_on_all: Sequence[str]
) -> bool:
    """Compare the columns of the first rows; returns whether some differ by a factor."""
    is_scaled = False
    columns = _columns_of(many, n + _MORE_ROWS)
    for name, x in _columns_of(few, n).items():
        y = columns.get(name, x)[:n]
        if x.tobytes() == y.tobytes() or name in depends_on_all:
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = y / x if x.dtype.kind == "f" else np.full(n, np.nan)
        if not np.ptp(factor[x != 0.0]) <= _ROUNDING * np.abs(factor[x != 0.0]).max():
            raise InvariantError(
                f"{kind.kind}: column '{name}' of the first {n} rows changes when there are "
                f"{_MORE_ROWS} more: draw by (stream, row), never in sequence"
            )
        is_scaled = True
    return is_scaled


def _columns_of(world: World, n: int) -> dict[str, np.ndarray]:
    own = world.states[TESTED]
    return {
        name: column
        for state in (own if type(own) is tuple else (own,))
        for name, column in zip(getattr(state, "_fields", ()), state, strict=False)
        if column.shape[:1] == (n,)
    }


def _orders_of(world: World, run_seconds: float) -> np.ndarray:
    """Return all that the population sends when no block takes anything: ORDER records by row."""
    world.box.chains["gas_limit"] = 0
    world.advance(ticks(run_seconds))
    slots = np.concatenate(
        [world.box.heap[k, : int(c["pending"])] for k, c in enumerate(world.box.chains)]
    )
    orders = world.box.orders[slots]
    orders = orders[orders["group"] == world.group(TESTED)]
    return np.asarray(orders[np.lexsort((orders["id"], orders["row"]))])
