"""`Bridge` by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.bridges.facade import Bridge
from sim.errors import InputError, RefusedError


def test_a_lock_is_delivered_after_the_finality_delay_only():
    bridge = Bridge(finality_delay=900.0, return_delay=60.0)
    assert bridge.lock("ann", 10.0) == 10.0
    bridge.advance(899.0)
    assert bridge.deliver() == 0.0
    bridge.advance(1.0)
    assert bridge.deliver() == 10.0
    assert bridge.wrapped("ann") == 10.0
    assert bridge.in_flight == (0.0, 0.0)


def test_a_burn_is_redeemed_after_the_return_delay_less_the_fee():
    bridge = Bridge(finality_delay=0.0, return_delay=60.0, fee=0.01)
    assert bridge.lock("ann", 100.0) == 99.0
    bridge.advance(0.0)
    bridge.deliver()
    assert bridge.burn("ann", 50.0) == 49.5
    bridge.advance(60.0)
    assert bridge.redeem() == 49.5
    assert bridge.received("ann") == 49.5
    assert (bridge.escrow, bridge.fees) == (49.0, 1.5)
    assert bridge.time == 60.0


def test_the_escrow_pays_in_order_and_the_rest_waits():
    bridge = Bridge(0.0, 0.0)
    for user in ("ann", "bob", "cid"):
        bridge.lock(user, 10.0)
    bridge.advance(0.0)
    bridge.deliver()
    bridge.forge_release("eve", 15.0)
    assert bridge.backing_ratio == 0.5
    for user in ("cid", "ann", "bob"):
        bridge.burn(user, 10.0)
    bridge.advance(0.0)
    assert bridge.redeem() == 10.0
    assert [bridge.received(user) for user in ("ann", "bob", "cid")] == [0.0, 0.0, 10.0]
    assert bridge.queued == 20.0
    bridge.lock("dan", 5.0)
    assert bridge.redeem() == 10.0
    assert bridge.received("ann") == 10.0
    assert bridge.forged == (0.0, 15.0)


def test_forged_wrapped_tokens_can_be_redeemed_at_the_cost_of_the_last():
    bridge = Bridge(0.0, 0.0)
    bridge.lock("ann", 10.0)
    bridge.advance(0.0)
    bridge.deliver()
    bridge.forge_mint("eve", 10.0)
    bridge.burn("eve", 10.0)
    bridge.burn("ann", 10.0)
    bridge.advance(0.0)
    assert bridge.redeem() == 10.0
    assert (bridge.received("eve"), bridge.received("ann")) == (10.0, 0.0)


def test_a_paused_bridge_refuses_and_holds():
    bridge = Bridge(0.0, 0.0)
    bridge.lock("ann", 10.0)
    bridge.pause()
    bridge.advance(0.0)
    assert bridge.deliver() == 0.0
    with pytest.raises(RefusedError, match="halted"):
        bridge.lock("ann", 1.0)
    bridge.resume()
    assert bridge.deliver() == 10.0


@pytest.mark.parametrize("amount", [0.0, -1.0, float("nan"), float("inf")])
def test_an_amount_that_is_not_positive_and_finite_is_refused(amount):
    with pytest.raises(RefusedError, match="is refused"):
        Bridge(0.0, 0.0).lock("ann", amount)


def test_caps_and_holdings_are_named_in_refusals():
    bridge = Bridge(0.0, 0.0, outstanding_cap=10.0, return_cap=3.0)
    with pytest.raises(RefusedError, match=r"cap.*at most 10"):
        bridge.lock("ann", 11.0)
    bridge.lock("ann", 10.0)
    bridge.advance(0.0)
    bridge.deliver()
    with pytest.raises(RefusedError, match="at most 3 on the way back"):
        bridge.burn("ann", 4.0)
    with pytest.raises(RefusedError, match="'bob' cannot burn 1"):
        bridge.burn("bob", 1.0)


@pytest.mark.parametrize(
    "fields",
    [{"fee": 1.0}, {"fee": -0.1}, {"finality_delay": -1.0}, {"return_cap": float("nan")}],
)
def test_an_unusable_term_is_named(fields):
    with pytest.raises(InputError, match=next(iter(fields))):
        Bridge(**{"finality_delay": 0.0, "return_delay": 0.0, **fields})


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["lock", "burn", "forge_mint", "forge_release"]),
            st.sampled_from(["ann", "bob"]),
            st.floats(1e-6, 1e6),
            st.floats(0.0, 100.0),
        ),
        max_size=40,
    )
)
@settings(max_examples=60)
def test_escrow_and_forged_equal_what_is_owed(steps):
    bridge = Bridge(finality_delay=30.0, return_delay=70.0, fee=0.001)
    for verb, user, wish, elapsed in steps:
        most = {"burn": bridge.wrapped(user), "forge_release": bridge.escrow}.get(verb, wish)
        amount = min(wish, most)
        if amount > 0.0:
            getattr(bridge, verb)(user, amount)
        bridge.advance(elapsed)
        bridge.deliver()
        bridge.redeem()
        owed = bridge.supply + sum(bridge.in_flight)
        assert bridge.escrow + sum(bridge.forged) == pytest.approx(owed, rel=1e-12, abs=1e-6)
