"""Liquidity networks: the published fee vectors, by hand, and under random operations."""

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.bridges.liquidity_fee import average_rate, kinked_rate, weekly_rate
from sim.bridges.relayer_fee import AcrossFees, capital_fee
from sim.errors import InputError
from sim.status import Status
from sim.units import ticks

ACROSS = (0.0, 0.08, 1.0, 0.65)  # base rate, two slopes, kink


@pytest.mark.parametrize(
    ("before", "after", "yearly", "weekly"),
    [
        (0.0, 0.5, 0.0307692307692, 0.00058296504),
        (0.6, 0.7, 0.1141758241758, 0.00208129675),
        (0.95, 1.0, 1.0085714285714, 0.01350233920),
        (0.0, 1.0, 0.229, 0.00397327319),
    ],
)
def test_fees_agree_with_the_published_vectors(before, after, yearly, weekly):
    rate = average_rate(before, after, *ACROSS)
    assert rate == pytest.approx(yearly, rel=1e-9)
    assert weekly_rate(rate) == pytest.approx(weekly, rel=1e-8)  # printed to 1e-11


@given(before=st.floats(0.0, 1.0), step=st.floats(0.0, 1.0), kink=st.floats(0.05, 0.95))
def test_the_average_rate_is_the_exact_mean_of_the_kinked_rate(before, step, kink):
    after = min(before + step, 1.0)
    a, b, k = Fraction(before), Fraction(after), Fraction(kink)

    def integral(u):
        above = max(u - k, 0)
        return Fraction(3, 100) * (min(u, k) ** 2 / (2 * k) + above) + above**2 / (2 * (1 - k))

    expected = (integral(b) - integral(a)) / (b - a) if b > a else None
    found = average_rate(before, after, 0.0, 0.03, 1.0, kink)
    if expected is None:
        assert found == kinked_rate(before, 0.0, 0.03, 1.0, kink)
    else:
        assert found == pytest.approx(float(expected), rel=1e-9, abs=1e-15)


def test_a_send_is_paid_from_inventory_and_settles_later(network_world):
    w = network_world(
        fill_seconds=30.0, settle_seconds=600.0, base_fee_bps=10.0, slope1=0.0, slope2=0.0
    )
    w.send(row=1, side=0, amount=100.0)
    assert w.run(12.0) == [Status.OK]
    assert w.state.inventory[0].tolist() == pytest.approx([1_000.0, 900.1])
    w.world.advance(ticks(42.0) - 1)
    assert w.held("other", "ETH")[1] == 1_000.0
    w.world.advance(ticks(42.0))
    assert w.held("other", "ETH")[1] == pytest.approx(1_099.9, rel=1e-15)
    w.world.advance(ticks(612.0) - 1)
    assert w.state.inventory[0, 0] == 1_000.0
    w.world.advance(ticks(612.0))
    assert w.state.inventory[0].tolist() == pytest.approx([1_100.0, 900.1])
    w.world.check()


def test_the_fee_grows_with_the_utilization_of_the_far_side(network_world):
    w = network_world(base_fee_bps=2.0, slope1=0.08, slope2=1.0, kink=0.65)
    w.send(row=0, side=0, amount=500.0)
    w.run(12.0)
    first = 500.0 * (2e-4 + 0.00058296504)  # 0 -> 0.5
    assert w.fills[-1]["fee_paid"] == pytest.approx(first, rel=1e-8)
    u = 1.0 - (500.0 + first) / 1_000.0
    yearly = 0.08 * (u + 0.05) / 0.65  # up to 0.1 more, below the kink: the rate in the middle
    w.send(row=0, side=0, amount=100.0)
    w.run(24.0)
    assert w.fills[-1]["fee_paid"] == pytest.approx(
        100.0 * (2e-4 + (1.0 + yearly) ** (1.0 / 52.0) - 1.0), rel=1e-9
    )


@pytest.mark.parametrize(
    ("fields", "amount", "status"),
    [
        ({}, 1_000.1, Status.INSUFFICIENT_FUNDS),
        ({"inventory_usd": 100_000.0}, 50.1, Status.NO_CASH),
        ({"cap": 10.0}, 11.0, Status.CAP),
        ({}, 0.0, Status.ZERO_AMOUNT),
        ({}, -5.0, Status.BAD_AMOUNT),
    ],
)
def test_a_refused_send_changes_nothing(network_world, fields, amount, status):
    w = network_world(**{"inventory_usd": 4_000_000.0, **fields})
    before = w.world.ledger.balance.copy()
    w.send(row=0, side=0, amount=amount)
    assert w.run(12.0) == [status]
    assert (w.world.ledger.balance == before).all()
    assert w.state.unsettled.sum() == 0.0


def test_a_paused_network_pays_nobody_until_it_is_resumed(network_world):
    w = network_world(fill_seconds=30.0)
    w.send(row=0, side=1, amount=10.0)
    w.run(5.0)
    w.shock("pause_bridge")
    w.send(row=0, side=1, amount=10.0)
    assert w.run(100.0) == [Status.HALTED]
    assert w.held("home", "ETH")[0] == 1_000.0
    w.shock("resume_bridge")
    w.run(101.0)
    assert w.held("home", "ETH")[0] > 1_009.9
    w.world.check()


