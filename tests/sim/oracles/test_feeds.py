"""Feeds: reported with a delay, computed from others, capped, attacked; and what they name."""

import numpy as np
import pytest

from experiments.kinds import shock_kinds
from sim.errors import InputError
from sim.feeds import Feeds
from sim.units import DAY, YEAR, ticks
from tests.worlds import planned

ORACLE = "venues.%s={kind: oracle, chain: mainnet, token: %s, source: %s}"
ETH = ORACLE % ("eth", "ETH", "{kind: reported, heartbeat_seconds: 1e6}")
HALF = ORACLE % ("half", "USD", "{kind: fixed, price_usd: 0.5}")
STAKING = (
    "venues.staking={kind: liquid_staking, chain: mainnet, token: ETH, issued: sETH, "
    "exchange_rate: 1.1, reward_rate: 0.365, fee_share: 0, report_interval_seconds: 3600}"
)
REPORTERS = "populations.reporters={kind: accounts, chain: mainnet, holds: {ETH: 10}}"


def rated(more=""):
    return ORACLE % ("rated", "sETH", f"{{kind: exchange_rate, feed: eth, staking: staking{more}}}")


def world_of(*venues):
    stakers = "populations.stakers={kind: accounts, chain: mainnet, holds: {sETH: 100}}"
    return planned(1, *venues, REPORTERS, *([stakers] if STAKING in venues else []))


def read(world, name):
    """Return what the record says a feed reads now: (USD, age in seconds)."""
    (columns,) = world.sample()["oracles"]
    row = list(columns["feed"]).index(world.venue(name))
    return columns["reported"][row], columns["age"][row]


def tell(world, price, name="eth"):
    """Report a price, observed now, and run the block that takes it."""
    world.submit(name, "report", "reporters", 0, amount=price, a=world.now + 1)
    world.advance(world.now + ticks(12.0))


def strike(world, kind, **fields):
    shock = shock_kinds()[kind]
    shock.apply(world, shock.config(kind=kind, **fields))


# --- computed feeds ------------------------------------------------------------------------------


def test_an_exchange_rate_feed_is_the_reported_rate_times_the_feed():
    world = world_of(STAKING, ETH, rated())
    assert read(world, "rated")[0] == pytest.approx(2_200.0, rel=1e-15)
    tell(world, 1_000.0)
    assert read(world, "rated")[0] == pytest.approx(1_100.0, rel=1e-15)
    world.advance(ticks(3_612.0))
    assert read(world, "rated")[0] == pytest.approx(1_100.0 * (1.0 + 0.365 / 8_760), rel=1e-12)


def test_a_fixed_rate_needs_no_staking_protocol():
    source = "{kind: exchange_rate, feed: eth, rate: 1.07}"
    world = world_of(ETH, ORACLE % ("rated", "ETH", source))
    assert read(world, "rated")[0] == 2_000.0 * 1.07


def test_a_growth_cap_is_linear_from_the_snapshot():
    """The rate grows 36.5 % a year and may grow 3.65 %: after a day 1.1 (1 + 1e-4)."""
    world = world_of(STAKING, ETH, rated(", growth_cap: {yearly: 0.0365}"))
    world.advance(ticks(DAY))
    assert world.venues.price[world.venue("staking")] > 1.1 * 1.0009
    assert read(world, "rated")[0] == pytest.approx(2_200.0 * (1.0 + 1e-4), rel=1e-12)


def test_an_older_and_lower_snapshot_caps_at_once():
    cap = f", growth_cap: {{yearly: 0.02, snapshot_rate: 1.05, snapshot_age_seconds: {YEAR}}}"
    world = world_of(STAKING, ETH, rated(cap))
    assert read(world, "rated")[0] == pytest.approx(2_000.0 * 1.05 * 1.02, rel=1e-14)


def test_an_exchange_rate_feed_is_blind_to_the_pool_and_the_lower_of_two_is_not():
    pool = (
        "venues.pool={kind: constant_product, chain: mainnet, tokens: [sETH, ETH], fee: 0, "
        "value_usd: 4e5}"
    )
    market = ORACLE % ("market", "sETH", "{kind: pool_twap, pool: pool, window_seconds: 60}")
    lower = ORACLE % ("lower", "sETH", "{kind: lower_of, feeds: [rated, market]}")
    seller = "populations.seller={kind: accounts, chain: mainnet, holds: {sETH: 30, ETH: 1}}"
    world = world_of(STAKING, ETH, pool, market, rated(), lower, seller)
    assert read(world, "lower")[0] == pytest.approx(2_200.0, rel=1e-12)
    world.submit("pool", "swap", "seller", 0, a=0, amount=30.0)
    world.advance(ticks(300.0))
    sold = world.venues.price[world.venue("pool")] * 2_000.0
    assert sold < 1_500.0
    assert read(world, "market")[0] == pytest.approx(sold, rel=1e-12)
    assert read(world, "rated")[0] == pytest.approx(2_200.0, rel=1e-12)
    assert read(world, "lower")[0] == read(world, "market")[0]
    feeds = world.shared[Feeds]
    names = [world.venue_names[k] for k in feeds.venue]
    assert feeds.fill[names.index("lower")] == world.venues.last_fill[world.venue("pool")] > 0


