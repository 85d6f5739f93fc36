"""The exit of liquidity providers: who leaves, by what orders, and when they come back."""

import numpy as np
import pytest

from agents.liquidity_exit import KINDS, LiquidityExit
from agents.liquidity_plans import IN, LEAVER, OUT
from sim.errors import InputError
from sim.orders import SHOCK, split_cause
from sim.units import HOUR, ticks
from tests.worlds import Log, bench

(KIND,) = KINDS
RANGES = (
    "venues={eth-usd: {kind: concentrated_liquidity, chain: mainnet, tokens: [ETH, USD], "
    "fee: 0.003, value_usd: 1e6}}"
)
PEOPLE = (
    "populations.lps={kind: liquidity_providers, chain: mainnet, pool: eth-usd, count: 200, "
    "value_usd: 1e7, leaver_share: 0.2, keeper_share: %s, calm_hours: 3, delay_hours: 0.5}"
)


def strike(world, share=1.0, pool="eth-usd"):
    KIND.apply(world, LiquidityExit(kind="liquidity_exit", pool=pool, share=share))


def held(world):
    site = world.population_sites[world.population_names.index("lps")]
    return world.columns_of(site)["liquidity"]()


@pytest.mark.parametrize("venues", [(), (RANGES,)], ids=["shares", "ranges"])
def test_everybody_leaves_and_what_the_pool_owns_stays(venues):
    world = bench(*venues, PEOPLE % (0.3 if venues else 0))
    log = Log(world)
    world.advance(ticks(60.0))
    assert (held(world) > 0.0).all()

    strike(world)
    world.advance(ticks(900.0))  # keepers look again within ten minutes

    assert not held(world).any()
    assert (world.states["lps"][0].stage == OUT).all()
    assert world.holdings()[world.group("lps")] @ world.prices.fundamental > 0.99e7
    leaving = log.fills[log.fills["group"] == world.group("lps")]
    spaces, _ = split_cause(leaving["parent"])
    assert (spaces == SHOCK).all()
    assert world.venues.price[0] == pytest.approx(2_000.0, rel=1e-9)  # nobody's swap
    world.check()


def test_a_share_leaves_by_number():
    world = bench(PEOPLE % 0)
    strike(world, share=0.25)
    world.advance(ticks(300.0))
    # binomial, 4 standard deviations of 200 x 0.25: one false alarm in 16,000
    n_left = int(np.count_nonzero(held(world) == 0.0))
    assert abs(n_left - 50) < 4 * np.sqrt(200 * 0.25 * 0.75)
    assert (world.states["lps"][0].stage == IN).sum() == 200 - n_left


def test_they_come_back_once_the_pool_has_been_calm():
    world = bench(PEOPLE % 0)
    strike(world)
    world.advance(ticks(2.9 * HOUR))
    assert not held(world).any()
    assert (world.states["lps"][0].style == LEAVER).all()
    world.advance(ticks(12.0 * HOUR))
    assert (held(world) > 0.0).mean() > 0.9
    world.check()


def test_a_pool_without_providers_is_refused():
    with pytest.raises(InputError, match="nobody provides liquidity to 'eth-usd'"):
        strike(bench())


def test_a_pool_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no venue 'eth-dai'"):
        strike(bench(PEOPLE % 0), pool="eth-dai")
