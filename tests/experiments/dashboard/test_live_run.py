"""A run that is watched: shocks that repeat to the last bit, sliders, the feed, and the charts."""

import numpy as np
import pytest

from experiments.composition import build
from experiments.dashboard.feed import clock, table_of, usd_text
from experiments.dashboard.graph import graph_option, places_of
from experiments.dashboard.health import bin_names, health_option
from experiments.dashboard.live_run import LiveRun
from experiments.dashboard.look import STRESSED
from experiments.dashboard.parameters import RANGES, sliders_of, with_sliders
from experiments.dashboard.prices import prices_option
from experiments.dashboard.shocks import Targets, make_shock, words_of
from experiments.scenario import load_scenario
from experiments.studies.stresses import STRESSES
from sim.errors import InputError
from sim.snapshots import changed, state_of
from sim.status import Status
from sim.units import ticks
from tests.experiments.dashboard.scenes import recorded, small, write

MINUTE = 60.0


@pytest.fixture
def scenario(tmp_path_factory):
    return small(tmp_path_factory.getbasetemp())


def watched(scenario, *shocks, before=10, after=20):
    """Return a run of some minutes into which shocks were injected, and the fills of it."""
    run = LiveRun(scenario, 7)
    fills = recorded(run.model.world)
    run.step_seconds = MINUTE
    for _ in range(before):
        run.step()
    for shock in shocks:
        run.inject(shock)
    for _ in range(after):
        run.step()
    return run, np.concatenate(fills)


def every_shock():
    return [
        make_shock("price_gap", asset="ETH", change=-0.3),
        make_shock("pause_bridge", venue="bridge"),
        make_shock("freeze_oracle", venue="usd-feed"),
        make_shock("liquidity_exit", pool="eth-usd", share=0.5),
    ]


# --- time -----------------------------------------------------------------------------------------


def test_a_step_takes_as_long_as_is_said(scenario):
    run = LiveRun(scenario)
    run.step_seconds = 90.0
    run.step()
    assert (run.time, run.steps, run.now.time) == (90.0, 1, 90.0)
    run.step_seconds = 30.0
    run.step()
    assert (run.time, run.steps) == (120.0, 2)


def test_the_last_step_ends_at_the_horizon_and_no_step_goes_beyond(scenario):
    run = LiveRun(scenario)
    run.step_seconds = 4.0 * 3_600.0
    run.step()
    run.step()
    assert (run.time, run.running) == (scenario.horizon, False)
    run.step()
    assert run.steps == 2


def test_a_run_in_small_steps_is_the_run_in_one_piece(scenario):
    _, fills = watched(scenario)
    whole = build(scenario, 7)
    expected = recorded(whole.world)
    whole.run_until(30 * MINUTE)
    whole.world.flush()
    np.testing.assert_array_equal(fills, np.concatenate(expected))


@pytest.mark.parametrize("seed", ["", "-1", "1.5", "one", str(2**63)])
def test_a_seed_that_is_none_is_said_not_raised(scenario, seed):
    run = LiveRun(scenario, seed)
    assert "give a whole number from 0" in run.fault
    assert not run.running
    assert run.targets == Targets([], [], [], [])
    with pytest.raises(InputError, match="seed"):
        run.step()


# --- shocks ---------------------------------------------------------------------------------------


def test_an_injected_shock_is_the_scheduled_one_to_the_last_bit(scenario, tmp_path):
    """The file of a watched run, run as a scenario, gives the same fills and the same state."""
    run, fills = watched(scenario, *every_shock())
    file = tmp_path / "as-watched.yaml"
    file.write_text(run.file_as_run(), "utf-8")

    repeated = build(load_scenario(str(file)), 7)
    expected = recorded(repeated.world)
    repeated.run_until(run.time)
    repeated.world.flush()

    assert [shock.at for shock in load_scenario(str(file)).shocks] == [600.000001] * 4
    np.testing.assert_array_equal(fills, np.concatenate(expected))
    now, then = state_of(run.model.world), state_of(repeated.world)
    waits = {"agenda.events.serial", "agenda.events.a", "agenda.size"}  # numbered as they came
    # a market notes what is unsafe whenever it is read; see the tests of readings
    assert set(changed(now, then)) <= waits | {"lending.unsafe_since"}


