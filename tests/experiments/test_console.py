"""What a run shows while it runs."""

from __future__ import annotations

import re

from experiments import console
from experiments.running import run
from experiments.scenario import load_scenario


def test_progress_tells_simulated_time_and_blocks(capsys, monkeypatch):
    monkeypatch.setattr(console, "_PLAIN_EVERY", 0.0)
    scenario = load_scenario("black-thursday", until=3_600.0)
    with console.show_progress(scenario) as progress:
        result = run(scenario, 1, progress=progress)
    lines = capsys.readouterr().err.splitlines()
    found = [re.search(r"([\d.]+) of 1 h  ([\d,]+) blocks", line) for line in lines]
    hours = [float(match[1]) for match in found]
    blocks = [int(match[2].replace(",", "")) for match in found]
    assert hours == sorted(hours)
    assert hours[-1] >= 0.9
    assert 0.1 <= hours[len(hours) // 2] <= 0.9
    n_blocks = sum(result.manifest["work"]["blocks"].values())
    assert list(result.manifest["work"]["blocks"]) == ["mainnet", "sidechain"]
    # 2 s and, on average, 13.1 s blocks: 1,800 and 275 in an hour, 6 standard deviations of 17
    assert abs(n_blocks - 2_075) < 100
    assert 0.8 * n_blocks <= blocks[-1] <= n_blocks


def test_every_order_has_one_row_with_its_bid_and_legs():
    tables = run(load_scenario("black-thursday", until=3_600.0), 1).tables
    orders, fills = tables["orders"], tables["fills"]
    assert orders["order_id"].is_unique
    assert orders["n_legs"].sum() == len(fills)
    by_number = orders.set_index("order_id").sort_index()
    assert (by_number["n_legs"] == fills.groupby("order_id").size()).all()
    assert (orders["submitted"] <= orders["time"]).all()
    paid = fills.groupby("order_id")["gas_paid"].sum()
    assert (by_number["gas_paid"] == paid).all()
