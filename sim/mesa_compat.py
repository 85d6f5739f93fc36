"""Mesa's private side, all of it, on Mesa 3.3 and 3.5; and agent sets made of agent sets."""

from __future__ import annotations

import functools
import itertools
import math
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from sim.errors import InputError
from sim.mesa_import import AgentSet, mesa
from sim.units import ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sim.events import Event

__all__ = ["AgentSet", "AgentUnion", "Groups", "MesaModel", "aggregate", "refuse_step"]

_ON_ARRAYS: dict[Any, Callable[[np.ndarray], Any]] = {min: np.min, max: np.max, sum: np.sum}


class _MesaEvents:
    """Mesa 3.5's event list, as its own generators see it: hands everything to our queue."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def add_event(self, event: Any) -> None:
        if ticks(event.time) <= self._model.horizon:
            self._model.schedule_tick(ticks(event.time), event.priority, event.execute)

    def remove(self, event: Any) -> None:
        event.cancel()


# --- model ---------------------------------------------------------------------------------------


class _WeakIds(weakref.WeakKeyDictionary[Any, Iterator[int]]):
    """Mesa 3.3's id counters by model, without keeping every model alive for ever."""

    def __getitem__(self, model: Any) -> Iterator[int]:
        if model not in self:
            self[model] = itertools.count(1)
        return super().__getitem__(model)


def free_models() -> None:
    """Let Mesa 3.3 forget models that nobody uses; later versions do so themselves."""
    ids = getattr(mesa.Agent, "_ids", None)
    if ids is not None and not isinstance(ids, _WeakIds):
        mesa.Agent._ids = _WeakIds(ids)


class MesaModel(mesa.Model):
    """A Mesa model whose clock, events and steps are its subclass's.

    Parameters
    ----------
    rng : seed of `model.random` and `model.rng`
    """

    agent_id_counter: int  # Mesa 3.5
    running: bool
    steps: int
    time: float

    def __init__(self, rng: int | None) -> None:
        free_models()
        super().__init__(rng=rng)
        if hasattr(self, "_default_schedule"):  # Mesa 3.5 steps every unit of time
            self._default_schedule.stop()
            self._event_list = _MesaEvents(self)

    def schedule_tick(self, tick: int, priority: int, function: Callable[[], Any]) -> Event:
        """Schedule a call at a tick."""
        raise NotImplementedError

    def advance_step(self) -> None:
        """Advance the time of one step."""
        raise NotImplementedError

    def run_until(self, end_time: float) -> None:
        """Run up to and including a time in seconds."""
        raise NotImplementedError

    def _wrapped_step(self, *args: Any, **kwargs: Any) -> None:
        self.advance_step()
        self.steps += 1
        self._user_step(*args, **kwargs)

    def _advance_time(self, until: float) -> None:
        self.run_until(until)

    @property
    def plain_agents(self) -> AgentSet:
        """The agents that are Python objects of their own."""
        return self._all_agents

    def _put_set(self, kind: type, agents: AgentSet) -> None:
        """Let `agents_by_type[kind]` be this set."""
        self._agents_by_type[kind] = agents

    def _take_ids(self, n: int) -> int:
        """Reserve `n` consecutive ids; returns the first."""
        if hasattr(self, "agent_id_counter"):  # Mesa 3.5
            first = self.agent_id_counter
            self.agent_id_counter = first + n
            return first
        first = int(next(mesa.Agent._ids[self]))
        mesa.Agent._ids[self] = itertools.count(first + n)
        return first


# --- agent sets -----------------------------------------------------------------------------------


