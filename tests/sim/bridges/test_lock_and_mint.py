"""Lock-and-mint bridges: by hand, and under random operations."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.bridges.transfers import N_FREE
from sim.errors import InputError, InvariantError
from sim.shocks import KINDS, FinalityDelay
from sim.status import Status
from sim.units import ticks

PRICE = 2_000.0  # USD, of the world's only asset


def test_a_send_waits_longer_while_finality_is_late(lock_world):
    """A send of 12 s waits 20 s more; one of 84 s, after the delay, as long as usual."""
    w = lock_world()
    delay = FinalityDelay(
        kind="finality_delay", chain="home", extra_seconds=20.0, lasts_seconds=60.0
    )
    {kind.kind: kind.apply for kind in KINDS}["finality_delay"](w.world, delay)
    w.send(row=2, side=0, amount=10.0)
    w.run(80.0)
    w.send(row=3, side=0, amount=10.0)
    w.world.advance(ticks(132.0) - 1)
    assert w.held("other", "bETH").sum() == 0.0
    w.world.advance(ticks(132.0))
    assert w.held("other", "bETH").tolist() == [0, 0, 10.0, 0, 0]
    w.world.advance(ticks(184.0))
    assert w.held("other", "bETH").tolist() == [0, 0, 10.0, 10.0, 0]


def test_a_send_locks_at_once_and_mints_after_the_finality_delay_to_the_tick(lock_world):
    w = lock_world()
    w.send(row=2, side=0, amount=10.0)
    assert w.run(12.0) == [Status.OK]  # first home block
    assert w.held("home", "ETH")[2] == 990.0
    assert w.state.escrow[0] == 10.0
    w.world.advance(ticks(112.0) - 1)
    assert w.held("other", "bETH")[2] == 0.0
    w.world.advance(ticks(112.0))
    assert w.held("other", "bETH").tolist() == [0, 0, 10.0, 0, 0]


def test_a_return_burns_at_once_and_pays_after_the_return_delay_to_the_tick(lock_world):
    w = lock_world(wrapped_each=50.0)
    w.send(row=1, side=1, amount=20.0)
    assert w.run(2.0) == [Status.OK]  # first block of the other chain
    assert w.held("other", "bETH")[1] == 30.0
    assert w.state.escrow[0] == 250.0
    w.world.advance(ticks(1_002.0) - 1)
    assert w.held("home", "ETH")[1] == 1_000.0
    w.world.advance(ticks(1_002.0))
    assert w.held("home", "ETH")[1] == 1_020.0
    assert w.state.escrow[0] == 230.0


def test_the_fee_is_kept_both_ways_beside_the_escrow(lock_world):
    w = lock_world(fee_bps=50.0)
    w.send(row=0, side=0, amount=100.0)
    w.run(200.0)
    assert w.held("other", "bETH")[0] == pytest.approx(99.5, rel=1e-15)
    assert w.state.escrow[0] == pytest.approx(99.5, rel=1e-15)
    w.send(row=0, side=1, amount=99.5)
    w.run(1_300.0)
    assert w.held("home", "ETH")[0] == pytest.approx(900.0 + 99.5 * 0.995, rel=1e-14)
    assert w.state.fees[0] == pytest.approx(0.5 + 99.5 * 0.005, rel=1e-13)
    assert w.state.escrow[0] == pytest.approx(0.0, abs=1e-12)
    w.world.check()


def test_wrapped_tokens_of_time_0_are_covered(lock_world):
    w = lock_world(wrapped_each=30.0)
    assert w.state.escrow[0] == 150.0
    w.world.check()


@pytest.mark.parametrize(
    ("fields", "order", "status"),
    [
        ({}, {"amount": -1.0}, Status.BAD_AMOUNT),
        ({}, {"amount": float("inf")}, Status.BAD_AMOUNT),
        ({}, {"amount": 0.0}, Status.ZERO_AMOUNT),
        ({}, {"amount": 1_001.0}, Status.INSUFFICIENT_FUNDS),
        ({}, {"amount": 10.0, "limit": 10.1}, Status.SLIPPAGE),
        ({"outstanding_cap": 9.0}, {"amount": 10.0}, Status.CAP),
    ],
)
def test_a_refused_send_changes_nothing(lock_world, fields, order, status):
    w = lock_world(**fields)
    before = w.world.ledger.balance.copy()
    w.send(row=0, side=0, **order)
    assert w.run(12.0) == [status]
    assert (w.world.ledger.balance == before).all()
    assert w.state.in_flight.sum() == 0.0


def test_the_outstanding_cap_counts_what_is_minted_and_what_is_in_flight(lock_world):
    w = lock_world(wrapped_each=10.0, outstanding_cap=60.0)
    w.send(row=0, side=0, amount=10.0)
    assert w.run(12.0) == [Status.OK]
    w.send(row=1, side=0, amount=0.5)
    assert w.run(24.0) == [Status.CAP]


def test_the_return_cap_counts_what_is_on_its_way_back(lock_world):
    w = lock_world(wrapped_each=10.0, return_cap=15.0)
    w.send(row=0, side=1, amount=10.0)
    w.send(row=1, side=1, amount=6.0)
    assert sorted(w.run(2.0)) == [Status.OK, Status.CAP]


def test_a_side_can_be_used_from_its_own_chain_only(lock_world):
    w = lock_world(wrapped_each=10.0)
    w.world.submit("bridge", "send", "people", 0, amount=5.0, a=1)  # to the home chain
    assert w.run(12.0) == [Status.NOT_ALLOWED]


def test_a_full_table_refuses(lock_world):
    w = lock_world()
    w.state.counter[N_FREE] = 0
    w.send(row=0, side=0, amount=5.0)
    assert w.run(12.0) == [Status.FULL]


def test_redemptions_are_paid_first_come_first_served_as_the_escrow_refills(lock_world):
    w = lock_world(wrapped_each=100.0)
    w.shock("forge", mode="release_from_escrow", population="people", amount=450.0)
    for row, amount in ((1, 30.0), (2, 60.0), (3, 10.0)):  # escrow: 50
        w.send(row=row, side=1, amount=amount)
        w.run(2.0 * row)
    w.run(1_100.0)
    paid = w.held("home", "ETH") - 1_000.0
    assert paid[1:4].tolist() == [30.0, 0.0, 0.0]  # 20 left: 60 waits, and 10 behind it
    assert w.state.queued[0, 1] == 70.0
    w.send(row=4, side=0, amount=35.0)  # escrow 55
    w.run(1_200.0)
    assert (w.held("home", "ETH") - 1_000.0)[2:4].tolist() == [0.0, 0.0]
    w.send(row=4, side=0, amount=5.0)  # 60: pays the 60, nothing is left for the 10
    w.run(1_220.0)
    assert (w.held("home", "ETH") - 1_000.0)[2:4].tolist() == [60.0, 0.0]
    w.send(row=4, side=0, amount=12.0)
    w.run(1_240.0)
    assert (w.held("home", "ETH") - 1_000.0)[2:4].tolist() == [60.0, 10.0]
    assert w.state.queued[0, 1] == 0.0
    assert w.state.escrow[0] == 2.0
    w.world.check()


def test_a_pause_refuses_sends_and_holds_deliveries_until_it_ends(lock_world):
    w = lock_world(wrapped_each=10.0)
    w.send(row=0, side=0, amount=5.0)
    w.send(row=1, side=1, amount=4.0)
    w.run(50.0)
    w.shock("pause_bridge")
    w.send(row=2, side=0, amount=1.0)
    assert w.run(2_000.0) == [Status.HALTED]
    assert w.held("other", "bETH")[0] == 10.0
    assert w.held("home", "ETH")[1] == 1_000.0
    w.shock("resume_bridge")
    w.run(2_000.1)
    assert w.held("other", "bETH")[0] == 15.0
    assert w.held("home", "ETH")[1] == 1_004.0
    w.world.check()


def test_minting_without_a_lock_dilutes_everyone_alike_and_is_named(lock_world):
    w = lock_world(wrapped_each=100.0)
    w.shock("forge", mode="mint_on_destination", population="people", amount=125.0)
    w.run(1.0)
    (bridges,) = w.world.sample()["bridges"]
    assert bridges["backing_ratio"] == [500.0 / 625.0]
    wrapped = w.world.token("other", "bETH")
    assert w.world.prices.fundamental[wrapped] == PRICE * 0.8
    assert w.state.forged[0].tolist() == [125.0, 0.0]
    w.world.check()
    w.state.escrow[0] -= 1.0
    with pytest.raises(InvariantError, match="125 forged by minting"):
        w.world.check()


def test_a_release_without_a_burn_takes_at_most_the_escrow(lock_world):
    w = lock_world(wrapped_each=100.0)
    w.shock("forge", mode="release_from_escrow", population="people", amount=700.0)
    w.run(1.0)
    assert w.held("home", "ETH")[0] == 1_500.0
    assert w.state.forged[0].tolist() == [0.0, 500.0]
    assert w.world.prices.fundamental[w.world.token("other", "bETH")] == 0.0
    w.world.check()


def test_a_forger_needs_an_account_that_holds_the_token(lock_world):
    w = lock_world()
    with pytest.raises(InputError, match="no population or mechanism 'nobody'"):
        w.shock("forge", mode="mint_on_destination", population="nobody", amount=1.0)


@pytest.mark.parametrize("mode", ["mint_on_destination", "release_from_escrow"])
def test_what_a_forger_gains_the_holders_lose(lock_world, mode):
    w = lock_world(wrapped_each=100.0)
    before = w.value().sum()
    w.shock("forge", mode=mode, population="people", amount=100.0)
    w.send(row=1, side=1, amount=50.0)
    w.send(row=2, side=0, amount=7.0)
    for seconds in (1.0, 12.0, 500.0, 1_500.0):
        w.run(seconds)
        assert w.value().sum() == pytest.approx(before, rel=1e-14)


def test_sending_there_and_back_leaves_values_where_they_were(lock_world):
    w = lock_world()
    people = w.world.group("people")
    before = w.value()[people]
    w.send(row=0, side=0, amount=100.0)
    for seconds in (12.0, 200.0):
        w.run(seconds)
        assert w.value()[people] == pytest.approx(before, rel=1e-15)
    w.send(row=0, side=1, amount=100.0)
    for seconds in (204.0, 1_300.0):
        w.run(seconds)
        assert w.value()[people] == pytest.approx(before, rel=1e-15)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 4), st.integers(0, 1), st.floats(1e-6, 300.0)),
        st.tuples(st.just("mint_on_destination"), st.floats(1e-3, 100.0)),
        st.tuples(st.just("release_from_escrow"), st.floats(1e-3, 400.0)),
        st.tuples(st.just("pause_bridge")),
        st.tuples(st.just("resume_bridge")),
    ),
    max_size=25,
)


@given(operations=OPERATIONS, fee_bps=st.sampled_from([0.0, 7.0]))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_escrow_and_forged_cover_all_obligations_after_any_operations(
    lock_world, operations, fee_bps
):
    w = lock_world(wrapped_each=40.0, fee_bps=fee_bps)
    value = w.value().sum()
    time = 0.0
    for name, *values in operations:
        if name == "send":
            w.send(*values)
        elif name in {"pause_bridge", "resume_bridge"}:
            w.shock(name)
        else:
            w.shock("forge", mode=name, population="people", amount=values[0])
        time += 37.0
        w.run(time)
        w.world.check()
        assert w.value().sum() == pytest.approx(value, rel=1e-12)
    w.shock("resume_bridge")
    w.run(time + 2_000.0)
    w.world.check()
    owed = w.world.ledger.supply[w.world.token("other", "bETH")] + w.state.in_flight.sum()
    forged = w.state.forged.sum()
    assert w.state.escrow[0] + forged == pytest.approx(owed, rel=1e-11, abs=1e-9)
    if forged == 0.0:
        assert w.state.in_flight.sum() == 0.0  # nobody waits at a bridge that was never deceived


def test_everyone_can_leave_a_bridge_that_was_never_deceived(lock_world):
    w = lock_world(wrapped_each=1.0 / 3.0, fee_bps=3.0)
    for row, amount in enumerate((0.1, 0.7, 123.456, 1e-5)):
        w.send(row=row, side=0, amount=amount)
    w.run(200.0)
    for row, amount in enumerate(w.held("other", "bETH")):
        w.send(row=row, side=1, amount=amount)
    w.run(2_000.0)
    assert np.all(w.held("other", "bETH") == 0.0)
    assert w.state.queued.sum() == 0.0
    assert w.state.escrow[0] == pytest.approx(0.0, abs=1e-12)


# --- who bears a shortfall ------------------------------------------------------------------------


def values_of(w):
    w.run(1.0)
    tokens = [w.world.token("home", "ETH"), w.world.token("other", "bETH")]
    return [w.world.prices.fundamental[token] / PRICE for token in tokens]


@pytest.mark.parametrize("mode", ["mint_on_destination", "release_from_escrow"])
def test_a_remote_loss_leaves_the_home_token_alone(lock_world, mode):
    w = lock_world(wrapped_each=100.0)
    w.shock("forge", mode=mode, population="people", amount=125.0)
    wrapped = 500.0 / 625.0 if mode == "mint_on_destination" else 375.0 / 500.0
    assert values_of(w) == [1.0, pytest.approx(wrapped, rel=1e-12)]


@pytest.mark.parametrize("mode", ["mint_on_destination", "release_from_escrow"])
def test_a_uniform_loss_is_shared_by_all_holders_of_both_tokens(lock_world, mode):
    """5,500 ETH exist, 500 of them locked for 500 bETH; 125 claims more share the same 5,500."""
    w = lock_world(wrapped_each=100.0, loss_allocation="uniform")
    w.shock("forge", mode=mode, population="people", amount=125.0)
    kept = 5_500.0 / 5_625.0
    assert values_of(w) == [pytest.approx(kept, rel=1e-12), pytest.approx(kept, rel=1e-12)]
    w.world.check()


def test_holders_outside_the_world_share_a_uniform_loss(lock_world):
    w = lock_world(wrapped_each=100.0, loss_allocation="uniform", total_supply=10_000.0)
    w.shock("forge", mode="release_from_escrow", population="people", amount=125.0)
    assert values_of(w)[0] == pytest.approx(10_000.0 / 10_125.0, rel=1e-12)


def test_without_a_forgery_a_uniform_bridge_is_worth_par(lock_world):
    w = lock_world(wrapped_each=100.0, loss_allocation="uniform")
    w.send(0, 0, 10.0)
    assert values_of(w) == [1.0, 1.0]


def test_fewer_tokens_than_the_world_holds_cannot_exist(lock_world):
    with pytest.raises(InputError, match=r"total_supply \(100\) must be at least the 5500 tokens"):
        lock_world(wrapped_each=100.0, loss_allocation="uniform", total_supply=100.0)


def insured(build, **fields):
    """Return a world whose bridge is no channel of stress."""
    w = build(**fields)
    (channel,) = w.world.plan.venues[0].mechanism.channels
    channel.cut(w.world, w.state)
    return w, lambda: channel.absorbed(w.world, w.state)


def test_an_insured_bridge_settles_within_the_block_both_ways(lock_world):
    w, absorbed = insured(lock_world)
    w.send(row=2, side=0, amount=10.0)
    assert w.run(12.0) == [Status.OK]
    assert w.held("other", "bETH")[2] == 10.0
    w.send(row=2, side=1, amount=4.0)
    assert w.run(14.0) == [Status.OK]
    assert w.held("home", "ETH")[2] == 994.0
    assert (w.state.escrow[0], w.state.in_flight[0].tolist()) == (6.0, [0.0, 0.0])
    assert absorbed() == 0.0
    w.world.check()


def test_the_insurer_fills_the_escrow_after_a_forgery_and_wrapped_tokens_keep_par(lock_world):
    """150 wrapped tokens; 100 of the escrow are taken and 20 minted: 120 tokens are missing."""
    w, absorbed = insured(lock_world, wrapped_each=30.0)
    w.shock("forge", mode="release_from_escrow", population="people", amount=100.0)
    w.shock("forge", mode="mint_on_destination", population="people", amount=20.0)
    w.run(12.0)
    assert w.state.escrow[0] == pytest.approx(170.0)
    assert absorbed() == pytest.approx(120.0 * PRICE)
    wrapped = w.world.token("other", "bETH")
    assert w.world.prices.fundamental[wrapped] == PRICE
    w.send(row=0, side=1, amount=50.0)
    w.run(14.0)
    assert w.held("other", "bETH")[0] == 0.0  # it had 30 and the forged 20
    w.world.check()


def test_an_insured_bridge_settles_while_it_is_paused(lock_world):
    w, _ = insured(lock_world)
    w.shock("pause_bridge")
    w.send(row=1, side=0, amount=5.0)
    assert w.run(12.0) == [Status.OK]
    assert w.held("other", "bETH")[1] == 5.0
