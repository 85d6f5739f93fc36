"""The model keeps Mesa's words over a world that makes blocks."""

import copy
import gc
import heapq
import itertools
import pickle
import weakref

import mesa
import numpy as np
import pytest

from sim.errors import InputError, UndertowError
from sim.fee_market import EIP1559
from sim.model import Model, Priority, Schedule
from sim.plan import ChainPlan, TokenPlan, WorldPlan
from sim.units import ticks
from sim.world import World


class FakeWorld:
    """A world of empty blocks, every 12 s on `slow` and every 2 s on `fast`, up to 1,000 s."""

    seed = 7
    step_seconds = 12.0
    horizon = ticks(1000.0)
    chain_names = ("slow", "fast")
    intervals = (ticks(12.0), ticks(2.0))

    def __init__(self):
        self.now = 0
        self.heights = [0, 0]
        self._agenda, self._numbers = [], itertools.count()
        self._reactions = []

    def schedule_python(self, tick, key):
        heapq.heappush(self._agenda, (tick, next(self._numbers), key))

    def add_python_reaction(self, chain, turn):
        self._reactions.append((chain, turn))
        return len(self._reactions) - 1

    def advance(self, until):
        if until > self.horizon:
            raise InputError("beyond the horizon")
        while True:
            due = [(h + 1) * i for h, i in zip(self.heights, self.intervals, strict=True)]
            chain = due.index(min(due))
            event = self._agenda[0][0] if self._agenda else until + 1
            if min(event, due[chain]) > until:
                break
            if event < due[chain]:
                self.now, _, key = heapq.heappop(self._agenda)
                self.on_python(key)
                continue
            self.now = due[chain]
            for at, turn in self._reactions:
                if at == chain:
                    turn()
            self.heights[chain] += 1
        self.now = until


class Watcher(mesa.Agent):
    """Writes down when it was asked to act."""

    def __init__(self, model, chain=None):
        super().__init__(model)
        if chain is not None:
            self.chain = chain
        self.times = []

    def step(self):
        self.times.append(self.model.time)


@pytest.fixture
def model():
    return Model(FakeWorld())


def make_world(horizon=120.0):
    """Two chains without venues, run by the engine itself."""
    chains = [
        ChainPlan(name, interval, False, 30_000_000, EIP1559, 10.0, 1.0, "")
        for name, interval in (("slow", 12.0), ("fast", 2.0))
    ]
    return World(
        WorldPlan(
            seed=7,
            horizon_seconds=horizon,
            step_seconds=12.0,
            assets=("ETH",),
            paths=np.full((1, int(horizon) + 1), 2000.0),
            path_step_seconds=1.0,
            chains=tuple(chains),
            tokens=(TokenPlan("slow", "ETH", "ETH"),),
            venues=(),
            populations=(),
        )
    )


# --- time ----------------------------------------------------------------------------------------


def test_run_for_and_run_until_move_the_time_in_seconds(model):
    model.run_for(3.5)
    assert model.time == 3.5
    model.run_until(10)
    assert model.time == 10.0
    assert model.steps == 0


def test_a_step_advances_step_seconds_and_counts(model):
    model.step()
    model.step()
    assert (model.time, model.steps) == (24.0, 2)
    assert model.world.heights == [2, 12]


def test_a_users_step_runs_after_the_blocks_of_the_step():
    class Mine(Model):
        def step(self):
            super().step()
            self.seen = (self.time, self.steps, self.world.heights[0])

    model = Mine(FakeWorld())
    model.step()
    assert model.seen == (12.0, 1, 1)


def test_the_last_step_ends_at_the_horizon_and_stops_the_run(model):
    model.run_until(996)
    assert model.running
    model.step()
    assert (model.time, model.running) == (1000.0, False)
    with pytest.raises(InputError):
        model.step()
    assert model.steps == 1


def test_run_model_runs_to_the_horizon(model):
    model.run_model()
    assert (model.time, model.steps) == (1000.0, 84)  # 83 steps of 12 s and one of 4 s


