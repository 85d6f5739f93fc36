"""The model: a Mesa model whose world runs compiled, and whose populations are agent sets.

Mesa's words keep their meaning, on every supported Mesa: `time` (seconds), `run_for`, `run_until`,
`schedule_event`, `schedule_recurring`, `step`, `agents`, `agents_by_type`. What differs: agents act
in blocks. Populations react in compiled code; a plain agent's `step()` is called right before each
block of its `chain`. So nobody calls `model.agents.do("step")`; time passes by running the model.
"""

from __future__ import annotations

import functools
import hashlib
import math
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from sim.errors import InputError
from sim.events import Event, EventGenerator, EventQueue, Priority, Schedule
from sim.mesa_compat import AgentSet, AgentUnion, Groups, MesaModel, aggregate, refuse_step
from sim.mesa_import import mesa
from sim.units import seconds, ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim.world import World

__all__ = [
    "AgentSet",
    "AgentUnion",
    "Event",
    "EventGenerator",
    "Groups",
    "Model",
    "Priority",
    "Schedule",
    "aggregate",
    "refuse_step",
]


class Model(MesaModel):
    """A world seen as a Mesa model.

    Parameters
    ----------
    world : what happens; the model becomes its only listener for Python events
    rng, seed : seed of `random` and `rng`, for plain agents; the world's own seed when left out

    Attributes
    ----------
    world : the world
    time : seconds since the start
    steps : calls of `step()` so far; one step is `world.step_seconds` of simulated time
    running : False once the horizon is reached
    populations : the populations by name

    Raises
    ------
    InputError
        Both `rng` and `seed` are given.
    """

    def __init__(self, world: World, *, rng: int | None = None, seed: int | None = None) -> None:
        if rng is not None and seed is not None:
            raise InputError(f"both rng ({rng}) and seed ({seed}) are given; give one of them")
        given = seed if rng is None else rng
        super().__init__(world.seed if given is None else given)
        self.world = world
        self.populations: dict[str, Any] = {}
        self.time = seconds(world.now)
        self._events = EventQueue()
        self._alarms: set[int] = set()
        self._is_running = False
        self._is_in_event = False
        self._draws: dict[str, np.random.Generator] = {}
        self._actors: dict[mesa.Agent, None] = {}
        self._turns: list[int] = []
        self._chain_numbers = {name: k for k, name in enumerate(world.chain_names)} | {
            k: k for k in range(len(world.chain_names))
        }
        self._everyone = AgentUnion([self.plain_agents], self.random)
        world.on_python = self._run_events

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise InputError(
            "a model cannot be copied or pickled: compiled code holds the addresses of its arrays; "
            "build another one from the same scenario and seed"
        )

    # --- time ------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The present tick."""
        return self.world.now

    @property
    def horizon(self) -> int:
        """The last tick that the model can reach."""
        return self.world.horizon

    def run_for(self, duration: float) -> None:
        """Run for a number of seconds, events of the last instant included."""
        self._advance(self.now + _tick_of(duration, "duration"))

    def run_until(self, end_time: float) -> None:
        """Run up to and including a time in seconds.

        Raises
        ------
        InputError
            The time is past, or beyond the horizon; or the model is running already.
        """
        self._advance(_tick_of(end_time, "end time"))

    def advance_step(self) -> None:
        """Advance `world.step_seconds`; the last step before the horizon may be shorter."""
        until = self.now + ticks(self.world.step_seconds)
        is_last = self.now < self.horizon < until
        self._advance(self.horizon if is_last else until)

    def _advance(self, until: int) -> None:
        if until < self.now:
            raise InputError(
                f"cannot run to {seconds(until):g} s: it is {seconds(self.now):g} s already; "
                "time goes forward only"
            )
        if self._is_running:
            raise InputError(
                "an event or agent cannot run the model: it is running; schedule an event instead"
            )
        for agent in self._actors:
            self._chain_of(agent)  # set after it was registered
        self._is_running = True
        try:
            self.world.advance(until)
        finally:
            self._is_running = False
            self.time = seconds(self.now)
            self.running = self.running and self.now < self.horizon

    # --- events ----------------------------------------------------------------------------------

    def schedule_event(
        self,
        function: Callable[[], Any],
        *,
        at: float | None = None,
        after: float | None = None,
        priority: int = Priority.DEFAULT,
    ) -> Event:
        """Call a function once, at a time or after a delay, both in seconds.

        Blocks of the same instant go first. The function is held strongly.

        Returns
        -------
        the event; `cancel()` takes it back

        Raises
        ------
        InputError
            Not exactly one of `at` and `after`, a time that is past, or one beyond the horizon.
        """
        if (at is None) == (after is None):
            raise InputError(f"at is {at} and after is {after}; give exactly one of them")
        tick = self.now + _tick_of(after, "delay") if at is None else _tick_of(at, "time")
        if not self.now <= tick <= self.horizon:
            raise InputError(
                f"cannot schedule an event at {seconds(tick):g} s; it must lie between now "
                f"({seconds(self.now):g} s) and the horizon ({seconds(self.horizon):g} s)"
            )
        return self.schedule_tick(tick, priority, function)

    def schedule_recurring(
        self, function: Callable[[], Any], schedule: Any, priority: int = Priority.DEFAULT
    ) -> EventGenerator:
        """Call a function again and again by a `Schedule`, ours or Mesa's, up to the horizon.

        Returns
        -------
        the generator; `stop()` ends it

        Raises
        ------
        InputError
            The start is past.
        """
        if schedule.start is not None and ticks(schedule.start) < self.now:
            raise InputError(
                f"cannot start a schedule at {schedule.start:g} s: it is "
                f"{seconds(self.now):g} s already; leave the start out to begin now"
            )
        return EventGenerator(self, function, schedule, priority).start()

    def schedule_tick(self, tick: int, priority: int, function: Callable[[], Any]) -> Event:
        """Call a function once, at a tick."""
        if not callable(function):
            raise InputError(
                f"{function!r} is not a function; an event calls one without arguments"
            )
        self._set_alarm(tick)
        return self._events.add(tick, priority, function)

    def _set_alarm(self, tick: int) -> None:
        """Ask the world to stop at a tick; one stop serves all events of it."""
        if tick not in self._alarms:
            self._alarms.add(tick)
            self.world.schedule_python(tick, 0)

    def _run_events(self, key: int) -> None:  # noqa: ARG002 - all events of now are due
        self._alarms.discard(self.now)
        self.time = seconds(self.now)
        self._is_in_event = True
        try:
            for event in self._events.due(self.now):
                event.execute()
        finally:
            self._is_in_event = False
            if self._events.has_due(self.now):  # one raised: the others of this tick are still due
                self._set_alarm(self.now)

    # --- agents ----------------------------------------------------------------------------------

    @property
    def agents(self) -> AgentUnion:
        """All agents: the plain ones first, then population by population."""
        return self._everyone

    def register_population(self, population: Any) -> int:
        """Take in a population: an `AgentSet` with name, view_class and n. Returns its first id."""
        if population.name in self.populations:
            raise InputError(
                f"there is a population '{population.name}' already; give this one another name"
            )
        self.populations[population.name] = population
        self._everyone.parts.append(population)
        kind = population.view_class
        same = [p for p in self.populations.values() if p.view_class is kind]
        self._put_set(kind, population if len(same) == 1 else AgentUnion(same, self.random))
        return self._take_ids(population.n)

    def register_agent(self, agent: mesa.Agent) -> None:
        """Take in a plain agent; from now on its `step()` is called before blocks of its chain.

        Raises
        ------
        InputError
            Its chain does not exist. A chain that is set only after it was registered is looked at
            when the model next runs.
        """
        acts = type(agent).step is not mesa.Agent.step
        if acts:
            self._chain_of(agent)  # refuses one that is unknown
        if acts and not self._turns:
            self._add_turns()
        super().register_agent(agent)
        if acts:
            self._actors[agent] = None

    def _add_turns(self) -> None:
        """Have every chain call its plain agents before each block."""
        if self._is_running and not self._is_in_event:  # compiled code holds the tables' addresses
            raise InputError(
                "the first agent with a step() cannot be made while a block is built; make it "
                "before the run, or in a scheduled event"
            )
        for chain in range(len(self.world.chain_names)):
            act = functools.partial(self._act, chain)
            self._turns.append(self.world.add_python_reaction(chain, act))

    def deregister_agent(self, agent: mesa.Agent) -> None:
        """Let a plain agent go."""
        super().deregister_agent(agent)
        self._actors.pop(agent, None)

    def remove_all_agents(self) -> None:
        """Refuse where there are populations: their rows are accounts. Else as in Mesa."""
        if self.populations:
            raise InputError(
                "the rows of a population cannot be removed: they are accounts of the ledger; "
                "remove plain agents one by one, with agent.remove()"
            )
        super().remove_all_agents()

    def _act(self, chain: int) -> None:
        """Let the plain agents of a chain step, in the order of their creation."""
        self.time = seconds(self.now)
        for agent in tuple(self._actors):
            if self._chain_of(agent) == chain and agent in self._actors:
                agent.step()

    def _chain_of(self, agent: mesa.Agent) -> int:
        chain = getattr(agent, "chain", 0)
        if chain not in self._chain_numbers:
            raise InputError(
                f"{type(agent).__name__} {agent.unique_id} has chain {chain!r}; there are: "
                + ", ".join(self.world.chain_names)
            )
        return self._chain_numbers[chain]

    def draw(self, name: str) -> np.random.Generator:
        """Return the random generator of a name, always the same one.

        Its numbers depend on the world's seed and the name alone: who else draws, and how often,
        does not matter.
        """
        if name not in self._draws:
            words = np.frombuffer(hashlib.sha256(name.encode()).digest(), "<u4").tolist()
            key = np.random.SeedSequence(self.world.seed, spawn_key=tuple(words))
            self._draws[name] = np.random.default_rng(key)
        return self._draws[name]


def _tick_of(value: float | None, what: str) -> int:
    if value is None or not math.isfinite(value):
        raise InputError(f"the {what} is {value}; it must be a finite number of seconds")
    return ticks(value)
