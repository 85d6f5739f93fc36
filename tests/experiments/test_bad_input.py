"""What a user's mistake gets: one message that names its place, exit code 2, nothing written."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.run_folder import whole_folder
from experiments.scenario import load_scenario
from sim.errors import OutputError

TWO_CHAINS = """\
version: 1
name: two-chains
horizon: 1d
warmup: 1h
assets:
  ETH: {price: {kind: gbm, price: 2000, volatility: 0.05}}
  USD: {price: {kind: fixed, price: 1}}
correlations: []
reference_market: {interval_seconds: 1}
chains:
  home:
    blocks: {kind: exponential, interval_seconds: 12}
    native: ETH
    tokens: [ETH, USD]
  side:
    blocks: {kind: fixed, interval_seconds: 2}
    native: ETH
    tokens: [ETH, {symbol: sUSD, asset: USD}]
venues:
  feed: {kind: oracle, chain: home, token: ETH}
  par: {kind: oracle, chain: home, token: USD, source: {kind: fixed, price_usd: 1}}
  pool: {kind: constant_product, chain: home, tokens: [ETH, USD], fee: 0.003, value_usd: 1e6}
  side-pool: {kind: constant_product, chain: side, tokens: [wUSD, ETH], fee: 0.003, value_usd: 1e6}
  twap: {kind: oracle, chain: side, token: ETH, source: {kind: pool_twap, pool: side-pool}}
  market:
    kind: lending
    chain: home
    reserves:
      ETH: {feed: feed}
      USD: {feed: par}
  bridge: {kind: lock_and_mint, chain: home, other_chain: side, token: USD, wrapped: wUSD, finality_delay_seconds: 60, return_delay_seconds: 60}
  network: {kind: liquidity_network, chain: home, other_chain: side, token: USD, other_token: sUSD, inventory_usd: 1e5}
populations:
  lenders: {kind: suppliers, chain: home, market: market, asset: USD, count: 2, supplied_usd: 1e6, fear_pool: side-pool}
  debtors: {kind: borrowers, chain: home, market: market, collateral: ETH, debt: USD, count: 2, debt_usd: 1e5, health_quantiles: [[0.1, 1.1], [0.9, 3]]}
  providers: {kind: liquidity_providers, chain: home, pool: pool, count: 2, value_usd: 1e6}
  traders: {kind: noise_traders, chain: home, count: 2, swaps_per_day: 1, median_usd: 100, venues: [pool]}
  seekers: {kind: arbitrageurs, chain: home, inventory_usd: 1e5, quote_token: USD}
  cyclists: {kind: cycle_arbitrage, chain: home, start_tokens: [USD], inventory_usd: 1e5}
  movers: {kind: bridge_users, chain: home, other_chain: side, count: 2, bridges: [bridge], transfers_per_day: 1, median_usd: 100}
  liquidators: {kind: liquidators, chain: home, market: market, count: 2, inventory_usd: 1e5, inventory_tokens: [USD], pools: [pool], flash_market: market}
shocks:
  - at: 2h
    do: {kind: freeze_oracle, venue: feed}
  - at: 3h
    do: {kind: forge, venue: bridge, mode: mint_on_destination, population: movers, amount: 10}
