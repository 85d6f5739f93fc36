"""What feeds have read: which report a fill read, when an account was last safe, who moved it."""

import numpy as np
import pytest

from experiments.causes import (
    Liquidated,
    add_trades,
    causes_of,
    no_trades,
    report_parents,
    shadow_health,
)
from experiments.feed_history import FeedHistory
from sim.orders import ACCRUAL, FILL, ORDER, PRICE, SHOCK
from sim.status import Status
from tests.worlds import bench

SECOND = 1_000_000
DELAYED = "{kind: oracle, chain: mainnet, token: ETH, source: {kind: reported, delay_seconds: 60}}"
OF_POOL = "{kind: oracle, chain: mainnet, token: ETH, source: {kind: reported, pool: eth-usd}}"
RATE = "{kind: oracle, chain: mainnet, token: ETH, source: {kind: exchange_rate, feed: eth-feed, rate: 1.1}}"  # noqa: E501
FIXED = "{kind: oracle, chain: mainnet, token: USD, source: {kind: fixed, price_usd: 1}}"
MARKET = "{kind: lending, chain: mainnet, reserves: {ETH: {feed: eth-feed}, USD: {feed: usd-feed}}}"


def world_of(feed):
    """Return a world at rest with a market that reads the feed."""
    made = bench(
        f"venues.eth-feed={feed}",
        f"venues.rate-feed={RATE}",
        f"venues.usd-feed={FIXED}",
        f"venues.market={MARKET}",
    )
    made.prices.permanent_per_usd[made.asset("ETH")] = 1e-6
    return made


def fill(world, number, seconds, verb, venue, **columns):
    """Return an executed fill of a verb."""
    made = np.zeros(1, ORDER)
    made["fill_id"], made["time"] = number, round(seconds * SECOND)
    made["verb"], made["venue"] = world.verb_names.index(verb), world.venue(venue)
    made["status"] = int(Status.OK)
    for name, value in columns.items():
        made[name] = value
    return made


def report(world, number, seconds, price):
    """Return a report that was seen 3 s before its block."""
    seen = round((seconds - 3.0) * SECOND)
    return fill(world, number, seconds, "oracle.report", "eth-feed", amount=price, a=seen)


def liquidation(world, number, seconds, health, price):
    """Return a liquidation of somebody who owes dollars and pledged ether."""
    ether, dollar = (world.token("mainnet", symbol) for symbol in ("ETH", "USD"))
    tokens = {"token_out": ether, "token_in": dollar}
    return fill(world, number, seconds, "lending.liquidate", "market", x=health, y=price, **tokens)


def parents_of(world, fills, history, trades, row, price):
    """Return (space, number, weight) of the parents of one liquidation among fills."""
    one = np.array([row])
    zero = np.zeros(1, np.int64)
    feed = np.array([world.venues.row[world.venue("eth-feed")]])
    observed = fills["time"][one]
    done = Liquidated(one, zero, zero, observed, feed, np.array([-1]), np.array([price]))
    columns = causes_of(world, fills, done, trades, history)
    mine = columns["fill_id"] == fills["fill_id"][row]
    names = ("parent_kind", "parent_id", "weight")
    return list(zip(*(columns[name][mine].tolist() for name in names), strict=True)), done


def test_a_delayed_report_is_read_once_it_is_active():
    world = world_of(DELAYED)
    history = FeedHistory(world)
    feed = int(world.venues.row[world.venue("eth-feed")])
    history.add(np.concatenate([report(world, 1, 10, 1_900.0), report(world, 2, 20, 1_800.0)]))
    assert history.reports[feed].value.tolist() == [2_000.0, 1_900.0, 1_800.0]
    at = [history.in_force(feed, 9, seconds * SECOND, 999 * SECOND) for seconds in (69, 70, 80)]
    assert at == [0, 1, 2]
    assert history.in_force(feed, 2, 80 * SECOND, 999 * SECOND) == 1  # an earlier fill
    assert history.in_force(feed, 9, 80 * SECOND, 10 * SECOND) == 1  # seen by then


def test_an_account_was_last_safe_at_the_last_report_above_its_price():
    world = world_of(DELAYED)
    history = FeedHistory(world)
    feed = int(world.venues.row[world.venue("eth-feed")])
    prices = (1_900.0, 1_950.0, 1_890.0, 1_880.0)
    history.add(
        np.concatenate([report(world, k + 1, 10 * k + 10, price) for k, price in enumerate(prices)])
    )
    assert history.last_safe(feed, 4, 1_900.0, 1) == 2  # 1,950
    assert history.last_safe(feed, 4, 1_885.0, 1) == 3
    assert history.last_safe(feed, 4, 1_885.0, -1) == -1  # a short, safe below
    assert history.last_safe(feed, 4, 2_001.0, 1) == -1


