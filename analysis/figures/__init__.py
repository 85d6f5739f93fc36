"""Figures of a run: one function each, all drawn by `draw_all`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.figures.block_space import plot_block_space
from analysis.figures.bridges import plot_bridges
from analysis.figures.health import plot_health
from analysis.figures.liquidations import plot_liquidations
from analysis.figures.liquidity import plot_liquidity
from analysis.figures.network import plot_network, token_graph
from analysis.figures.prices import plot_prices
from analysis.figures.utilization import plot_utilization
from analysis.liquidity import pool_results
from analysis.series import frame_of
from analysis.setting import setting_of
from analysis.style import DPI, styled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd

    from analysis.setting import Setting

__all__ = [
    "draw_all",
    "plot_block_space",
    "plot_bridges",
    "plot_health",
    "plot_liquidations",
    "plot_liquidity",
    "plot_network",
    "plot_prices",
    "plot_utilization",
    "token_graph",
]

_READ = ("pools", "fills", "liquidations", "positions", "markets", "chains", "bridges")


def draw_all(
    run_tables: Mapping[str, pd.DataFrame], manifest: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Draw every figure for which the run has data, as PNG.

    Parameters
    ----------
    run_tables : record tables by name; absent and empty ones are allowed
    manifest : with the scenario as run
    folder : where the pictures go; it must exist

    Returns
    -------
    the pictures, in the order of their names
    """
    tables = {name: frame_of(run_tables, name) for name in _READ}
    paths = []
    with styled():
        for name, axes in _drawn(tables, setting_of(manifest)):
            path = folder / f"{name}.png"
            np.ravel(axes)[0].figure.savefig(path, dpi=DPI)
            paths.append(path)
    return paths


def _drawn(tables: Mapping[str, pd.DataFrame], setting: Setting) -> Iterator[tuple[str, Any]]:
    """Yield name and axes of each figure for which there are data."""
    pools, fills, liquidations, positions, markets, chains, bridges = (
        tables[name] for name in _READ
    )
    if (chains[["base_fee", "pending"]] > 0.0).any(axis=None):
        yield "block_space", plot_block_space(chains, setting)
    if len(bridges):
        yield "bridges", plot_bridges(bridges, setting)
    if (positions["debt"] > 0.0).any():
        yield "health", plot_health(positions, setting)
    if len(positions) or len(liquidations):
        yield "liquidations", plot_liquidations(liquidations, positions, markets, setting)
    if (pool_results(pools, fills, setting.warmup)["value"] > 0.0).any():
        yield "liquidity", plot_liquidity(pools, fills, setting)
    graph = token_graph(pools, fills, bridges, markets, setting.tokens)
    if graph.number_of_edges():
        yield "network", plot_network(graph)
    if (pools["reference_price"] > 0.0).any():
        yield "prices", plot_prices(pools, liquidations, setting)
    if len(markets):
        yield "utilization", plot_utilization(markets, setting)
