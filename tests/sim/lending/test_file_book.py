"""Books of files in a market: what is entered, and what a market refuses."""

import numpy as np
import pytest

from sim.errors import InputError
from sim.lending.state import LendingState
from sim.units import ticks
from tests.worlds import bench

HEAD = "account,asset,collateral,debt,price_usd"
# 20,000 USD of ether at a threshold of 0.8 carry 16,000 USD; bob lends 30,000 USD.
ROWS = (
    "ann,ETH,10,0,2000",
    "ann,USD,0,12000,1",
    "bob,USD,30000,0,1",
    "cid,ETH,1,0,2000",
    "cid,USD,0,1700,1",
)
MARKET = (
    "venues.market={kind: lending, chain: mainnet, reserves: {ETH: {feed: eth-feed, "
    "liquidation_threshold: 0.8, base_rate: 0, slope1: 0%s}, USD: {feed: usd-feed, base_rate: 0, "
    "slope1: 0%s}}%s}"
)
PAR = "{kind: oracle, chain: mainnet, token: USD, source: {kind: fixed, price_usd: 1}}"
ORACLES = (
    "venues.eth-feed={kind: oracle, chain: mainnet, token: ETH}",
    f"venues.usd-feed={PAR}",
)


def world_with(folder, *rows, head=HEAD, ether="", dollars="", market="", source="", more=()):
    (folder / "book.csv").write_text("\n".join([head, *rows]))
    people = (
        "populations.people={kind: borrowers, chain: mainnet, market: market, collateral: ETH, "
        f"debt: USD, positions: {{file: {folder / 'book.csv'}{source}}}}}"
    )
    return bench(*ORACLES, MARKET % (ether, dollars, market), *more, people)


def health(world):
    site = world.population_sites[world.population_names.index("people")]
    return world.columns_of(site)["health_factor"]()


def refusal(*arguments, **fields):
    with pytest.raises(InputError) as error:
        world_with(*arguments, **fields)
    return str(error.value)


def test_positions_are_those_of_the_file(tmp_path):
    world = world_with(tmp_path, *ROWS)
    lending = world.shared[LendingState]
    assert health(world) == pytest.approx([16_000 / 12_000, np.inf, 1_600 / 1_700])
    ether, dollars = lending.reserves
    assert (ether["scaled_supply"], ether["cash"], ether["n_claims"]) == (11.0, 11.0, 2)
    assert (dollars["scaled_supply"], dollars["scaled_debt"]) == (30_000.0, 13_700.0)
    assert dollars["cash"] == pytest.approx(30_000.0 - 13_700.0)
    world.advance(ticks(3_600.0))
    world.check()


def test_a_population_of_a_file_behaves_as_a_drawn_one_does(tmp_path):
    world = world_with(tmp_path, *ROWS)
    state = world.states["people"]
    assert len(state.alarm) == 3
    assert (state.alarm <= 0.5 * (1.0 + health(world))).all()  # half way to 1 at most
    assert world.balances("people", world.token("mainnet", "ETH")).min() >= 0.2  # gas


def test_suppliers_of_the_scenario_lend_too(tmp_path):
    poor = [row for row in ROWS if not row.startswith("bob")]
    told = refusal(tmp_path, *poor)
    assert "populations.people.positions.file: the book owes 13700 tokens of reserve 1 more" in told
    lender = (
        "populations.lenders={kind: suppliers, chain: mainnet, market: market, asset: USD, "
        "count: 3, supplied_usd: 20000}"
    )
    world = world_with(tmp_path, *poor, more=(lender,))
    assert world.shared[LendingState].reserves["cash"][1] == pytest.approx(20_000 - 13_700)


def test_prices_that_differ_are_refused_unless_a_rule_is_given(tmp_path):
    dear = [row.replace(",2000", ",2500") for row in ROWS]
    told = refusal(tmp_path, *dear)
    assert told.endswith(
        "book.csv, line 2: price_usd of ETH is 2500, and the scenario begins at 2000; set that "
        "price, or prices: scenario or rescale"
    )
    kept = world_with(tmp_path, *dear, source=", prices: scenario")
    assert health(kept)[0] == pytest.approx(16_000 / 12_000)
    scaled = world_with(tmp_path, *dear, source=", prices: rescale")
    assert health(scaled)[0] == pytest.approx(20_000 / 12_000)  # as at 2,500
    assert scaled.shared[LendingState].reserves["scaled_supply"][0] == pytest.approx(11 * 1.25)


def test_prices_agree_within_a_hundredth(tmp_path):
    near = [row.replace(",2000", ",2019") for row in ROWS]
    assert health(world_with(tmp_path, *near))[0] == pytest.approx(16_000 / 12_000)


REFUSED = {
    "unknown asset": (
        {"rows": (*ROWS, "dan,BTC,1,0,40000")},
        "line 7: asset is 'BTC'; market market has ETH, USD (`names` translates)",
    ),
    "supply cap": (
        {"ether": ", supply_cap: 10.5"},
        "line 5: collateral of ETH adds up to 11; the market's supply_cap is 10.5: raise it",
    ),
    "borrow cap": (
        {"dollars": ", borrow_cap: 13000"},
        "line 6: debt of USD adds up to 13,700; the market's borrow_cap is 13,000: raise it",
    ),
    "not to be borrowed": (
        {"dollars": ", can_be_borrowed: false"},
        "line 3: debt is 12000 USD, which cannot be borrowed there; set can_be_borrowed",
    ),
    "too few slots": (
        {"rows": (*ROWS, "dan,ETH,1,0,2000", "dan,USD,5,0,1"), "market": ", n_collateral_slots: 1"},
        "line 8: collateral of account 'dan' is its asset number 2; market market has room for 1",
    ),
    "mode": (
        {"rows": ("ann,ETH,1,0,7",), "head": "account,asset,collateral,debt,mode"},
        "line 2: mode is 7; market market has no efficiency modes: give 0, or leave the column out",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_market_refuses_is_told_with_its_line(tmp_path, case):
    fields, told = REFUSED[case]
    assert told in refusal(tmp_path, *fields.get("rows", ROWS), **_without_rows(fields))


def _without_rows(fields):
    return {name: value for name, value in fields.items() if name != "rows"}