def test_a_computed_feed_is_moved_by_the_reports_of_its_part():
    history = FeedHistory(world_of(DELAYED))
    venues = history._world.venues
    rows = [int(venues.row[history._world.venue(name)]) for name in ("rate-feed", "usd-feed")]
    feed = int(venues.row[history._world.venue("eth-feed")])
    assert [history.reported_by(row) for row in (*rows, feed, -1)] == [feed, -1, feed, -1]


def test_a_liquidation_names_who_moved_the_report_that_made_it_unsafe():
    """Safe at 2,000, unsafe from a report of 2,000 e^-0.03 on; the sale after it is not to blame.

    Between the two 10,000 USD were sold, hence 0.01 of the 0.03; the rest is the fundamental.
    """
    world = world_of(DELAYED)
    history = FeedHistory(world)
    ether, dollar = (world.token("mainnet", symbol) for symbol in ("ETH", "USD"))
    sale = {"token_in": ether, "token_out": dollar}
    verb = ("constant_product.swap", "eth-usd")
    fills = np.concatenate(
        [
            fill(world, 1, 2.0, *verb, value_in=10_000.0, **sale),
            report(world, 2, 12.0, 2_000.0 * np.exp(-0.03)),
            fill(world, 3, 14.0, *verb, value_in=50_000.0, **sale),
            report(world, 4, 24.0, 2_000.0 * np.exp(-0.09)),
            liquidation(world, 5, 90.0, 0.93, 2_000.0 * np.exp(-0.09)),
        ]
    )
    history.add(fills)
    trades = add_trades(world, no_trades(), fills[[0, 2]], np.zeros(2, int))
    found, done = parents_of(world, fills, history, trades, 4, 2_000.0 * np.exp(-0.09))
    asset = world.asset("ETH")
    assert [(space, number) for space, number, _ in found] == [(PRICE, asset), (FILL, 1)]
    assert [weight for *_, weight in found] == pytest.approx([2.0 / 3.0, 1.0 / 3.0])
    # at the fundamental of 2,000 its health factor would be that much higher
    shadow = shadow_health(world, fills[[4]], done, history)
    assert shadow[0] == pytest.approx(0.93 * np.exp(0.09))


def test_the_report_itself_has_the_parents_of_its_move():
    world = world_of(DELAYED)
    history = FeedHistory(world)
    ether = world.token("mainnet", "ETH")
    fills = np.concatenate(
        [
            fill(world, 1, 2.0, "constant_product.swap", "eth-usd", value_in=1e4, token_in=ether,
                 token_out=world.token("mainnet", "USD")),
            report(world, 2, 12.0, 2_000.0 * np.exp(-0.04)),
        ]
    )  # fmt: skip
    history.add(fills)
    trades = add_trades(world, no_trades(), fills[[0]], np.zeros(1, int))
    none = Liquidated(*(np.zeros(0, np.int64) for _ in Liquidated._fields))
    columns = causes_of(world, fills, none, trades, history)
    mine = columns["fill_id"] == 2
    assert columns["parent_kind"][mine].tolist() == [PRICE, FILL]
    assert columns["weight"][mine] == pytest.approx([0.75, 0.25])


def test_a_feed_of_a_pool_is_moved_by_the_swaps_in_it():
    """From 2,000 to 1,900 to 1,805: half the fall each; the swap of the report's block is late."""
    world = world_of(OF_POOL)
    history = FeedHistory(world)
    swap = ("constant_product.swap", "eth-usd")
    fills = np.concatenate(
        [
            fill(world, 1, 2.0, *swap, price_after=1_900.0),
            fill(world, 2, 5.0, *swap, price_after=1_805.0),
            report(world, 3, 12.0, 1_805.0),
            fill(world, 4, 12.0, *swap, price_after=1_500.0),
        ]
    )
    history.add(fills)
    feed = int(world.venues.row[world.venue("eth-feed")])
    found = report_parents(world, no_trades(), history, feed, (0, 1))
    assert found.number.tolist() == [1, 2]
    assert found.weight == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("health", "price", "cause"),
    [(0.9, 1_500.0, SHOCK), (0.9, 2_000.0, ACCRUAL)],
    ids=["a price that nobody reported", "safe at no report"],
)
def test_what_no_report_explains_has_a_cause_of_its_own(health, price, cause):
    """At 1,500 it is unsafe below 1,667, and the report says 2,000; at 2,000 below 2,222."""
    world = world_of(DELAYED)
    history = FeedHistory(world)
    fills = liquidation(world, 1, 90.0, health, price)
    history.add(fills)
    found, _ = parents_of(world, fills, history, no_trades(), 0, price)
    assert found == [(cause, 0, 1.0)]
