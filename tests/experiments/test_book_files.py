"""Scenarios that start from files: where these may be, what a run keeps of them, their faults."""

import hashlib
import json

import pytest

from experiments.kinds import file_formats
from experiments.running import run
from experiments.scenario import load_scenario

BOOK = """account,asset,collateral,debt,price_usd
ann,ETH,10,0,2000
ann,USD,0,12000,1
bob,USD,30000,0,1
cid,ETH,1,0,2000
cid,USD,0,1700,1
"""
SCENARIO = """version: 1
name: mine
horizon: 30m
price_step_seconds: 60
assets:
  ETH: {price: {kind: fixed, price: 2000}}
  USD: {price: {kind: fixed, price: 1}}
chains:
  mainnet: {blocks: {kind: fixed, interval_seconds: 12}, native: ETH, tokens: [ETH, USD]}
venues:
  eth-feed: {kind: oracle, chain: mainnet, token: ETH}
  usd-par: {kind: oracle, chain: mainnet, token: USD, source: {kind: fixed, price_usd: 1}}
  market:
    kind: lending
    chain: mainnet
    reserves:
      ETH: {feed: eth-feed, liquidation_threshold: 0.8}
      USD: {feed: usd-par, liquidation_threshold: 0.8}
populations:
  people:
    kind: borrowers
    chain: mainnet
    market: market
    collateral: ETH
    debt: USD
    positions: {file: book.csv}
  hunters:
    kind: liquidators
    chain: mainnet
    market: market
    count: 1
    inventory_usd: 1e6
    largest_share: 1
    exit: {pool: 0, reference: 0, hold: 1}
  keepers: {kind: oracle_keepers, chain: mainnet}
"""
LINE = SCENARIO.splitlines().index("    positions: {file: book.csv}") + 1
PLACE = f"undertow: mine.yaml:{LINE}: populations.people.positions.file: "


@pytest.fixture
def mine(here):
    """Write the scenario and its book where commands run."""
    (here / "mine.yaml").write_text(SCENARIO)
    (here / "book.csv").write_text(BOOK)
    return here


def source_of(scenario):
    return scenario.populations["people"].positions


def named(text, file):
    return text.replace("file: book.csv", f"file: {file}")


# --- what a run keeps ----------------------------------------------------------------------------


def test_a_scenario_as_run_names_the_file_in_full_with_hash_and_count(mine):
    scenario = load_scenario("mine.yaml")
    assert source_of(scenario).file == str(mine / "book.csv")
    assert source_of(scenario).sha256 == hashlib.sha256(BOOK.encode()).hexdigest()
    assert scenario.populations["people"].count == 3


def test_a_run_is_repeated_from_its_manifest_and_refused_when_the_file_has_changed(mine, undertow):
    first = run(load_scenario("mine.yaml"), 3)
    assert len(first.tables["liquidations"]) == 1  # cid, unsafe from the start
    (mine / "again").mkdir()
    (mine / "again" / "again.yaml").write_text(json.dumps(first.manifest["scenario"]))
    second = run(load_scenario("again/again.yaml"), 3)
    assert second.manifest["content_hash"] == first.manifest["content_hash"]
    (mine / "book.csv").write_text(BOOK.replace("12000", "12001"))
    told = undertow("run", "again/again.yaml")
    assert told.code == 2
    assert f"not {hashlib.sha256(BOOK.encode()).hexdigest()}" in told.err
    assert "give that file, or leave sha256 out" in told.err


def test_providers_of_a_file_are_as_many_as_its_ranges(mine):
    (mine / "ranges.csv").write_text(
        "owner,tick_lower,tick_upper,liquidity\nann,0,600,1\nann,60,660,2\nbob,0,600,0\n"
    )
    pool = "{kind: concentrated_liquidity, chain: mainnet, tokens: [ETH, USD], value_usd: 1e4}"
    lps = "{kind: liquidity_providers, chain: mainnet, pool: pool, ranges: {file: ranges.csv}}"
    scenario = load_scenario("mine.yaml", [f"venues.pool={pool}", f"populations.lps={lps}"])
    lps = scenario.populations["lps"]
    assert (lps.count, lps.ranges.file) == (2, str(mine / "ranges.csv"))
    assert len(lps.ranges.sha256) == 64


def test_the_book_is_counted_by_check(mine, undertow):
    told = undertow("scenarios", "check", "mine.yaml")
    assert told.code == 0
    assert told.out.endswith(
        f"people: 3 accounts of {mine / 'book.csv'}, 2 with debt, 1 of these with a health factor "
        "below 1\n"
    )


# --- where files may be --------------------------------------------------------------------------


def test_a_file_is_found_from_the_folder_of_the_scenario(mine, monkeypatch):
    (mine / "elsewhere").mkdir()
    monkeypatch.chdir(mine / "elsewhere")
    assert source_of(load_scenario("../mine.yaml")).file == str(mine / "book.csv")


