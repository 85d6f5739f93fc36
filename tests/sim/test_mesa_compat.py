"""Mesa's private side gives the same model on every supported Mesa."""

import gc
import weakref

import mesa
import pytest

from sim.mesa_compat import MesaModel, free_models
from sim.units import ticks

IS_35 = hasattr(mesa.Model, "run_for")


class Bare(MesaModel):
    """A model with a clock and nothing else."""

    horizon = ticks(100.0)

    def __init__(self):
        self.now = 0
        super().__init__(1)
        self.scheduled, self.ran, self.user_steps = [], [], 0

    def schedule_tick(self, tick, priority, function):
        self.scheduled.append((tick, int(priority), function))

    def advance_step(self):
        self.ran.append("step")

    def run_until(self, end_time):
        self.ran.append(end_time)

    def step(self):
        self.user_steps += 1


def test_a_step_advances_once_then_counts_then_calls_the_users():
    model = Bare()
    model.step()
    assert (model.ran, model.steps, model.user_steps) == (["step"], 1, 1)


def test_mesa_schedules_no_step_of_its_own():
    model = Bare()
    assert model.scheduled == []
    if IS_35:
        assert not model._default_schedule.is_active
        model._advance_time(5.0)
        assert model.ran == [5.0]
        assert (model.steps, model.user_steps) == (0, 0)


@pytest.mark.skipif(not IS_35, reason="Mesa 3.5 has generators of its own")
def test_mesas_own_generators_go_on_our_queue():
    from mesa.time import EventGenerator, Schedule

    model, seen = Bare(), []

    def note():
        seen.append(model.time)

    made = EventGenerator(model, note, Schedule(interval=2.0)).start()
    tick, priority, run = model.scheduled[0]
    assert (tick, priority) == (ticks(2.0), 5)
    model.time = 2.0
    run()
    assert seen == [2.0]
    assert model.scheduled[1][0] == ticks(4.0)
    made.stop()
    model.scheduled[1][2]()
    assert seen == [2.0]


@pytest.mark.skipif(not IS_35, reason="Mesa 3.5 has generators of its own")
def test_mesas_own_generators_end_at_the_horizon():
    from mesa.time import EventGenerator, Schedule

    model = Bare()
    EventGenerator(model, model.step, Schedule(start=101.0)).start()
    assert model.scheduled == []


def test_reserved_ids_collide_with_no_agent():
    model = Bare()
    first = mesa.Agent(model)
    reserved = model._take_ids(10)
    last = mesa.Agent(model)
    assert (first.unique_id, reserved, last.unique_id) == (1, 2, 12)


def test_ids_start_anew_in_each_model():
    assert [mesa.Agent(Bare()).unique_id for _ in range(3)] == [1, 1, 1]


def test_plain_mesa_models_keep_their_count():
    plain = mesa.Model()
    mesa.Agent(plain)
    free_models()
    free_models()
    assert mesa.Agent(plain).unique_id == 2


def test_plain_mesa_models_are_freed_too():
    free_models()

    def make():
        model = mesa.Model()
        mesa.Agent(model)
        return weakref.ref(model)

    made = [make() for _ in range(20)]
    gc.collect()
    assert sum(model() is not None for model in made) == 0