@pytest.mark.parametrize("duration", [-1.0, float("nan"), float("inf")])
def test_time_goes_forward_only(model, duration):
    model.run_for(5)
    with pytest.raises(InputError):
        model.run_for(duration)
    assert model.time == 5.0


def test_an_event_cannot_run_the_model(model):
    model.schedule_event(lambda: model.run_for(1), after=1)
    with pytest.raises(InputError, match="it is running"):
        model.run_for(2)
    model.run_for(1)  # and the model is usable again
    assert model.time == 2.0


# --- events --------------------------------------------------------------------------------------


def test_a_lambda_is_held_until_its_event(model):
    seen = []
    model.schedule_event(lambda: seen.append(model.time), at=4.25)
    gc.collect()
    model.run_until(4.0)
    assert seen == []
    model.run_until(5.0)
    assert seen == [4.25]


def test_events_of_one_instant_go_by_priority_then_order(model):
    seen = []
    for name, priority in (("a", 5), ("late", Priority.LOW), ("b", 5), ("early", Priority.HIGH)):
        model.schedule_event(lambda name=name: seen.append(name), at=3.0, priority=priority)
    model.run_for(3)
    assert seen == ["early", "a", "b", "late"]


def test_blocks_go_before_events_of_their_instant(model):
    heights = []
    model.schedule_event(lambda: heights.append(tuple(model.world.heights)), at=12.0)
    model.run_for(12)
    assert heights == [(1, 6)]


def test_a_cancelled_event_does_not_happen(model):
    seen = []
    event = model.schedule_event(lambda: seen.append(1), after=1)
    assert (event.time, event.CANCELED) == (1.0, False)
    event.cancel()
    model.run_for(2)
    assert (seen, event.CANCELED) == ([], True)


def test_an_event_may_schedule_one_for_the_same_instant(model):
    seen = []
    model.schedule_event(
        lambda: model.schedule_event(lambda: seen.append(model.time), after=0), after=2
    )
    model.run_for(2)
    assert seen == [2.0]


def test_events_after_one_that_raised_are_not_lost(model):
    seen = []

    def fail():
        raise KeyError("mine")

    model.schedule_event(fail, at=1.0)
    model.schedule_event(lambda: seen.append(model.time), at=1.0)
    with pytest.raises(KeyError, match="mine"):
        model.run_for(5)
    assert model.time == 1.0
    model.run_until(5)
    assert seen == [1.0]


def test_a_schedule_repeats_without_drift(model):
    seen = []
    model.schedule_recurring(lambda: seen.append(model.time), Schedule(interval=0.1, end=1.0))
    model.run_for(2)
    assert seen == [k / 10 for k in range(1, 11)]


def test_a_schedule_starts_and_counts(model):
    seen = []
    made = model.schedule_recurring(
        lambda: seen.append(model.time), Schedule(interval=2.0, start=3.0, count=3)
    )
    assert (made.is_active, made.next_scheduled_time) == (True, 3.0)
    model.run_for(50)
    assert seen == [3.0, 5.0, 7.0]
    assert (made.is_active, made.execution_count, made.next_scheduled_time) == (False, 3, None)


def test_the_interval_of_a_schedule_may_be_a_function_of_the_model(model):
    seen = []
    model.schedule_recurring(
        lambda: seen.append(model.time), Schedule(interval=lambda m: 1.0 + m.time, count=4)
    )
    model.run_for(100)
    assert seen == [1.0, 3.0, 7.0, 15.0]


def test_a_generator_stops_from_within_and_from_outside(model):
    seen = []
    inner = model.schedule_recurring(lambda: (seen.append("in"), inner.stop()), Schedule(1.0))
    outer = model.schedule_recurring(lambda: seen.append("out"), Schedule(1.0))
    model.run_for(2)
    outer.stop()
    model.run_for(5)
    assert seen == ["in", "out", "out"]


