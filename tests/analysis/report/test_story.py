"""Stories: their numbers are those of the records, and they claim nothing beside."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.classes import COVER, class_of, gains_by_class
from analysis.reading import load_run
from analysis.report.blocks import number, setting, share, usd
from analysis.report.happenings import happenings, shock_words
from analysis.report.reasons import who_gained, why
from analysis.report.source import Repeat, RunSource
from analysis.report.wording import arguments, clock, gain, lasting, listed, percent, plural
from analysis.setting import Setting, setting_of
from tests.analysis.builders import crash_manifest, crash_run, frame
from tests.analysis.report.pages import write_run


def source_of(folder, manifest, tables):
    write_run(folder, manifest, tables)
    return RunSource(load_run(folder), Repeat())


def plain(lines):
    return " ".join(lines).replace("\u00a0", " ").replace("\u2060", "")


@pytest.fixture(scope="module")
def crash(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crash")
    return source_of(folder / "run", crash_manifest(), crash_run())


def test_what_happened_has_the_numbers_of_the_records(crash):
    told, done = plain(happenings(crash)), crash.measured("liquidations")
    assert f"{len(done)} liquidations repaid" in told
    assert "10.6 h: shock, demand surge." in told
    assert "23.5 h: shock, halt venue (venue bridge)." in told
    low = crash.measured("prices").query("asset == 'ETH'")["reference"].min()
    assert f"to ${low:.2f} at 26." in told


def test_a_quiet_run_tells_of_nothing_that_it_has_not(tmp_path):
    prices = frame("prices", time=np.array([0.0, 60.0]), asset="USD", reference=1.0)
    manifest = {"seed": 1, "scenario": {"name": "still", "chains": {"main": {}}}}
    source = source_of(tmp_path / "run", manifest, {"prices": prices})
    assert happenings(source) == [
        "The scenario has no shocks; prices and what participants do are all that moves.",
        "No reference price fell by half a percent.",
    ]
    assert why(source) == []


def test_liquidated_debt_is_traced_by_weight_and_debt(tmp_path):
    tables = {
        "liquidations": frame(
            "liquidations", fill_id=np.array([1, 2]), time=60.0, venue="m",
            debt_usd=np.array([300.0, 100.0]),
        ),
        "positions": frame("positions", time=60.0, venue="m", debt=np.array([400.0])),
        "causes": frame(
            "causes", fill_id=np.array([1, 2, 2]), time=60.0,
            parent_kind=np.array(["price", "price", "fill"]), weight=np.array([1.0, 0.6, 0.4]),
        ),
    }  # fmt: skip
    manifest = {"seed": 1, "scenario": {"name": "two", "assets": {"ETH": {"impact": {}}}}}
    told = plain(why(source_of(tmp_path / "run", manifest, tables)))
    # 300 + 60 of 400 USD by prices, 40 of 400 by an earlier fill
    assert "90.0 % is traced to moves of fundamental prices and 10.0 % to earlier trades" in told


def test_losers_and_winners_are_named_by_class_in_order(tmp_path):
    equity = pd.DataFrame(
        [
            {"population": name, "account": -1, "time": time, "trading_gain": gain * time / 60.0}
            for name, gain in (("a", -500.0), ("b", -100.0), ("c", 600.0))
            for time in (0.0, 60.0)
        ]
    ).assign(value=0.0, holding_gain=0.0, gas=0.0)
    manifest = {
        "seed": 1,
        "scenario": {"name": "three"},
        "roles": {"a": "lenders", "b": "liquidity_providers", "c": "attacker"},
    }
    told = plain(who_gained(source_of(tmp_path / "run", manifest, {"equity": equity})))
    assert told.startswith(
        "Lost: lenders −$500 and liquidity providers −$100. Gained: attacker +$600."
    )
    assert "They add up to $0 over all" in told


# --- classes --------------------------------------------------------------------------------------


def test_a_class_is_the_role_that_the_run_tells_and_no_role_is_guessed():
    roles = {"x": "wrapped_holders", "cdp": "treasury", "lock_and_mint": "treasury"}
    known = Setting(kinds={"x": "bridge_users", "night_watch": "keepers"}, roles=roles)
    assert class_of("x", known) == "wrapped holders"
    assert class_of("night_watch", known) == "night watch"
    assert class_of("cdp", known) == "treasury"
    assert class_of("lock_and_mint", known) == COVER
    assert class_of("outside/some_fund", known) == "some fund"


def test_a_reaction_has_the_time_that_the_run_gave_it():
    first = {"at": 3_600.0, "do": {"kind": "forge"}}
    scenario = {"shocks": [{"at": None, "after": 1, "do": {"kind": "pause_bridge"}}, first]}
    timed = setting_of({"scenario": scenario, "shock_times": [6_300.0, 3_600.0]})
    assert timed.shocks == ((3_600.0, "forge"), (6_300.0, "pause bridge"))
    assert setting_of({"scenario": scenario}).shocks == ((3_600.0, "forge"),)


def test_gains_of_a_class_are_the_sums_of_its_populations():
    row = {"value_end": 1.0, "holding_gain": 0.0, "gas": 2.0}
    by_population = {
        "a": {**row, "trading_gain": -5.0},
        "b": {**row, "trading_gain": -7.0},
        "c": {**row, "trading_gain": 12.0},
        "idle": dict.fromkeys((*row, "trading_gain"), 0.0),
    }
    roles = {"a": "lenders", "b": "lenders", "c": "arbitrageurs", "idle": "traders"}
    gains = gains_by_class(by_population, Setting(roles=roles))
    assert gains["trading_gain"].to_dict() == {"lenders": -12.0, "arbitrageurs": 12.0}
    assert gains.loc["lenders", "gas"] == 4.0


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (percent(-0.5174), "−51.7 %"),
        (percent(0.0), "0 %"),
        (percent(1.234), "123 %"),
        (clock(94_680.0), "26.3 h"),
        (clock(90.0), "2 min"),
        (lasting(45.0), "45 s"),
        (lasting(1_800.0), "30 min"),
        (lasting(6 * 3_600.0), "6 h"),
        (lasting(604_800.0), "7 days"),
        (lasting(float("inf")), "for ever"),
        (gain(-2_500.0), "−$2.5k"),
        (gain(3e6), "+$3.0m"),
        (plural(0, "account"), "no account"),
        (plural(1, "account"), "1 account"),
        (plural(2_000, "account"), "2,000 accounts"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (listed([]), ""),
        (arguments({"venue": "bridge", "amount": 1e5, "is_on": True, "off": False}),
         "venue bridge, amount 100,000, is on"),
        (number(1234.5678).text, "1,235"),
        (number(-0.012345).text, "−0.01235"),
        (number(1e-9).text, "1e−09"),
        (number(None).text, "–"),
        (number(float("inf")).text, "never"),
        (usd(-1234.5).text, "−1,234"),
        (usd(3.14159).text, "3.14"),
        (usd(1e-9).text, "0"),
        (share(0.1234).text, "12.34 %"),
        (setting(0.0069).text, "0.0069"),
        (setting("fast").text, "fast"),
    ],
)  # fmt: skip
def test_numbers_are_written_so(words, told):
    assert words.replace("\u00a0", " ").replace("\u2060", "") == told


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e-17, 12_345_678.9, -3, 0.0069])
def test_the_exact_value_of_a_cell_reads_back_as_the_same_number(value):
    for cell in (number(value), usd(value), share(value), setting(value)):
        assert float(cell.sort_value) == value


def test_what_rounds_to_nothing_has_no_sign():
    assert gain(0.2) == gain(-0.2) == "$0"


def test_a_shock_is_told_with_name_kind_and_arguments():
    shock = {"name": "exploit", "at": 1.0, "do": {"kind": "pause_bridge", "venue": "b", "n": None}}
    assert shock_words(shock) == "shock “exploit”, pause bridge (venue b)"