@pytest.mark.parametrize("name", ["../book.csv", "{here}/book.csv", "link.csv", "x/../../book.csv"])
def test_a_scenario_reads_no_file_outside_its_folder(mine, undertow, name):
    (mine / "mine").mkdir()
    (mine / "mine" / "link.csv").symlink_to(mine / "book.csv")
    (mine / "mine" / "x").mkdir()
    given = name.format(here=mine)
    (mine / "mine" / "mine.yaml").write_text(named(SCENARIO, given))
    told = undertow("run", "mine/mine.yaml")
    assert told.code == 2
    assert f"file {given} lies outside the folder of the scenario, {mine / 'mine'}; " in told.err


def test_a_file_outside_is_read_with_its_hash(mine):
    digest = hashlib.sha256(BOOK.encode()).hexdigest()
    (mine / "mine").mkdir()
    text = named(SCENARIO, f"../book.csv, sha256: {digest}")
    (mine / "mine" / "mine.yaml").write_text(text)
    assert source_of(load_scenario("mine/mine.yaml")).sha256 == digest


def test_a_file_on_the_command_line_may_lie_anywhere(mine):
    (mine / "other.csv").write_text(BOOK.replace("bob", "eve"))
    (mine / "mine").mkdir()
    (mine / "mine" / "mine.yaml").write_text(SCENARIO)
    override = "populations.people.positions={file: other.csv}"
    found = source_of(load_scenario("mine/mine.yaml", [override]))
    assert found.file == str(mine / "other.csv")


# --- faults --------------------------------------------------------------------------------------

FAULTS = {
    "no file": (named(SCENARIO, "none.csv"), BOOK, "cannot be read (No such file or directory)"),
    "a folder": (named(SCENARIO, "."), BOOK, "is not a file; name a CSV or Parquet file"),
    "missing column": (SCENARIO, BOOK.replace("debt", "owed"), "column 'debt' is missing; the"),
    "negative": (SCENARIO, BOOK.replace("ann,ETH,10", "ann,ETH,-10"), "line 2: collateral is -10;"),
    "nan": (SCENARIO, BOOK.replace("0,1700", "0,nan"), "line 6: debt is nan; it must be a finite"),
    "twice": (SCENARIO, BOOK + "ann,ETH,1,0,2000\n", "line 7: account 'ann', asset 'ETH' stands"),
    "unknown asset": (SCENARIO, BOOK + "ann,BTC,1,0,9\n", "line 7: asset is 'BTC'; market market"),
    "other price": (
        SCENARIO,
        BOOK.replace(",2000", ",900"),
        "line 2: price_usd of ETH is 900, and",
    ),
    "no cash": (SCENARIO, BOOK.replace("30000", "300"), "the book owes 13400 tokens of reserve 1"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_wrong_book_ends_with_one_line_and_exit_code_2(mine, undertow, case):
    scenario, book, told = FAULTS[case]
    (mine / "mine.yaml").write_text(scenario)
    (mine / "book.csv").write_text(book)
    done = undertow("run", "mine.yaml", "--out", "out")
    assert done.code == 2
    assert done.err.startswith(PLACE)
    assert told in done.err
    assert done.err.count("\n") == 1
    assert not (mine / "out").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (", debt_usd: 5", "debt_usd cannot stand beside positions; leave one out"),
        (", count: 4", "count is 4, and the file has 3 accounts; leave count out"),
    ],
)
def test_settings_that_contradict_the_file_are_refused(mine, undertow, more, told):
    text = SCENARIO.replace(
        "{file: book.csv}", f"{{file: book.csv}}{more.replace(', ', chr(10) + '    ')}"
    )
    (mine / "mine.yaml").write_text(text)
    done = undertow("run", "mine.yaml")
    assert done.code == 2
    assert told in done.err


def test_borrowers_need_a_book_of_one_kind_or_the_other(mine, undertow):
    (mine / "mine.yaml").write_text(SCENARIO.replace("    positions: {file: book.csv}\n", ""))
    done = undertow("run", "mine.yaml")
    assert done.code == 2
    assert "count and debt_usd and health_quantiles missing; give them, or positions" in done.err


# --- formats -------------------------------------------------------------------------------------


def test_files_prints_every_column_with_its_unit(undertow):
    told = undertow("files")
    assert told.code == 0
    for declared in file_formats().values():
        assert f"{declared.name}: " in told.out
        assert all(column.name in told.out for column in declared.columns)


def test_files_prints_one_format_alone_and_refuses_another(undertow):
    assert "tick_lower" not in undertow("files", "positions").out
    done = undertow("files", "books")
    assert done.code == 2
    assert "no file format 'books'; there are: candles, positions, reserves" in done.err
