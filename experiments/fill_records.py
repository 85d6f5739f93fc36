"""Records of what the engine did: fills, their causes, liquidations and blocks.

The engine empties its buffers often. Of each batch only what depends on that moment is read at
once: gas at present prices, and since when liquidated accounts were unsafe. The rest waits until
tens of thousands of rows have come together, and becomes columns in one go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.causes import Liquidated, add_trades, causes_of, no_trades
from experiments.record_tables import Text
from sim.orders import CAUSE_KINDS
from sim.status import Status
from sim.units import TICKS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from experiments.record_tables import TableWriter
    from sim.world import World

_STATUS = {int(status): status.name for status in sorted(Status)}
_ROWS_WAITING = 50_000


class EngineRecords:
    """Turns the batches of the engine's buffers into records.

    Parameters
    ----------
    world : whose buffers they are
    writers : of all record tables, by name
    slack : ticks between samples, to which the time of becoming unsafe is known

    Attributes
    ----------
    n_fills : executed fills so far
    gas : float64, (n_groups,), USD, paid so far
    activity : float64, (n_groups, 4): filled, failed, value in and gas since it was last set to 0
    """

    def __init__(self, world: World, writers: Mapping[str, TableWriter], slack: int) -> None:
        n = len(world.group_names)
        self.n_fills = 0
        self.gas = np.zeros(n)
        self.activity = np.zeros((n, 4))
        self._world = world
        self._writers = writers
        self._slack = slack
        self._counts = np.zeros(len(_STATUS), np.int64)
        self._codes = np.array(list(_STATUS))
        verbs = world.verb_names
        self._readers = world.liquidation_verbs()
        self._is_liquidation = np.array([k in self._readers for k in range(len(verbs))])
        self._is_trade = np.array([verb.endswith("reference_market.trade") for verb in verbs])
        self._native = world.box.chains["native"]
        self._trades = no_trades()
        self._n_batches = 0
        self._fills: list[np.ndarray] = []
        self._blocks: list[np.ndarray] = []
        self._n_waiting = {"fills": 0, "blocks": 0}
        self._liquidated: list[Liquidated] = []
        self._details: list[dict[str, Any]] = []

    @property
    def n_by_status(self) -> dict[str, int]:
        """Number of orders of each outcome that occurred, by its name."""
        counts = zip(_STATUS.values(), self._counts.tolist(), strict=True)
        return {name: count for name, count in counts if count}

    # --- a batch ---------------------------------------------------------------------------------

    def take_fills(self, fills: np.ndarray) -> None:
        """Take a batch of fills, which the engine will overwrite."""
        if not len(fills):
            return
        is_ok = fills["status"] == Status.OK
        self._count(fills, is_ok)
        liquidated = np.flatnonzero(is_ok & self._is_liquidation[fills["verb"]])
        if len(liquidated):
            self._note(fills[liquidated], liquidated + self._n_waiting["fills"])
        self._fills.append(fills.copy())
        self._n_waiting["fills"] += len(fills)
        self._n_batches += 1
        if self._n_waiting["fills"] >= _ROWS_WAITING:
            self.write_fills()

    def _count(self, fills: np.ndarray, is_ok: np.ndarray) -> None:
        """Add up what populations did and paid."""
        native, reference = self._native, self._world.prices.reference
        price = np.where(native >= 0, reference[native], 0.0)
        group, n = fills["group"], len(self.gas)
        gas = np.bincount(group, fills["gas_paid"] * price[fills["chain"]], n)
        filled = np.bincount(group, is_ok, n)
        self.gas += gas
        self.activity[:, 0] += filled
        self.activity[:, 1] += np.bincount(group, minlength=n) - filled
        self.activity[:, 2] += np.bincount(group, fills["value_in"], n)
        self.activity[:, 3] += gas
        self.n_fills += int(np.count_nonzero(is_ok))
        codes = np.searchsorted(self._codes, fills["status"])
        self._counts += np.bincount(codes, minlength=len(_STATUS))

    def _note(self, fills: np.ndarray, rows: np.ndarray) -> None:
        """Note what is now known of liquidations: rows of the waiting fills, and these fills."""
        since, observed = np.zeros((2, len(rows)), np.int64)
        readers = [self._readers[int(verb)] for verb in fills["verb"]]
        for reader in dict.fromkeys(readers):
            mine = np.array([k for k, other in enumerate(readers) if other is reader])
            times = reader.times(self._world, fills[mine], self._slack)
            since[mine], observed[mine] = times
            details = reader.details(self._world, fills[mine])
            self._details.append(_plain_columns(fills[mine]) | details)
        batch = np.full(len(rows), self._n_batches)
        self._liquidated.append(Liquidated(rows, batch, since, observed))

    def take_blocks(self, blocks: np.ndarray) -> None:
        """Take a batch of blocks, which the engine will overwrite."""
        blocks = blocks[self._native[blocks["chain"]] >= 0]  # the reference market has auctions
        if len(blocks):
            self._blocks.append(blocks)
            self._n_waiting["blocks"] += len(blocks)
            if self._n_waiting["blocks"] >= _ROWS_WAITING:
                self.write_blocks()

    # --- many batches ----------------------------------------------------------------------------

    def write_fills(self) -> None:
        """Write the fills that wait, with their causes and liquidations."""
        if not self._fills:
            return
        lengths = [len(batch) for batch in self._fills]
        first = self._n_batches - len(lengths)
        fills = np.concatenate(self._fills)
        self._fills, self._n_waiting["fills"] = [], 0
        self._write_fills(fills)
        self._write_orders(fills)
        trades = np.flatnonzero(self._is_trade[fills["verb"]] & (fills["status"] == Status.OK))
        batch = np.repeat(np.arange(first, self._n_batches), lengths)[trades]
        self._trades = add_trades(self._world, self._trades, fills[trades], batch)
        found = self._liquidated or [Liquidated(*(np.zeros(0, np.int64) for _ in range(4)))]
        liquidated = Liquidated(*(np.concatenate(column) for column in zip(*found, strict=True)))
        columns = causes_of(self._world, fills, liquidated, self._trades)
        columns["time"] = columns["time"] / TICKS_PER_SECOND
        columns["parent_kind"] = Text(columns["parent_kind"], CAUSE_KINDS)
        self._writers["causes"].append(columns)
        if self._details:
            self._write_liquidations()
        self._liquidated, self._details = [], []

    def _write_fills(self, fills: np.ndarray) -> None:
        world = self._world
        names = ["", *world.token_names]
        self._writers["fills"].append(
            {
                "fill_id": fills["fill_id"],
                "order_id": fills["id"],
                "leg": fills["leg"],
                "cause_id": fills["parent"],
                "time": fills["time"] / TICKS_PER_SECOND,
                "submitted": fills["arrival"] / TICKS_PER_SECOND,
                "chain": Text(fills["chain"], world.chain_names),
                "block": fills["height"],
                "position": fills["place"],
                "population": Text(fills["group"], world.group_names),
                "account": fills["row"],
                "kind": Text(fills["verb"], world.verb_names),
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
                "gas": np.where(fills["leg"] == 0, fills["gas"], 0),
                "tip": fills["tip"],
                "gas_paid": fills["gas_paid"],
                "status": self._status_of(fills),
            }
        )

    def _write_orders(self, fills: np.ndarray) -> None:
        """Write the first leg of every order; the legs of an order follow one another."""
        world, first = self._world, np.flatnonzero(fills["leg"] == 0)
        legs = np.diff(np.append(first, len(fills)))
        heads = fills[first]
        self._writers["orders"].append(
            {
                "order_id": heads["id"],
                "cause_id": heads["parent"],
                "submitted": heads["arrival"] / TICKS_PER_SECOND,
                "time": heads["time"] / TICKS_PER_SECOND,
                "expires": heads["expires"] / TICKS_PER_SECOND,
                "chain": Text(heads["chain"], world.chain_names),
                "block": heads["height"],
                "position": heads["place"],
                "population": Text(heads["group"], world.group_names),
                "account": heads["row"],
                "kind": Text(heads["verb"], world.verb_names),
                "venue": Text(heads["venue"], world.venue_names),
                "n_legs": legs,
                "gas": heads["gas"],
                "tip": heads["tip"],
                "max_fee": heads["max_fee"],
                "gas_price": np.where(heads["gas_paid"] > 0.0, heads["gas_price"], 0.0),
                "gas_paid": heads["gas_paid"],
                "status": self._status_of(heads),
            }
        )

    def _status_of(self, fills: np.ndarray) -> Text:
        return Text(np.searchsorted(self._codes, fills["status"]), list(_STATUS.values()))

    def _write_liquidations(self) -> None:
        world = self._world
        columns: dict[str, Any] = {
            name: np.concatenate([np.asarray(part[name]) for part in self._details])
            for name in self._details[0]
        }
        order = np.argsort(columns["fill_id"], kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
        for name, names in (
            ("chain", world.chain_names),
            ("venue", world.venue_names),
            ("borrower_population", world.group_names),
            ("liquidator_population", world.group_names),
            ("debt_token", world.token_names),
            ("collateral_token", world.token_names),
        ):
            columns[name] = Text(columns[name], names)
        self._writers["liquidations"].append(columns)

    def write_blocks(self) -> None:
        """Write the blocks that wait."""
        if not self._blocks:
            return
        blocks = np.concatenate(self._blocks)
        self._blocks, self._n_waiting["blocks"] = [], 0
        self._writers["chains"].append(
            {
                "time": blocks["time"] / TICKS_PER_SECOND,
                "chain": Text(blocks["chain"], self._world.chain_names),
                "block": blocks["height"],
                "gas_used": blocks["gas_used"],
                "background_gas": blocks["background_gas"],
                "base_fee": blocks["base_fee"],
                "gas_price_p60": blocks["p60"],
                "pending": blocks["pending"],
                "n_included": blocks["n_included"],
                "n_failed": blocks["n_failed"],
            }
        )


def _plain_columns(fills: np.ndarray) -> dict[str, Any]:
    """Return what the fills of liquidations say; text as numbers."""
    return {
        "fill_id": fills["fill_id"],
        "time": fills["time"] / TICKS_PER_SECOND,
        "chain": fills["chain"],
        "venue": fills["venue"],
        "position": fills["a"],
        "liquidator_population": fills["group"],
        "liquidator_account": fills["row"],
        "debt_token": fills["token_in"],
        "collateral_token": fills["token_out"],
        "debt_repaid": fills["amount_in"],
        "collateral_seized": fills["amount_out"],
        "debt_usd": fills["value_in"],
        "seized_usd": fills["value_out"],
        "seized_oracle_usd": fills["amount_out"] * fills["y"],
        "health_factor": fills["x"],
    }
