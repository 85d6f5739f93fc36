"""An analysis of contagion: run the paired worlds, say what each channel did, write it down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.contagion.causal import (
    CONFIDENCE,
    attribute,
    by_party,
    corners,
    effects,
    filled,
    fires,
    interaction,
    interval_of,
    shares_of,
)
from experiments.contagion.design import PAIRS, Design, ever_firing
from experiments.contagion.plan import WITHOUT, ContagionPlan, chosen_channels, without_text
from experiments.contagion.worlds import ABSORBED, CONTENT, LOSS
from experiments.run_folder import told_faults, write_json
from experiments.studies.engines import LocalEngine
from experiments.studies.store import Store
from experiments.studies.sweep import sweep, unwatched
from experiments.studies.worker import OK
from sim.channels import ROLES, VICTIMS
from sim.errors import UndertowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

    from analysis.contagion.causal import Channels, Interval
    from experiments.scenario import Scenario
    from experiments.studies.sweep import Progress

_EARLY = "no seed has all its worlds yet; give the same command again to go on"
WORLDS, SHARES, RESULT = "worlds.parquet", "shares.parquet", "contagion.json"


@dataclass(frozen=True)
class ContagionResult:
    """What an analysis found.

    Attributes
    ----------
    content : what `contagion.json` holds
    worlds : v(S) of every world: seed, channels that are on, losses by party, USD
    shares : of every seed, channel and party: solo, knock-out and Shapley value, USD
    folder : data set
    is_whole : whether every world was run; else it was stopped
    """

    content: dict[str, Any]
    worlds: pd.DataFrame
    shares: pd.DataFrame
    folder: Path
    is_whole: bool


def contagion(
    scenario: Scenario,
    n_seeds: int,
    out: Path | str,
    *,
    channels: Sequence[str] | None = None,
    n_pairs: int = PAIRS,
    jobs: int = 1,
    watch: Callable[[Progress], None] = unwatched,
) -> ContagionResult:
    """Run the paired worlds of a scenario and return which channel its losses came through.

    What is in the folder already is not run again; so a stopped analysis goes on, and more seeds
    can be added.

    Parameters
    ----------
    scenario : from `load_scenario`
    n_seeds : seeds 1, 2, … n
    out : data set: a new folder, or one of this analysis
    channels : compared, the others stay on; those of the scenario when left out
    n_pairs : antithetic pairs of orders a seed, where more than four channels fire
    jobs : processes
    watch : called now and then with the progress

    Raises
    ------
    InputError
        There is no such channel, a number is out of range, or the folder is of something else.
    UndertowError
        Worlds failed in every seed.
    """
    design = Design(chosen_channels(scenario, channels), n_seeds, n_pairs)
    store = Store(str(out))
    plan = ContagionPlan(scenario, design.channels, design.first())
    stages: tuple[Callable[[], ContagionPlan], ...] = (
        lambda: plan,
        lambda: ContagionPlan(
            scenario, design.channels, design.rest(_firing(design, _read(store, design)))
        ),
    )
    is_whole = True
    for stage in stages:
        if is_whole:
            progress = sweep(stage(), store, LocalEngine(jobs), watch=watch)
            is_whole = not progress.is_stopping
    return _conclude(scenario, design, _read(store, design), Path(out), is_whole=is_whole)


# --- from rows to v(S) ---------------------------------------------------------------------------


def _read(store: Store, design: Design) -> pd.DataFrame:
    """Return the worlds of an analysis, each once: `seed`, `on`, and what the runs filled."""
    rows = store.rows()
    every = frozenset(design.channels)
    texts = {without_text(every - on): on for on in _sets(design, rows)}
    mine = rows[rows[WITHOUT].isin(list(texts)) & rows["seed"].isin(list(design.seeds))]
    mine = mine.drop_duplicates(["seed", WITHOUT])
    sets: list[Any] = [texts[text] for text in mine[WITHOUT]]
    return mine.assign(on=sets)


def _by_seed(worlds: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield the worlds of each seed."""
    for seed in sorted(worlds["seed"].unique().tolist()):
        yield int(seed), worlds[worlds["seed"] == seed]


def _sets(design: Design, rows: pd.DataFrame) -> list[Channels]:
    """Return the sets of channels that occur in the rows and are of the channels compared."""
    every = frozenset(design.channels)
    cuts = (frozenset(text.split("+")) - {"nothing"} for text in rows[WITHOUT].unique())
    return [every - cut for cut in cuts if cut <= every]


def _failed(worlds: pd.DataFrame) -> list[int]:
    """Return the seeds of which a world failed."""
    return sorted({int(seed) for seed in worlds.loc[worlds["status"] != OK, "seed"]})


def _firing(design: Design, worlds: pd.DataFrame) -> dict[int, tuple[str, ...]]:
    """Return the channels that fire in each seed of which all corners are there."""
    found = {}
    failed = _failed(worlds)
    for seed, table in _by_seed(worlds):
        contents = dict(zip(table["on"], table[CONTENT], strict=True))
        if seed not in failed and all(on in contents for on in corners(design.channels)):
            found[seed] = fires(contents, design.channels)
    if not found:
        messages = worlds.loc[worlds["status"] != OK, "message"].tolist()
        raise UndertowError(f"a world failed in every seed: {messages[0]}" if messages else _EARLY)
    return found


