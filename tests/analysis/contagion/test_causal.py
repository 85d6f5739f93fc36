"""Shapley values of planted games: by hand, exact sums, and what sampling orders recovers."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.contagion.causal import (
    all_worlds,
    antithetic_orders,
    attribute,
    by_party,
    corners,
    effects,
    filled,
    fires,
    interaction,
    interval_of,
    is_enumerated,
    sampled_shapley_values,
    shapley_values,
    shares_of,
    worlds_of,
)

NONE = frozenset()
TWO = ("a", "b")


def game(channels, value):
    """Return the losses of all worlds of a game with one party."""
    return {world: np.array([float(value(world))]) for world in all_worlds(channels)}


def test_of_two_channels_each_gets_its_own_effect_and_half_of_what_they_do_together():
    """v: none 1, a 3, b 6, both 18. Alone 2 and 5, together 10 more: Shapley 7 and 10."""
    worlds = {NONE: 1.0, frozenset("a"): 3.0, frozenset("b"): 6.0, frozenset("ab"): 18.0}
    values = shapley_values({on: np.array([v]) for on, v in worlds.items()}, TWO)
    assert values[:, 0].tolist() == [7.0, 10.0]


def test_of_three_channels_an_effect_of_all_together_is_shared_by_thirds():
    values = shapley_values(game("abc", lambda on: 9.0 * (len(on) == 3)), "abc")
    assert values[:, 0] == pytest.approx([3.0, 3.0, 3.0], abs=1e-14)


def test_of_a_glove_game_the_scarce_one_gets_two_thirds():
    """One left glove, two right ones; a pair is worth 1 (Shapley 1953): 4/6, 1/6, 1/6."""
    worth = game(("left", "right1", "right2"), lambda on: "left" in on and len(on) > 1)
    values = shapley_values(worth, ("left", "right1", "right2"))
    assert values[:, 0] == pytest.approx([4 / 6, 1 / 6, 1 / 6], abs=1e-15)


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.lists(st.floats(-1e10, 1e10), min_size=2**n, max_size=2**n),
            st.integers(0, 1_000),
        )
    )
)
def test_values_add_up_to_the_loss_by_contagion_exact_and_sampled(drawn):
    """To 1e-9 of the largest loss, in every game, for any orders."""
    n, losses, seed = drawn
    channels = [f"c{k}" for k in range(n)]
    worlds = {on: np.array([v]) for on, v in zip(all_worlds(channels), losses, strict=True)}
    whole = losses[-1] - losses[0]
    largest = max(map(abs, losses)) + 1.0
    orders = antithetic_orders(channels, 8, seed)
    for values in (
        shapley_values(worlds, channels),
        sampled_shapley_values(worlds, channels, orders),
    ):
        assert math.fsum(values[:, 0]) == pytest.approx(whole, abs=1e-9 * largest)


def test_all_orders_sampled_give_the_exact_values():
    from itertools import permutations

    rng = np.random.default_rng(5)
    worlds = {on: rng.normal(size=3) for on in all_worlds("abcd")}
    exact = shapley_values(worlds, "abcd")
    sampled = sampled_shapley_values(worlds, "abcd", list(permutations("abcd")))
    assert sampled == pytest.approx(exact, abs=1e-13)


def test_a_silent_channel_has_exactly_no_effect():
    worlds = game("abc", lambda on: 0.1 * len(on - {"b"}) + 0.7 * ({"a", "c"} <= on))
    for values in (
        shapley_values(worlds, "abc"),
        sampled_shapley_values(worlds, "abc", antithetic_orders("abc", 8, 1)),
    ):
        assert values[1, 0] == 0.0


def test_orders_come_in_pairs_and_are_those_of_their_seed():
    orders = antithetic_orders("abcdef", 8, 3)
    assert len(orders) == 16
    assert all(b == a[::-1] for a, b in zip(orders[::2], orders[1::2], strict=True))
    assert orders == antithetic_orders("fedcba", 8, 3)
    assert orders != antithetic_orders("abcdef", 8, 4)


def test_orders_pass_through_the_ends_and_one_world_a_step():
    assert worlds_of([("a", "b")]) == [NONE, frozenset("a"), frozenset("ab")]


def test_corners_are_none_each_alone_all_but_each_and_all():
    assert len(corners("abcde")) == 12
    assert corners("ab") == [NONE, frozenset("a"), frozenset("b"), frozenset("ab")]
    assert corners("a") == [NONE, frozenset("a")]


@pytest.mark.parametrize(
    ("n_channels", "n_pairs", "is_exact"),
    [(4, 1, True), (5, 8, True), (6, 8, True), (7, 8, False), (8, 8, False), (5, 1, False)],
)
def test_all_worlds_are_run_when_orders_would_pass_no_fewer(n_channels, n_pairs, is_exact):
    """8 pairs pass 2 + 16 (n - 1) worlds at most: 66 of 5, 82 of 6, 98 of 7 channels."""
    assert is_enumerated(n_channels, n_pairs) == is_exact


def test_what_fires_is_told_by_the_content_of_the_corners():
    contents = dict.fromkeys(corners("abc"), "same")
    contents |= {frozenset("a"): "other", frozenset("ab"): "else"}  # a alone; c knocked out
    assert fires(contents, "abc") == ("a", "c")


def test_worlds_of_silent_channels_are_those_without_them():
    known = {NONE: np.array([1.0]), frozenset("a"): np.array([4.0])}
    found = filled(known, all_worlds("ab"), "a")
    assert {"".join(sorted(on)): v[0] for on, v in found.items()} == {
        "": 1.0, "a": 4.0, "b": 1.0, "ab": 4.0,
    }  # fmt: skip


def test_attribution_splits_each_measure_by_party():
    """Two parties; a takes 2 from the first, b moves 3 from the first to the second."""
    worlds = {
        NONE: np.array([1.0, 0.0]),
        frozenset("a"): np.array([3.0, 0.0]),
        frozenset("b"): np.array([4.0, -3.0]),
        frozenset("ab"): np.array([6.0, -3.0]),
    }
    table = attribute(worlds, TWO, ("lenders", "liquidators"))
    assert table[["solo", "knock_out", "shapley"]].to_numpy().tolist() == [
        [2.0, 2.0, 2.0], [0.0, 0.0, 0.0], [3.0, 3.0, 3.0], [-3.0, -3.0, -3.0],
    ]  # fmt: skip


def test_shares_are_given_only_where_no_value_is_negative():
    assert shares_of({"a": 1.0, "b": 3.0}) == {"a": 0.25, "b": 0.75}
    assert shares_of({"a": -1.0, "b": 3.0}) is None
    assert shares_of({"a": 0.0}) is None


def test_one_seed_has_a_mean_and_no_interval():
    found = interval_of(np.array([2.0]))
    assert found.mean == 2.0
    assert math.isnan(found.low)
    assert math.isnan(found.standard_error)


def test_intervals_cover_the_mean_as_often_as_they_say():
    """32 normal values, 500 times: percentile intervals cover 93 to 95 %; the bound is 4 standard
    errors of a share of 0.93 away: false alarms below 1e-4."""
    rng = np.random.default_rng(11)
    samples = rng.normal(3.0, 2.0, (500, 32))
    covered = [found.low <= 3.0 <= found.high for found in map(interval_of, samples)]
    assert np.mean(covered) > 0.93 - 4.0 * math.sqrt(0.93 * 0.07 / 500)


def planted(seed):
    """Return a seed's game: a and b add 5 and 2, c and d together 6, e nothing; all with noise."""
    rng = np.random.default_rng(seed)
    own = dict(zip("abcd", rng.normal((5.0, 2.0, 0.0, 0.0), 0.5), strict=True))
    together = rng.normal(6.0, 1.0)
    return game(
        "abcde",
        lambda on: sum(own[c] for c in sorted(on) if c in own) + together * ({"c", "d"} <= on),
    )


@pytest.mark.parametrize("n_pairs", [None, 8])
def test_planted_channels_are_recovered_within_three_standard_errors(n_pairs):
    """5, 2, 3, 3 and exactly 0; five false alarms of 0.27 % each are below 1.4 %."""
    tables = []
    for seed in range(64):
        orders = None if n_pairs is None else antithetic_orders("abcde", n_pairs, seed)
        tables.append(attribute(planted(seed), "abcde", ("victims",), orders).assign(seed=seed))
    seeds = pd.concat(tables, ignore_index=True)
    rows = effects(seeds, ("victims",)).query("measure == 'shapley'").set_index("channel")
    for channel, truth in zip("abcd", (5.0, 2.0, 3.0, 3.0), strict=True):
        row = rows.loc[channel]
        assert abs(row["mean"] - truth) < 3.0 * row["standard_error"]
    assert rows.loc["e", "mean"] == 0.0
    left = interaction(seeds, ("victims",))
    assert abs(left.mean - 6.0) < 3.0 * left.standard_error
    assert by_party(seeds).loc["e", "victims"] == 0.0
