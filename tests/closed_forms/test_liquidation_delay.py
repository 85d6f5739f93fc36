"""Bad debt of liquidations that come late, on the real prices of 12-14 March 2020.

An account whose health factor is 1 at the price L and that is liquidated in full at the price P
leaves the share max(0, 1 - P / (L LT (1 + b))) of its debt uncovered: the liquidator stops where
the collateral ends. Nobody tops up, trades move no price, and liquidators come when a forced delay
has passed since the block that saw the account unsafe; those who find it safe again then come in
the first block in which it is not. The prices are 5-minute closes, each valid from its time on; the
accounts owe the same and are uniform in the logarithm of L.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from experiments.composition import build
from experiments.scenario import load_scenario
from sim.units import ticks
from tests.worlds import Log

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("UNDERTOW_DATA", ROOT.parent / "shared" / "data"))
CANDLES = DATA / "prices" / "eth_usdt_spot_5m_2020-03_black_thursday.parquet"
needs_prices = pytest.mark.skipif(not CANDLES.exists(), reason="no price data here")

CELL = 300  # seconds between closes
TERMS = ((0.667, 0.13), (0.75, 0.08), (0.80, 0.05), (0.825, 0.05), (0.86, 0.05), (0.93, 0.01))
DELAYS = (0, 600, 1_800, 3_600, 7_200, 14_400, 28_800)  # seconds
HOURS = 48
N = 100  # accounts of a market
DEBT = 1_000.0  # USD each


class Case(NamedTuple):
    """One market: its terms and the delay of its liquidators."""

    threshold: float
    bonus: float
    delay: int

    @property
    def name(self):
        return f"m{round(self.threshold * 1000)}-{self.delay}"


# Percent of the debt, from 10 min to 8 h: an independent calculation on the same closes, in which a
# liquidation comes at its time even where the account is safe again.
TABLE = {
    0.667: (0, 0, 0, 0, 0, 0.02),
    0.75: (0, 0, 0, 0, 0, 0.31),
    0.80: (0, 0, 0, 0.01, 0.16, 0.65),
    0.825: (0, 0.03, 0.17, 0.09, 0.47, 1.0),
    0.86: (0.05, 0.47, 0.87, 0.64, 0.95, 1.9),
    0.93: (0.50, 1.5, 1.9, 1.6, 1.8, 3.1),
}
CASES = tuple(Case(*terms, delay) for terms in TERMS for delay in DELAYS)


def prices_of(frame, hours):
    """Return the closes by the time from which they are known: float64, (n,), USD."""
    day = frame[frame["time"] >= "2020-03-12"]
    n = round(hours * 3_600 / CELL)
    return np.concatenate([[day["open"].iloc[0]], day["close"].to_numpy()[:n]])


def liquidation_prices(prices):
    """Return the prices at which accounts become unsafe, uniform in their logarithm."""
    low = prices[: HOURS * 12 + 1].min()
    steps = (np.arange(N) + 0.5) / N
    return prices[0] * (low / prices[0]) ** steps


def direct(prices, case):
    """Return the share of each account's debt left uncovered, by the formula: float64, (N,)."""
    found = np.zeros(N)
    for k, price in enumerate(liquidation_prices(prices)):
        unsafe = np.flatnonzero(prices < price)
        due = unsafe[0] + case.delay // CELL
        for at in unsafe[unsafe >= due][:1]:  # none: it was safe again, for good
            found[k] = uncovered(prices[at], price, case)
    return found


def uncovered(price, unsafe_at, case):
    """Return the share of a debt that the collateral does not cover when it is all sold."""
    return max(0.0, 1.0 - price / (unsafe_at * case.threshold * (1.0 + case.bonus)))


def write_inputs(folder, prices):
    """Write the candles, and for each threshold the book of its markets."""
    times = 1_583_971_200 + CELL * np.arange(len(prices))
    rows = [f"{t},{p!r},{p!r},{p!r},{p!r},0" for t, p in zip(times, prices.tolist(), strict=True)]
    text = "\n".join(["time,open,high,low,close,volume", *rows])
    (folder / "candles.csv").write_text(text, "utf-8")
    for threshold, _ in TERMS:
        rows = ["account,asset,collateral,debt"]
        for k, price in enumerate(liquidation_prices(prices).tolist()):
            rows += [f"{k},ETH,{DEBT / (price * threshold)!r},0", f"{k},USD,0,{DEBT}"]
        (folder / f"book-{round(threshold * 1000)}.csv").write_text("\n".join(rows), "utf-8")


def market(case):
    """Return a market without interest and the three populations of it."""
    home = {"chain": "mainnet", "market": case.name}
    flat = {"base_rate": 0, "slope1": 0, "slope2": 0}
    ether = {
        "feed": "eth-feed",
        "loan_to_value": case.threshold,
        "liquidation_threshold": case.threshold,
        "liquidation_bonus": case.bonus,
    }
    dollars = {"feed": "usd-par", "loan_to_value": 0, "liquidation_threshold": 0}
    venue = {
        "kind": "lending",
        "chain": "mainnet",
        "close_factor": 1,
        "full_close_below": 1,
        "reserves": {"ETH": ether | flat, "USD": dollars | flat},
    }
    asleep = {"fast_share": 0, "medium_share": 0, "slow_share": 0}
    people = {
        f"lenders-{case.name}": {
            "kind": "suppliers", **home, "asset": "USD", "count": 1, "supplied_usd": 2 * N * DEBT,
            **asleep,
        },
        f"debtors-{case.name}": {
            "kind": "borrowers", **home, "collateral": "ETH", "debt": "USD", "awake_share": 0,
            "positions": {"file": f"book-{round(case.threshold * 1000)}.csv"},
        },
        f"hunters-{case.name}": {
            "kind": "liquidators", **home, "count": 1, "inventory_usd": 1e7,
            "inventory_tokens": ["USD"], "largest_share": 1, "max_per_block": 32, "tip_share": 0,
            "reaction_seconds": case.delay, "exit": {"pool": 0, "reference": 0, "hold": 1},
        },
    }  # fmt: skip
    return venue, people


