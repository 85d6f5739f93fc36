"""The recorder: from the engine's buffers and samples of the state to Parquet files.

Columns are those of `sim.records`. Text columns are dictionaries. The content hash covers the
values of every column in declared order, not the bytes of the files, so it does not change with
the version of the Parquet library.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.causes import add_trades, causes_of, no_trades
from sim.agenda import SAMPLE_RANK
from sim.engine import OUTSIDE, OUTSIDE_ACCOUNTS
from sim.lending.reading import liquidation_details, liquidation_times
from sim.orders import CAUSE_KINDS
from sim.records import TABLES, Table
from sim.status import Status
from sim.units import TICKS_PER_SECOND, ticks

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.scenario import RecordConfig
    from sim.world import World

_TYPES = {
    "float64": pa.float64(),
    "int64": pa.int64(),
    "text": pa.dictionary(pa.int32(), pa.string()),
}
_STATUS = {int(status): status.name for status in Status}
_ROWS_IN_MEMORY = 200_000
_ROWS_A_GROUP = 50_000


def schema_of(table: Table) -> pa.Schema:
    """Return the Arrow schema of a record table; units and meanings are field metadata."""
    return pa.schema(
        pa.field(c.name, _TYPES[c.kind], metadata={"unit": c.unit, "meaning": c.meaning})
        for c in table.columns
    )


class Text:
    """A text column as codes into a list of names."""

    def __init__(self, codes: np.ndarray, names: list[str]) -> None:
        self.codes = np.array(codes, np.int32)  # a copy: the engine's buffers are used again
        self.names = names


class TableWriter:
    """Appends columns to one table: to a Parquet file, or kept in memory.

    Small batches are gathered first: a Parquet row group of ten rows costs as much as one of ten
    thousand.
    """

    def __init__(self, table: Table, folder: Path | None) -> None:
        self.table = table
        self.schema = schema_of(table)
        self.n_rows = 0
        self._waiting: list[list[Any]] = []
        self._n_waiting = 0
        self._digests = [hashlib.sha256() for _ in table.columns]
        self._batches: list[pa.Table] = []
        self._writer = None
        if folder is not None:
            path = folder / f"{table.name}.parquet"
            self._writer = pq.ParquetWriter(path, self.schema, compression="zstd")

    def append(self, columns: dict[str, Any]) -> None:
        """Append columns of equal length; text as `Text` or as a list of strings."""
        made: list[Any] = []
        for column in self.table.columns:
            value = columns[column.name]
            if column.kind == "text":
                made.append(value if isinstance(value, Text) else _coded(value))
            else:
                made.append(np.array(value, column.kind))  # a copy: buffers are used again
        self._waiting.append(made)
        length = len(made[0].codes) if isinstance(made[0], Text) else len(made[0])
        self.n_rows += length
        self._n_waiting += length
        if self._n_waiting >= _ROWS_A_GROUP:
            self._write()

    def _write(self) -> None:
        if not self._n_waiting:
            return
        arrays = []
        for k, (column, digest) in enumerate(zip(self.table.columns, self._digests, strict=True)):
            parts = [batch[k] for batch in self._waiting]
            if column.kind == "text":
                text = _joined(parts)
                digest.update("\0".join([*(text.names[c] for c in text.codes), ""]).encode())
                codes = pa.array(text.codes, pa.int32())
                arrays.append(pa.DictionaryArray.from_arrays(codes, pa.array(text.names)))
            else:
                data = np.concatenate(parts)
                digest.update(data.tobytes())
                arrays.append(pa.array(data))
        self._waiting, self._n_waiting = [], 0
        batch = pa.Table.from_arrays(arrays, schema=self.schema)
        if self._writer is not None:
            self._writer.write_table(batch)
        else:
            self._batches.append(batch)

    def close(self) -> None:
        """Write what waits and finish the file."""
        self._write()
        if self._writer is not None:
            self._writer.close()

    def abandon(self) -> None:
        """Leave the file as it is, without an end: the disk may be full."""
        if self._writer is not None:
            self._writer.is_open = False

    def digest(self) -> bytes:
        """Return the hash of all values, after `close`."""
        return b"".join(digest.digest() for digest in self._digests)

    def to_arrow(self) -> pa.Table:
        """Return what was kept in memory, after `close`."""
        return pa.concat_tables(self._batches) if self._batches else self.schema.empty_table()


def _joined(parts: list[Text]) -> Text:
    """Return text columns one after another, over one list of names."""
    names = list(dict.fromkeys(name for part in parts for name in part.names))
    at = {name: k for k, name in enumerate(names)}
    codes = [np.array([at[name] for name in p.names], np.int32)[p.codes] for p in parts]
    return Text(np.concatenate(codes), names)


def _coded(values: list[str]) -> Text:
    names = list(dict.fromkeys(values))
    at = {name: k for k, name in enumerate(names)}
    return Text(np.array([at[value] for value in values], np.int32), names)


def _verbs_named(names: list[str], ending: str) -> list[int]:
    return [k for k, name in enumerate(names) if name.endswith(ending)]


class Recorder:
    """Records a world while it runs.

    Parameters
    ----------
    world : to be recorded; its hooks are taken over
    config : how often to sample
    folder : where the Parquet files go; None keeps the tables in memory
    """

    def __init__(self, world: World, config: RecordConfig, folder: Path | None = None) -> None:
        self.world = world
        self.config = config
        self.writers = {name: TableWriter(table, folder) for name, table in TABLES.items()}
        self.n_fills = 0
        self.n_by_status: dict[str, int] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {}
        world.on_fills = self._record_fills
        world.on_blocks = self._record_blocks
        self._verbs = world.verb_names
        self._liquidate_verbs = [
            *_verbs_named(self._verbs, ".liquidate"),
            *_verbs_named(self._verbs, ".liquidate_for_claim"),
        ]
        self._trade_verbs = _verbs_named(self._verbs, "reference_market.trade")
        self._trades = no_trades()
        self._populations = ["", *world.group_names]
        self._start = world.holdings()
        self._start_price = world.prices.fundamental.copy()
        self._gas = np.zeros(len(world.group_names))
        self._activity = np.zeros((len(world.group_names), 4))
        self._record_accounts()
        for body, every in (
            (self._sample, config.sample_seconds),
            (self._sample_positions, config.position_seconds),
            (self._sample_equity, config.equity_seconds),
            (world.check, config.check_seconds),
        ):
            if every > 0:
                self._repeat(body, ticks(every), 0)

    def _repeat(self, body: Any, every: int, at: int) -> None:
        """Call `body` at `at` and then each `every` ticks up to the horizon."""

        def turn() -> None:
            body()
            if at + every <= self.world.horizon:
                self._repeat(body, every, at + every)

        self.world.call_at(at, SAMPLE_RANK, turn)

    # --- engine buffers --------------------------------------------------------------------------

    def _record_fills(self, fills: np.ndarray) -> None:
        if not len(fills):
            return
        world = self.world
        names = ["", *world.token_names]
        time = fills["time"] / TICKS_PER_SECOND
        lead = fills["leg"] == 0
        is_group = fills["group"]
        statuses = sorted(_STATUS)
        self.writers["fills"].append(
            {
                "fill_id": fills["fill_id"],
                "order_id": fills["id"],
                "leg": fills["leg"],
                "cause_id": fills["parent"],
                "time": time,
                "submitted": fills["arrival"] / TICKS_PER_SECOND,
                "chain": Text(fills["chain"], world.chain_names),
                "block": fills["height"],
                "position": fills["place"],
                "population": Text(is_group, world.group_names),
                "account": fills["row"],
                "kind": Text(fills["verb"], self._verbs),
                "venue": Text(fills["venue"], world.venue_names),
                "token_in": Text(fills["token_in"] + 1, names),
                "token_out": Text(fills["token_out"] + 1, names),
                "amount_in": fills["amount_in"],
                "amount_out": fills["amount_out"],
                "amount1": fills["amount1"],
                "fee_paid": fills["fee_paid"],
                "value_in": fills["value_in"],
                "value_out": fills["value_out"],
                "price_after": fills["price_after"],
                "detail": fills["a"],
                "gas": np.where(lead, fills["gas"], 0),
                "tip": fills["tip"],
                "gas_paid": fills["gas_paid"],
                "status": Text(
                    np.searchsorted(statuses, fills["status"]), [_STATUS[s] for s in statuses]
                ),
            }
        )
        self._count(fills, is_group)
        is_done = fills["status"] == Status.OK
        traded = is_done & np.isin(fills["verb"], self._trade_verbs)
        self._trades = add_trades(world, self._trades, fills[traded])
        liquidated = np.flatnonzero(is_done & np.isin(fills["verb"], self._liquidate_verbs))
        self._record_causes(fills, liquidated)
        if len(liquidated):
            self._record_liquidations(fills[liquidated])

    def _record_causes(self, fills: np.ndarray, liquidated: np.ndarray) -> None:
        none = np.zeros(0, np.int64)
        since, observed = none, none
        if len(liquidated):
            since, observed = liquidation_times(
                self.world, fills[liquidated], ticks(self.config.sample_seconds)
            )
        columns = causes_of(self.world, fills, liquidated, since, observed, self._trades)
        columns["time"] = columns["time"] / TICKS_PER_SECOND
        columns["parent_kind"] = Text(columns["parent_kind"], list(CAUSE_KINDS))
        self.writers["causes"].append(columns)

    def _record_liquidations(self, fills: np.ndarray) -> None:
        world = self.world
        details = liquidation_details(world, fills)
        seized = fills["amount_out"]
        self.writers["liquidations"].append(
            {
                "fill_id": fills["fill_id"],
                "time": fills["time"] / TICKS_PER_SECOND,
                "chain": Text(fills["chain"], world.chain_names),
                "venue": Text(fills["venue"], world.venue_names),
                "position": fills["a"],
                "borrower_population": Text(details["borrower_population"], world.group_names),
                "borrower_account": details["borrower_account"],
                "liquidator_population": Text(fills["group"], world.group_names),
                "liquidator_account": fills["row"],
                "debt_token": Text(fills["token_in"], world.token_names),
                "collateral_token": Text(fills["token_out"], world.token_names),
                "debt_repaid": fills["amount_in"],
                "collateral_seized": seized,
                "debt_usd": fills["value_in"],
                "seized_usd": fills["value_out"],
                "seized_oracle_usd": seized * fills["y"],
                "health_factor": fills["x"],
                "delay": details["delay"],
            }
        )

    def _count(self, fills: np.ndarray, group: np.ndarray) -> None:
        """Add up what populations did and paid."""
        world = self.world
        is_ok = fills["status"] == Status.OK
        native = world.box.chains["native"][fills["chain"]]
        gas = np.where(native >= 0, fills["gas_paid"] * world.prices.reference[native], 0.0)
        n = len(world.group_names)
        self._gas += np.bincount(group, gas, n)
        for k, weight in enumerate((is_ok, ~is_ok, fills["value_in"], gas)):
            self._activity[:, k] += np.bincount(group, weight, n)
        self.n_fills += int(is_ok.sum())
        for status, count in zip(*np.unique(fills["status"], return_counts=True), strict=True):
            name = _STATUS[int(status)]
            self.n_by_status[name] = self.n_by_status.get(name, 0) + int(count)

    def _record_blocks(self, blocks: np.ndarray) -> None:
        has_gas = self.world.box.chains["native"][blocks["chain"]] >= 0
        blocks = blocks[has_gas]  # the reference market has auctions, not blocks
        if len(blocks):
            self.writers["chains"].append(
                {
                    "time": blocks["time"] / TICKS_PER_SECOND,
                    "chain": Text(blocks["chain"], self.world.chain_names),
                    "block": blocks["height"],
                    "gas_used": blocks["gas_used"],
                    "base_fee": blocks["base_fee"],
                    "pending": blocks["pending"],
                    "n_included": blocks["n_included"],
                    "n_failed": blocks["n_failed"],
                }
            )

    # --- samples ---------------------------------------------------------------------------------

    def _sample(self) -> None:
        world = self.world
        world.flush()
        world.refresh_prices()
        for name, rows in world.sample().items():
            for row in rows:
                self._add(name, row)
        self._sample_prices()
        self._sample_activity()

    def _add(self, name: str, row: dict[str, Any]) -> None:
        world = self.world
        row["time"] = world.time
        if "venue" in row:
            venue = row["venue"]
            row["venue"] = world.venue_names[venue]
            row.setdefault("chain", world.chain_names[world.venues.chain[venue]])
            if name == "pools":
                self._complete_pool(row, venue)
        kept = self._rows.setdefault(name, [])
        kept.append(row)
        if len(kept) >= _ROWS_IN_MEMORY:
            self._write_rows(name)

    def _complete_pool(self, row: dict[str, Any], venue: int) -> None:
        venues, price = self.world.venues, self.world.prices.reference
        price0, price1 = price[venues.token0[venue]], price[venues.token1[venue]]
        row["price"] = float(venues.price[venue])
        row["reference_price"] = float(price0 / price1) if price1 > 0.0 else 0.0
        row["value_usd"] = float(row["reserve0"] * price0 + row["reserve1"] * price1)
        row["volume_usd"] = float(venues.volume[venue])
        row["fees_usd"] = float(venues.fees[venue])
        row["lvr_usd"] = float(venues.lvr[venue])

    def _sample_prices(self) -> None:
        world, prices = self.world, self.world.prices
        step = min(world.now // int(prices.step[0]), prices.path.shape[1] - 1)
        transient = prices.transient * np.exp(-prices.decay * (world.now - prices.updated))
        for k, asset in enumerate(world.asset_names):
            fundamental = float(prices.path[k, step])
            permanent = float(prices.permanent[k])
            fading = float(transient[k])
            self._add(
                "prices",
                {
                    "asset": asset,
                    "fundamental": fundamental,
                    "permanent": permanent,
                    "transient": fading,
                    "reference": fundamental * float(np.exp(permanent + fading)),
                },
            )

    def _sample_activity(self) -> None:
        for group, name in enumerate(self.world.group_names):
            filled, failed, value, gas = self._activity[group]
            if filled or failed:
                self._add(
                    "populations",
                    {
                        "population": name,
                        "n_filled": int(filled),
                        "n_failed": int(failed),
                        "value_in": float(value),
                        "gas": float(gas),
                    },
                )
        self._activity[:] = 0.0

    def _sample_positions(self) -> None:
        for name, rows in self.world.sample_positions().items():
            self.writers[name].append(rows)

    def _sample_equity(self) -> None:
        world = self.world
        world.flush()
        world.refresh_prices()
        claims = world.claims()
        price, held = world.prices.fundamental, world.holdings(claims)
        value = held @ price
        gain = self._start @ (price - self._start_price)
        start_value = self._start @ self._start_price
        for group, name in enumerate(world.group_names):
            if group != OUTSIDE:
                self._add_equity(name, -1, value[group], gain[group], start_value[group], group)
        self._sample_outside(price, world.outside_holdings(claims))

    def _sample_outside(self, price: np.ndarray, now: np.ndarray) -> None:
        first = self._start_accounts[OUTSIDE]
        for row, name in enumerate(OUTSIDE_ACCOUNTS):
            gain = float(first[row] @ (price - self._start_price))
            start = float(first[row] @ self._start_price)
            self._add_equity(f"outside/{name}", -1, float(now[row] @ price), gain, start, None)

    def _add_equity(
        self, name: str, account: int, value: float, gain: float, start: float, group: int | None
    ) -> None:
        self._add(
            "equity",
            {
                "population": name,
                "account": account,
                "value": float(value),
                "holding_gain": float(gain),
                "trading_gain": float(value - start - gain),
                "gas": float(self._gas[group]) if group is not None else 0.0,
            },
        )

    def _record_accounts(self) -> None:
        """Record the value of every account: once at the start, once at the end."""
        world = self.world
        accounts = world.account_holdings()
        if world.now == 0:
            self._start_accounts = accounts
        price = world.prices.fundamental
        for group, name in enumerate(world.group_names):
            if group < world.n_venue_groups:
                continue
            first = self._start_accounts[group]
            value = accounts[group] @ price
            gain = first @ (price - self._start_price)
            n = len(value)
            self.writers["equity"].append(
                {
                    "time": np.full(n, world.time),
                    "population": Text(np.full(n, 0), [name]),
                    "account": np.arange(n),
                    "value": value,
                    "holding_gain": gain,
                    "trading_gain": value - first @ self._start_price - gain,
                    "gas": np.zeros(n),
                }
            )

    # --- end -------------------------------------------------------------------------------------

    def _write_rows(self, name: str) -> None:
        rows = self._rows.pop(name, [])
        if rows:
            self.writers[name].append(
                {c.name: [row[c.name] for row in rows] for c in TABLES[name].columns}
            )

    def finish(self) -> None:
        """Write the last samples and close all files."""
        self.world.flush()
        self.world.check()
        self._record_accounts()
        for name in TABLES:
            self._write_rows(name)
        for writer in self.writers.values():
            writer.close()

    def content_hash(self) -> str:
        """Return the SHA-256 of all recorded values, tables in declared order."""
        digest = hashlib.sha256()
        for name, writer in self.writers.items():
            digest.update(name.encode() + writer.digest())
        return digest.hexdigest()

    def tables(self) -> dict[str, pa.Table]:
        """Return the tables kept in memory, by name."""
        return {name: writer.to_arrow() for name, writer in self.writers.items()}
