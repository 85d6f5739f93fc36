"""Investors of a tranche: at rest they stay, see what they can, and leave by the better way."""

import numpy as np
import pytest

from agents.tranche_investors import ASLEEP, IN, INFORMED, LEAVING, OUT, SLOW
from sim.errors import InputError
from sim.units import DAY, ticks
from sim.world import World
from tests.examples import SECONDARY, TRANCHED, TWO, config_of, people_of, venue
from tests.examples import _plan as plan_of

TERMS = dict(TRANCHED, epoch_hours=1.0, valuation_minutes=0.5)


def people(**fields):
    given = {
        "vault": "vault", "tranche": "senior", "count": 40, "share": 0.5, "look_minutes": 0.5,
        "informed_minutes": [0.5, 1.0], "slow_hours": [0.1, 0.2],
    }  # fmt: skip
    return people_of("tranche_investors", **(given | fields))


def world_of(*populations, **terms):
    vault = config_of("tranches", **(TERMS | {"tranches": TWO, "gate": 0.5} | terms))
    venues = venue("vault", vault), venue("senior-usd", SECONDARY)
    return World(plan_of(venues, populations))


def lose(world, amount, *, recognized):
    """Take an amount from the vault; tell everybody, or only what can be recovered."""
    state = world.states["tranches"]
    vault = state.vaults[0]
    if not recognized:
        vault["delay"] = ticks(DAY)
    usd = world.token("home", "USD")
    at = world.ledger.first[vault["group"]] + world.ledger.column[vault["group"], usd]
    world.ledger.balance[at] -= amount
    world.ledger.supply[usd] -= amount


def test_at_rest_everybody_stays():
    world = world_of(("seniors", people(coverage_trigger=0.19, appetite_log_sd=1.0)))
    world.advance(ticks(600.0))
    own = world.states["seniors"]
    assert (own.stage == IN).all()
    assert own.n_redemptions.sum() == own.n_sales.sum() == 0


def test_sizes_add_up_to_their_share_of_the_tranche():
    world = world_of(("seniors", people()))
    held = world.balances("seniors", int(world.states["tranches"].share[0, 0]))
    assert held.sum() == pytest.approx(0.5 * 8e5)
    assert world.ledger.supply[world.states["tranches"].share[0, 0]] == pytest.approx(8e5)


def test_only_the_informed_see_a_loss_before_it_is_recognized():
    world = world_of(("seniors", people(coverage_trigger=0.15, informed_share=0.5, slow_share=0.5)))
    world.advance(ticks(60.0))
    lose(world, 1.5e5, recognized=False)
    world.advance(ticks(300.0))
    own = world.states["seniors"]
    assert (own.n_redemptions[own.speed == INFORMED] > 0).all()
    assert (own.stage[own.speed == SLOW] == IN).all()


def test_the_slow_follow_what_is_recognized_and_some_sleep():
    world = world_of(("seniors", people(coverage_trigger=0.15)))
    world.advance(ticks(60.0))
    lose(world, 1.5e5, recognized=True)
    world.advance(ticks(120.0))
    own = world.states["seniors"]
    assert (own.stage[own.speed == SLOW] == LEAVING).all()
    assert (own.stage[own.speed == ASLEEP] == IN).all()
    assert own.n_redemptions[own.speed == SLOW].sum() == 0
    world.advance(ticks(880.0))
    assert (own.n_redemptions[own.speed == SLOW] > 0).all()
    assert (own.stage[own.speed != ASLEEP] == OUT).all()
    assert world.states["tranches"].asked[0, 0] > 0.0


def test_who_is_impatient_sells_in_the_pool_first():
    """Down to 1 - 2 %: the pool's marginal price ends there, the rest is put into the queue."""
    fields = {"coverage_trigger": 0.15, "pool": "senior-usd", "informed_share": 1.0}
    world = world_of(("seniors", people(**fields, slow_share=0.0, impatience=0.02)))
    world.advance(ticks(60.0))
    lose(world, 1.5e5, recognized=True)
    world.advance(ticks(400.0))
    own = world.states["seniors"]
    price = float(world.venues.price[world.venue("senior-usd")])
    assert own.n_sales.sum() > 0
    assert price == pytest.approx(0.98, abs=2e-3)
    assert own.n_redemptions.sum() > 0


def test_cash_waits_for_a_bargain():
    """The buyer takes the pool up to 10 % below the net asset value, no further."""
    fields = {"count": 1, "pool": "senior-usd", "informed_share": 1.0, "slow_share": 0.0}
    fields |= {"discount_trigger": 9.0, "cash_usd": 1e5}
    world = world_of(("buyer", people(**fields)), ("hands", people(count=1, share=0.4)))
    world.submit("senior-usd", "swap", "hands", 0, a=0, amount=2e4)
    world.advance(ticks(20.0))
    pool = world.venue("senior-usd")
    assert float(world.venues.price[pool]) < 0.6
    world.advance(ticks(300.0))
    assert float(world.venues.price[pool]) == pytest.approx(
        0.9, rel=2e-3
    )  # the fee joins the reserves


def test_those_who_left_come_back_after_calm():
    fields = {"queue_trigger_epochs": 1e-3, "informed_share": 1.0, "slow_share": 0.0, "count": 3}
    world = world_of(("seniors", people(**fields, calm_hours=0.05)), epoch_hours=0.02, gate=1.0)
    hold = float(world.states["seniors"].shares_at_start[0])
    world.submit("vault", "redeem", "seniors", 0, a=0, amount=0.5 * hold)
    world.advance(ticks(800.0))
    own = world.states["seniors"]
    assert (own.n_redemptions > 0).any()
    assert (own.stage == IN).all()
    share = int(world.states["tranches"].share[0, 0])
    held = world.balances("seniors", share) + np.zeros(3)
    joining = float(world.states["tranches"].joining[0, 0])
    assert held.sum() + joining == pytest.approx(own.shares_at_start.sum(), rel=1e-6)


def test_a_tranche_or_pool_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="has no tranche 'mezzanine'; it has: senior, junior"):
        world_of(("seniors", people(tranche="mezzanine")))
    with pytest.raises(InputError, match="does not trade home/vault-junior"):
        world_of(("juniors", people(tranche="junior", pool="senior-usd")))


def test_more_than_the_tranche_cannot_be_held():
    with pytest.raises(InputError, match="make it thicker or hold fewer"):
        world_of(("some", people(share=0.7)), ("others", people(share=0.7)))
