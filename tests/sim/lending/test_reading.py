"""What is sampled of lending markets, against sums made position by position."""

import numpy as np
import pytest

from sim.lending.reading import shortfall_shares, value_book
from tests.worlds import world_of

DAY = "horizon=1d"


@pytest.fixture(scope="module")
def markets():
    """Three markets with 5,700 positions after a fall to two thirds of the reference price."""
    world = world_of(DAY, scenario="black-thursday")
    ether = [world.token(chain, "ETH") for chain in ("mainnet", "sidechain")]
    world.prices.reference[ether] *= 2.0 / 3.0
    return world, *world.states["lending"]


def slots_of(state, position):
    """Return (reserve, scaled claim) and (reserve, scaled debt) of one position."""
    held = zip(state.collateral_reserve[position], state.collateral_scaled[position], strict=True)
    owed = zip(state.debt_reserve[position], state.debt_scaled[position], strict=True)
    return [(k, x) for k, x in held if k >= 0], [(k, x) for k, x in owed if k >= 0]


def test_a_book_is_the_sum_of_the_slots_of_each_position(markets):
    world, state, _ = markets
    price = world.prices.reference[state.reserves["token"]]
    book = value_book(state, price, world.now)
    counts = (state.reserves["flag_bits"] & 16) != 0
    threshold = state.reserves["liquidation_threshold"]

    assert len(book.debt) == len(state.positions) > 5_000
    for position in range(0, len(book.debt), 97):  # at time 0 all indices are 1
        held, owed = slots_of(state, position)
        worth = [(k, x * price[k]) for k, x in held if counts[k]]
        assert book.collateral[position] == pytest.approx(sum(x for _, x in worth), rel=1e-15)
        weighted = sum(x * threshold[k] for k, x in worth)
        assert book.threshold[position] == pytest.approx(weighted, rel=1e-15)
        debt = sum(x * price[k] for k, x in owed)
        assert book.debt[position] == pytest.approx(debt, rel=1e-15)


def test_the_sample_of_markets_adds_up_what_positions_cannot_pay(markets):
    world, state, _ = markets
    (sampled,) = world.sample()["lending"]
    price = world.prices.reference[state.reserves["token"]]
    book = value_book(state, price, world.now)
    share = shortfall_shares(book)
    latent = np.zeros(len(price))
    for position in np.flatnonzero(share > 0.0):
        for k, scaled in slots_of(state, position)[1]:
            latent[k] += scaled * share[position] * price[k]

    assert latent.sum() > 5e4
    np.testing.assert_allclose(sampled["latent_bad_debt"], latent, rtol=1e-12)
    np.testing.assert_array_equal(sampled["cash"], state.reserves["cash"])
    names = [world.venue_names[venue] for venue in sampled["venue"]]
    assert names == ["cdp"] * 2 + ["pool-lending"] * 3 + ["side-lending"] * 2
    tokens = [world.token_names[token] for token in sampled["token"]]
    assert tokens[:2] == ["mainnet/ETH", "mainnet/DAI"]


def test_a_sample_notes_since_when_a_position_is_unsafe_and_forgets_it_when_it_is_safe(markets):
    world, state, desk = markets
    world.sample()
    book = value_book(state, world.prices.reference[state.reserves["token"]], world.now)
    is_unsafe = (book.debt > 0.0) & (book.threshold < book.debt)

    assert 0 < is_unsafe.sum() < len(is_unsafe)
    assert (desk.unsafe_since == np.where(is_unsafe, 0, -1)).all()
    desk.unsafe_since[is_unsafe] = 77
    world.sample()
    assert set(desk.unsafe_since[is_unsafe]) == {77}
    before = world.prices.reference.copy()
    world.prices.reference[:] = world.prices.fundamental
    world.sample()
    assert (desk.unsafe_since == -1).all()
    world.prices.reference[:] = before


def test_every_debtor_is_sampled_as_a_position(markets):
    world, state, _ = markets
    (sampled,) = world.sample_positions()["positions"]
    book = value_book(state, state.reserves["price"], world.now)
    rows = sampled["position"]

    assert rows.tolist() == np.flatnonzero(book.debt > 0.0).tolist()
    health_factor = book.threshold[rows] / book.debt[rows]
    np.testing.assert_array_equal(sampled["health_factor"], health_factor)
    names = {world.group_names[k] for k in sampled["population"]}
    assert names == {
        "cdp-borrowers",
        "usdc-borrowers",
        "dai-borrowers",
        "eth-shorts",
        "side-borrowers",
    }
