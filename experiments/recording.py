"""The recorder: from the engine's buffers and samples of the state to record tables.

`EngineRecords` takes what the engine did, `Samples` what the state is at given times, a
`TableWriter` each table to its file.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from experiments.fill_records import EngineRecords
from experiments.holding_samples import HoldingSamples
from experiments.record_tables import TableWriter
from experiments.samples import Samples
from sim.agenda import SAMPLE_RANK
from sim.records import TABLES
from sim.units import ticks

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from experiments.scenario import RecordConfig
    from sim.world import World


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
        self.writers = _open_writers(folder)
        self.engine = EngineRecords(world, self.writers, ticks(config.sample_seconds))
        self.samples = Samples(world, self.writers, self.engine)
        self.holdings = HoldingSamples(
            world, self.samples.claims, self.samples.add, config.holding_accounts
        )
        world.on_fills = self.engine.take_fills
        world.on_blocks = self.engine.take_blocks
        self.samples.write_accounts()
        for body, every in (
            (self.samples.take_state, config.sample_seconds),
            (self.samples.take_positions, config.position_seconds),
            (self.holdings.take, config.position_seconds),
            (self.samples.take_values, config.equity_seconds),
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

    @property
    def n_fills(self) -> int:
        """Number of executed fills so far."""
        return self.engine.n_fills

    @property
    def n_by_status(self) -> dict[str, int]:
        """Number of orders of each outcome that occurred, by its name."""
        return self.engine.n_by_status

    def finish(self) -> None:
        """Write the last samples and close all files."""
        self.world.flush()
        self.world.check()
        self.samples.write_accounts()
        self.engine.write_fills()
        self.engine.write_blocks()
        self.samples.write()
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


def _open_writers(folder: Path | None) -> dict[str, TableWriter]:
    """Return a writer for each record table; where one fails, the files are left as they are."""
    writers: dict[str, TableWriter] = {}
    thread = None if folder is None else ThreadPoolExecutor(1, "records")
    try:
        for name, table in TABLES.items():
            writers[name] = TableWriter(table, folder, thread)
    except OSError:  # the disk is full: nobody is to finish them when they are forgotten
        for writer in writers.values():
            writer.abandon()
        raise
    return writers
