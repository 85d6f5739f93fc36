"""A run that is watched: what Mesa's frame takes for a model, and what it reads of it.

The frame makes another one with `type(run)(**parameters)` when it is reset, and moves it with
`step()` in a thread of its own. So all that other threads may touch is a reading, which is replaced
as a whole, and the queue of injected shocks.

A shock that is injected is an event of the world like any other: it happens one tick after the
instant at which the run stands. So a scenario that has it at that time is the same run to the last
bit, and `scenario_as_run` is that scenario.
"""

from __future__ import annotations

import functools
from collections import deque
from typing import TYPE_CHECKING, Any

import yaml

from experiments.composition import build
from experiments.dashboard.feed import Event, Feed
from experiments.dashboard.history import History
from experiments.dashboard.parameters import as_scenario, plain, with_sliders
from experiments.dashboard.reading import Reading, read
from experiments.dashboard.shocks import Targets, targets_of, words_of
from experiments.kinds import shock_kinds
from sim.agenda import SHOCK_RANK
from sim.errors import InputError
from sim.units import HOUR, seconds, ticks

if TYPE_CHECKING:
    from experiments.scenario import Scenario
    from sim.model import Model
    from sim.registry import Config

FRAMES = 480  # of a whole scenario, when nothing else is said
_NO_TARGETS = Targets([], [], [], [])


class LiveRun:
    """One run of a scenario, and everything that the page shows of it.

    Parameters
    ----------
    watched : the scenario before its sliders were moved
    seed : whole number, or text of one
    **kwargs : values of the sliders by name; those left out are neutral

    Attributes
    ----------
    events : the newest; replaced, not changed
    history : readings of all steps, thinned
    marks : (hours, words) of the shocks that have happened
    step_seconds : what one step advances; may be changed at any time
    fault : why there is no world, or ""
    steps, time, running : as of a Mesa model
    """

    def __init__(self, watched: Scenario, seed: int | str = 1, **kwargs: float) -> None:
        self.watched = watched
        self.seed = 0
        self.fault = ""
        self.steps, self.time, self.running = 0, 0.0, True
        self.step_seconds = max(1.0, round(watched.horizon / FRAMES))
        self.history = History()
        self.events: tuple[Event, ...] = ()
        self.marks: list[tuple[float, str]] = []
        self._reading: Reading | None = None
        self.targets = _NO_TARGETS
        self.injected: list[tuple[int, Config]] = []
        self._waiting: deque[Config] = deque()
        self._model: Model | None = None
        try:
            self._start(seed, kwargs)
        except InputError as error:
            self.fault, self.running = str(error), False

    def _start(self, seed: int | str, sliders: dict[str, float]) -> None:
        self.seed = _seed_of(seed)
        self.shown = with_sliders(self.watched, sliders)
        self._model = build(self.shown, self.seed)
        self._feed = Feed(self._model.world)
        self._to_come = sorted((ticks(shock.at), shock.do) for shock in self.shown.shocks)
        self.targets = targets_of(self._model.world)
        self._look()

    @property
    def model(self) -> Model:
        """The model that is run.

        Raises
        ------
        InputError
            The scenario could not be built.
        """
        if self._model is None:
            raise InputError(self.fault)
        return self._model

    @property
    def now(self) -> Reading:
        """What was read after the last step.

        Raises
        ------
        InputError
            The scenario could not be built.
        """
        if self._reading is None:
            raise InputError(self.fault)
        return self._reading

    @property
    def n_liquidations(self) -> int:
        """Liquidations so far."""
        return self._feed.n_liquidations if self._model is not None else 0

    @property
    def liquidated(self) -> float:
        """USD of debt repaid by liquidations so far."""
        return self._feed.liquidated if self._model is not None else 0.0

    # --- moving ----------------------------------------------------------------------------------

    def step(self) -> None:
        """Advance by `step_seconds`, or to the horizon; what was injected happens first."""
        model = self.model
        if not self.running:
            return
        while self._waiting:
            self._schedule(self._waiting.popleft())
        until = min(model.now + max(1, ticks(self.step_seconds)), model.horizon)
        model.run_until(seconds(until))
        model.world.flush()
        self.steps += 1
        self.time, self.running = model.time, model.running
        self._look()

    def inject(self, shock: Config) -> None:
        """Let a shock happen at the beginning of the next step; may be called by any thread.

        Parameters
        ----------
        shock : of a registered kind, such as from `make_shock`
        """
        self._waiting.append(shock)

    def _schedule(self, shock: Config) -> None:
        """Put a shock on the agenda, one tick from now: nothing of this instant is over twice."""
        world = self.model.world
        tick = world.now + 1
        apply = shock_kinds()[shock.kind].apply  # type: ignore[attr-defined] # all kinds have one
        world.call_at(tick, SHOCK_RANK, functools.partial(apply, world, shock))
        self.injected.append((tick, shock))
        self._to_come.insert(0, (tick, shock))

    def _look(self) -> None:
        """Read the world, and say which shocks have happened."""
        world = self.model.world
        while self._to_come and self._to_come[0][0] <= world.now:
            tick, shock = self._to_come.pop(0)
            words = words_of(shock)
            self._feed.add_shock(seconds(tick), words)
            self.marks = [*self.marks, (seconds(tick) / HOUR, words)]
        reading = read(world)
        self.history.append(reading.time, _lines(reading, self._feed.liquidated))
        self._reading, self.events = reading, self._feed.newest()

    # --- repeating -------------------------------------------------------------------------------

    def scenario_as_run(self) -> Scenario:
        """Return the scenario with the sliders as set and every shock that was injected."""
        data = plain(self.shown)
        data["shocks"] += [
            {"at": seconds(tick), "do": shock.model_dump(mode="json")}
            for tick, shock in self.injected
        ]
        return as_scenario(f"{self.shown.name} as watched", data)

    def file_as_run(self) -> str:
        """Return that scenario as the text of a file."""
        until = f"{self.time / HOUR:g}h"
        head = f"# As watched up to {until}; repeat with: undertow run FILE --seed {self.seed}\n"
        data = _without_none(plain(self.scenario_as_run()))
        return head + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def _seed_of(given: int | str) -> int:
    text = str(given).strip()
    if not (text.isascii() and text.isdecimal()) or int(text) >= 2**63:
        raise InputError(f"seed {text!r} is none; give a whole number from 0 to {2**63 - 1}")
    return int(text)


def _lines(reading: Reading, liquidated: float) -> dict[str, float]:
    """Return what is kept of a reading for lines through time."""
    return {
        **{f"price {name}": price for name, price in reading.prices.items()},
        **{f"gap {name}": gap for name, gap in reading.gaps.items()},
        "liquidated": liquidated,
        "at risk": reading.health.at_risk,
        "shortfall": reading.health.shortfall,
    }


def _without_none(value: Any) -> Any:
    """Leave out what is left out in files."""
    if isinstance(value, dict):
        return {name: _without_none(inner) for name, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value
