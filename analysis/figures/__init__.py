"""Figures of a run: one function each, all drawn by `draw_all`.

`python -m analysis.figures FOLDER [NAME ...]` draws those of a run folder again.
"""

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
from analysis.reading import load_run
from analysis.series import frame_of
from analysis.setting import setting_of
from analysis.style import save, styled
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    import pandas as pd

    from analysis.setting import Setting

__all__ = [
    "FIGURES",
    "draw",
    "draw_all",
    "draw_folder",
    "draw_named",
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


def _prices(tables: Mapping[str, pd.DataFrame], setting: Setting) -> Any:
    pools = frame_of(tables, "pools")
    if (pools["reference_price"] > 0.0).any():
        return plot_prices(pools, frame_of(tables, "liquidations"), setting)
    return None


def _liquidity(tables: Mapping[str, pd.DataFrame], setting: Setting) -> Any:
    pools, fills = frame_of(tables, "pools"), frame_of(tables, "fills")
    if (pool_results(pools, fills, setting.warmup)["value"] > 0.0).any():
        return plot_liquidity(pools, fills, setting)
    return None


def _health(tables: Mapping[str, pd.DataFrame], setting: Setting) -> Any:
    positions = frame_of(tables, "positions")
    return plot_health(positions, setting) if (positions["debt"] > 0.0).any() else None


def _liquidations(tables: Mapping[str, pd.DataFrame], setting: Setting) -> Any:
    liquidations, positions = frame_of(tables, "liquidations"), frame_of(tables, "positions")
    if len(positions) or len(liquidations):
        return plot_liquidations(liquidations, positions, frame_of(tables, "lending"), setting)
    return None


def _block_space(tables: Mapping[str, pd.DataFrame], setting: Setting) -> Any:
    chains = frame_of(tables, "chains")
    is_used = (chains[["base_fee", "pending"]] > 0.0).any(axis=None)
    return plot_block_space(chains, setting) if is_used else None


def _network(tables: Mapping[str, pd.DataFrame], setting: Setting) -> Any:
    pools, fills = frame_of(tables, "pools"), frame_of(tables, "fills")
    bridges, markets = frame_of(tables, "bridges"), frame_of(tables, "lending")
    graph = token_graph(pools, fills, bridges, markets, setting.tokens)
    return plot_network(graph) if graph.number_of_edges() else None


def _utilization(tables: Mapping[str, pd.DataFrame], setting: Setting) -> Any:
    markets = frame_of(tables, "lending")
    return plot_utilization(markets, setting) if len(markets) else None


def _bridges(tables: Mapping[str, pd.DataFrame], setting: Setting) -> Any:
    bridges = frame_of(tables, "bridges")
    return plot_bridges(bridges, setting) if len(bridges) else None


# the slowest first, so that those who share the work end together
FIGURES: dict[str, Callable[[Mapping[str, pd.DataFrame], Setting], Any]] = {
    "health": _health,
    "liquidity": _liquidity,
    "prices": _prices,
    "liquidations": _liquidations,
    "network": _network,
    "block_space": _block_space,
    "utilization": _utilization,
    "bridges": _bridges,
}


def draw(
    name: str, tables: Mapping[str, pd.DataFrame], setting: Setting, folder: Path
) -> Path | None:
    """Draw one figure as PNG; None where the run has no data for it.

    Parameters
    ----------
    name : one of `FIGURES`
    tables : record tables by name; absent and empty ones are allowed
    setting : of the run
    folder : where the picture goes; it must exist
    """
    with styled():
        axes = FIGURES[name](tables, setting)
        if axes is None:
            return None
        path = folder / f"{name}.png"
        save(np.ravel(axes)[0].figure, path)
        return path


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
    setting = setting_of(manifest)
    return [path for name in sorted(FIGURES) if (path := draw(name, run_tables, setting, folder))]


def draw_folder(place: Path | str, names: Iterable[str] = ()) -> list[Path]:
    """Draw figures of a run folder into its folder `figures`; what was there is replaced.

    Parameters
    ----------
    place : run folder
    names : of `FIGURES`, in any order; all when left out

    Raises
    ------
    sim.errors.InputError
        There is no figure of a name.
    analysis.reading.RunFolderError
        The folder is not a whole run.
    """
    chosen = list(names) or sorted(FIGURES)
    for name in chosen:
        if name not in FIGURES:
            known = ", ".join(sorted(FIGURES))
            raise InputError(f"no figure '{name}'; there are: {known}")
    return list(draw_named(place, chosen))


def draw_named(place: Path | str, names: Iterable[str]) -> Iterator[Path]:
    """Draw figures of a run folder one by one, as their names come; yield the pictures.

    Parameters
    ----------
    place : run folder
    names : of `FIGURES`
    """
    run = load_run(place)
    setting = setting_of(run.manifest)
    folder = run.folder / "figures"
    folder.mkdir(exist_ok=True)
    for name in names:
        if path := draw(name, run.frames, setting, folder):
            yield path
