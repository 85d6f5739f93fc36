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
MODES = (
    ", efficiency_modes: {near: {loan_to_value: 0.93, liquidation_threshold: 0.95, "
    "liquidation_bonus: 0.01, collateral_assets: [ETH], borrowable_assets: [USD]}}"
)
MODE_HEAD = "account,asset,collateral,debt,mode"
ORACLES = (
    "venues.eth-feed={kind: oracle, chain: mainnet, token: ETH}",
    f"venues.usd-feed={PAR}",
)


def world_with(
    folder, *rows, head=HEAD, ether="", dollars="", market="", source="", people="", more=()
):
    (folder / "book.csv").write_text("\n".join([head, *rows]))
    borrowers = (
        "populations.people={kind: borrowers, chain: mainnet, market: market, collateral: ETH, "
        f"debt: USD, positions: {{file: {folder / 'book.csv'}{source}}}{people}}}"
    )
    return bench(*ORACLES, MARKET % (ether, dollars, market), *more, borrowers)


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


def test_accounts_of_a_file_are_in_their_efficiency_modes(tmp_path):
    """The same book of 20,000 USD against 12,000: threshold 0.8 outside the mode, 0.95 in it."""
    rows = ("ann,ETH,10,0,1", "ann,USD,0,12000,1", "bob,USD,30000,0,0", "cid,ETH,10,0,0")
    rows += ("cid,USD,0,12000,0",)
    world = world_with(tmp_path, *rows, head=MODE_HEAD, market=MODES, source=", modes: {1: near}")
    assert health(world) == pytest.approx([19_000 / 12_000, np.inf, 16_000 / 12_000])
    assert world.shared[LendingState].positions["mode"].tolist() == [0, -1, -1]


def test_a_file_without_modes_is_in_that_of_its_population(tmp_path):
    world = world_with(tmp_path, *ROWS, market=MODES, people=", efficiency_mode: near")
    assert health(world) == pytest.approx([19_000 / 12_000, np.inf, 1_900 / 1_700])
    alarm = world.states["people"].alarm
    assert (alarm <= 0.5 * (1.0 + health(world))).all()


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
        {"rows": ("ann,ETH,1,0,7",), "head": MODE_HEAD},
        "line 2: mode is 7; market market has no efficiency modes: give 0, or leave the column out",
    ),
    "mode without a label": (
        {"rows": ("ann,ETH,1,0,7",), "head": MODE_HEAD, "market": MODES},
        "line 2: mode is 7, for which modes gives no label; market market has near: name one, ",
    ),
    "label that is not there": (
        {
            "rows": ("ann,ETH,1,0,7",),
            "head": MODE_HEAD,
            "market": MODES,
            "source": ", modes: {7: far}",
        },
        "line 2: mode is 7, for which modes gives 'far'; market market has near: name one",
    ),
    "mode that is not there": (
        {
            "rows": ("ann,ETH,1,0,7",),
            "head": MODE_HEAD,
            "market": MODES,
            "source": ", modes: {7: near, 8: near}",
        },
        "has no mode '8', which modes translates; leave it out there",
    ),
    "debt that the mode does not allow": (
        {
            "rows": ("bob,ETH,5,0,0", "ann,USD,5000,0,1", "ann,ETH,0,1,1"),
            "head": MODE_HEAD,
            "market": MODES,
            "source": ", modes: {1: near}",
        },
        "line 4: debt is 1 ETH, which cannot be owed in the efficiency mode of the account; ",
    ),
    "modes twice": (
        {
            "rows": ("ann,ETH,1,0,0",),
            "head": MODE_HEAD,
            "market": MODES,
            "people": ", efficiency_mode: near",
        },
        "has a column 'mode'; leave it out, or efficiency_mode",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_market_refuses_is_told_with_its_line(tmp_path, case):
    fields, told = REFUSED[case]
    assert told in refusal(tmp_path, *fields.get("rows", ROWS), **_without_rows(fields))


def _without_rows(fields):
    return {name: value for name, value in fields.items() if name != "rows"}