def _shares(
    design: Design, worlds: pd.DataFrame, firing: Mapping[int, Sequence[str]]
) -> pd.DataFrame:
    """Return the rows of `attribute` of every seed whose worlds are all there."""
    is_exact = design.is_exact(ever_firing(design.channels, firing))
    columns = [f"{LOSS}{role}" for role in ROLES]
    tables = []
    for seed, table in _by_seed(worlds[worlds["seed"].isin(list(firing))]):
        values = dict(zip(table["on"], table[columns].to_numpy(float), strict=True))
        wanted = design.wanted(seed, is_exact=is_exact)
        heard = frozenset(firing[seed])
        if any(on not in values and on & heard not in values for on in wanted):
            continue
        known = filled(values, wanted, firing[seed])
        orders = None if is_exact else design.orders(seed)
        made = attribute(known, design.channels, ROLES, orders)
        tables.append(made.assign(seed=seed))
    if not tables:
        raise UndertowError(_EARLY)
    return pd.concat(tables, ignore_index=True)


# --- what is written -----------------------------------------------------------------------------


def _conclude(
    scenario: Scenario, design: Design, worlds: pd.DataFrame, folder: Path, *, is_whole: bool
) -> ContagionResult:
    firing = _firing(design, worlds)
    shares = _shares(design, worlds, firing)
    content = _content(scenario, design, worlds, shares, firing)
    every = set(design.channels)
    table = worlds.assign(
        channels=["+".join(sorted(on)) for on in worlds["on"]],
        n_channels=[len(on) for on in worlds["on"]],
        total=worlds[[f"{LOSS}{role}" for role in VICTIMS]].sum(axis=1),
    )
    absorbed = [name for name in map(str, worlds.columns) if name.startswith(ABSORBED)]
    kept = [name for name in absorbed if name.removeprefix(ABSORBED) in every]
    table = table.drop(columns=["on", "point", "replication", *(set(absorbed) - set(kept))])
    with told_faults(folder):
        table.to_parquet(folder / WORLDS, index=False)
        shares.to_parquet(folder / SHARES, index=False)
        write_json(folder / RESULT, content)
    return ContagionResult(content, table, shares, folder, is_whole)


def _content(
    scenario: Scenario,
    design: Design,
    worlds: pd.DataFrame,
    shares: pd.DataFrame,
    firing: Mapping[int, Sequence[str]],
) -> dict[str, Any]:
    """Return what `contagion.json` holds."""
    seeds = sorted(int(seed) for seed in shares["seed"].unique())
    mine = worlds[worlds["seed"].isin(seeds)]
    none, full = (_losses(mine, on, seeds) for on in (frozenset[str](), frozenset(design.channels)))
    table = effects(shares, VICTIMS)
    shapley = _records(table[table["measure"] == "shapley"])
    means = {row["channel"]: row["mean"] for row in shapley}
    parties = by_party(shares)
    return {
        "scenario": scenario.name,
        "seeds": seeds,
        "failed_seeds": _failed(worlds),
        "channels": list(design.channels),
        "method": "exact" if design.is_exact(ever_firing(design.channels, firing)) else "orders",
        "orders_a_seed": 2 * design.n_pairs,
        "worlds": len(mine),
        "unit": "USD",
        "confidence": CONFIDENCE,
        "direct_loss": _plain(interval_of(none)),
        "loss": _plain(interval_of(full)),
        "contagion": _plain(interval_of(full - none)),
        "interaction": _plain(interaction(shares, VICTIMS)),
        "shares": shares_of(means),
        "effects": [
            {
                "channel": channel,
                "fires_in": sum(channel in heard for heard in firing.values()) / len(firing),
                "absorbed": _absorbed(mine, design.channels, channel),
                **{
                    row["measure"]: _numbers(row)
                    for row in _records(table[table["channel"] == channel])
                },
            }
            for channel in design.channels
        ],
        "by_party": {
            channel: {party: float(usd) for party, usd in row.items()}
            for channel, row in parties.iterrows()
        },
        "victims": list(VICTIMS),
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): value for k, value in row.items()} for row in table.to_dict("records")]


def _losses(worlds: pd.DataFrame, on: Channels, seeds: Sequence[int]) -> np.ndarray:
    """Return what the victims lose in a world of each seed: float64, (n_seeds,), USD."""
    mine = worlds[[found == on for found in worlds["on"]]].set_index("seed")
    return mine.loc[list(seeds), [f"{LOSS}{role}" for role in VICTIMS]].sum(axis=1).to_numpy(float)


def _absorbed(worlds: pd.DataFrame, channels: Sequence[str], channel: str) -> float:
    """Return what the outside bore in place of a channel, cut alone, mean over seeds, USD."""
    on = frozenset(channels) - {channel}
    return float(worlds.loc[worlds["on"] == on, f"{ABSORBED}{channel}"].mean())


def _numbers(row: Mapping[str, Any]) -> dict[str, float | None]:
    names = ("mean", "low", "high", "standard_error")
    return {name: _finite(float(row[name])) for name in names}


def _plain(interval: Interval) -> dict[str, float | None]:
    return _numbers(interval._asdict())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
