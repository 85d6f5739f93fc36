"""Shocks at a time, or some delay after another one."""

import pytest

from experiments import build, load_scenario
from experiments.shock_times import shock_times
from sim.errors import ScenarioError


def load(*shocks, **options):
    return load_scenario("quiet-market", [f"shocks=[{', '.join(shocks)}]"], **options)


def shock(do="halt_chain", **fields):
    given = "".join(f"{key}: {value}, " for key, value in fields.items())
    return f"{{{given}do: {{kind: {do}, chain: mainnet}}}}"


def times(*shocks):
    return [s.at for s in load(*shocks).shocks]


def test_a_reaction_happens_its_delay_after_the_shock():
    assert times(shock(name="crash", at="1h"), shock(after="crash", delay="77m")) == [3_600, 8_220]


def test_reactions_follow_reactions_in_any_order_of_the_file():
    named = shock(after="second", delay="1m"), shock(name="first", at="1h")
    assert times(*named, shock(name="second", after="first", delay="5m")) == [3_960, 3_600, 3_900]


def test_a_shock_can_be_named_by_its_place():
    assert times(shock(at="1h"), shock(after=0, delay="1s")) == [3_600, 3_601]


def test_the_reaction_happens_in_the_world_and_moves_with_its_delay():
    for delay, seconds in (("10m", 1_200.0), ("20m", 1_800.0)):
        scenario = load(shock(name="s", at="10m", do="resume_chain"),
                        shock(after="s", delay=delay), until=3_600.0)  # fmt: skip
        model = build(scenario, seed=1)
        model.run_for(seconds - 1.0)
        assert model.world.box.chains[0]["is_halted"] == 0
        model.run_for(2.0)
        assert model.world.box.chains[0]["is_halted"] == 1


def test_one_number_on_the_command_line_moves_a_reaction():
    overrides = [
        f"shocks=[{shock(name='s', at='1h')}, {shock(after='s', delay='77m')}]",
        "shocks.1.delay=5m",
    ]
    scenario = load_scenario("quiet-market", overrides)
    assert shock_times(scenario) == [3_600, 3_900]


@pytest.mark.parametrize(
    ("shocks", "message"),
    [
        ((shock(),), "give either at or after"),
        ((shock(at="1h", after=0),), "give either at or after"),
        ((shock(at="1h", delay="1m"),), "delay goes with after"),
        ((shock(after="crash"),), "there is no shock 'crash'; names: none has a name"),
        ((shock(name="a", at="1h"), shock(after="b")), "names: a"),
        ((shock(after=3),), "there is no shock 3; they are 0 to 0"),
        ((shock(name="a", after="b"), shock(name="b", after="a")), "waits for itself"),
        ((shock(after=0),), "waits for itself"),
        ((shock(name="a", at="1h"), shock(name="a", at="2h"), shock(after="a")), "2 shocks are"),
        ((shock(name="a", at="6d"), shock(after="a", delay="2d")), "lies beyond the horizon"),
    ],
)
def test_reactions_that_cannot_be_placed_are_refused(shocks, message):
    with pytest.raises(ScenarioError, match=message):
        load(*shocks)
