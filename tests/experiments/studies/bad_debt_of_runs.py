"""Bad debt of 20,000 runs: `python -m tests.experiments.studies.bad_debt_of_runs FOLDER`.

Sweeps a small lending market whose collateral may gap, some 20 minutes of a core, and writes
`bad_debt_of_runs.csv` beside this file: the number of runs without bad debt, and the share of debt
that went bad in every other one. Nine runs in ten end without; the rest spread over orders of
magnitude, as liquidators who keep up with a price that diffuses do not with one that jumps. Stopped
and started again it goes on.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

from experiments.console import say
from experiments.studies import load_study
from experiments.studies.console import show_sweep
from experiments.studies.engines import LocalEngine
from experiments.studies.plan import Plan
from experiments.studies.store import Store
from experiments.studies.sweep import sweep

FILE = Path(__file__).with_suffix(".csv")

SCENARIO = """
version: 1
name: gaps
description: A lending market whose collateral may gap; 6 hours, blocks of two minutes.
horizon: 6h
price_step_seconds: 120
assets:
  ETH:
    price:
      {kind: jump_diffusion, price: 2000, volatility: 0.04, jumps_per_day: 0.6, jump_mean: -0.25,
       jump_sd: 0.15}
  USD: {price: {kind: fixed, price: 1}}
chains:
  mainnet:
    blocks: {kind: fixed, interval_seconds: 120}
    native: ETH
    tokens: [ETH, USD]
venues:
  eth-feed:
    {kind: oracle, chain: mainnet, token: ETH,
     source: {kind: reported, deviation: 0.005, heartbeat_seconds: 3600}}
  usd-par: {kind: oracle, chain: mainnet, token: USD, source: {kind: fixed, price_usd: 1}}
  market:
    kind: lending
    chain: mainnet
    reserves:
      ETH:
        {feed: eth-feed, loan_to_value: 0.78, liquidation_threshold: 0.8, liquidation_bonus: 0.05}
      USD:
        {feed: usd-par, loan_to_value: 0.75, liquidation_threshold: 0.78, liquidation_bonus: 0.05}
populations:
  suppliers:
    {kind: suppliers, chain: mainnet, market: market, asset: USD, count: 5, supplied_usd: 10e6}
  borrowers:
    {kind: borrowers, chain: mainnet, market: market, collateral: ETH, debt: USD, count: 50,
     debt_usd: 7e6, health_quantiles: [[0.10, 1.1], [0.50, 1.4], [0.95, 3.0]]}
  liquidators:
    {kind: liquidators, chain: mainnet, market: market, count: 3, inventory_usd: 1e7,
     exit: {pool: 0, reference: 0, hold: 1}}
  keepers: {kind: oracle_keepers, chain: mainnet}
records: {sample_seconds: 6h, position_seconds: 6h, equity_seconds: 0, check_seconds: 6h}
"""

STUDY = """
version: 1
name: gaps
scenario: gaps-scenario.yaml
replications: 20000
outcomes: [bad_debt_share_end]
"""


def read() -> np.ndarray:
    """Return the shares of debt that went bad: float64, (20,000,), sorted."""
    values, runs = np.loadtxt(FILE, delimiter=",", skiprows=1, unpack=True)
    return np.repeat(values, runs.astype(int))


def write(values: np.ndarray) -> None:
    """Write distinct values, to six digits, and how many runs had each."""
    found, counts = np.unique([float(f"{value:.6g}") for value in values], return_counts=True)
    with FILE.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("bad_debt_share", "runs"))
        table.writerows((f"{value:.6g}", n) for value, n in zip(found, counts, strict=True))


def main() -> None:
    """Sweep what is missing, and write the file."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("gaps-scenario.yaml", SCENARIO), ("gaps.yaml", STUDY)):
        (folder / name).write_text(text, "utf-8")
    plan, store = Plan(load_study(str(folder / "gaps.yaml"))), Store(str(folder / "data"))
    with show_sweep("gaps") as watch:
        sweep(plan, store, LocalEngine(1), watch=watch)
    rows = store.rows()
    failed = rows[rows["status"] != "ok"]
    if len(failed):
        raise SystemExit(f"{len(failed)} runs failed: {failed['message'].iloc[0]}")
    values = rows["bad_debt_share_end"].to_numpy(float)
    write(values)
    say(f"{len(values):,} runs, {(values > 0.0).mean():.1%} with bad debt; {FILE.name} written")


if __name__ == "__main__":
    main()
