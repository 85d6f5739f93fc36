"""Samples of the state: what mechanisms report, prices, activity and equity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from experiments.record_tables import SampleBuffer, Text
from sim.depth import MOVES, measure_depth
from sim.outside import OUTSIDE, OUTSIDE_ACCOUNTS
from sim.records import TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from experiments.fill_records import EngineRecords
    from experiments.record_tables import TableWriter
    from sim.registry import Claim, Columns
    from sim.world import World

_SAMPLES_WAITING, _ROWS_WAITING = 2_000, 200_000
_TEXTS = {
    name: [column.name for column in table.columns if column.kind == "text"]
    for name, table in TABLES.items()
}


class Samples:
    """Takes samples of a world as columns, which wait until there are many.

    Parameters
    ----------
    world : sampled
    writers : of all record tables, by name
    engine : what the engine did, brought up to date by `World.flush`
    """

    def __init__(
        self, world: World, writers: Mapping[str, TableWriter], engine: EngineRecords
    ) -> None:
        self._world = world
        self._writers = writers
        self._engine = engine
        self._waiting: dict[str, SampleBuffer] = {}
        self._names = {
            "venue": world.venue_names,
            "feed": world.venue_names,
            "chain": world.chain_names,
            "token": world.token_names,
            "collateral_token": [*world.token_names, ""],  # number -1: none
            "debt_token": world.token_names,
            "population": world.group_names,
            "asset": world.asset_names,
        }
        outside = [f"outside/{name}" for name in OUTSIDE_ACCOUNTS]
        self._owners = [*world.group_names, *outside]
        states = ((site.group, world.states[site.name]) for site in world.population_sites)
        self._stuck_columns = [
            (group, state.stuck_usd_hours)
            for group, state in states
            if hasattr(state, "stuck_usd_hours")
        ]
        self._stuck = np.zeros(len(engine.activity))
        self._claims: tuple[int, list[Claim]] = (-1, [])
        self._pools: list[np.ndarray] = []
        self._start = world.holdings()
        self._start_price = world.prices.fundamental.copy()
        self._start_accounts = world.account_holdings()

    def add(self, name: str, columns: Columns) -> None:
        """Keep columns of a record, with the time, the chain of venues and names for numbers."""
        world = self._world
        columns = {"time": world.time, **columns}
        text = _TEXTS[name]
        if "chain" in text and "chain" not in columns:
            columns["chain"] = world.venues.chain[columns["venue"]]
        for column in text:
            value = columns[column]
            if isinstance(value, np.ndarray):
                columns[column] = Text(value, self._names[column])
        if name not in self._waiting:
            self._waiting[name] = SampleBuffer(TABLES[name])
        waiting = self._waiting[name]
        waiting.append(columns)
        if waiting.n_samples >= _SAMPLES_WAITING or waiting.n_rows >= _ROWS_WAITING:
            self._hand_on(name)

    def _hand_on(self, name: str) -> None:
        self._writers[name].append(self._waiting[name].empty())

    def write(self) -> None:
        """Write the samples that wait."""
        for name, waiting in self._waiting.items():
            if waiting.n_samples:
                self._hand_on(name)

    # --- mechanisms, prices, activity ------------------------------------------------------------

    def take_state(self) -> None:
        """Sample the state of every mechanism, the prices, and what populations did since."""
        world = self._world
        world.flush()
        world.refresh_prices()
        sampled = world.sample()
        self._pools = [np.array(columns["venue"]) for columns in sampled.get("pools", ())]
        for name, found in sampled.items():
            for columns in found:
                self.add(name, self._complete(columns) if name == "pools" else columns)
        self._take_prices()
        self._take_activity()

    def _complete(self, pools: Columns) -> Columns:
        """Return columns of pools with those that follow from venue and reserves."""
        venues, price, venue = self._world.venues, self._world.prices.reference, pools["venue"]
        price0, price1 = price[venues.token0[venue]], price[venues.token1[venue]]
        is_priced = price1 > 0.0
        return {
            **pools,
            "price": venues.price[venue],
            "reference_price": np.divide(price0, price1, out=np.zeros(len(venue)), where=is_priced),
            "value_usd": pools["reserve0"] * price0 + pools["reserve1"] * price1,
            "volume_usd": venues.volume[venue],
            "fees_usd": venues.fees[venue],
            "lvr_usd": venues.lvr[venue],
        }

    def _take_depth(self) -> None:
        """Sample what it costs to move the price of every pool that has been sampled."""
        world, n = self._world, len(MOVES)
        for pools in self._pools:
            usd = measure_depth(world.venues, pools, world.prices.reference)
            self.add(
                "depth",
                {
                    "venue": np.repeat(pools, n),
                    "move": np.tile(MOVES, len(pools)),
                    "usd": usd.ravel(),
                },
            )

    def _take_prices(self) -> None:
        now, prices = self._world.now, self._world.prices
        step = min(now // int(prices.step[0]), prices.path.shape[1] - 1)
        fundamental = prices.path[:, step]
        transient = prices.transient * np.exp(-prices.decay * (now - prices.updated))
        self.add(
            "prices",
            {
                "asset": np.arange(len(fundamental)),
                "fundamental": fundamental,
                "permanent": prices.permanent,
                "transient": transient,
                "reference": fundamental * np.exp(prices.permanent + transient),
            },
        )

    def _take_activity(self) -> None:
        activity, stuck = self._engine.activity, self._stuck_usd_hours()
        was_active = (activity[:, 0] > 0.0) | (activity[:, 1] > 0.0)
        groups = np.flatnonzero(was_active | (stuck != self._stuck))
        filled, failed, value, gas = activity[groups].T
        self.add(
            "populations",
            {
                "population": groups,
                "n_filled": filled,
                "n_failed": failed,
                "value_in": value,
                "gas": gas,
                "stuck_usd_hours": stuck[groups],
            },
        )
        activity[:], self._stuck = 0.0, stuck

    def _stuck_usd_hours(self) -> np.ndarray:
        """Return what refused withdrawals add up to, so far, by group: float64, (n,), USD h.

        Populations that withdraw count it themselves, in a column of that name.
        """
        found = np.zeros(len(self._engine.activity))
        for group, column in self._stuck_columns:
            found[group] = column.sum()
        return found

    def take_positions(self) -> None:
        """Sample every position that mechanisms report."""
        for name, found in self._world.sample_positions().items():
            for columns in found:
                self.add(name, columns)

    # --- equity ----------------------------------------------------------------------------------

    def take_values(self) -> None:
        """Sample what groups and outside accounts have, and what it costs to move pools."""
        self._world.flush()
        self._world.refresh_prices()
        self._take_equity()
        self._take_depth()

    def _take_equity(self) -> None:
        world = self._world
        claims, price = self.claims(), world.prices.fundamental
        change = price - self._start_price
        held = world.holdings(claims), world.outside_holdings(claims)
        held_first = self._start, self._start_accounts[OUTSIDE]
        value = _values(*held, price)
        start, gain = _values(*held_first, self._start_price), _values(*held_first, change)
        owner = np.flatnonzero(np.arange(len(value)) != OUTSIDE)
        self.add(
            "equity",
            {
                "population": Text(owner, self._owners),
                "account": -1,
                "value": value[owner],
                "holding_gain": gain[owner],
                "trading_gain": (value - start - gain)[owner],
                "gas": np.append(self._engine.gas, np.zeros(len(OUTSIDE_ACCOUNTS)))[owner],
            },
        )

    def claims(self) -> list[Claim]:
        """Return the claims of now: looked up once where several samples fall on one time."""
        if self._claims[0] != self._world.now:
            self._claims = self._world.now, self._world.claims()
        return self._claims[1]

    def write_accounts(self) -> None:
        """Write the value of every account of every population, as at the start and the end."""
        world = self._world
        accounts, price = world.account_holdings(), world.prices.fundamental
        for group in range(world.n_venue_groups, len(world.group_names)):
            first = self._start_accounts[group]
            value, gain = accounts[group] @ price, first @ (price - self._start_price)
            n = len(value)
            self._writers["equity"].append(
                {
                    "time": world.time,
                    "population": Text(np.full(n, group), world.group_names),
                    "account": np.arange(n),
                    "value": value,
                    "holding_gain": gain,
                    "trading_gain": value - first @ self._start_price - gain,
                    "gas": 0.0,
                }
            )


def _values(groups: np.ndarray, outside: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Return the value of each group, then of each outside account: float64, (n,), USD."""
    return np.array([*(groups @ price), *(account @ price for account in outside)])
