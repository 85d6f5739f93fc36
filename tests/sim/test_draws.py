"""Draws: published test vectors, quantiles, uniformity and independence of addresses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtri

from sim.draws import (
    fill_uniforms,
    normal,
    normal_column,
    normals,
    philox,
    stream_id,
    uniform_column,
    uniforms,
)

ONES = 0xFFFFFFFF

# Random123 1.14, kat_vectors, philox4x32 with ten rounds: counter, key, expected.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_published_words(counter, key, expected):
    assert tuple(int(word) for word in philox(*counter, *key)) == expected


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_interpreted_philox_gives_the_published_words(counter, key, expected):
    assert tuple(int(word) for word in philox.py_func(*counter, *key)) == expected


@given(
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**56 - 1),
    st.integers(0, 2**31 - 1),
    st.integers(0, 255),
)
def test_a_uniform_is_the_words_of_its_address(seed, stream, index, row, draw):
    counter = (row, index & ONES, stream, ((index >> 32) << 8) | draw)
    a, b, c, d = (int(w) for w in philox.py_func(*counter, seed & ONES, seed >> 32))
    expected = tuple(((x << 32 | y) >> 12) / 2**52 + 2.0**-53 for x, y in ((a, b), (c, d)))
    assert uniforms(seed, stream, index, row, draw) == expected


def test_the_least_and_the_largest_uniform_lie_inside_the_unit_interval():
    assert 0.0 < 0.5 * 2.0**-52
    assert (2.0**52 - 1 + 0.5) * 2.0**-52 < 1.0


def test_the_normal_quantile_agrees_with_a_reference():
    u = np.concatenate([np.linspace(1e-4, 1 - 1e-4, 4_001), 10.0 ** -np.arange(1, 17.0)])
    mine = np.array([normal(x) for x in u])
    # The reference is itself good to a few units in the last place.
    np.testing.assert_allclose(mine, ndtri(u), rtol=2e-15, atol=2e-16)


def test_the_normal_quantile_is_antisymmetric():
    for u in (0.125, 0.03125, 2.0**-20):
        assert normal(u) == -normal(1.0 - u)
    assert normal(0.5) == 0.0


def test_the_normal_quantile_is_finite_at_the_ends():
    assert normal(2.0**-53) == pytest.approx(ndtri(2.0**-53), rel=1e-15)
    assert math.isfinite(normal(1.0 - 2.0**-53))


@pytest.mark.parametrize("axis", ["row", "index", "draw", "stream", "seed"])
def test_uniforms_are_uniform_along_every_part_of_the_address(axis):
    n = 256 if axis == "draw" else 4_096
    place = {"seed": 7, "stream": stream_id("test"), "index": 0, "row": 0, "draw": 0}
    u = np.empty((n, 2))
    for k in range(n):
        place[axis] = k
        u[k] = uniforms(*place.values())
    for column in u.T:  # each false alarm: one in a million
        assert stats.kstest(column, "uniform").pvalue > 1e-6


def test_neighbors_are_uncorrelated():
    """Serial correlation of 2e5 draws: standard error 0.0022, five of them allowed (6e-7)."""
    u = uniform_column(3, "test", 200_000) - 0.5
    for lag in (1, 2, 64):
        correlation = float(np.mean(u[lag:] * u[:-lag]) * 12.0)
        assert abs(correlation) < 5.0 / math.sqrt(len(u) - lag)


@pytest.mark.parametrize("other", [(4, "test", 0), (3, "test2", 0), (3, "test", 1)])
def test_streams_seeds_and_draws_are_independent(other):
    """Correlation of 1e5 pairs: standard error 0.0032, five of them allowed (6e-7)."""
    seed, stream, draw = other
    u = uniform_column(3, "test", 100_000) - 0.5
    v = uniform_column(seed, stream, 100_000, draw) - 0.5
    assert abs(float(np.mean(u * v) * 12.0)) < 5.0 / math.sqrt(len(u))


def test_both_uniforms_of_an_address_are_independent():
    pairs = np.array([uniforms(1, 2, 3, row, 0) for row in range(20_000)]) - 0.5
    assert abs(float(np.mean(pairs[:, 0] * pairs[:, 1]) * 12.0)) < 5.0 / math.sqrt(20_000)


def test_a_column_does_not_depend_on_its_length():
    assert (uniform_column(5, "size", 10) == uniform_column(5, "size", 1_000)[:10]).all()


def test_a_column_holds_the_addressed_draws():
    out = np.empty(50)
    fill_uniforms(5, stream_id("size"), 9, 3, out)
    assert out.tolist() == [uniforms(5, stream_id("size"), 9, row, 3)[0] for row in range(50)]


def test_normals_are_quantiles_of_uniforms():
    u, v = uniforms(1, 2, 3, 4, 5)
    assert normals(1, 2, 3, 4, 5) == (normal(u), normal(v))


def test_a_normal_column_has_unit_moments():
    """Means of 1e5: standard errors 0.0032 and 0.0045; five of them allowed (6e-7 each)."""
    z = normal_column(8, "z", 100_000)
    assert abs(z.mean()) < 5 / math.sqrt(1e5)
    assert abs((z**2).mean() - 1.0) < 5 * math.sqrt(2 / 1e5)


def test_a_stream_number_is_the_start_of_the_hash_of_its_name():
    # SHA-256 of "abc" starts with ba7816bf (FIPS 180-4, appendix B.1).
    assert stream_id("abc") == int.from_bytes(bytes.fromhex("ba7816bf"), "little")