def scenario_of(cases, hours):
    """Return a scenario in which every case has a market of its own."""
    fixed = {"kind": "fixed", "price_usd": 1}
    reported = {"kind": "reported", "deviation": 1e-9}
    venues = {
        "eth-feed": {"kind": "oracle", "chain": "mainnet", "token": "ETH", "source": reported},
        "usd-par": {"kind": "oracle", "chain": "mainnet", "token": "USD", "source": fixed},
    }
    people = {}
    for case in cases:
        venues[case.name], mine = market(case)
        people |= mine
    people["keepers"] = {"kind": "oracle_keepers", "chain": "mainnet"}
    replay = {"kind": "replay", "file": "candles.csv", "candle_path": "open_close"}
    return json.dumps({
        "version": 1, "name": "late", "horizon": hours * 3_600, "price_step_seconds": CELL / 2,
        "assets": {"ETH": {"price": replay}, "USD": {"price": {"kind": "fixed", "price": 1}}},
        "chains": {
            "mainnet": {
                "blocks": {"kind": "fixed", "interval_seconds": 12}, "gas_limit": 10**12,
                "native": "ETH", "tokens": ["ETH", "USD"],
            }
        },
        "venues": venues, "populations": people,
    })  # fmt: skip


def simulate(folder, cases, prices):
    """Return the share of each account's debt left uncovered, a row for each case."""
    hours = (len(prices) - 1) * CELL / 3_600
    write_inputs(folder, prices)
    (folder / "late.yaml").write_text(scenario_of(cases, hours), "utf-8")
    world = build(load_scenario(str(folder / "late.yaml"))).world
    log = Log(world)
    world.advance(ticks(hours * 3_600.0))
    world.check()
    fills = log.fills
    done = fills[(fills["verb"] == world.verb_names.index("lending.liquidate"))]
    done = done[done["status"] == 0]
    found = np.zeros((len(cases), N))
    for row, case in enumerate(cases):
        positions = world.states[f"debtors-{case.name}"].position
        for fill in done[done["venue"] == world.venue(case.name)]:
            found[row, np.flatnonzero(positions == fill["a"])[0]] += fill["price_after"] / DEBT
    return found


@pytest.fixture(scope="module")
def crash(tmp_path_factory):
    """Prices of the crash, and the share of each account's debt that the simulation left."""
    import pandas as pd

    prices = prices_of(pd.read_parquet(CANDLES), HOURS + 9)
    return prices, simulate(tmp_path_factory.mktemp("crash"), CASES, prices)


@needs_prices
def test_late_liquidations_leave_what_the_formula_says_account_by_account(crash):
    prices, simulated = crash
    expected = np.array([direct(prices, case) for case in CASES])
    assert np.count_nonzero(expected) > 300
    # A liquidation adds and takes some tokens of N accounts; 1e-12 is 4,500 roundings of a debt.
    np.testing.assert_allclose(simulated, expected, rtol=0, atol=1e-12)


@needs_prices
def test_bad_debt_by_threshold_bonus_and_delay_is_that_of_the_table(crash):
    """Within a tenth, and a tenth of a percent for another grid of accounts and of times."""
    _, simulated = crash
    mean = dict(zip(CASES, 100.0 * simulated.mean(axis=1), strict=True))
    for threshold, bonus in TERMS:
        found = [mean[threshold, bonus, delay] for delay in DELAYS[1:]]
        for value, tabled in zip(found, TABLE[threshold], strict=True):
            if tabled == 0:
                assert value < 0.01
            else:
                assert value == pytest.approx(tabled, abs=0.1 + 0.1 * tabled)


@needs_prices
def test_liquidations_at_once_leave_next_to_nothing(crash):
    # A close lies at most 7.1 % below all before it; 1 - 1 / (LT (1 + b)) is -6.5 % and beyond.
    _, simulated = crash
    found = {case.threshold: mean for case, mean in zip(CASES, simulated.mean(1), strict=True)
             if case.delay == 0}  # fmt: skip
    assert [found[threshold] for threshold, _ in TERMS[:-1]] == [0.0] * 5
    assert 0.0 < found[0.93] < 0.001


def test_a_delay_of_two_closes_by_hand(tmp_path):
    """Closes 100, 90, 80, 60, 60: an account unsafe below 95 waits two closes and is sold at 60.

    Its collateral of 1,000 / (95 x 0.8) tokens is then worth 789.47 and pays for a debt of
    789.47 / 1.05 = 751.88: 24.812 % is left. At once, 90 against 95 x 0.84 leaves nothing.
    """
    prices = np.array([100.0, 90.0, 80.0, 60.0, 60.0, 60.0])
    cases = (Case(0.80, 0.05, 0), Case(0.80, 0.05, 600))
    at_once, late = simulate(tmp_path, cases, prices)
    first = int(np.argmin(np.abs(liquidation_prices(prices) - 95.0)))
    unsafe_at = liquidation_prices(prices)[first]
    assert unsafe_at == pytest.approx(95.0, rel=0.003)
    assert at_once[first] == 0.0
    assert late[first] == pytest.approx(1.0 - 60.0 / (unsafe_at * 0.84), rel=1e-9)
    assert late[first] == pytest.approx(0.24812, abs=0.003)