def test_the_same_shock_at_the_same_time_gives_the_same_records(scenario):
    _, one = watched(scenario, *every_shock())
    _, other = watched(scenario, *every_shock())
    _, without = watched(scenario)
    np.testing.assert_array_equal(one, other)
    assert len(without) != len(one)


def test_a_shock_waits_for_the_next_step_and_then_stands_in_the_feed(scenario):
    run, _ = watched(scenario, after=0)
    run.inject(make_shock("price_gap", asset="ETH", change=-0.3))
    assert run.injected == []
    price = run.now.prices["ETH"]
    run.step()
    assert run.now.prices["ETH"] < 0.75 * price
    assert [tick for tick, _ in run.injected] == [ticks(600.0) + 1]
    (shock,) = [event for event in run.events if event.kind == "shock"]
    assert shock.text == "price gap: ETH, -30 %"
    assert run.marks == [(pytest.approx(600.000001 / 3_600.0), shock.text)]


def test_shocks_of_the_scenario_stand_in_the_feed_too(tmp_path):
    halt = [{"at": "5m", "do": {"kind": "halt_venue", "venue": "eth-usd"}}]
    run, _ = watched(load_scenario(str(write(tmp_path, shocks=halt))))
    assert [event.text for event in run.events if event.kind == "shock"] == ["halt venue: eth-usd"]


def test_what_can_be_hit_is_what_the_scenario_has(scenario):
    run = LiveRun(scenario)
    assert run.targets == Targets(["ETH", "USD"], ["bridge"], ["eth-feed", "usd-feed"], ["eth-usd"])


def test_shocks_are_said_in_words():
    words = [words_of(shock) for shock in every_shock()]
    assert words == [
        "price gap: ETH, -30 %",
        "pause bridge: bridge",
        "freeze oracle: usd-feed",
        "liquidity exit: eth-usd, 50 % of providers",
    ]


# --- sliders --------------------------------------------------------------------------------------


def test_every_named_uncertainty_has_a_slider_that_can_be_neutral():
    assert set(RANGES) == set(STRESSES)
    for slider in RANGES.values():
        assert slider.low <= slider.neutral <= slider.high
        steps = (slider.neutral - slider.low) / slider.step
        assert steps == pytest.approx(round(steps))


def test_only_sliders_that_have_an_effect_are_shown(scenario):
    assert [*sliders_of(scenario)] == [
        "volatility", "liquidity_scale", "book_scale", "oracle_delay", "liquidator_capital",
    ]  # fmt: skip


def test_neutral_sliders_leave_the_scenario_alone(scenario):
    neutral = {name: RANGES[name].neutral for name in sliders_of(scenario)}
    assert with_sliders(scenario, neutral) is scenario


def test_a_slider_moves_what_the_uncertainty_of_its_name_does(scenario):
    moved = with_sliders(scenario, {"book_scale": 0.5, "oracle_delay": 60.0})
    assert moved.populations["borrowers"].debt_usd == 2.5e6
    assert moved.venues["eth-feed"].source.delay_seconds == 60.0
    assert LiveRun(scenario, 1, book_scale=0.5).now.health.debt == pytest.approx(
        tuple(0.5 * debt for debt in LiveRun(scenario, 1).now.health.debt), rel=1e-9
    )


def test_sliders_that_make_no_scenario_are_said_not_raised(scenario):
    run = LiveRun(scenario, 1, book_scale=-1.0)
    assert "small with book_scale=-1" in run.fault
    assert not run.running


# --- feed -----------------------------------------------------------------------------------------


