"""Files of pools: reserves and ranges, their prices, and what is refused."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from sim.amm.concentrated_state import ConcentratedState
from sim.amm.concentrated_venue import ConcentratedConfig
from sim.amm.constant_product import ConstantProductConfig, ConstantProductState
from sim.amm.pool_files import LiquiditySource, ReserveSource, ranges_of, reserves_of
from sim.errors import InputError, ScenarioError
from sim.units import ticks
from tests.worlds import bench

RESERVES = ("pool,token,reserve", "a,WETH,100", "a,USD,210000", "b,ETH,1", "b,USD,2000")
RANGES = (
    "owner,tick_lower,tick_upper,liquidity,price",
    "x,75000,77400,1000,2000",
    "y,75600,76200,500,2000",
    "x,77400,78000,300,2000",
)


def reserve_source(folder, *rows, **fields):
    (folder / "pools.csv").write_text("\n".join(rows or RESERVES))
    return ReserveSource(file=str(folder / "pools.csv"), **fields)


def range_source(folder, *rows, **fields):
    (folder / "ranges.csv").write_text("\n".join(rows or RANGES))
    return LiquiditySource(file=str(folder / "ranges.csv"), **fields)


# --- reserves ------------------------------------------------------------------------------------


def test_reserves_are_found_by_pool_and_token_in_the_order_of_the_venue(tmp_path):
    source = reserve_source(tmp_path)
    assert reserves_of(source, "b", ["ETH", "USD"], 2_000.0) == (1.0, 2_000.0)
    assert reserves_of(source, "b", ["USD", "ETH"], 1 / 2_000.0) == (2_000.0, 1.0)
    other = reserve_source(tmp_path, pool_in_file="a", names={"WETH": "ETH"}, price="from_file")
    assert reserves_of(other, "b", ["ETH", "USD"], 2_000.0) == (100.0, 210_000.0)


def test_the_price_of_reserves_must_agree_or_be_told_what_to_do(tmp_path):
    fields = {"pool_in_file": "a", "names": {"WETH": "ETH"}}
    with pytest.raises(ScenarioError, match="price of the reserves is 2100 token 1 per token 0"):
        reserves_of(reserve_source(tmp_path, **fields), "x", ["ETH", "USD"], 2_000.0)
    source = reserve_source(tmp_path, price="rescale", **fields)
    reserve0, reserve1 = reserves_of(source, "x", ["ETH", "USD"], 2_000.0)
    assert reserve1 / reserve0 == pytest.approx(2_000.0)
    assert reserve0 * reserve1 == pytest.approx(100.0 * 210_000.0)  # the product is kept


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (RESERVES[:3], "has no pool 'b' (pool_in_file names one); it has a"),
        ((*RESERVES[:3], "b,ETH,1"), "line 4: pool 'b' holds ETH; the venue is a pool of ETH and"),
        ((*RESERVES, "b,DAI,1"), "line 4: pool 'b' holds ETH, USD, DAI; the venue is a pool of"),
        ((*RESERVES, "b,USD,1"), "line 6: pool 'b', token 'USD' stands in line 5 already"),
        ((*RESERVES[:4], "b,USD,0"), "line 5: reserve is 0; it must be a finite number above 0"),
        ((*RESERVES[:4], "b,USD,nan"), "line 5: reserve is nan; it must be a finite number"),
    ],
)
def test_wrong_reserves_are_refused(tmp_path, rows, told):
    with pytest.raises(ScenarioError) as error:
        reserves_of(reserve_source(tmp_path, *rows), "b", ["ETH", "USD"], 2_000.0)
    assert told in str(error.value)


def pool_world(folder, *rows, kind="constant_product", field="reserves", more=""):
    name = "pools" if field == "reserves" else "ranges"
    lines = rows or (RESERVES if field == "reserves" else RANGES)
    (folder / f"{name}.csv").write_text("\n".join(lines))
    venue = (
        f"venues.b={{kind: {kind}, chain: mainnet, tokens: [ETH, USD], fee: 0.003, "
        f"{field}: {{file: {folder / f'{name}.csv'}{more}}}}}"
    )
    return bench(venue)


def test_a_pool_holds_the_reserves_of_its_file(tmp_path):
    world = pool_world(tmp_path)
    pools, row = world.shared[ConstantProductState], int(world.venues.row[world.venue("b")])
    assert (pools.reserve0[row], pools.reserve1[row]) == (1.0, 2_000.0)
    assert pools.supply[row] == pytest.approx(math.sqrt(2_000.0))
    world.advance(ticks(600.0))
    world.check()


def test_a_pool_can_begin_off_the_price_of_the_scenario(tmp_path):
    more = ", pool_in_file: a, names: {WETH: ETH}, price: from_file"
    world = pool_world(tmp_path, more=more)
    assert world.venues.price[world.venue("b")] == pytest.approx(2_100.0)


def test_a_fault_of_a_pool_file_names_the_venue(tmp_path):
    with pytest.raises(InputError, match=r"venues\.b\.reserves\.file: reserve file .* line 3: "):
        pool_world(tmp_path, "pool,token,reserve", "b,ETH,1", "b,USD,-5")


# --- ranges --------------------------------------------------------------------------------------


def test_ranges_in_tokens_are_taken_as_they_are(tmp_path):
    found = ranges_of(range_source(tmp_path), 60, 2_000.0)
    assert found.tick_lower.tolist() == [75_000, 75_600, 77_400]
    assert found.tick_upper.tolist() == [77_400, 76_200, 78_000]
    assert found.liquidity.tolist() == [1_000.0, 500.0, 300.0]
    assert found.price == 2_000.0


def test_ranges_of_a_contract_are_turned_into_tokens(tmp_path):
    """USDC has 6 decimals and WETH 18: prices shrink by 1e12, 276,324 ticks; liquidity by 1e12."""
    rows = ("tick_lower,tick_upper,liquidity", "198870,199400,7012769874844774")
    source = range_source(tmp_path, *rows, decimals=[6, 18])
    found = ranges_of(source, 10, 1 / 2_250.0)
    assert found.liquidity[0] == pytest.approx(7_012.769874844774)
    shift = -12.0 * math.log(10.0) / math.log(1.0001)
    assert abs(found.tick_lower[0] - (198_870 + shift)) <= 5.0  # half a spacing
    assert found.tick_upper[0] - found.tick_lower[0] == 530
    assert found.tick_lower[0] % 10 == 0
    # 1.0001^-77,450 to 1.0001^-76,920 is 2,310 to 2,191 USDC a WETH
    assert 2_300 < 1.0001 ** -int(found.tick_lower[0]) < 2_320


@pytest.mark.parametrize(
    ("rows", "fields", "told"),
    [
        ((*RANGES, "z,75000,75030,1,2000"), {}, "line 5: tick_upper is 75030; a pool of this tick"),
        ((*RANGES, "z,75060,75000,1,2000"), {}, "line 5: tick_lower is 75060; it must be below"),
        ((*RANGES, "z,75000,75060,-1,2000"), {}, "line 5: liquidity is -1; it must be a finite"),
        ((*RANGES, "z,75000,887280,1,2000"), {}, "line 5: tick_upper is 887280; it must lie in"),
        ((*RANGES, "z,75000,75060,1,2001"), {}, "line 5: price is 2001; an earlier row has 2000"),
        ((*RANGES, "z,75000.5,75060,1,1"), {}, "line 5: tick_lower is 75000.5; it must"),
        (
            [row.replace(",2000", ",2100") for row in RANGES],
            {},
            "line 2: price is 2100 token 1 per",
        ),
        (
            ("tick_lower,tick_upper,liquidity", "75000,75060,1"),
            {"price": "from_file"},
            "has no column 'price', which price: from_file needs",
        ),
        (RANGES, {"decimals": [36, 0]}, "line 2: tick_lower is 75000; with decimals [36, 0] the"),
    ],
)
def test_wrong_ranges_are_refused(tmp_path, rows, fields, told):
    with pytest.raises(ScenarioError) as error:
        ranges_of(range_source(tmp_path, *rows, **fields), 60, 2_000.0)
    assert told in str(error.value)


def liquidity_at(world, price):
    """Return the liquidity that the pool's ranges have at a price."""
    pools, row = world.shared[ConcentratedState], int(world.venues.row[world.venue("b")])
    mine = pools.position[pools.position["pool"] == row]
    tick = math.log(price) / math.log(1.0001)
    inside = (mine["tick_lower"] <= tick) & (tick < mine["tick_upper"])
    return float(mine["liquidity"][inside].sum())