class AgentUnion(AgentSet):
    """Several agent sets as one; plain agents and populations alike.

    Parameters
    ----------
    parts : the sets, pairwise disjoint
    random : source of `shuffle_do`
    """

    def __init__(self, parts: Sequence[AgentSet], random: Any) -> None:
        self.parts = list(parts)
        self.random = random

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.parts)

    def __contains__(self, agent: Any) -> bool:
        return any(agent in part for part in self.parts)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, slice):
            return self.to_list()[item]
        at = item + len(self) if item < 0 else item
        for part in self.parts:
            if 0 <= at < len(part):
                return next(itertools.islice(part, at, None))
            at -= len(part)
        raise IndexError(f"index {item} is out of range for {len(self)} agents")

    def __copy__(self) -> AgentUnion:
        return AgentUnion(self.parts, self.random)

    def to_list(self) -> list[Any]:
        """Return the agents as a list."""
        return list(self)

    def select(
        self,
        filter_func: Any = None,
        at_most: float = math.inf,
        inplace: bool = False,
        agent_type: type | None = None,
    ) -> AgentUnion:
        """Return the agents that pass a mask or a function, subclasses of `agent_type` included."""
        if inplace:
            raise InputError("the set of all agents cannot be narrowed in place; use the result")
        room = (
            int(len(self) * at_most) if isinstance(at_most, float) and at_most <= 1.0 else at_most
        )
        chosen: list[AgentSet] = []
        for part, test in zip(self.parts, self._split(filter_func), strict=True):
            if isinstance(test, np.ndarray) and not hasattr(part, "population"):
                some = AgentSet(list(itertools.compress(part, test)), self.random)
                found = some.select(None, at_most=room, agent_type=agent_type)
            else:
                found = part.select(test, at_most=room, agent_type=agent_type)
            room -= len(found)
            chosen.append(found)
        return AgentUnion([part for part in chosen if len(part)], self.random)

    def get(self, attr_names: Any, handle_missing: Any = "error", default_value: Any = None) -> Any:
        """Return values of all agents: an array where all are rows of populations, else a list."""
        values = [
            part.get(attr_names, handle_missing=handle_missing, default_value=default_value)
            for part in self.parts
            if len(part)
        ]
        if values and all(isinstance(v, np.ndarray) for v in values):
            return np.concatenate(values)
        return list(itertools.chain.from_iterable(values))

    def set(self, attr_name: str, value: Any) -> AgentUnion:
        """Set an attribute of all agents to one value, or to an array with one value for each."""
        for part, own in zip(self.parts, self._split(value), strict=True):
            if isinstance(own, np.ndarray) and not hasattr(part, "population"):
                for agent, one in zip(part, own, strict=True):
                    setattr(agent, attr_name, one)
            elif len(part):
                part.set(attr_name, own)
        return self

    def agg(self, attribute: str, func: Any) -> Any:
        """Return one or several functions of the values of an attribute."""
        return aggregate(self.get(attribute), func)

    def groupby(self, by: Any, result_type: str = "agentset") -> Groups:
        """Return the agents by the value of an attribute or function."""
        merged: dict[Any, list[Any]] = {}
        for part in self.parts:
            for key, group in part.groupby(by, result_type="agentset"):
                merged.setdefault(key, []).append(group)
        groups = {key: AgentUnion(parts, self.random) for key, parts in merged.items()}
        if result_type == "list":
            return Groups({key: group.to_list() for key, group in groups.items()})
        return Groups(groups)

    def map(self, method: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """Return what a method (by name) or function gives for each agent."""
        return [value for part in self.parts for value in part.map(method, *args, **kwargs)]

    def do(self, method: Any, *args: Any, **kwargs: Any) -> AgentUnion:
        """Call a method (by name) or function for each agent; `step` is refused."""
        refuse_step(method)
        for part in self.parts:
            part.do(method, *args, **kwargs)
        return self

    def shuffle_do(self, method: Any, *args: Any, **kwargs: Any) -> AgentUnion:
        """Call a method or function for each agent, in random order; `step` is refused."""
        refuse_step(method)
        agents = self.to_list()
        self.random.shuffle(agents)
        for agent in agents:
            call = functools.partial(method, agent) if callable(method) else getattr(agent, method)
            call(*args, **kwargs)
        return self

    def sort(self, key: Any, ascending: bool = False, inplace: bool = False) -> AgentSet:
        """Return the agents sorted, where all belong to one set."""
        return self._only_part("sort").sort(key, ascending=ascending, inplace=inplace)

    def shuffle(self, inplace: bool = False) -> AgentSet:
        """Return the agents in random order, where all belong to one set."""
        return self._only_part("shuffle").shuffle(inplace=inplace)

    def add(self, agent: Any) -> NoReturn:  # noqa: ARG002 - Mesa's signature
        """Refuse: agents join when they are made."""
        raise InputError("agents join the model when they are made; nothing is to be added")

    def discard(self, agent: Any) -> NoReturn:  # noqa: ARG002 - Mesa's signature
        """Refuse: plain agents leave by their own `remove()`, rows of populations never."""
        raise InputError("to remove a plain agent call agent.remove(); rows of populations stay")

    remove = discard

    def _split(self, values: Any) -> Iterator[Any]:
        """Yield the piece of an array for each part; anything else goes to all parts."""
        if not (isinstance(values, np.ndarray) and values.ndim):
            yield from itertools.repeat(values, len(self.parts))
            return
        if len(values) != len(self):
            raise InputError(f"{len(values)} values are given for {len(self)} agents")
        yield from np.split(values, np.cumsum([len(part) for part in self.parts])[:-1])

    def _only_part(self, verb: str) -> AgentSet:
        parts = [part for part in self.parts if len(part)] or self.parts
        if len(parts) != 1:
            raise InputError(
                f"cannot {verb} agents of {len(parts)} sets together; {verb} one of them, such as "
                "model.agents_by_type[...]"
            )
        return parts[0]


class Groups:
    """Agents by a key, as Mesa's GroupBy, with values that come as columns.

    Parameters
    ----------
    groups : agent sets, or lists of agents, by key
    """

    def __init__(self, groups: Mapping[Any, Any]) -> None:
        self.groups = dict(groups)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self.groups.items())

    def __len__(self) -> int:
        return len(self.groups)

    def count(self) -> dict[Any, int]:
        """Return the number of agents of each group."""
        return {key: len(group) for key, group in self}

    def map(self, method: Any, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Return what a method (by name) or function gives for each group."""
        if callable(method):
            return {key: method(group, *args, **kwargs) for key, group in self}
        return {key: getattr(group, method)(*args, **kwargs) for key, group in self}

    def do(self, method: Any, *args: Any, **kwargs: Any) -> Groups:
        """Call a method (by name) or function for each group."""
        self.map(method, *args, **kwargs)
        return self

    def agg(self, attr_name: str, func: Any) -> dict[Any, Any]:
        """Return one or several functions of the values of an attribute, group by group."""
        return {
            key: aggregate(
                [getattr(agent, attr_name) for agent in group]
                if isinstance(group, list)
                else group.get(attr_name),
                func,
            )
            for key, group in self
        }


def aggregate(values: Any, func: Any) -> Any:
    """Return one function of values, or a list for several; min, max and sum run as NumPy's."""
    if not callable(func):
        return [aggregate(values, one) for one in func]
    is_column = isinstance(values, np.ndarray) and func in _ON_ARRAYS
    return (_ON_ARRAYS[func] if is_column else func)(values)


def refuse_step(method: Any) -> None:
    """Refuse to step agents by hand.

    Raises
    ------
    InputError
        The method is called `step`.
    """
    if getattr(method, "__name__", method) == "step":
        raise InputError(
            "agents act before each block of their chain, not when told to step; "
            "run the model with step(), run_for() or run_until()"
        )
