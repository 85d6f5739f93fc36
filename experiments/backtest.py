"""The backtest of DebtRank: many worlds, each with and without its shocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from experiments.calm import without_shocks
from experiments.composition import build
from experiments.recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from experiments.scenario import Scenario


def backtest(worlds: Iterable[tuple[Scenario, int]]) -> pd.DataFrame:
    """Return predicted and simulated losses of populations in many worlds.

    Parameters
    ----------
    worlds : scenario and seed of each; shocks may differ between them

    Returns
    -------
    one row a world and population; columns population, predicted, simulated (USD), world; to be
    judged by `analysis.contagion.backtest.agreement`
    """
    from analysis.contagion.backtest import loss_table

    rows = []
    for number, (scenario, seed) in enumerate(worlds):
        shocked, about = _records(scenario, seed)
        calm, calm_about = _records(without_shocks(scenario), seed)
        table = loss_table(shocked, calm, about, calm_about).reset_index(names="population")
        rows.append(table.assign(world=number))
    return pd.concat(rows, ignore_index=True)


def _records(scenario: Scenario, seed: int) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Return the record tables of a run and what its manifest says of it."""
    model = build(scenario, seed)
    recorder = Recorder(model.world, scenario.records)
    model.run_until(scenario.horizon)
    recorder.finish()
    tables = {name: table.to_pandas() for name, table in recorder.tables().items()}
    return tables, {"scenario": scenario.model_dump(mode="json"), "seed": seed}