def test_a_pool_has_the_liquidity_of_its_file_at_every_price(tmp_path):
    world = pool_world(tmp_path, kind="concentrated_liquidity", field="liquidity")
    pools, row = world.shared[ConcentratedState], int(world.venues.row[world.venue("b")])
    # 2,000 is tick 76,012: in the first two ranges. 2,300 is tick 77,410: in the third.
    assert pools.pool["liquidity"][row] == pytest.approx(1_500.0, rel=1e-12)
    assert liquidity_at(world, 2_000.0) == pytest.approx(1_500.0, rel=1e-12)
    assert liquidity_at(world, 1_850.0) == pytest.approx(1_000.0, rel=1e-12)
    assert liquidity_at(world, 2_305.0) == pytest.approx(300.0, rel=1e-12)
    amount = 1_500.0 * (math.sqrt(2_010.0) - math.sqrt(2_000.0))  # of USD to 2,010, without fee
    world.submit("b", "swap", "hands", 0, a=1, amount=amount / 0.997)
    world.advance(ticks(60.0))
    assert world.venues.price[world.venue("b")] == pytest.approx(2_010.0, rel=1e-9)
    world.check()


def test_a_pool_with_ranges_can_begin_at_the_price_of_its_file(tmp_path):
    rows = [row.replace(",2000", ",2100") for row in RANGES]
    world = pool_world(
        tmp_path, *rows, kind="concentrated_liquidity", field="liquidity", more=", price: from_file"
    )
    assert world.venues.price[world.venue("b")] == pytest.approx(2_100.0)
    world.check()


