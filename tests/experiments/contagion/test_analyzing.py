"""A contagion analysis: a planted world is recovered, stopped ones go on, folders tell."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis.contagion.causal import all_worlds
from experiments.contagion import contagion
from experiments.contagion.design import Design
from experiments.contagion.plan import ContagionPlan, chosen_channels, known_channels
from experiments.contagion.worlds import run_world
from experiments.scenario import load_scenario
from experiments.studies.engines import LocalEngine
from experiments.studies.store import Store
from experiments.studies.sweep import sweep
from sim.channels import VICTIMS
from sim.errors import InputError, UndertowError
from tests.experiments.contagion.conftest import (
    DIRECT,
    PLANTED,
    SILENT,
    exact_losses,
    loss_of,
)

SEEDS = 12


@pytest.fixture(scope="module")
def result(planted, tmp_path_factory):
    return contagion(planted(), SEEDS, tmp_path_factory.mktemp("whole") / "out", channels=PLANTED)


def effect(content, channel, measure="shapley"):
    (row,) = [row for row in content["effects"] if row["channel"] == channel]
    return row[measure]


def test_planted_channels_are_recovered_within_three_standard_errors(result):
    """5,000, 2,000, 3,000, 3,000; twelve seeds and four channels: fixed, so no false alarm."""
    truth = {"plant_a": 5_000.0, "plant_b": 2_000.0, "plant_c": 3_000.0, "plant_d": 3_000.0}
    for channel, usd in truth.items():
        found = effect(result.content, channel)
        assert found["standard_error"] > 0.0
        assert abs(found["mean"] - usd) < 3.0 * found["standard_error"]
    left = result.content["interaction"]
    assert abs(left["mean"] - 6_000.0) < 3.0 * left["standard_error"]
    direct = result.content["direct_loss"]
    assert direct["mean"] == pytest.approx(DIRECT, rel=1e-9)


def test_a_channel_that_never_fires_has_exactly_no_effect_and_saves_its_worlds(result):
    """Four channels fire: 16 worlds, and the two corners of the silent one: 18, not 32."""
    for measure in ("solo", "knock_out", "shapley"):
        assert effect(result.content, SILENT, measure)["mean"] == 0.0
    mine = result.shares.query("channel == @SILENT")
    assert (mine[["solo", "knock_out", "shapley"]] == 0.0).all(axis=None)
    assert len(result.worlds) < SEEDS * 2 ** len(PLANTED)
    assert result.content["effects"][-1]["fires_in"] == 0.0


def test_shapley_values_add_up_in_every_seed(result):
    sums = result.shares[result.shares["party"].isin(VICTIMS)].groupby("seed")["shapley"].sum()
    assert sums.to_numpy() == pytest.approx(exact_losses(SEEDS), rel=1e-9)
    whole = result.worlds.query("n_channels == 5").set_index("seed")["total"]
    none = result.worlds.query("n_channels == 0").set_index("seed")["total"]
    largest = whole.abs().max()
    assert np.abs((whole - none - sums).to_numpy()).max() <= 1e-9 * largest


def test_the_loss_is_borne_by_those_who_held_the_tokens(result):
    row = result.content["by_party"]["plant_a"]
    assert row["traders"] == pytest.approx(effect(result.content, "plant_a")["mean"])
    assert row["outside"] == pytest.approx(-row["traders"], rel=1e-9)
    assert row["lenders"] == 0.0


def test_the_folder_holds_the_result(result):
    folder = result.folder
    assert json.loads((folder / "contagion.json").read_text()) == result.content
    assert len(pd.read_parquet(folder / "worlds.parquet")) == len(result.worlds)
    shares = pd.read_parquet(folder / "shares.parquet")
    assert set(shares) == {"seed", "channel", "party", "solo", "knock_out", "shapley"}


def test_a_second_start_runs_nothing_and_says_the_same(planted, tmp_path, monkeypatch):
    before = contagion(planted(), 2, tmp_path / "out", channels=PLANTED[:2]).content

    def refuse(*arguments):
        raise AssertionError("nothing is left to run")

    monkeypatch.setattr("experiments.contagion.plan.run_world", refuse)
    assert contagion(planted(), 2, tmp_path / "out", channels=PLANTED[:2]).content == before


def test_more_seeds_join_those_that_are_there(planted, tmp_path):
    contagion(planted(), 2, tmp_path / "out", channels=PLANTED[:2])
    more = contagion(planted(), 3, tmp_path / "out", channels=PLANTED[:2])
    fresh = contagion(planted(), 3, tmp_path / "fresh", channels=PLANTED[:2])
    assert more.content == fresh.content


def test_an_analysis_that_was_stopped_goes_on(planted, tmp_path):
    """The first corners are there, as after Ctrl-C in the first stage."""
    scenario = planted()
    design = Design(PLANTED[:2], 2)
    first = ContagionPlan(scenario, PLANTED[:2], {1: design.first()[1]})
    sweep(first, Store(str(tmp_path / "out")), LocalEngine(1))
    found = contagion(scenario, 2, tmp_path / "out", channels=PLANTED[:2])
    assert found.is_whole
    assert found.content["seeds"] == [1, 2]


def test_a_seed_with_a_failed_world_is_left_out_and_named(planted, tmp_path):
    found = contagion(planted(explode_seed=2), 3, tmp_path / "out", channels=PLANTED[:2])
    assert found.content["failed_seeds"] == [2]
    assert found.content["seeds"] == [1, 3]


def test_where_every_seed_has_a_failed_world_its_message_is_told(planted, tmp_path):
    with pytest.raises(
        UndertowError, match="a world failed in every seed: ZeroDivisionError: boom"
    ):
        contagion(planted(explode_seed=1), 1, tmp_path / "out", channels=PLANTED[:2])


def test_an_analysis_that_is_stopped_before_a_seed_is_whole_says_how_to_go_on(
    planted, tmp_path, monkeypatch
):
    def stop(plan, store, engine, watch):
        first = ContagionPlan(planted(), PLANTED[:2], {1: [frozenset()]})
        progress = sweep(first, store, engine, watch=watch)
        progress.is_stopping = True
        return progress

    monkeypatch.setattr("experiments.contagion.analyzing.sweep", stop)
    with pytest.raises(UndertowError, match="give the same command again to go on"):
        contagion(planted(), 1, tmp_path / "out", channels=PLANTED[:2])


def test_channels_that_are_not_compared_stay_on(planted, tmp_path):
    found = contagion(planted(), 2, tmp_path / "out", channels=["plant_c"])
    truth = [loss_of(s, set(PLANTED)) - loss_of(s, set(PLANTED) - {"plant_c"}) for s in (1, 2)]
    assert effect(found.content, "plant_c")["mean"] == pytest.approx(np.mean(truth), rel=1e-9)


def test_worlds_of_one_seed_and_cut_are_equal_to_the_last_bit(planted):
    names = ("loss_traders", "content")
    first, again = (run_world(planted(), 1, {"plant_a"}, names) for _ in range(2))
    assert first == again
    assert run_world(planted(), 1, {SILENT}, names) == run_world(planted(), 1, (), names)
    assert run_world(planted(), 2, (), names)["content"] != first["content"]


def test_losses_of_all_parties_add_up_to_the_same_in_every_world(planted):
    """At fixed prices: to 0."""
    from experiments.contagion.worlds import LOSS, outcome_names

    for cut in ((), ("plant_a",), PLANTED):
        made = run_world(planted(), 1, cut, outcome_names(()))
        total = sum(usd for name, usd in made.items() if name.startswith(LOSS))
        assert total == pytest.approx(0.0, abs=1e-6)


# --- the design ----------------------------------------------------------------------------------


def test_few_channels_are_enumerated_and_many_are_sampled():
    four, eight = Design("abcd", 1), Design("abcdefgh", 1)
    assert set(four.wanted(1, is_exact=four.is_exact("abcd"))) == set(all_worlds("abcd"))
    sampled = eight.wanted(1, is_exact=eight.is_exact("abcdefgh"))
    assert not eight.is_exact("abcdefgh")
    assert 18 < len(sampled) <= 2 + 16 * 7
    assert eight.most_runs == len(sampled)


def test_many_channels_of_which_few_fire_are_enumerated():
    design = Design("abcdefgh", 1)
    rest = design.rest({1: ("a", "b")})
    assert {frozenset("ab"), frozenset("a"), frozenset("b")} <= set(rest[1])
    assert len(rest[1]) == 18 + 1  # the corners, and a with b


@pytest.mark.parametrize(("seeds", "pairs", "word"), [(0, 8, "--seeds"), (2, 0, "--subsets")])
def test_a_design_refuses_numbers_out_of_range(seeds, pairs, word):
    with pytest.raises(InputError, match=f"{word} is 0; it must be a whole number from 1"):
        Design("ab", seeds, pairs)


# --- what is refused -----------------------------------------------------------------------------


def test_an_unknown_channel_is_refused_with_the_nearest_names():
    scenario = load_scenario("quiet-market")
    with pytest.raises(InputError, match=r"no channel 'impct'.*impact"):
        chosen_channels(scenario, ["impct"])


def test_a_channel_that_the_scenario_lacks_is_refused_with_those_it_has():
    with pytest.raises(InputError, match="quiet-market has no channel 'bridge'; it has: gas"):
        chosen_channels(load_scenario("quiet-market"), ["bridge"])


def test_every_channel_that_is_defined_is_known():
    defined = {"impact", "collateral", "oracle_lag", "lp_flight", "lender_run", "bridge", "gas"}
    defined.add("redemption")
    assert defined <= set(known_channels())


def test_redemptions_of_a_vault_are_compared_with_impact(tmp_path):
    """The collateral falls after an hour: the vault recognizes it at once, its investors run."""
    early = [
        "horizon=6h",
        "warmup=0s",
        "assets.THIN.price.waypoints=[[0, 10], [1, 10], [1.34, 4], [504, 4]]",
        "venues.vault.recognition_delay_hours=0",
    ]
    scenario = load_scenario("tranche-run", early)
    contagion(scenario, 1, tmp_path / "out", channels=["redemption", "impact"])
    worlds = pd.read_parquet(tmp_path / "out" / "worlds.parquet").set_index("without")
    paid = worlds["absorbed_redemption"]
    assert (paid[["redemption", "impact+redemption"]] > 1e4).all()
    assert (paid[["impact", "nothing"]] == 0.0).all()
    shares = pd.read_parquet(tmp_path / "out" / "shares.parquet")
    assert set(shares["channel"]) == {"impact", "redemption"}


def test_a_folder_of_something_else_is_refused(planted, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds 'notes.txt' and is no data set"):
        contagion(planted(), 1, tmp_path, channels=PLANTED[:1])


def test_a_folder_of_another_scenario_is_refused(planted, tmp_path):
    contagion(planted(), 1, tmp_path / "out", channels=PLANTED[:1])
    with pytest.raises(InputError, match="the scenario has changed"):
        contagion(planted(explode_seed=7), 1, tmp_path / "out", channels=PLANTED[:1])
