"""Keepers: what they bid and buy, when lots go for nothing, and how they get debt tokens back."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from agents.keepers import KeepersConfig
from sim.errors import InputError
from sim.exchange import ExchangeConfig
from sim.feeds import Feeds
from sim.orders import FILL, split_cause
from sim.plan import PopulationPlan
from sim.trial import small_plan
from sim.units import ticks
from sim.world import World
from tests.examples import ENGLISH, VAULTS, config_of, feeds, people_of, venue
from tests.worlds import Log

DUTCH = {"kind": "dutch", "keeper_tip": 0.0, "keeper_share": 0.0}
RULES = {**VAULTS, "stability_fee": 0.0, "debt_asset": "USD"}
GAS = 5.0  # USD, more than any of their orders costs


def world_with(liquidation, **changes):
    """One vault of 10.5 ETH that owes 10,000, unsafe at 1,400 USD, which both prices are from 10 s.

    Keepers have a margin of 5 % and sell on the reference market, which costs nothing.
    """
    terms = {
        "cdp": "vaults", "count": 1, "largest_share": 1.0, "inventory_usd": 20_000.0,
        "margin_low": 0.05, "margin_high": 0.05, "direct_share": 1.0,
        "exit": {"pool": 0.0, "reference": 1.0, "hold": 0.0},
    } | changes  # fmt: skip
    pool = terms.pop("pool_usd", 0.0)
    keepers = people_of("keepers", **terms)
    owners = people_of(
        "vault_owners", cdp="vaults", count=1, debt_usd=10_000.0, awake_share=0.0,
        health_quantiles=[[0.5, 1.4], [1.0, 1.4]],
    )  # fmt: skip
    venues = [
        *feeds(),
        venue("vaults", config_of("cdp", **RULES, liquidation=liquidation)),
        venue("exchange", ExchangeConfig()),
    ]
    if pool:
        venues.append(
            venue("pool", config_of("constant_product", tokens=["ETH", "DAI"], value_usd=pool))
        )
    plans = tuple(
        PopulationPlan(name, kind, "home", config.count, config)
        for name, kind, config in (
            ("owners", _kind("vault_owners"), owners),
            ("keepers", _kind("keepers"), keepers),
        )
    )
    plan = small_plan(tuple(venues), plans)
    paths = plan.paths.copy()
    paths[0, 1:] = 1_400.0
    world = World(replace(plan, paths=paths))
    told = world.shared[Feeds]
    told.value[0] = told.posted[0] = 1_400.0
    return world


def _kind(name):
    from experiments.kinds import populations

    return populations()[name]


def run(world, seconds):
    """Advance to a time and return what the keepers did with success."""
    log = Log(world)
    world.advance(ticks(seconds))
    world.check()
    fills = log.fills
    return fills[(fills["group"] == world.group("keepers")) & (fills["status"] == 0)]


def of(world, fills, verb):
    return fills[fills["verb"] == world.verb_names.index(f"cdp.{verb}")]


def market(world):
    return world.states["cdp"][0].markets[0]


def dai(world):
    return world.balances("keepers", world.token("home", "DAI"))


# --- English auctions ----------------------------------------------------------------------------


def test_a_direct_keeper_bids_the_sum_where_the_lot_is_worth_it_and_settles():
    # 10.5 ETH are worth 14,700, 13,965 with the margin: more than the 11,300 to be raised.
    world = world_with(ENGLISH)
    fills = run(world, 200.0)
    assert [len(of(world, fills, verb)) for verb in ("bite", "tend", "deal")] == [1, 1, 1]
    assert of(world, fills, "tend")["amount_in"][0] == pytest.approx(11_300.0)
    assert of(world, fills, "deal")["amount_out"][0] == pytest.approx(10.5)
    assert market(world)["surplus"] == pytest.approx(1_300.0)


def test_a_direct_keeper_bids_no_more_than_the_lot_is_worth_to_it():
    world = world_with(ENGLISH, margin_low=0.4, margin_high=0.4)
    bid = of(world, run(world, 60.0), "tend")["amount1"]
    assert len(bid) == 1
    assert 0.6 * 14_700.0 - GAS < bid[0] < 0.6 * 14_700.0


def test_a_keeper_bids_no_more_than_it_has():
    world = world_with(ENGLISH, inventory_usd=700.0)
    run(world, 200.0)
    assert market(world)["written_off"] == pytest.approx(9_300.0)


def test_a_lot_goes_for_nothing_where_nobody_has_debt_tokens():
    world = world_with(ENGLISH, inventory_usd=0.0, direct_share=0.5, count=2, largest_share=0.5)
    fills = run(world, 200.0)
    assert of(world, fills, "tend")["amount1"].tolist() == [0.0]
    assert len(of(world, fills, "deal")) == 1
    assert market(world)["written_off"] == market(world)["unbacked"] == pytest.approx(10_000.0)


def test_a_patient_keeper_opens_with_nothing_and_wins_where_it_is_alone():
    world = world_with(ENGLISH, direct_share=0.0)
    run(world, 200.0)
    assert market(world)["unbacked"] == pytest.approx(10_000.0)


def test_a_patient_keeper_may_open_with_a_share_of_its_worth():
    world = world_with(ENGLISH, direct_share=0.0, opening_share=0.5)
    bid = of(world, run(world, 60.0), "tend")["amount1"][0]
    assert 0.5 * 13_965.0 - GAS < bid < 0.5 * 13_965.0


def test_patient_keepers_drive_each_other_up_to_the_sum():
    world = world_with(
        dict(ENGLISH, auction_hours=6.0),
        direct_share=0.0,
        count=2,
        largest_share=0.5,
        inventory_usd=60_000.0,
    )
    fills = run(world, 3_600.0)
    bids = of(world, fills, "tend")["amount1"]
    assert bids[0] == 0.0
    assert (bids[2:] >= 1.03 * bids[1:-1] * (1.0 - 1e-12))[:-1].all()
    assert bids[-1] == pytest.approx(11_300.0)
    assert market(world)["unbacked"] == 0.0


def test_two_direct_keepers_ask_for_less_until_the_margin_is_gone():
    # 11,300 are worth 11,300 / (0.95 * 1,400) = 8.496 ETH; the rest goes back to the vault.
    world = world_with(ENGLISH, count=2, largest_share=0.5, inventory_usd=60_000.0)
    fills = run(world, 300.0)
    assert len(of(world, fills, "dent")) == 1
    left = float(world.states["cdp"][0].collateral[0])
    assert left == pytest.approx(10.5 - 11_300.0 / 1_330.0, abs=GAS / 1_330.0)


def test_a_vault_larger_than_a_lot_is_bitten_in_lots():
    world = world_with(dict(ENGLISH, lot_size=4.0), inventory_usd=60_000.0)
    fills = run(world, 300.0)
    lots = [lot["lot"] for lot in world.states["cdp"][0].auctions[:3]]
    assert lots == pytest.approx([4.0, 4.0, 2.5])
    assert len(of(world, fills, "deal")) == 3


def test_what_bites_is_caused_by_the_fee_where_no_report_was_made():
    world = world_with(ENGLISH)
    space, _ = split_cause(of(world, run(world, 60.0), "bite")["parent"])
    assert space[0] != FILL


# --- Dutch auctions and the fixed spread ---------------------------------------------------------


def test_a_keeper_takes_when_the_price_leaves_its_margin():
    # 1.2 * 1,400 * 0.99^n falls below 0.95 * 1,400 at n = 24.
    world = world_with(DUTCH)
    taken = of(world, run(world, 3_000.0), "take")
    assert taken["amount_in"][0] / taken["amount_out"][0] == pytest.approx(1_680.0 * 0.99**24)
    assert taken["amount_in"][0] == pytest.approx(11_300.0)


def test_a_keeper_with_less_takes_a_part():
    world = world_with(DUTCH, inventory_usd=3_000.0, deposit_delay_seconds=5_000.0)
    taken = of(world, run(world, 3_000.0), "take")
    assert taken["amount_in"].tolist() == pytest.approx([3_000.0])


def test_a_stale_auction_is_restarted():
    world = world_with(dict(DUTCH, stale_after_minutes=2.0))
    assert len(of(world, run(world, 400.0), "redo")) >= 2


def test_the_fixed_spread_is_taken_where_it_covers_the_margin():
    world = world_with({"kind": "fixed_spread"})
    done = of(world, run(world, 60.0), "liquidate")
    assert done["amount_in"].tolist() == pytest.approx([10_000.0])
    assert done["amount_out"].tolist() == pytest.approx([11_300.0 / 1_400.0])
    greedy = world_with({"kind": "fixed_spread"}, margin_low=0.2, margin_high=0.2)
    assert len(of(greedy, run(greedy, 60.0), "liquidate")) == 0


def test_collateral_is_sold_in_a_pool_in_the_same_order():
    world = world_with(
        {"kind": "fixed_spread"}, exit={"pool": 1.0, "reference": 0.0, "hold": 0.0}, pool_usd=1e6
    )
    fills = run(world, 60.0)
    assert of(world, fills, "liquidate")["id"][0] in fills["id"][fills["leg"] == 1]
    assert dai(world)[0] > 20_000.0


# --- debt tokens come back -----------------------------------------------------------------------


def test_debt_tokens_come_back_after_the_deposit_delay():
    world = world_with(ENGLISH, deposit_delay_seconds=300.0)
    run(world, 200.0)
    assert dai(world)[0] == pytest.approx(8_700.0)
    world.advance(ticks(600.0))
    assert dai(world)[0] == pytest.approx(8_700.0 + 10.5 * 1_400.0)


def test_a_lot_that_was_won_is_sold_in_a_pool_in_a_later_block():
    exits = {"pool": 1.0, "reference": 0.0, "hold": 0.0}
    world = world_with(ENGLISH, exit=exits, pool_usd=1e7)
    run(world, 300.0)
    assert world.balances("keepers", world.token("home", "ETH"))[0] == pytest.approx(0.0, abs=1e-9)
    assert dai(world)[0] > 20_000.0


def test_who_holds_keeps_the_collateral():
    world = world_with(ENGLISH, exit={"pool": 0.0, "reference": 0.0, "hold": 1.0})
    run(world, 300.0)
    assert world.balances("keepers", world.token("home", "ETH")) == pytest.approx([10.5])


# --- configuration -------------------------------------------------------------------------------


def test_inventory_falls_off_from_the_largest():
    world = world_with(ENGLISH, count=5, largest_share=0.4, inventory_usd=1e5)
    held = dai(world)
    assert held.sum() == pytest.approx(1e5)
    assert held[0] == pytest.approx(4e4)
    assert (np.diff(held) < 0.0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exit": {"pool": 1.0, "reference": 0.0, "hold": 0.0}}, "there is no pool of the two"),
        ({"count": 3, "largest_share": 0.2}, "largest_share"),
        ({"pools": ["exchange"]}, "'exchange' is no pool"),
    ],
    ids=["no pool", "shares", "another pool"],
)
def test_what_keepers_need_and_lack_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        world_with(ENGLISH, **changes)


def test_margins_out_of_order_are_refused():
    with pytest.raises(ValidationError, match="must not exceed margin_high"):
        KeepersConfig(
            kind="keepers", chain="home", cdp="v", count=1, margin_low=0.5, margin_high=0.1
        )