@given(
    sends=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 1), st.floats(1e-6, 600.0), st.booleans()),
        max_size=25,
    )
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tokens_and_values_are_conserved_after_any_sends(network_world, sends):
    w = network_world(fill_seconds=20.0, settle_seconds=100.0, slope2=1.0)
    value, time = w.value().sum(), 0.0
    for row, side, amount, is_paused in sends:
        w.shock("pause_bridge" if is_paused else "resume_bridge")
        w.send(row=row, side=side, amount=amount)
        time += 29.0
        w.run(time)
        w.world.check()
        assert w.value().sum() == pytest.approx(value, rel=1e-13)
        assert (w.state.inventory >= 0.0).all()


def test_an_insured_network_settles_within_the_block_at_the_fee_of_a_full_inventory(network_world):
    """1,000 ETH a side; 900 would cost much at its utilization. Base fee 2 bp, rate 0 at rest."""
    w = network_world(slope1=0.08, slope2=1.0, kink=0.65, base_rate=0.0)
    (channel,) = w.world.plan.venues[0].mechanism.channels
    channel.cut(w.world, w.state)
    w.send(row=1, side=0, amount=900.0)
    assert w.run(12.0) == [Status.OK]
    assert w.held("other", "ETH")[1] == pytest.approx(1_000.0 + 900.0 * (1 - 2e-4), rel=1e-15)
    assert w.held("home", "ETH")[1] == 100.0
    assert w.state.inventory[0].tolist() == pytest.approx([1_000.0 + 900.0 * 2e-4, 1_000.0])
    assert w.state.insured[0] == pytest.approx([-900.0 * (1 - 2e-4), 900.0 * (1 - 2e-4)])
    assert channel.absorbed(w.world, w.state) == pytest.approx(0.0, abs=1e-6)  # the same asset
    w.world.check()


def test_an_insured_network_settles_while_it_is_paused(network_world):
    w = network_world()
    (channel,) = w.world.plan.venues[0].mechanism.channels
    channel.cut(w.world, w.state)
    w.shock("pause_bridge")
    w.send(row=0, side=1, amount=10.0)
    assert w.run(12.0) == [Status.OK]
    assert w.held("home", "ETH")[0] > 1_009.0


# --- relayers ------------------------------------------------------------------------------------


def test_the_capital_fee_is_the_integral_of_a_marginal_fee():
    """1 bp rising to 3 bp at 100 tokens: 50 cost 50 (1 + 1.5) / 2 bp, 200 cost 200 + 100 x 2 bp."""
    assert capital_fee(50.0, 1e-4, 3e-4, 100.0) == pytest.approx(50.0 * 1.5e-4, rel=1e-12)
    assert capital_fee(100.0, 1e-4, 3e-4, 100.0) == pytest.approx(100.0 * 2e-4, rel=1e-12)
    assert capital_fee(200.0, 1e-4, 3e-4, 100.0) == pytest.approx(200.0e-4 + 300.0e-4, rel=1e-12)


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6), st.floats(0.0, 0.01), st.floats(0.0, 0.01))
def test_a_larger_transfer_never_pays_a_smaller_share_of_capital(amount, more, lower, rise):
    small = capital_fee(amount, lower, lower + rise, 1_000.0) / amount
    large = capital_fee(amount + more, lower, lower + rise, 1_000.0) / (amount + more)
    assert lower * (1 - 1e-12) <= small <= large * (1 + 1e-12) + 1e-15
    assert large <= (lower + rise) * (1 + 1e-12)


def test_a_send_pays_capital_and_the_gas_of_the_far_chain(network_world):
    """100 ETH, cutoff 200: 100 bp-tokens and 2 x 100^2 / 400 more; gas 120,000 x the base fee."""
    fees = {"lower_bps": 1.0, "upper_bps": 3.0, "cutoff_usd": 400_000.0, "fill_gas": 120_000}
    w = network_world(base_fee_bps=0.0, slope1=0.0, slope2=0.0, relayer_fee=fees)
    w.world.box.chains[1]["base_fee"] = 1e-6
    w.send(row=1, side=0, amount=100.0)
    assert w.run(12.0) == [Status.OK]
    gas = float(w.fills[0]["fee_paid"]) - (100.0 + 50.0) * 1e-4
    empty_blocks = [120_000 * 1e-6 * 0.875**k for k in range(7)]
    assert any(gas == pytest.approx(fee, rel=1e-9) for fee in empty_blocks)


def test_the_fees_by_hand_refuse_what_is_no_fee():
    with pytest.raises(InputError, match="kink"):
        AcrossFees(kink=1.0, slope1=0.0, slope2=0.0)
    with pytest.raises(InputError, match="lower"):
        AcrossFees(kink=0.5, slope1=0.0, slope2=0.0, lower=0.2, upper=0.1)
    with pytest.raises(InputError, match="cutoff"):
        AcrossFees(kink=0.5, slope1=0.0, slope2=0.0, cutoff=0.0)


def test_a_capital_fee_that_falls_is_refused(network_world):
    with pytest.raises(ValueError, match="must not exceed upper_bps"):
        network_world(relayer_fee={"lower_bps": 5.0, "upper_bps": 1.0})
