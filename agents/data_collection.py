"""Data collection in columns: Mesa's collector, fast for populations of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from agents.population import Rows
from sim.errors import InputError
from sim.mesa_import import mesa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.model import Model


class DataCollector(mesa.DataCollector):
    """Mesa's data collector; copies columns as columns, so a million agents cost milliseconds.

    Reporters are as in Mesa: names are fast, functions of one agent are called row by row. `Step`
    in the tables is `model.time` in seconds, on every Mesa. Where a set of agents lacks a column,
    its rows hold NaN.
    """

    def __init__(
        self,
        model_reporters: Mapping[str, Any] | None = None,
        agent_reporters: Mapping[str, Any] | None = None,
        agenttype_reporters: Mapping[type, Mapping[str, Any]] | None = None,
        tables: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(model_reporters, None, None, tables)
        self._by_agent = dict(agent_reporters or {})
        self._by_type = {kind: dict(r) for kind, r in (agenttype_reporters or {}).items()}
        self._frames: dict[type | None, list[pd.DataFrame]] = {None: []}
        self._frames |= {kind: [] for kind in self._by_type}

    def collect(self, model: Model) -> None:
        """Collect all reporters now."""
        super().collect(model)
        if self._by_agent:
            self._frames[None] += _frames(model.time, model.agents, self._by_agent)
        for kind, reporters in self._by_type.items():
            agents = model.agents_by_type.get(kind)
            agents = model.agents.select(agent_type=kind) if agents is None else agents
            self._frames[kind] += _frames(model.time, agents, reporters)

    def get_agent_vars_dataframe(self) -> pd.DataFrame:
        """Return what was collected of all agents, by time and id."""
        return self._table(None, self._by_agent)

    def get_agenttype_vars_dataframe(self, agent_type: type) -> pd.DataFrame:
        """Return what was collected of the agents of a type, by time and id."""
        return self._table(agent_type, self._by_type.get(agent_type, {}))

    def _table(self, kind: type | None, reporters: Mapping[str, Any]) -> pd.DataFrame:
        if not reporters:
            raise InputError(
                "no agent reporters are defined for this table; give some to DataCollector"
            )
        names = ["Step", "AgentID", *reporters]
        made = self._frames[kind] or [pd.DataFrame(columns=names)]
        table = pd.concat(made, ignore_index=True).reindex(columns=names)
        return table.set_index(["Step", "AgentID"])


def _frames(time: float, agents: Any, reporters: Mapping[str, Any]) -> list[pd.DataFrame]:
    """Return one table of each set that `agents` is made of."""
    frames = []
    for part in getattr(agents, "parts", [agents]):
        if len(part):
            values = {name: _report(part, reporter) for name, reporter in reporters.items()}
            known = {name: column for name, column in values.items() if column is not None}
            frames.append(pd.DataFrame({"Step": time, "AgentID": part.get("unique_id"), **known}))
    return frames


def _report(part: Any, reporter: Any) -> Any:
    """Return a copy of a reporter's values, one for each agent; None: there is no such column."""
    if isinstance(reporter, str):
        if isinstance(part, Rows):
            known = part.population.has(reporter)
            return np.array(part.get(reporter)) if known else None
        values = part.get(reporter, handle_missing="default", default_value=None)
        return None if all(value is None for value in values) else values
    function, arguments = reporter if isinstance(reporter, list) else (reporter, ())
    return part.map(function, *arguments)