def test_a_schedule_without_end_ends_at_the_horizon(model):
    seen = []
    model.schedule_recurring(lambda: seen.append(model.time), Schedule(interval=300.0))
    model.run_until(1000)
    assert seen == [300.0, 600.0, 900.0]


def test_mesas_own_schedule_serves_as_well(model):
    time = pytest.importorskip("mesa.time")
    seen = []
    model.schedule_recurring(lambda: seen.append(model.time), time.Schedule(interval=4, count=2))
    model.run_for(20)
    assert seen == [4.0, 8.0]


@pytest.mark.parametrize(
    "when", [{}, {"at": 1.0, "after": 1.0}, {"at": -1.0}, {"after": 2000.0}, {"at": float("nan")}]
)
def test_an_event_needs_one_time_before_the_horizon(model, when):
    with pytest.raises(InputError):
        model.schedule_event(print, **when)


def test_an_event_needs_a_function(model):
    with pytest.raises(InputError, match="not a function"):
        model.schedule_event("print", after=1)


@pytest.mark.parametrize("wrong", [{"interval": 0.0}, {"count": 0}, {"start": 2.0, "end": 1.0}])
def test_a_wrong_schedule_is_refused(wrong):
    with pytest.raises(InputError):
        Schedule(**wrong)


def test_an_interval_below_a_tick_is_refused(model):
    with pytest.raises(InputError, match="1 µs"):
        model.schedule_recurring(print, Schedule(interval=1e-9))


# --- plain agents --------------------------------------------------------------------------------


def test_a_plain_agent_steps_before_each_block_of_its_chain(model):
    by_default, by_name, by_number = Watcher(model), Watcher(model, "fast"), Watcher(model, 1)
    model.run_for(24)
    assert by_default.times == [12.0, 24.0]
    assert by_name.times == by_number.times == [2.0 * k for k in range(1, 13)]


def test_a_removed_agent_steps_no_more_and_a_late_one_joins(model):
    first = Watcher(model)
    model.run_for(12)
    first.remove()
    second = Watcher(model)
    model.run_for(12)
    assert (first.times, second.times) == ([12.0], [24.0])


def test_an_agent_may_remove_another_in_its_step(model):
    class Rival(mesa.Agent):
        def step(self):
            if other in self.model.agents:
                other.remove()

    Rival(model)
    other = Watcher(model)
    model.run_for(24)
    assert other.times == []


def test_the_first_acting_agent_is_made_before_a_run_or_in_an_event(model):
    made = []
    model.world.add_python_reaction(0, lambda: made.append(Watcher(model)))
    with pytest.raises(InputError, match="while a block is built"):
        model.run_for(12)
    assert len(model.agents) == 0
    model.schedule_event(lambda: made.append(Watcher(model, "fast")), after=0)
    model.world._reactions.clear()
    model.run_for(2)
    assert made[0].times == [14.0]


def test_agents_without_a_step_cost_no_turn(model):
    mesa.Agent(model)
    assert model.world._reactions == []


def test_an_agent_on_no_chain_is_an_error(model):
    class Lost(mesa.Agent):
        """Somebody whose chain is known when it is made."""

        chain = "moon"

        def step(self):
            pass

    with pytest.raises(InputError, match=r"Lost .* has chain 'moon'; there are: slow, fast"):
        Lost(model)
    assert len(model.agents) == 0
    Watcher(model, "moon")  # tells its chain after it was registered
    with pytest.raises(InputError, match=r"chain 'moon'; there are: slow, fast"):
        model.run_for(0)


def test_stepping_all_agents_by_hand_is_refused(model):
    Watcher(model)
    for call in (model.agents.do, model.agents.shuffle_do):
        with pytest.raises(InputError, match="before each block"):
            call("step")


