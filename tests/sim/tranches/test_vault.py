"""One vault by hand: queues, gates, coverage, stop, winding down, late recognition, swing."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError, RefusedError
from sim.tranches.facade import TrancheVault
from sim.units import DAY, YEAR

TWO = [("senior", 0.8), ("junior", 0.2)]


def test_a_vault_starts_with_shares_at_one():
    vault = TrancheVault([("senior", 0.8), ("mezzanine", 0.12), ("junior", 0.08)], 100.0)
    assert vault.values == pytest.approx((80.0, 12.0, 8.0))
    assert vault.coverage == pytest.approx(0.2)
    assert [vault.price(name) for name in vault.names] == [1.0, 1.0, 1.0]


def test_the_gate_serves_pro_rata_and_the_rest_waits():
    """Two ask for 30 and 10 of 90; the gate lets out 9: 6.75 and 2.25."""
    vault = TrancheVault(TWO, 100.0, gate=0.1)
    vault.sell(50.0)
    vault.deposit("ann", "senior", 10.0)
    vault.advance(DAY)
    assert vault.balance("ann", "senior") == 10.0
    vault.redeem("founders", "senior", 30.0)
    vault.redeem("ann", "senior", 10.0)
    vault.advance(DAY)
    assert vault.paid("founders") == pytest.approx(6.75)
    assert vault.paid("ann") == pytest.approx(2.25)
    assert vault.queue("senior") == pytest.approx(31.0)


def test_a_request_can_be_taken_back():
    vault = TrancheVault(TWO, 100.0)
    request = vault.redeem("founders", "senior", 30.0)
    assert vault.balance("founders", "senior") == 50.0
    assert vault.cancel(request) == 30.0
    assert vault.balance("founders", "senior") == 80.0
    joined = vault.deposit("ann", "senior", 5.0)
    assert vault.cancel(joined) == 5.0
    vault.advance(DAY)
    assert vault.balance("ann", "senior") == 0.0


def test_nobody_is_paid_more_than_the_cash_there_is():
    vault = TrancheVault(TWO, 100.0)
    vault.redeem("founders", "senior", 40.0)
    vault.sell(5.0)
    vault.advance(DAY)
    assert vault.paid("founders") == 5.0
    assert vault.queue("senior") == 35.0
    assert vault.cash == 0.0


def test_minimum_coverage_blocks_exits_from_below():
    """20 of 100 below, at least 15 %: x with (20 - x) / (100 - x) = 0.15 is 5.88."""
    vault = TrancheVault(TWO, 100.0, minimum_coverage=0.15)
    vault.sell(100.0)
    vault.redeem("founders", "junior")
    vault.advance(DAY)
    assert vault.paid("founders") == pytest.approx(5.0 / 0.85)
    assert vault.coverage == pytest.approx(0.15)
    vault.advance(DAY)
    assert vault.paid("founders") == pytest.approx(5.0 / 0.85)


def test_minimum_coverage_blocks_entries_to_the_senior():
    """20 below carries 133.33 in all at 15 %: 33.33 may enter."""
    vault = TrancheVault(TWO, 100.0, minimum_coverage=0.15)
    vault.deposit("ann", "senior", 50.0)
    vault.advance(DAY)
    assert vault.balance("ann", "senior") == pytest.approx(20.0 / 0.15 - 100.0)
    assert vault.coverage == pytest.approx(0.15)


def test_a_tranche_that_has_lost_takes_no_deposits():
    vault = TrancheVault(TWO, 100.0)
    vault.gain(-5.0)
    vault.deposit("ann", "junior", 10.0)
    vault.deposit("bob", "senior", 10.0)
    vault.advance(DAY)
    assert vault.balance("ann", "junior") == 0.0
    assert vault.balance("bob", "senior") == 10.0


def test_notice_is_waited_for():
    vault = TrancheVault([("senior", 0.8, 0.0), ("junior", 0.2, 0.0, 48.0)], 100.0)
    vault.sell(50.0)
    vault.redeem("founders", "junior", 10.0)
    vault.advance(DAY)
    assert vault.paid("founders") == 0.0
    vault.advance(DAY)
    assert vault.paid("founders") == 10.0


def test_leavers_at_a_stale_value_take_from_those_who_stay():
    """20 is lost and not yet recognized; 10 junior shares leave at 1, worth nothing."""
    vault = TrancheVault(TWO, 100.0, recognition_delay_hours=36.0, epoch_hours=24.0)
    vault.sell(50.0)
    vault.gain(0.0)
    vault.redeem("founders", "junior", 10.0)
    vault.gain(-20.0)
    assert vault.values == pytest.approx((80.0, 20.0))
    vault.advance(DAY)
    assert vault.paid("founders") == pytest.approx(10.0)
    assert vault.taken == pytest.approx(10.0)
    vault.advance(DAY)  # 20 is recognized: 10 from the junior left, 10 from the senior
    assert vault.values == pytest.approx((70.0, 0.0))
    assert vault.losses == pytest.approx((10.0, 10.0))


def test_without_delay_nothing_is_taken():
    vault = TrancheVault(TWO, 100.0)
    vault.sell(50.0)
    vault.redeem("founders", "junior", 10.0)
    vault.gain(-20.0)
    vault.advance(DAY)
    assert vault.paid("founders") == 0.0  # a share is worth nothing
    assert vault.taken == 0.0


def test_swing_pricing_leaves_a_part_to_those_who_stay():
    """10 of 80 leave at 0.98: the 70 left are worth 70.2."""
    vault = TrancheVault(TWO, 100.0, swing=0.02, swing_threshold=0.05)
    vault.sell(50.0)
    vault.redeem("founders", "senior", 10.0)
    vault.advance(DAY)
    assert vault.paid("founders") == pytest.approx(9.8)
    assert vault.price("senior") == pytest.approx(70.2 / 70.0)
    assert vault.taken == pytest.approx(-0.2)


def test_small_outflows_do_not_swing():
    vault = TrancheVault(TWO, 100.0, swing=0.02, swing_threshold=0.2)
    vault.sell(50.0)
    vault.redeem("founders", "senior", 10.0)
    vault.advance(DAY)
    assert vault.paid("founders") == 10.0


def test_a_large_loss_stops_the_vault_which_winds_down_by_seniority():
    vault = TrancheVault(TWO, 100.0, gate=0.1, stop_loss=0.12, wind_down_after_hours=48.0)
    request = vault.redeem("founders", "junior", 5.0)
    vault.gain(-13.0)
    assert vault.stage == "stopped"
    vault.sell(40.0)
    vault.advance(DAY)
    assert vault.paid("founders") == 0.0
    with pytest.raises(RefusedError, match="stopped"):
        vault.redeem("founders", "senior", 1.0)
    vault.advance(DAY)
    assert vault.stage == "winding"
    vault.advance(DAY)
    assert vault.paid("founders") == 0.0  # 40 of cash belong to the senior, which has not asked
    vault.redeem("founders", "senior")
    vault.advance(DAY)
    assert vault.paid("founders") == pytest.approx(40.0)  # without a gate
    vault.sell(47.0)
    vault.advance(DAY)
    assert vault.paid("founders") == pytest.approx(80.0 + 5.0 * 7.0 / 20.0)
    with pytest.raises(RefusedError, match="served"):
        vault.cancel(request)


def test_a_stop_at_will_refuses_requests():
    vault = TrancheVault(TWO, 100.0)
    vault.stop()
    with pytest.raises(RefusedError):
        vault.deposit("ann", "senior", 1.0)


def test_a_year_of_coupons():
    """5 % on 80 compounded daily by the epochs; the junior pays it, with 10 of income."""
    vault = TrancheVault([("senior", 0.8, 0.05), ("junior", 0.2)], 100.0)
    vault.gain(10.0)
    vault.advance(YEAR)
    assert vault.values[0] == pytest.approx(80.0 * (1.0 + 0.05 / 365.0) ** 365, rel=1e-12)
    assert sum(vault.values) == pytest.approx(110.0)
    assert sum(vault.incomes) == pytest.approx(10.0)


def test_diversified_backers_bound_the_senior():
    """Five equal junior holders: D = 1 - 5 / 25 = 0.8; 20 x 0.8 x 4 = 64 for the senior."""
    vault = TrancheVault(
        [("senior", 0.5), ("junior", 0.5)],
        40.0,
        income={"kind": "leverage", "highest": 4.0, "fewest_backers": 0.0, "most_backers": 5.0},
    )
    vault.sell(20.0)
    for name in "abcde":
        vault.deposit(name, "junior", 4.0)
    vault.redeem("founders", "junior")
    vault.advance(DAY)
    assert vault.values == pytest.approx((20.0, 20.0))
    assert vault.senior_capacity == pytest.approx(64.0)
    vault.deposit("zoe", "senior", 100.0)
    vault.advance(DAY)
    assert vault.values[0] == pytest.approx(64.0)


@pytest.mark.parametrize(
    ("tranches", "terms", "words"),
    [
        ([("senior", 0.9), ("junior", 0.2)], {}, "add up to 1.1"),
        ([("senior", 0.8), ("senior", 0.2)], {}, "a name of its own"),
        ([("senior", 0.8), ("junior", 0.2, 0.05)], {}, "the last"),
        (
            [("a", 0.8), ("b", 0.1), ("c", 0.1)],
            {"income": {"kind": "adaptive_split"}},
            "for 2 tranches",
        ),
        (TWO, {"recognition_delay_hours": 100.0}, "more than 254 valuations"),
        (TWO, {"gate": 0.0}, "gate"),
    ],
)
def test_terms_that_make_no_vault_are_refused(tranches, terms, words):
    with pytest.raises(InputError, match=words):
        TrancheVault(tranches, 100.0, **terms)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["gain", "sell", "deposit", "redeem", "advance"]),
        st.integers(0, 2),
        st.floats(0.0, 1.0),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(ACTIONS, st.sampled_from(["fixed_senior", "leverage"]), st.floats(0.0, 0.3))
def test_tranches_add_up_and_cash_is_conserved(actions, rule, minimum):
    vault = TrancheVault(
        [("senior", 0.7, 0.05 * (rule == "fixed_senior")), ("mezzanine", 0.2), ("junior", 0.1)],
        100.0,
        income={"kind": rule},
        gate=0.3,
        minimum_coverage=minimum,
        swing=0.01,
    )
    put_in, gained = 100.0, 0.0
    for action, k, part in actions:
        name = vault.names[k]
        if action == "gain":
            change = vault.value * (part - 0.6) * 0.3
            gained += change
            vault.gain(change)
        elif action == "sell":
            vault.sell(part * max(vault._invested, 0.0))
        elif action == "deposit" and part > 0.0:
            vault.deposit("ann", name, 20.0 * part)
            put_in += 20.0 * part
        elif action == "redeem" and vault.balance("founders", name) * part > 0.0:
            vault.redeem("founders", name, vault.balance("founders", name) * part)
        elif action == "advance":
            vault.advance(part * 2.0 * DAY)
    state = vault._state
    waiting = float(state.vaults[0]["escrow"])
    out = vault.paid("founders") + vault.paid("ann")
    assert vault.value == pytest.approx(put_in + gained - out - waiting, abs=1e-6)
    assert all(value >= -1e-9 for value in vault.values)
    change = math.fsum(vault.incomes) - math.fsum(vault.losses)
    assert change == pytest.approx(float(state.vaults[0]["gain"]), abs=1e-6)
    shares = sum(vault.balance(user, "senior") for user in ("founders", "ann"))
    assert shares + vault.queue("senior") == pytest.approx(float(vault._ledger.supply[1]), abs=1e-6)