"""  # noqa: E501


def _whole(text, old, new, here):
    """Write the scenario with one change; return the number of the changed line."""
    assert text.count(old) == 1, old
    (here / "mine.yaml").write_text(text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


def _names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_the_scenario_of_these_tests_is_right(undertow, here):
    _whole(TWO_CHAINS, "two-chains", "three-chains", here)

    assert load_scenario(str(here / "mine.yaml")).name == "three-chains"


WRONG = {
    # what is wrong: (text, its replacement, place, message)
    "unknown key": (
        "fee: 0.003, value_usd: 1e6}\n  side",
        "fees: 0.003, value_usd: 1e6}\n  side",
        "venues.pool.fees",
        "unknown key; did you mean 'fee'?",
    ),
    "wrong type": ("horizon: 1d", "horizon: [1]", "horizon", "'[1]' is not a duration"),
    "text for a number": (
        "count: 2, swaps",
        "count: two, swaps",
        "populations.traders.count",
        "'two' is not a whole number greater than 0",
    ),
    "out of range": (
        "price: 2000",
        "price: -2000",
        "assets.ETH.price.price",
        "-2000 is not at least 1e-12 and at most 1000000000000.0 (USD)",
    ),
    "version": ("version: 1", "version: 2", "version", "2 is not 1"),
    "kind": (
        "kind: noise_traders",
        "kind: noise_trader",
        "populations.traders.kind",
        "did you mean 'noise_traders'?",
    ),
    "name that leaves the folder": (
        "name: two-chains",
        "name: ../../two",
        "name",
        "'../../two' is not text that matches",
    ),
    "no time at all": ("horizon: 1d", "horizon: 0", "horizon", "0 s is no length of a run"),
    "warm-up as long as the run": (
        "warmup: 1h",
        "warmup: 1d",
        "warmup",
        "86400 s is not less than the horizon of 86400 s",
    ),
    "samples without end": (
        "correlations: []",
        "records: {sample_seconds: 1us}",
        "records.sample_seconds",
        "1e-06 s is too short",
    ),
    "blocks without end": (
        "interval_seconds: 2}",
        "interval_seconds: 1e-9}",
        "chains.side.blocks.interval_seconds",
        "1e-09 is not at least 0.01",
    ),
    "asset of a token": (
        "symbol: sUSD, asset: USD",
        "symbol: sUSD, asset: EUR",
        "chains.side.tokens[1].asset",
        "there is no asset 'EUR'; known: ETH, USD",
    ),
    "token without asset": (
        "tokens: [ETH, USD]\n  side",
        "tokens: [ETH, USDX]\n  side",
        "chains.home.tokens[1]",
        "there is no asset 'USDX'; did you mean 'USD'?",
    ),
    "token twice": (
        "tokens: [ETH, USD]\n  side",
        "tokens: [ETH, ETH]\n  side",
        "chains.home.tokens[1]",
        "'ETH' is listed twice",
    ),
    "asset of a correlation": (
        "correlations: []",
        "correlations: [{assets: [ETH, BTC], correlation: 0.5}]",
        "correlations[0].assets[1]",
        "there is no asset 'BTC'",
    ),
    "chain of a pool": (
        "constant_product, chain: home",
        "constant_product, chain: hom",
        "venues.pool.chain",
        "there is no chain 'hom'; did you mean 'home'?",
    ),
    "token of a pool": (
        "tokens: [ETH, USD], fee",
        "tokens: [ETH, EUR], fee",
        "venues.pool.tokens[1]",
        "there is no token 'EUR' on chain home",
    ),
    "one token twice in a pool": (
        "tokens: [ETH, USD], fee",
        "tokens: [ETH, ETH], fee",
        "venues.pool.tokens[0]",
        "'ETH' is named twice",
    ),
    "feed of a reserve": (
        "ETH: {feed: feed}",
        "ETH: {feed: fed}",
        "venues.market.reserves.ETH.feed",
        "there is no oracle 'fed'; did you mean 'feed'?",
    ),
    "feed that is a pool": (
        "ETH: {feed: feed}",
        "ETH: {feed: pool}",
        "venues.market.reserves.ETH.feed",
        "'pool' is of kind constant_product, not an oracle",
    ),
    "reserve": (
        "USD: {feed: par}",
        "EUR: {feed: par}",
        "venues.market.reserves.EUR",
        "there is no token 'EUR' on chain home",
    ),
    "pool of an oracle": (
        "pool: side-pool}}",
        "pool: side}}",
        "venues.twap.source.pool",
        "there is no pool 'side'; did you mean 'side-pool'?",
    ),
    "other chain": (
        "other_chain: side, token: USD, wrapped",
        "other_chain: sid, token: USD, wrapped",
        "venues.bridge.other_chain",
        "there is no chain 'sid'; did you mean 'side'?",
    ),
    "bridge to itself": (
        "other_chain: side, token: USD, wrapped",
        "other_chain: home, token: USD, wrapped",
        "venues.bridge.other_chain",
        "'home' is the chain itself",
    ),
    "wrapped token that exists": (
        "wrapped: wUSD",
        "wrapped: sUSD",
        "venues.bridge.wrapped",
        "issues 'sUSD', which chain side has already",
    ),
    "other token": (
        "other_token: sUSD",
        "other_token: USD",
        "venues.network.other_token",
        "there is no token 'USD' on chain side",
    ),
    "tokens of two assets": (
        "other_token: sUSD",
        "other_token: ETH",
        "venues.network.other_token",
        "'ETH' is of asset ETH, but 'USD' is of asset USD",
    ),
    "market": (
        "market: market, asset",
        "market: markt, asset",
        "populations.lenders.market",
        "there is no lending market 'markt'; did you mean 'market'?",
    ),
    "market that is a pool": (
        "market: market, asset",
        "market: pool, asset",
        "populations.lenders.market",
        "'pool' is of kind constant_product, not a lending market",
    ),
    "asset of suppliers": (
        "asset: USD, count",
        "asset: DAI, count",
        "populations.lenders.asset",
        "there is no reserve 'DAI' in market market; known: ETH, USD",
    ),
    "fear_pool": (
        "fear_pool: side-pool",
        "fear_pool: sidepool",
        "populations.lenders.fear_pool",
        "there is no pool 'sidepool'; did you mean 'side-pool'?",
    ),
    "collateral": (
        "collateral: ETH",
        "collateral: BTC",
        "populations.debtors.collateral",
        "there is no reserve 'BTC' in market market",
    ),
    "debt": ("debt: USD", "debt: DAI", "populations.debtors.debt", "there is no reserve 'DAI'"),
    "pool": (
        "pool: pool, count",
        "pool: pol, count",
        "populations.providers.pool",
        "there is no pool 'pol'; did you mean 'pool'?",
    ),
    "pool on another chain": (
        "pool: pool, count",
        "pool: side-pool, count",
        "populations.providers.pool",
        "'side-pool' is on chain 'side'",
    ),
    "venues": (
        "venues: [pool]",
        "venues: [pool, par]",
        "populations.traders.venues[1]",
        "'par' is of kind oracle, not a pool",
    ),
    "quote_token": (
        "quote_token: USD",
        "quote_token: DAI",
        "populations.seekers.quote_token",
        "there is no token 'DAI' on chain home",
    ),
    "start_tokens": (
        "start_tokens: [USD]",
        "start_tokens: [USD, DAI]",
        "populations.cyclists.start_tokens[1]",
        "there is no token 'DAI'",
    ),
    "bridges": (
        "bridges: [bridge]",
        "bridges: [bridg]",
        "populations.movers.bridges[0]",
        "there is no bridge 'bridg'; did you mean 'bridge'?",
    ),
    "chain of a population": (
        "liquidators, chain: home",
        "liquidators, chain: hme",
        "populations.liquidators.chain",
        "there is no chain 'hme'",
    ),
    "inventory_tokens": (
        "inventory_tokens: [USD]",
        "inventory_tokens: [DAI]",
        "populations.liquidators.inventory_tokens[0]",
        "there is no reserve 'DAI'",
    ),
    "pools": (
        "pools: [pool]",
        "pools: [poool]",
        "populations.liquidators.pools[0]",
        "there is no pool 'poool'; did you mean 'pool'?",
    ),
    "flash_market": (
        "flash_market: market",
        "flash_market: feed",
        "populations.liquidators.flash_market",
        "'feed' is of kind oracle, not a lending market",
    ),
    "population named like a protocol": (
        "  lenders:",
        "  lending:",
        "populations.lending",
        "'lending' is the name of an account group",
    ),
    "venue named like the reference market": (
        "  par:",
        "  exchange:",
        "venues.exchange",
        "'exchange' is the name of the reference market",
    ),
    "venue of a shock": (
        "venue: feed}",
        "venue: fed}",
        "shocks[0].do.venue",
        "there is no venue 'fed'; did you mean 'feed'?",
    ),
    "venue of another kind in a shock": (
        "venue: feed}",
        "venue: pool}",
        "shocks[0].do.venue",
        "'pool' is of kind constant_product; give one of kind oracle",
    ),
    "bridge that cannot be deceived": (
        "venue: bridge, mode",
        "venue: network, mode",
        "shocks[1].do.venue",
        "give one of kind lock_and_mint",
    ),
    "population of a shock": (
        "population: movers",
        "population: mover",
        "shocks[1].do.population",
        "did you mean 'movers'?",
    ),
    "shock after the end": (
        "at: 3h",
        "at: 2d",
        "shocks[1].at",
        "172800 s lies beyond the horizon of 86400 s",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_named_with_file_line_field_and_what_is_allowed(undertow, here, case):
    old, new, place, message = WRONG[case]
    line = _whole(TWO_CHAINS, old, new, here)

    done = undertow("run", "mine.yaml", "--out", "out")

    assert done.code == 2
    assert done.err.startswith(f"undertow: mine.yaml:{line}: {place}: ")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""
    assert _names(here) == ["mine.yaml"]


TEXTS = {
    "malformed YAML": ("a: 1\nb: [1, 2\nc: 3\n", "3: not YAML"),
    "tab": ("a: 1\n\tb: 2\n", "2: not YAML"),
    "duplicate key": (
        "version: 1\nname: x\nversion: 1\n",
        "3: key 'version' is given twice, first on line 1; keep",
    ),
    "tag": ("a: !!python/object/apply:os.system [ls]\n", "1: tag "),
    "alias bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "1: anchors and aliases"),
    "merge key": ("a: 1\n<<: {b: 2}\n", "2: merge keys are not read"),
    "two documents": ("a: 1\n---\nb: 2\n", "2: a second document begins"),
    "deep nesting": ("a: " + "[" * 5_000, "1: a value is nested deeper than 30"),
    "empty file": ("", "1: the file is empty"),
    "list": ("- 1\n", "1: the file holds a list"),
    "not a number": ("a: 1\nb: .nan\n", "2: '.nan' is not a finite number"),
    "large file": ("a: " + "x" * 1_100_000, "1: 1000001 bytes are more than 1000000"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_file_that_is_no_plain_yaml_is_refused_at_its_line(undertow, here, case):
    text, message = TEXTS[case]
    (here / "mine.yaml").write_text(text)

    done = undertow("scenarios", "check", "mine.yaml")

    assert done.code == 2
    assert done.err.startswith(f"undertow: mine.yaml:{message}")
    assert done.err.count("\n") == 1


def test_a_file_that_is_not_utf_8_is_refused(undertow, here):
    (here / "mine.yaml").write_bytes(b"name: \xff\n")

    done = undertow("run", "mine.yaml")

    assert (done.code, done.err) == (
        2,
        "undertow: mine.yaml:1: byte 0xff is not UTF-8; write UTF-8\n",
    )


def test_several_faults_are_told_in_one_go_in_the_order_of_the_file(undertow, here):
    text = TWO_CHAINS.replace("price: 2000", "price: 0").replace("venues: [pool]", "venue: [pool]")
    (here / "mine.yaml").write_text(text)

    lines = undertow("run", "mine.yaml").err.splitlines()

    assert [re.sub(r": .*", "", line.removeprefix("undertow: ")) for line in lines] == [
        "mine.yaml:6",
        "mine.yaml:37",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("black-tuesday", "no scenario 'black-tuesday'; did you mean 'black-thursday'?"),
        ("qiet-market", "no scenario 'qiet-market'; did you mean 'quiet-market'"),
        ("zzz", "no scenario 'zzz'; shipped: black-thursday, "),
        ("", "no scenario ''; shipped: "),
        ("../quiet-market", "no scenario '../quiet-market'; did you mean 'quiet-market'"),
        ("x" * 300, f"no scenario '{'x' * 300}'; shipped: "),
        ("none.yaml", "none.yaml cannot be read: No such file or directory"),
        ("x" * 300 + ".yaml", f"{'x' * 300}.yaml cannot be read: File name too long"),
        ("folder.yaml", "folder.yaml is a folder; give the path of a YAML file"),
        ("pipe.yaml", "pipe.yaml is not a regular file; give the path of a YAML file"),
    ],
)
def test_an_unknown_scenario_is_refused_with_the_nearest_names(undertow, here, name, message):
    (here / "folder.yaml").mkdir()
    os.mkfifo(here / "pipe.yaml")

    done = undertow("run", name)

    assert done.code == 2
    assert done.err.startswith(f"undertow: {message}")
    assert done.err.count("\n") == 1


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("horizon", "there is no '='"),
        ("chains.manet.gas_limit=3", "chains has no 'manet'; did you mean 'mainnet'?"),
        ("chains[0]=3", "chains is a mapping, not a list; known: mainnet"),
        ("horizon=2y", "horizon: '2y' is not a duration"),
        ("venues.eth-usd.fee=2", "venues.eth-usd.fee: 2 is not at least 0"),
        ("venues.eth-usd.tokens=[ETH, EUR]", "venues.eth-usd.tokens[1]: there is no token 'EUR'"),
        (
            "populations.arbitrageur.venues=[eth-us]",
            "populations.arbitrageur.venues[0]: there is no pool 'eth-us'",
        ),
        ("horizon=!!int 3", "tag "),
        ("chains.mainnet.fee=[/x]", "chains.mainnet.fee: unknown key"),
    ],
)
def test_a_wrong_setting_is_told_with_its_text(undertow, here, setting, message):
    done = undertow("run", "quiet-market", "--set", setting, "--out", "out")

    assert done.code == 2
    assert done.err.startswith(f"undertow: --set {setting}: {message}")
    assert done.err.count("\n") == 1
    assert _names(here) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--until", "8d"], "--until is 691200 s; it must be at least 0.001 s and at most"),
        (["--until", "0"], "--until is 0 s; it must be at least 0.001 s"),
        (["--until", "six"], "'six' is not a duration; write a number and us, ms, s, m, h or d"),
        (["--until", "-3"], "'-3' is not a duration"),
        (["--seed", "-1"], "'-1' is not a seed; give a whole number from 0 to 9223372036854775807"),
        (["--seed", "9223372036854775808"], "'9223372036854775808' is not a seed"),
        (["--seed", "1.5"], "'1.5' is not a seed"),
        (["--seed", "[/x]"], "'[/x]' is not a seed"),
        (["--seed", "٣"], "is not a seed"),
        (["--prices-start", "2020-03-12"], "--prices-start is '2020-03-12' without --prices"),
        (["--bogus"], "No such option: --bogus"),
    ],
)
def test_a_wrong_option_is_refused_with_its_value(undertow, here, arguments, message):
    done = undertow("run", "quiet-market", *arguments)

    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert _names(here) == []


def test_an_unknown_command_or_table_is_refused_with_the_known_ones(undertow):
    assert "Did you mean 'run'?" in undertow("rum").err
    assert undertow("records", "filz").err.startswith(
        "undertow: no record table 'filz'; there are: fills, orders, causes"
    )


# --- price files ----------------------------------------------------------------------------------

HEAD = "time,open,high,low,close,volume"
START = 1_583_971_200  # 2020-03-12 00:00:00 UTC


def _candle(k, **values):
    candle = {"open": 2000, "high": 2010, "low": 1990, "close": 2001, "volume": 3, **values}
    return ",".join(str(value) for value in (START + 60 * k, *candle.values()))


def _rows(n=120, **changed):
    return [HEAD, *(_candle(k, **(changed if k == 5 else {})) for k in range(n))]


def _without(rows, *numbers):
    return [row for k, row in enumerate(rows) if k not in numbers]


def _swapped(rows):
    return [*rows[:8], rows[9], rows[8], *rows[10:]]


PRICES = {
    "missing column": (
        [row.rpartition(",")[0] for row in _rows()],
        ": column 'volume' is missing; the columns must be time, open, high",
    ),
    "gap": (
        _without(_rows(), 21, 22),
        ", line 22: time 2020-03-12 00:22:00 follows 2020-03-12 00:19:00; ",
    ),
    "zero": (_rows(low=0), ", line 7: low is 0; a price must be from 1e-12 to 1e+12"),
    "negative": (_rows(open=-1), ", line 7: open is -1; a price must be from 1e-12 to 1e+12"),
    "NaN": (_rows(close="nan"), ", line 7: close is nan; a price must be from 1e-12 to 1e+12"),
    "empty cell": (_rows(close=""), ", line 7: close is nan; a price must be from 1e-12 to 1e+12"),
    "text": (_rows(close="abc"), ", line 7: close is 'abc'; it must be a number"),
    "infinite": (_rows(high="inf"), ", line 7: high is inf; a price must be from 1e-12 to 1e+12"),
    "high below open": (_rows(high=1995), ", line 7: high is 1995, below open 2000"),
    "unsorted": (
        _swapped(_rows()),
        ", line 10: time 2020-03-12 00:07:00 comes after 2020-03-12 00:08:00",
    ),
    "twice": ([*_rows()[:6], *_rows()[5:]], ", line 7: time 2020-03-12 00:04:00 appears twice"),
    "too short": (_rows(30), ": covers 2020-03-12 00:00:00 to 2020-03-12 00:30:00; the run needs"),
    "nothing": ([], ": is empty"),
}


@pytest.mark.parametrize("case", PRICES)
def test_a_wrong_price_file_is_named_with_line_and_value(undertow, here, case):
    rows, message = PRICES[case]
    (here / "x.csv").write_text("\n".join(rows) + "\n")

    done = undertow("run", "quiet-market", "--prices", "x.csv", "--until", "1h", "--out", "out")

    assert done.code == 2
    place = "undertow: --prices x.csv: assets.ETH.price.file: price file "
    assert done.err.startswith(f"{place}{here / 'x.csv'}{message}")
    assert done.err.count("\n") == 1
    assert _names(here) == ["x.csv"]


@pytest.mark.parametrize("case", ["gap", "negative", "unsorted"])
def test_a_wrong_price_file_of_a_scenario_is_told_at_the_scenarios_line(undertow, here, case):
    rows, message = PRICES[case]
    (here / "x.csv").write_text("\n".join(rows) + "\n")
    old = "kind: gbm, price: 2000, volatility: 0.05"
    line = _whole(TWO_CHAINS, old, "kind: replay, file: x.csv", here)

    done = undertow("run", "mine.yaml", "--until", "1h")

    assert done.code == 2
    place = f"undertow: mine.yaml:{line}: assets.ETH.price.file: price file "
    assert done.err.startswith(f"{place}{here / 'x.csv'}{message}")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none.csv", "cannot be read (No such file or directory)"),
        (".", "is not a file; name a CSV or Parquet file"),
        ("/dev/zero", "is not a file; name a CSV or Parquet file"),
        ("x" * 300, "cannot be read (File name too long)"),
    ],
)
def test_a_price_file_that_cannot_be_read_is_refused(undertow, file, message):
    done = undertow("run", "quiet-market", "--prices", file, "--until", "1h")

    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("2020-03-12T00:00:30Z", "has no candle that opens at the start 2020-03-12 00:00:30"),
        ("2020-03-11T00:00:00Z", "the run needs 2020-03-11 00:00:00 to 2020-03-11 01:00:00"),
        ("yesterday", "--prices-start: 'yesterday' is not a time; write it as 2020-03-12"),
    ],
)
def test_a_wrong_start_of_prices_is_refused(undertow, here, start, message):
    (here / "x.csv").write_text("\n".join(_rows()) + "\n")

    done = undertow(
        "run", "quiet-market", "--prices", "x.csv", "--prices-start", start, "--until", "1h"
    )

    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


def test_prices_for_a_scenario_whose_prices_are_fixed_are_refused(undertow, here):
    (here / "x.csv").write_text("\n".join(_rows()) + "\n")

    done = undertow(
        "run",
        "quiet-market",
        "--prices",
        "x.csv",
        "--set",
        "assets.ETH.price={kind: fixed, price: 1}",
    )

    assert done.code == 2
    assert "assets: none has a price that moves" in done.err


# --- faults that only a built world shows ---------------------------------------------------------

WAYPOINTS = (
    "kind: waypoints, waypoints: [[0, 1], [3, 2]], volatility: [{until_hours: 3, volatility: 0.1}]"
)
BUILT = {
    "waypoints too short": (
        "kind: gbm, price: 2000, volatility: 0.05",
        WAYPOINTS,
        "assets.ETH.price",
        "end at hour 3; they must reach the horizon",
    ),
    "price out of range": (
        "volatility: 0.05",
        "volatility: 1000",
        "assets.ETH.price",
        "price of ETH is",
    ),
    "loan-to-value above the threshold": (
        "ETH: {feed: feed}",
        "ETH: {feed: feed, loan_to_value: 0.9}",
        "venues.market",
        "loan_to_value (0.9) must not exceed",
    ),
    "oracle of a token that the pool lacks": (
        "token: ETH, source: {kind: pool_twap",
        "token: sUSD, source: {kind: pool_twap",
        "venues.twap",
        "is not a pool of side/sUSD",
    ),
    "debt above supply": (
        "debt_usd: 1e5",
        "debt_usd: 1e9",
        "populations.debtors",
        "raise the supply or lower the debts",
    ),
}


@pytest.mark.parametrize("case", BUILT)
def test_a_fault_found_while_building_is_told_at_its_line(undertow, here, case):
    old, new, place, message = BUILT[case]
    line = _whole(TWO_CHAINS, old, new, here)

    done = undertow("run", "mine.yaml", "--out", "a/b")

    last = done.err.splitlines()[-1]
    section = place.split(".")[0]
    assert done.code == 2
    assert re.match(rf"undertow: mine\.yaml:\d+: {re.escape(place)}", last)
    assert message in last
    assert "Traceback" not in done.err
    told = int(last.split(":")[2])
    assert TWO_CHAINS.splitlines().index(f"{section}:") < told <= line
    assert _names(here) == ["mine.yaml"]


# --- the disk -------------------------------------------------------------------------------------


def test_an_output_folder_that_exists_is_refused_before_the_run(undertow, here):
    (here / "out").mkdir()
    (here / "out" / "mine.txt").write_text("mine")

    done = undertow("run", "quiet-market", "--out", "out")

    assert (done.code, done.err) == (
        2,
        "undertow: out exists; give another --out, or --force to replace it\n",
    )
    assert (here / "out" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full; free some space or give another --out"),
        (errno.EROFS, "the disk is read-only; give another --out"),
        (errno.EACCES, "you may not write here; give another --out"),
        (errno.EDQUOT, "your disk quota is used up"),
        (errno.EIO, "cannot be written (Input/output error); give another --out"),
    ],
)
def test_a_fault_of_the_disk_is_one_message_and_leaves_nothing(
    undertow, here, monkeypatch, number, message
):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("experiments.running.write_json", fail)

    done = undertow("run", "quiet-market", "--until", "10m", "--no-figures", "--out", "a/b/out")

    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith(f"undertow: a/b/out: {message}")
    assert "Traceback" not in done.err
    assert _names(here) == []


def test_a_path_through_a_file_is_refused(undertow, here):
    (here / "file").write_text("mine")

    done = undertow("run", "quiet-market", "--until", "10m", "--out", "file/out")

    assert done.code == 1
    assert "file/out: a part of the path is a file; give another --out" in done.err
    assert (here / "file").read_text() == "mine"


def test_a_disk_that_is_really_full_is_told_once(here):
    """A disk of 64 kB, seen by the child process alone; needs root."""
    (here / "disk").mkdir()
    mount = "mount -t tmpfs -o size=64k tmpfs disk || exit 77"
    run = "run quiet-market --until 2h --no-figures --out disk/out"
    script = f"{mount}; {sys.executable} -m experiments {run}; code=$?; ls -A disk; exit $code"
    if shutil.which("unshare") is None:
        pytest.skip("no disk can be mounted here")

    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )

    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no disk can be mounted here")
    told = "disk/out: the disk is full; free some space or give another --out"
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1:] == [f"undertow: {told}"]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_folder_that_cannot_be_made_is_told_by_the_name_that_was_given():
    with pytest.raises(OutputError) as caught, whole_folder(Path("/proc/x"), force=False):
        pass
    assert str(caught.value).startswith("/proc/x: ")
    assert ".part" not in str(caught.value)


def test_a_horizon_of_no_length_is_blamed_itself(undertow, here):
    done = undertow("run", "quiet-market", "--set", "horizon=1e-7", "--until", "10m")

    assert done.code == 2
    assert "horizon: 1e-07 s is no length of a run; it must be at least 0.001 s" in done.err
    assert "--until" not in done.err
