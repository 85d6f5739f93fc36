"""Causes of liquidations: whose trades moved the price, in shares that add up to one."""

from __future__ import annotations

import numpy as np
import pytest

from experiments import causes
from experiments.causes import Liquidated, Trades, add_trades, causes_of, no_trades
from experiments.feed_history import FeedHistory
from sim.orders import FILL, ORDER, PRICE, cause
from tests.worlds import bench


@pytest.fixture
def world():
    """A world at rest in which a USD spent on ether lifts its price by 1e-6 for good."""
    made = bench()
    made.prices.permanent_per_usd[made.asset("ETH")] = 1e-6
    return made


def trades_of(world, *sold):
    """Return fills that sell ether for so many USD each, one a second, fills 1, 2, ..."""
    fills = np.zeros(len(sold), ORDER)
    fills["fill_id"] = np.arange(1, len(sold) + 1)
    fills["time"] = 1_000_000 * fills["fill_id"]
    fills["value_in"] = sold
    fills["token_in"] = world.token("mainnet", "ETH")
    fills["token_out"] = world.token("mainnet", "USD")
    return fills


def at_samples(rows, batches, since, observed):
    """Return liquidations whose collateral has no feed that takes reports."""
    none = np.full(len(rows), -1)
    return Liquidated(rows, batches, since, observed, none, none, np.full(len(rows), np.nan))


def test_only_trades_that_move_a_price_are_kept_in_order(world):
    batch = np.array([0, 0, 1])
    trades = add_trades(world, no_trades(), trades_of(world, 10.0, 20.0, 30.0), batch)

    assert trades.usd.tolist() == [-10.0, -20.0, -30.0]  # the dollar does not move
    assert set(trades.asset) == {world.asset("ETH")}
    assert trades.up_to(0).fill.tolist() == [1, 2]
    assert trades.up_to(1).fill.tolist() == [1, 2, 3]


def test_the_last_trades_alone_are_kept(world, monkeypatch):
    monkeypatch.setattr(causes, "MOST_TRADES", 2)
    trades = add_trades(world, no_trades(), trades_of(world, 1.0, 2.0, 3.0), np.zeros(3, int))

    assert trades.usd.tolist() == [-2.0, -3.0]


def test_a_liquidation_names_the_trades_known_when_its_fill_came(world):
    """Two liquidations, one from before the third trade came: 10 + 30 and 10 + 30 + 40 USD."""
    trades = add_trades(world, no_trades(), trades_of(world, 10.0, 30.0, 40.0), np.array([0, 0, 1]))
    fills = np.zeros(3, ORDER)
    fills["fill_id"], fills["parent"] = [4, 5, 6], cause(FILL, 3)
    fills["token_out"] = world.token("mainnet", "ETH")
    fills["token_in"] = world.token("mainnet", "ETH")
    late = np.full(2, 3_000_000)
    liquidated = at_samples(np.array([0, 2]), np.array([0, 1]), np.zeros(2, int), late)
    columns = causes_of(world, fills, liquidated, trades, FeedHistory(world))

    assert columns["fill_id"].tolist() == [4, 4, 5, 6, 6, 6]
    kept = columns["parent_kind"] == FILL
    assert columns["parent_id"][kept].tolist() == [1, 2, 3, 1, 2, 3]
    assert columns["weight"][kept] == pytest.approx([1 / 4, 3 / 4, 1.0, 1 / 8, 3 / 8, 1 / 2])


def test_a_liquidation_without_trades_is_the_prices_doing(world):
    fills = np.zeros(1, ORDER)
    fills["token_out"] = fills["token_in"] = world.token("mainnet", "ETH")
    one = np.zeros(1, int)
    liquidated = at_samples(one, one, one, one + 5)
    columns = causes_of(world, fills, liquidated, no_trades(), FeedHistory(world))

    assert columns["parent_kind"].tolist() == [PRICE]
    assert columns["parent_id"].tolist() == [world.asset("ETH")]
    assert columns["weight"].tolist() == [1.0]


def test_liquidations_of_one_moment_share_one_search(world, monkeypatch):
    asked = []
    search = causes.liquidation_parents
    monkeypatch.setattr(
        causes, "liquidation_parents", lambda *a: (asked.append(a[2:]), search(*a))[1]
    )
    fills = np.zeros(40, ORDER)
    fills["fill_id"] = np.arange(40)
    fills["token_out"] = fills["token_in"] = world.token("mainnet", "ETH")
    since = np.repeat([0, 1_000_000], 20)
    rows = np.arange(40)
    liquidated = at_samples(rows, rows * 0, since, np.full(40, 2_000_000))
    columns = causes_of(world, fills, liquidated, Trades(*no_trades()), FeedHistory(world))

    assert len(columns["fill_id"]) == 40
    assert len(asked) == 2
