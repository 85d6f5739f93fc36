"""The price files of a scenario: found, checked and pinned before anything is built.

A path in a scenario file is taken from that file's folder, one on the command line from where
the command runs. The scenario as run names the file in full, its first candle and its SHA-256, so
that a run can be repeated, and is refused when the file has changed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from experiments.faults import fault
from experiments.file_places import file_at
from sim.errors import ScenarioError
from sim.reference.candles import load_candles
from sim.reference.config import ReplayPriceConfig
from sim.units import TICKS_PER_SECOND

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.scenario import Scenario
    from experiments.yaml_source import Place, Source


def with_known_candles(source: Source, scenario: Scenario, folder: Path) -> Scenario:
    """Return the scenario with the place, start and hash of every price file that it replays.

    Raises
    ------
    ScenarioError
        A file is missing or wrong, or does not cover the run.
    """
    assets = dict(scenario.assets)
    for name, asset in assets.items():
        if isinstance(asset.price, ReplayPriceConfig):
            place = ("assets", name, "price")
            known = _known_candles(source, place, asset.price, folder, scenario.horizon)
            assets[name] = asset.model_copy(update={"price": known})
    return scenario.model_copy(update={"assets": assets})


def _known_candles(
    source: Source, place: Place, replay: ReplayPriceConfig, folder: Path, horizon: float
) -> ReplayPriceConfig:
    where = (*place, "file")
    path = file_at(source, where, replay.file, folder, "price file", may_leave=True)
    try:
        candles = load_candles(path, replay.start, horizon)
    except ScenarioError as error:
        raise fault(source, where, str(error)) from None
    if replay.sha256 not in (None, candles.sha256):
        why = f"price file {path} has SHA-256 {candles.sha256}, not {replay.sha256}"
        raise fault(source, (*place, "sha256"), f"{why}; give that file, or leave sha256 out")
    start = datetime.fromtimestamp(int(candles.time[0]) / TICKS_PER_SECOND, UTC)
    return replay.model_copy(update={"file": str(path), "start": start, "sha256": candles.sha256})