def test_the_same_range_twice_adds_up(tmp_path):
    world = pool_world(
        tmp_path, *RANGES, RANGES[1], kind="concentrated_liquidity", field="liquidity"
    )
    assert liquidity_at(world, 1_850.0) == pytest.approx(2_000.0, rel=1e-12)


@pytest.mark.parametrize(
    ("config", "kind", "field"),
    [
        (ConstantProductConfig, "constant_product", "reserves"),
        (ConcentratedConfig, "concentrated_liquidity", "liquidity"),
    ],
)
def test_a_pool_has_a_value_or_a_file_not_both(config, kind, field):
    base = {"kind": kind, "chain": "mainnet", "tokens": ["ETH", "USD"]}
    with pytest.raises(ValidationError, match=f"value_usd is missing; .* file of {field}"):
        config.model_validate(base)
    with pytest.raises(ValidationError, match=f"value_usd and {field} are both given"):
        config.model_validate({**base, "value_usd": 1.0, field: {"file": "x"}})


def test_a_file_of_ranges_has_its_own_widths():
    base = {"kind": "concentrated_liquidity", "chain": "mainnet", "tokens": ["ETH", "USD"]}
    with pytest.raises(ValidationError, match="half_width and liquidity are both given"):
        ConcentratedConfig.model_validate({**base, "half_width": 0.1, "liquidity": {"file": "x"}})


def test_a_file_without_liquidity_leaves_an_empty_pool(tmp_path):
    rows = ("tick_lower,tick_upper,liquidity", "75000,77400,0")
    world = pool_world(tmp_path, *rows, kind="concentrated_liquidity", field="liquidity")
    assert liquidity_at(world, 2_000.0) == 0.0
    assert np.isfinite(world.venues.price[world.venue("b")])
