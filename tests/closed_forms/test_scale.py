"""Half the agents at equal aggregate flow and book change no outcome.

The world is the crash of 12 March 2020 cut out of `black-thursday`. People come at half the number:
borrowers, suppliers and liquidity providers share the same book, traders come twice as often, or
with twice the wallet. Firms (arbitrageurs, liquidators, relayers, keepers) are few, and stay.

The test takes 4 seeds of each and a bound of 4 standard errors of the difference: by Student's t
with 6 degrees of freedom one outcome fails by chance in 0.7 % of all changes of the numbers, one of
the four in at most 2.9 %. The bound that counts is 2 standard errors over 20 seeds, which takes
minutes and fails by chance for one of four outcomes in at most 21 %:

    python -m tests.closed_forms.test_scale 20
"""

from __future__ import annotations

import copy
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from experiments.running import run
from experiments.scenario import load_scenario, read_scenario

FIRST, LAST = 10.4, 11.4  # hours of the scenario that are kept
OUTCOMES = ("volume_usd", "liquidated_debt_usd", "lvr_usd", "price_error_abs_p50")
# kind of people: what doubles when their number halves; None: they share one book
PEOPLE = {
    "noise_traders": "swaps_per_day",
    "informed_traders": "signals_per_day",
    "momentum_traders": "median_wallet_usd",
    "payments": "payments_per_day",
    "bridge_users": "transfers_per_day",
    "borrowers": None,
    "suppliers": None,
    "liquidity_providers": None,
}


def cut(price, first, last):
    """Return waypoints between two hours, with those of the ends."""
    hours = [hour for hour, _ in price["waypoints"]]
    logs = np.log([value for _, value in price["waypoints"]])
    inside = [[h - first, v] for h, v in price["waypoints"] if first < h < last]
    ends = [[h - first, float(np.exp(np.interp(h, hours, logs)))] for h in (first, last)]
    found = {**price, "waypoints": [ends[0], *inside, ends[1]]}
    found["volatility"] = [
        {**part, "until_hours": part["until_hours"] - first}
        for part in price["volatility"]
        if part["until_hours"] > first
    ]
    found["wicks"] = [[h - first, v] for h, v in price.get("wicks", []) if first < h < last]
    return found


def halved(people):
    """Return a population of half the number with the same flow."""
    if people["kind"] not in PEOPLE or people.get("count", 1) < 2:
        return people
    count = (people["count"] + 1) // 2
    field = PEOPLE[people["kind"]]
    more = {field: people[field] * people["count"] / count} if field else {}
    return {**people, "count": count, **more}


def crash(folder, *, is_halved):
    """Return the scenario of the crash with all people or half of them."""
    data = copy.deepcopy(read_scenario("black-thursday").data)
    for asset in data["assets"].values():
        if asset["price"]["kind"] == "waypoints":
            asset["price"] = cut(asset["price"], FIRST, LAST)
    data |= {"horizon": (LAST - FIRST) * 3_600, "warmup": 0}
    data["shocks"] = []
    if is_halved:
        data["populations"] = {n: halved(people) for n, people in data["populations"].items()}
    (folder / "crash.yaml").write_text(json.dumps(data))
    return load_scenario(str(folder / "crash.yaml"))


def outcomes_of(scenario, seeds):
    """Return the outcomes of runs: float64, (n_seeds, n_outcomes)."""
    found = [run(scenario, seed, figures=False).summary for seed in seeds]
    return np.array([[summary[name] for name in OUTCOMES] for summary in found], float)


def compare(folder, n):
    """Return mean of all, mean of half, and standard error of their difference, by outcome."""
    everybody = outcomes_of(crash(folder, is_halved=False), range(1, n + 1))
    half = outcomes_of(crash(folder, is_halved=True), range(n + 1, 2 * n + 1))
    error = np.sqrt((everybody.var(axis=0, ddof=1) + half.var(axis=0, ddof=1)) / n)
    return everybody.mean(axis=0), half.mean(axis=0), error


def test_halving_keeps_flow_and_book():
    traders = {"kind": "noise_traders", "count": 1_001, "swaps_per_day": 3.0}
    assert halved(traders) == traders | {"count": 501, "swaps_per_day": 3.0 * 1_001 / 501}
    debtors = {"kind": "borrowers", "count": 10, "debt_usd": 5.0}
    assert halved(debtors) == debtors | {"count": 5}
    assert halved({"kind": "arbitrageurs", "count": 4})["count"] == 4


def test_half_the_agents_change_no_outcome(tmp_path):
    everybody, half, error = compare(tmp_path, 4)
    assert (everybody > 0.0).all()
    assert (np.abs(half - everybody) <= 4.0 * error).all()


def main(n: int) -> None:
    """Print the comparison over n seeds."""
    with tempfile.TemporaryDirectory() as folder:
        rows = zip(OUTCOMES, *compare(Path(folder), n), strict=True)
    head = f"{'outcome':24} {'all':>12} {'half':>12} {'error':>10} {'errors off':>10}\n"
    sys.stdout.write(head)
    for name, everybody, half, error in rows:
        off = (half - everybody) / error
        numbers = f"{everybody:12.5g} {half:12.5g} {error:10.3g} {off:10.2f}"
        sys.stdout.write(f"{name:24} {numbers}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