def test_plain_agents_are_found_as_in_mesa(model):
    watchers = [Watcher(model, k % 2) for k in range(4)]
    assert list(model.agents) == watchers
    assert list(model.agents_by_type[Watcher]) == watchers
    assert model.agents.get("chain") == [0, 1, 0, 1]
    assert model.agents.select(lambda a: a.chain == 1).to_list() == watchers[1::2]
    assert model.agents.select(np.array([True, False, False, True])).to_list() == watchers[::3]
    assert model.agents.agg("chain", [sum, max]) == [2, 1]
    assert model.agents.groupby("chain").count() == {0: 2, 1: 2}
    assert list(model.agents.sort("unique_id")) == watchers[::-1]
    model.agents.set("chain", np.array([1, 1, 1, 0]))
    assert [w.chain for w in watchers] == [1, 1, 1, 0]
    assert model.agents[-1] is watchers[3]
    assert model.agents[1:3] == watchers[1:3]
    model.remove_all_agents()
    assert len(model.agents) == 0


# --- randomness ----------------------------------------------------------------------------------


def test_a_named_generator_depends_on_seed_and_name_alone():
    def numbers(before, name):
        model = Model(FakeWorld())
        for other in before:
            model.draw(other).random(3)
        return model.draw(name).random(4).tolist()

    assert numbers([], "mine") == numbers(["a", "b"], "mine")
    assert numbers([], "mine") != numbers([], "yours")


def test_a_named_generator_goes_on_where_it_was(model):
    both = [model.draw("mine").random() for _ in range(2)]
    assert both[0] != both[1]


def test_the_seed_of_the_model_is_the_worlds_unless_given():
    plain, same, other = Model(FakeWorld()), Model(FakeWorld(), rng=7), Model(FakeWorld(), seed=8)
    assert plain.random.random() == same.random.random() != other.random.random()
    assert plain.rng.random() == same.rng.random() != other.rng.random()
    with pytest.raises(InputError, match="give one"):
        Model(FakeWorld(), rng=1, seed=1)


# --- life ----------------------------------------------------------------------------------------


def test_models_are_freed():
    def make():
        model = Model(FakeWorld())
        Watcher(model)
        model.schedule_event(lambda: model, after=500)
        model.schedule_recurring(lambda: model, Schedule(interval=1.0))
        model.run_for(24)
        return weakref.ref(model)

    made = [make() for _ in range(20)]
    gc.collect()
    assert sum(model() is not None for model in made) == 0


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_model_is_not_copied(model, take):
    with pytest.raises(InputError, match="build another one"):
        take(model)


# --- over the engine -----------------------------------------------------------------------------


def test_the_engine_keeps_the_same_order():
    model = Model(make_world())
    seen = []

    class Seer(mesa.Agent):
        chain = "slow"

        def step(self):
            seen.append(("step", self.model.time))

    Seer(model)
    model.schedule_event(lambda: seen.append(("event", model.time)), at=12.0)
    model.schedule_recurring(lambda: seen.append(("again", model.time)), Schedule(interval=10.0))
    model.run_for(24)
    assert seen == [
        ("again", 10.0),
        ("step", 12.0),
        ("event", 12.0),
        ("again", 20.0),
        ("step", 24.0),
    ]
    assert model.world.box.chains["height"].tolist() == [2, 12]
    with pytest.raises(InputError, match="horizon"):
        model.run_for(1000)


def test_an_agents_error_stops_the_engine_and_is_raised():
    class Broken(mesa.Agent):
        def step(self):
            if self.model.time >= 24.0:
                raise KeyError("mine")

    model = Model(make_world())
    Broken(model)
    with pytest.raises(KeyError, match="mine"):
        model.run_for(100)
    assert model.time == 24.0
    assert not issubclass(KeyError, UndertowError)


def test_models_over_the_engine_are_freed():
    def make():
        model = Model(make_world())
        Watcher(model)
        model.run_for(24)
        return weakref.ref(model), weakref.ref(model.world)

    made = [make() for _ in range(20)]
    gc.collect()
    assert sum(thing() is not None for pair in made for thing in pair) == 0