def test_a_product_multiplies_and_a_feed_of_feeds_follows():
    product = ORACLE % ("twice", "ETH", "{kind: product, feeds: [eth, half]}")
    again = ORACLE % ("again", "ETH", "{kind: product, feeds: [twice, half]}")
    world = world_of(again, product, ETH, HALF)
    assert (read(world, "twice")[0], read(world, "again")[0]) == (1_000.0, 500.0)
    tell(world, 1_600.0)
    assert (read(world, "twice")[0], read(world, "again")[0]) == (800.0, 400.0)


def test_a_feed_of_the_reference_reads_it_without_delay():
    world = world_of(ORACLE % ("live", "ETH", "{kind: reference}"))
    assert read(world, "live") == (2_000.0, 0.0)


def test_keepers_report_what_a_pool_trades_at():
    market = ORACLE % ("market", "ETH", "{kind: reported, pool: eth-usd, heartbeat_seconds: 60}")
    keepers = "populations.keepers={kind: oracle_keepers, chain: mainnet}"
    buyer = "populations.buyer={kind: accounts, chain: mainnet, holds: {USD: 1e6, ETH: 1}}"
    world = world_of(market, keepers, buyer)
    world.submit("eth-usd", "swap", "buyer", 0, a=1, amount=1e6)
    world.advance(ticks(120.0))
    price = world.venues.price[world.venue("eth-usd")]
    assert price > 2_500.0
    assert read(world, "market")[0] == price


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        (("{kind: product, feeds: [b, c]}", "{kind: product, feeds: [a, c]}"), "from itself"),
        (("{kind: lower_of, feeds: [a, c]}", "{kind: reference}"), "from itself"),
    ],
)
def test_feeds_in_a_circle_are_refused(sources, fault):
    third = ORACLE % ("c", "USD", "{kind: fixed, price_usd: 1}")
    with pytest.raises(InputError, match=fault):
        world_of(*(ORACLE % (n, "ETH", s) for n, s in zip("ab", sources, strict=True)), third)


def test_an_exchange_rate_without_a_source_is_refused():
    with pytest.raises(InputError, match="either staking or rate"):
        world_of(ETH, ORACLE % ("rated", "ETH", "{kind: exchange_rate, feed: eth}"))


# --- delay, age, attacks -------------------------------------------------------------------------


def test_a_delayed_feed_names_the_report_in_force_and_not_the_newest():
    delayed = ORACLE % ("eth", "ETH", "{kind: reported, heartbeat_seconds: 1e6, delay_seconds: 60}")
    world = world_of(delayed)
    feeds = world.shared[Feeds]
    for price in (1_900.0, 1_800.0):
        tell(world, price)
    assert (read(world, "eth")[0], feeds.fill[0]) == (2_000.0, 0)
    newest = int(world.venues.last_fill[world.venue("eth")])
    world.advance(ticks(75.0))  # the report of 12 s is active, that of 24 s is not
    assert (read(world, "eth")[0], feeds.fill[0]) == (1_900.0, newest - 1)
    world.advance(ticks(90.0))
    assert (read(world, "eth")[0], feeds.fill[0]) == (1_800.0, newest)


def test_a_fixed_feed_does_not_age_and_a_computed_one_ages_with_its_oldest_part():
    product = ORACLE % ("twice", "ETH", "{kind: product, feeds: [eth, half]}")
    world = world_of(ETH, HALF, product)
    world.advance(ticks(600.0))
    assert read(world, "half")[1] == 0.0
    assert read(world, "eth")[1] == read(world, "twice")[1] == 600.0
    tell(world, 1_900.0)
    assert read(world, "twice")[1] == pytest.approx(12.0, abs=1.0)


def test_a_false_price_lasts_until_the_next_report_or_the_thaw():
    product = ORACLE % ("twice", "ETH", "{kind: product, feeds: [eth, half]}")
    world = world_of(ETH, HALF, product)
    strike(world, "set_oracle", venue="eth", price_usd=10.0)
    assert (read(world, "eth")[0], read(world, "twice")[0]) == (10.0, 5.0)
    tell(world, 1_900.0)
    assert read(world, "twice")[0] == 950.0
    strike(world, "set_oracle", venue="twice", price_usd=1.0)
    tell(world, 1_800.0)
    assert read(world, "twice")[0] == 1.0
    strike(world, "thaw_oracle", venue="twice")
    assert read(world, "twice")[0] == 900.0


def test_a_frozen_part_freezes_what_is_computed_from_it():
    product = ORACLE % ("twice", "ETH", "{kind: product, feeds: [eth, half]}")
    world = world_of(ETH, HALF, product)
    strike(world, "freeze_oracle", venue="eth")
    tell(world, 1_000.0)
    assert read(world, "twice")[0] == 1_000.0
    assert np.isfinite(world.shared[Feeds].value).all()