def test_the_feed_counts_what_the_liquidations_repaid(scenario):
    run, fills = watched(scenario, make_shock("price_gap", asset="ETH", change=-0.3))
    world = run.model.world
    verb = world.verb_names.index("lending.liquidate")
    done = fills[(fills["verb"] == verb) & (fills["status"] == Status.OK)]
    assert run.n_liquidations == len(done) > 5
    assert run.liquidated == pytest.approx(done["value_in"].sum())
    first = max(run.events, key=lambda event: (event.kind == "liquidation", event.time))
    assert first.usd == pytest.approx(done["value_in"][-1])
    times = [event.time for event in run.events]
    assert times == sorted(times, reverse=True)


def test_the_feed_escapes_names_and_says_when_there_is_nothing():
    from experiments.dashboard.feed import Event

    text = table_of([Event(3_660.0, "shock", "<b>&</b>", 0.0)])
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;" in text
    assert "01:01" in text
    assert "Nothing was liquidated yet" in table_of([])


def test_amounts_and_times_are_short():
    assert [usd_text(usd) for usd in (940.4, 12_400.0, 3.1e6, 2e9)] == [
        "$940", "$12.40k", "$3.10m", "$2.00bn",
    ]  # fmt: skip
    assert clock(26 * 3_600.0 + 5 * 60.0) == "26:05"


# --- charts ---------------------------------------------------------------------------------------


def test_chains_stand_side_by_side_each_a_ring():
    places = places_of(["a/X", "a/Y", "b/Z"])
    assert places == {"a/X": (0.0, -1.0), "a/Y": (0.0, 1.0), "b/Z": (3.4, 0.0)}


def test_the_graph_shows_every_token_and_link_in_the_color_of_its_stress(scenario):
    run, _ = watched(scenario, make_shock("pause_bridge", venue="bridge"), after=1)
    (series,) = graph_option(run.now)["series"]
    names = [node["name"] for node in series["data"]]
    assert names == ["main/ETH", "main/USD", "side/wUSD", "main", "side"]
    bridge = series["links"][-1]
    assert (bridge["source"], bridge["target"]) == ("main/USD", "side/wUSD")
    assert bridge["lineStyle"]["color"] == STRESSED
    assert bridge["label"] == {"show": True, "formatter": "bridge halted"}


def test_links_between_the_same_tokens_do_not_cover_each_other(scenario):
    reading = LiveRun(scenario).now
    twice = reading._replace(links=(reading.links[0], reading.links[0]._replace(venue="other")))
    links = graph_option(twice)["series"][0]["links"]
    assert len({link["lineStyle"]["curveness"] for link in links}) == 2


def test_the_chart_of_prices_moves_with_the_run(scenario):
    run, _ = watched(scenario, make_shock("price_gap", asset="ETH", change=-0.3))
    option = prices_option(run.history, run.marks)
    assert [series["name"] for series in option["series"]] == ["ETH", "eth-usd"]
    points = option["series"][0]["data"]
    assert points[0] == (0.0, 100.0)
    assert len(points) == 31
    assert points[-1][1] == pytest.approx(100.0 * run.now.prices["ETH"] / 2_000.0, rel=1e-4)
    (mark,) = option["series"][0]["markLine"]["data"]
    assert mark == {"xAxis": 0.1667, "name": "price gap: ETH, -30 %"}


def test_the_chart_of_health_has_the_debts_and_the_lines(scenario):
    run, _ = watched(scenario, make_shock("price_gap", asset="ETH", change=-0.3))
    option = health_option(run.now.health, run.history, run.marks)
    bars, *lines = option["series"]
    assert bin_names()[:2] == ["< 1", "1–1.05"]
    assert len(bars["data"]) == len(bin_names()) == len(run.now.health.debt)
    assert bars["name"] == "debt, USD k"
    assert bars["data"][0]["value"] == pytest.approx(run.now.health.debt[0] / 1e3, rel=1e-4)
    assert [series["name"] for series in lines] == [
        "liquidated so far", "health below 1.1", "beyond its collateral",
    ]  # fmt: skip
    assert lines[0]["data"][-1][1] == pytest.approx(run.liquidated / 1e6, rel=1e-4)
