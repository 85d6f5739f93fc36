"""Liquidity providers: who stays, who goes and when, what it costs, and that nothing is lost."""

import functools

import numpy as np
import pytest
from pydantic import ValidationError

from agents import arbitrageurs
from agents.check import check_population
from agents.liquidity_plans import IN, KEEPER, LEAVER, OUT, PASSIVE, REMOVING
from agents.liquidity_providers import KIND, LiquidityProvidersConfig
from agents.liquidity_ranges import share_of_pool, swap_to_fit
from agents.pool_history import IS_CALM, IS_FRIGHTENING, LAST_FRIGHT, STEP
from sim.amm import concentrated_venue
from sim.amm.concentrated_state import ConcentratedState
from sim.errors import InputError
from sim.plan import PopulationPlan, VenuePlan
from sim.status import Status
from sim.trial import CHAINS, small_plan
from sim.units import GWEI, HOUR, TICKS_PER_SECOND, ticks
from tests.worlds import Log, bench, run, world_of

BLOCK = ticks(12.0)
FIXED = (
    "horizon=4d",
    "price_step_seconds=12",
    "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
)
RANGES = (
    "venues={eth-usd: {kind: concentrated_liquidity, chain: mainnet, tokens: [ETH, USD], "
    "fee: 0.003, value_usd: 1e6}}"
)


def path(*points):
    """ETH goes straight from point to point, (hours, USD), and stays at the last price."""
    ends = [*points, (97.0, points[-1][1])]
    text = ", ".join(f"[{hour}, {float(usd)}]" for hour, usd in ends)
    return (
        f"assets.ETH.price={{kind: waypoints, waypoints: [{text}], "
        "volatility: [{until_hours: 97, volatility: 0}]}"
    )


def people(**terms):
    config = {"kind": "liquidity_providers", "chain": "mainnet", "pool": "eth-usd", "count": 400}
    config |= {"value_usd": 1e7, **terms}
    body = ", ".join(f"{name}: {value}" for name, value in config.items())
    return f"populations.lps={{{body}}}"


def own(world):
    return world.states["lps"]


def column(world, name):
    number = world.population_names.index("lps")
    found = world.columns_of(world.population_sites[number])[name]
    return found() if callable(found) else found


def orders_of(world, log, verb):
    """Return the fills of providers for a verb of the pool."""
    fills = log.fills
    number = next(k for k, name in enumerate(world.verb_names) if name.endswith("." + verb))
    return fills[(fills["group"] == world.group("lps")) & (fills["verb"] == number)]


def books_agree(world):
    """Money is conserved, and what providers can take out is what the pool owes to them."""
    world.check()
    held = world.holdings()
    np.testing.assert_allclose(held.sum(axis=0), world.ledger.supply, rtol=1e-12)
    group = world.group("lps")
    tokens = [world.token("mainnet", symbol) for symbol in ("ETH", "USD")]
    wallets = [world.balances("lps", token).sum() for token in tokens]
    usd = world.prices.fundamental[tokens]
    claimed = float((held[group, tokens] - wallets) @ usd)
    assert claimed == pytest.approx(column(world, "value_usd").sum(), rel=1e-12)


# --- ranges of a file --------------------------------------------------------------------------

FILE = (  # tick 76,020 is the price of 2,000
    "owner,tick_lower,tick_upper,liquidity",
    "ann,75000,77400,1000",
    "bob,75600,76200,500",
    "ann,77400,78000,300",  # above the price: ether alone
    "cid,75000,75060,0",  # nothing
    "dan,-887220,887220,2000",
)


def holders(folder, *rows, **terms):
    (folder / "ranges.csv").write_text("\n".join(rows or FILE))
    config = {"kind": "liquidity_providers", "chain": "mainnet", "pool": "eth-usd"}
    config |= {"ranges": f"{{file: {folder / 'ranges.csv'}}}", **terms}
    body = ", ".join(f"{name}: {value}" for name, value in config.items())
    return f"populations.lps={{{body}}}"


def test_providers_hold_the_ranges_of_a_file(tmp_path):
    world = bench(RANGES, holders(tmp_path))
    assert column(world, "liquidity") == pytest.approx([1_000.0, 500.0, 300.0, 2_000.0])
    assert column(world, "is_in_range").tolist() == [True, True, False, True]
    # L (1/sqrt(a) - 1/sqrt(b)) ether of the third range, at 2,000 USD
    above = 300.0 * (1.0001 ** (-77_400 / 2) - 1.0001 ** (-78_000 / 2)) * 2_000.0
    assert column(world, "value_usd")[2] == pytest.approx(above)
    books_agree(world)
    genesis = world.shared[ConcentratedState].position[0]["liquidity"]  # of the pool's value_usd
    active = world.shared[ConcentratedState].pool[0]["liquidity"]
    assert active == pytest.approx(genesis + 3_500.0)


def test_ranges_of_one_owner_share_style_and_delay(tmp_path):
    rows = [f"{'abcdefghij'[k % 10]},{60 * k},{60 * k + 60_000},10" for k in range(200)]
    world = bench(RANGES, holders(tmp_path, FILE[0], *rows, leaver_share=0.5, keeper_share=0.2))
    by_owner = own(world)[0].delay.reshape(20, 10), own(world)[0].style.reshape(20, 10)
    assert all((column == column[0]).all() for column in by_owner)
    assert len(set(by_owner[0][0].tolist())) == 10


def test_without_owners_everybody_decides_alone(tmp_path):
    rows = [row.partition(",")[2] for row in FILE]
    world = bench(RANGES, holders(tmp_path, *rows))
    assert len(set(own(world)[0].delay.tolist())) == 4


def test_frightened_holders_of_ranges_leave_and_come_back_around_the_price(tmp_path):
    rows = (FILE[0], "ann,75600,76200,5000", "bob,-887220,887220,5000")
    crash = path((0.0, 2_000), (1.0, 2_000), (1.5, 1_400), (2.0, 1_400))
    world = world_of(
        *FIXED,
        RANGES,
        crash,
        holders(tmp_path, *rows, leaver_share=1, calm_hours=2, delay_hours=0.2, delay_log_sd=0),
    )
    world.advance(ticks(3 * HOUR))
    assert column(world, "liquidity").tolist() == [0.0, 0.0]
    world.advance(ticks(40 * HOUR))
    lower, upper = column(world, "tick_lower"), column(world, "tick_upper")
    assert (upper - lower).tolist() == [600, 2 * 887_220]  # widths stay
    assert (column(world, "liquidity") > 0.0).all()
    assert column(world, "is_in_range").all()
    world.check()


@pytest.mark.parametrize(
    ("venues", "terms", "told"),
    [
        ((), {}, "populations.lps.ranges: 'eth-usd' has no ranges; give value_usd"),
        ((RANGES,), {"count": 7}, "count is 7, and the file has 4 ranges that hold liquidity"),
        ((RANGES,), {"value_usd": 5}, "value_usd and ranges are both given; leave one out"),
    ],
)
def test_ranges_that_do_not_fit_are_refused(tmp_path, venues, terms, told):
    with pytest.raises(InputError) as error:
        bench(*venues, holders(tmp_path, **terms))
    assert told in str(error.value)


def test_providers_need_a_value_or_ranges():
    with pytest.raises(ValidationError, match="count is missing; give it and value_usd, or ranges"):
        LiquidityProvidersConfig(kind="liquidity_providers", chain="a", pool="b")
    with pytest.raises(ValidationError, match="value_usd is missing; give it, or a file of ranges"):
        LiquidityProvidersConfig(kind="liquidity_providers", chain="a", pool="b", count=3)
    file = {"file": "x", "price": "from_file"}
    with pytest.raises(ValidationError, match="is said where the pool is; leave it out"):
        LiquidityProvidersConfig(kind="liquidity_providers", chain="a", pool="b", ranges=file)


# --- at the start --------------------------------------------------------------------------------


@pytest.mark.parametrize("venues", [(), (RANGES,)], ids=["shares", "ranges"])
def test_they_bring_what_the_scenario_says(venues):
    world = bench(*venues, people(count=1_000, keeper_share=0.3 if venues else 0.0))
    value = column(world, "value_usd")
    np.testing.assert_allclose(value, column(world, "entry_usd"), rtol=1e-9)
    assert value.sum() == pytest.approx(1e7, rel=1e-12)
    books_agree(world)
    style = column(world, "style")
    # binomial, 4 standard deviations: one false alarm in 8,000
    assert abs(np.mean(style == LEAVER) - 0.15) < 4 * np.sqrt(0.15 * 0.85 / 1_000)
    if venues:
        assert abs(np.mean(style == KEEPER) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 1_000)
        assert column(world, "is_in_range").all()


def test_small_providers_are_welcome_too():
    world = bench(RANGES, people(count=50, value_usd=100.0))  # 2 USD are 0.02 of liquidity
    np.testing.assert_allclose(column(world, "value_usd"), column(world, "entry_usd"), rtol=1e-9)
    books_agree(world)


def test_keepers_stand_around_the_price_and_others_everywhere():
    world = bench(RANGES, people(keeper_share=0.5, keeper_half_width=0.1))
    lower, upper = 1.0001 ** column(world, "tick_lower"), 1.0001 ** column(world, "tick_upper")
    keeps = column(world, "style") == KEEPER
    width = 1 - lower[keeps] / 2_000
    assert 0.05 - 1e-9 < width.min() < 0.06
    assert 0.19 < width.max() < 0.2 + 0.007
    np.testing.assert_allclose(2_000 / upper[keeps], lower[keeps] / 2_000, atol=0.007)
    assert (lower[~keeps] < 1e-30).all()


def test_shares_of_a_pool_that_compounds_are_shares_of_its_fees():
    world = bench("venues.eth-usd.fees_compound=true", people(leaver_share=0.0))
    start = column(world, "value_usd").sum()
    for k in range(40):
        world.submit("eth-usd", "swap", "hands", k, amount=10_000.0, a=1)
        world.submit("eth-usd", "swap", "hands", k, amount=4.99, a=0)
    run(world, 24.0)
    pool = world.states["constant_product"]
    part = world.balances("lps", int(pool.share[0])).sum() / pool.supply[0]
    assert part == pytest.approx(0.5)  # 10m of theirs, 10m of genesis
    held = world.holdings()[world.group("lps")]
    eth, usd = (world.token("mainnet", symbol) for symbol in ("ETH", "USD"))
    gas = 0.1 * 400  # 200 USD each
    assert held[eth] == pytest.approx(part * pool.reserve0[0] + gas, rel=1e-12)
    assert held[usd] == pytest.approx(part * pool.reserve1[0], rel=1e-12)
    assert column(world, "value_usd").sum() > start
    books_agree(world)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((people(keeper_share=0.1),), r"keeper_share \(0.1\) must be 0: 'eth-usd' has no ranges"),
        (
            ("reference_market={interval_seconds: 1}", people(pool="exchange")),
            "exchange",
        ),
        ((people(keeper_share=0.9, leaver_share=0.2),), "must not exceed 1"),
    ],
)
def test_what_cannot_be_is_refused(overrides, said):
    with pytest.raises(InputError, match=said):
        bench(*overrides)


# --- leavers -------------------------------------------------------------------------------------


@functools.cache
def crash():
    """A fall of 25 % between hours 4 and 5; the world after four days, and its log."""
    arbitrageur = (
        "populations={arbs: {kind: arbitrageurs, chain: mainnet, count: 1, inventory_usd: 1e9}}"
    )
    world = world_of(
        *FIXED, path((0, 2_000), (4, 2_000), (5, 1_500)), arbitrageur, people(loss_trigger=1.0)
    )
    log = Log(world)
    world.advance(ticks(4 * 24 * HOUR))
    return world, log


def fright_of_crash():
    """First look at which the pool's price is 20 % below that of an hour before, ticks.

    The pool follows at most 0.3 % behind: 1,600 USD at 04:48, or 1,604.8; hence 04:50.
    """
    return 29 * STEP


def test_a_crash_makes_leavers_go_after_their_delay():
    world, log = crash()
    state = own(world)[0]
    removed = orders_of(world, log, "remove")
    leavers = np.flatnonzero(state.style == LEAVER)
    late = {}
    for fill in removed:
        late.setdefault(
            int(fill["row"]), fill["time"] - fright_of_crash() - state.delay[fill["row"]]
        )
    assert (removed["status"] == Status.OK).all()
    assert set(late) <= set(leavers.tolist())
    in_time = state.delay[leavers] < ticks(90 * HOUR)
    assert len(late) >= in_time.sum() > 0.95 * len(leavers)
    assert min(late.values()) >= 0
    assert max(late.values()) <= 2 * BLOCK  # the look happens in the first block from then on


def test_passive_providers_sit_through_a_crash():
    world, _ = crash()
    stays = own(world)[0].style == PASSIVE
    assert column(world, "n_moves")[stays].sum() == 0
    assert (column(world, "liquidity")[stays] > 0.0).all()
    books_agree(world)


def test_leavers_come_back_when_it_has_been_calm():
    world, log = crash()
    state, history = own(world)[:2]
    # frightening until 05:50 at the latest: an hour after the price stands still
    assert 29 * STEP <= history.state[LAST_FRIGHT] <= 36 * STEP
    calm = history.state[LAST_FRIGHT] + ticks(12 * HOUR)
    added = orders_of(world, log, "add")
    assert (added["status"] == Status.OK).all()
    again = added["time"] - np.maximum(calm, 0) - state.delay[added["row"]]
    assert again.min() >= 0
    back = np.isin(np.arange(400), added["row"])
    home = (state.style == LEAVER) & (state.delay < ticks(20 * HOUR))
    assert home.sum() > 30
    assert back[home].all()
    assert (state.stage[home] == IN).all()
    assert history.state[IS_CALM] == 1


def test_one_exit_and_one_return_cost_three_orders_at_most():
    world, log = crash()
    fills = log.fills
    theirs = fills[fills["group"] == world.group("lps")]
    assert np.bincount(theirs["row"]).max() <= 3


def test_who_left_and_came_back_keeps_its_reserve_for_gas():
    world, _ = crash()
    back = (column(world, "n_moves") > 0) & (column(world, "stage") == IN)
    eth = column(world, "ETH")[back]
    # 200 USD, less the gas of the last order: 180,000 at a tip of one gwei
    np.testing.assert_allclose(eth, 0.1 - 180_000 * GWEI, rtol=1e-10)
    assert back.sum() > 30


def test_everything_but_a_rest_goes_back_in():
    world, _ = crash()
    back = (column(world, "n_moves") > 0) & (column(world, "stage") == IN)
    left = column(world, "USD")[back] + 1_500 * (column(world, "ETH")[back] - 0.1)
    assert (left <= 0.025 * column(world, "value_usd")[back]).all()


def test_most_stay_on_a_calm_day():
    """5 % a day, noise traders of 20 % of the pool a day, one arbitrageur; three seeds."""
    noise = (
        "populations.noise={kind: noise_traders, chain: mainnet, count: 2000, swaps_per_day: 1, "
        "median_usd: 500, size_log_sd: 1.5}"
    )
    for seed in (1, 2, 3):
        world = world_of(*FIXED, noise, people(), seed=seed)
        world.advance(ticks(24 * HOUR))
        net = world.venues.lvr[0] - world.venues.fees[0]
        assert world.venues.volume[0] > 1e6
        assert net < 0.002 * 2e7  # what would frighten within six hours
        assert column(world, "n_moves").sum() == 0
        books_agree(world)


def test_losses_make_leavers_go_where_no_fall_does():
    """Losses of half the squared volatility over four: 0.6 per sqrt(day) is 4.5 % a day."""
    wild = "assets.ETH.price={kind: gbm, price: 2000, volatility: 0.6}"
    world = world_of(*FIXED, wild, people(price_trigger=0.99, delay_hours=0.01, delay_log_sd=0))
    log = run(world, 12 * HOUR)
    first = orders_of(world, log, "remove")["time"].min()
    assert STEP < first < ticks(4 * HOUR)  # 0.2 % are lost within an hour or so, fees apart
    leavers = own(world)[0].style == LEAVER
    assert (column(world, "n_moves")[leavers] == 1).all()
    books_agree(world)


def test_a_discount_makes_leavers_go():
    world = bench(people(fear_par=2_000, fear_discount=0.05, delay_log_sd=0, delay_hours=1))
    for row in range(40):
        world.submit("eth-usd", "swap", "hands", row, amount=10.0, a=0)
    log = run(world, 8 * HOUR)
    assert world.venues.price[0] < 1_900
    leavers = own(world)[0].style == LEAVER
    removed = orders_of(world, log, "remove")
    assert len(removed) == leavers.sum()
    # seen at the first look after the swaps, left an hour later
    assert set(removed["time"]) == {STEP + ticks(HOUR)}
    assert (own(world)[0].stage[leavers] == OUT).all()  # the discount is still there
    assert own(world)[1].state[IS_FRIGHTENING] == 1


# --- orders that do not land ---------------------------------------------------------------------


def test_an_order_that_cannot_land_is_sent_again_only_when_it_has_expired():
    world = bench(
        "chains.mainnet.gas_limit=100000",  # a removal takes 160,000
        people(fear_par=3_000, delay_hours=0.001, delay_log_sd=0, count=100),
    )
    log = run(world, 3_600.0)
    leavers = int((own(world)[0].style == LEAVER).sum())
    removed = orders_of(world, log, "remove")
    assert (removed["status"] == Status.EXPIRED).all()
    for row in np.unique(removed["row"]):
        arrival = np.sort(removed["arrival"][removed["row"] == row])
        assert np.diff(arrival).min() > ticks(600.0)
        assert np.diff(arrival).max() <= ticks(600.0) + 2 * BLOCK
    waiting = world.box.chains[0]["pending"]
    assert waiting == leavers  # one each
    assert (column(world, "stage")[own(world)[0].style == LEAVER] == REMOVING).all()
    books_agree(world)


def test_a_crowded_chain_takes_each_exit_once():
    world = bench(
        "chains.mainnet.gas_limit=320000",  # two removals a block
        people(fear_par=3_000, delay_hours=0.001, delay_log_sd=0, count=200),
    )
    log = run(world, 1_200.0)
    leavers = int((own(world)[0].style == LEAVER).sum())
    removed = orders_of(world, log, "remove")
    assert len(removed) == leavers
    assert (removed["status"] == Status.OK).all()
    _, per_block = np.unique(removed["height"], return_counts=True)
    assert per_block.max() == 2
    books_agree(world)


# --- keepers -------------------------------------------------------------------------------------


def test_what_to_swap_by_hand():
    class Pools:
        price = np.array([2_000.0])

    # 10 ETH and 0 USD at 2,000, half and half: 5 ETH; 1 ETH and 3,000 USD: 500 USD
    assert swap_to_fit.py_func(Pools, 0, 10.0, 0.0, 1.0, 2_000.0) == (0, 5.0)
    assert swap_to_fit.py_func(Pools, 0, 1.0, 3_000.0, 1.0, 2_000.0) == (1, 500.0)
    assert swap_to_fit.py_func(Pools, 0, 1.0, 2_070.0, 1.0, 2_000.0) == (0, 0.0)  # 0.9 %
    assert swap_to_fit.py_func(Pools, 0, 1.0, 0.0, 0.0, 1.0) == (
        0,
        1.0,
    )  # below the price: USD only


def test_a_share_of_the_pool_by_hand():
    # 9,000 USD where a unit costs 90 are 100 units beside 300
    assert share_of_pool.py_func(300.0, 2_000.0, 9_000.0, 0.02, 50.0) == pytest.approx(0.25)


def keeping(points, *more, **terms):
    """One keeper of 10,000 USD in a pool of 1m, whose price the arbitrageur takes along."""
    terms = {"count": 1, "value_usd": 1e4, "keeper_share": 1.0, "leaver_share": 0.0} | terms
    arbitrageur = (
        "populations={arbs: {kind: arbitrageurs, chain: mainnet, count: 1, inventory_usd: 1e9}}"
    )
    return world_of(*FIXED, RANGES, path(*points), arbitrageur, *more, people(**terms))


RISE = ((0, 2_000), (4, 2_000), (5, 2_400))


def test_a_keeper_follows_the_price_when_it_pays():
    world = keeping(RISE)
    run(world, 8 * HOUR)
    assert column(world, "n_moves")[0] >= 1
    lower, upper = (1.0001 ** column(world, f"tick_{side}")[0] for side in ("lower", "upper"))
    assert lower < world.venues.price[0] < upper
    assert np.sqrt(lower * upper) > 2_100.0  # the first center was 2,000
    assert column(world, "is_in_range")[0]
    assert column(world, "stage")[0] == IN
    assert column(world, "value_usd")[0] > 0.9 * 1e4
    books_agree(world)


def test_the_range_keeps_its_width():
    world = keeping(RISE)
    before = column(world, "tick_upper")[0] - column(world, "tick_lower")[0]
    run(world, 8 * HOUR)
    assert column(world, "tick_upper")[0] - column(world, "tick_lower")[0] == before


def test_a_keeper_stays_where_gas_eats_the_fees():
    """680,000 gas x 100 gwei x 2,400 USD is 163 USD; the pool earned less than that for all."""
    fee = "chains.mainnet.fee_market={kind: eip1559, base_fee_gwei: 100, floor_gwei: 100}"
    world = keeping(RISE, fee, gas_reserve_usd=5_000)
    run(world, 8 * HOUR)
    assert column(world, "n_moves")[0] == 0
    assert not column(world, "is_in_range")[0]


def gain_and_cost(world):
    """Return what a keeper of the whole position would reckon now, USD, by hand."""
    pools, state, history = world.shared[ConcentratedState], own(world)[0], own(world)[1]
    pool, price = pools.pool[0], float(world.venues.price[0])
    value = float(column(world, "value_usd")[0])  # at the fundamental price
    amount1 = value  # above its range it holds USD alone
    half = (state.tick_upper[0] - state.tick_lower[0]) // 2 * np.log(1.0001) / 2
    # a unit in a centered range of square-root half width r = exp(half) - 1 costs about
    # 2 sqrt(P) (1 - exp(-half)); the center is off by at most half a spacing
    mine = amount1 / (2 * np.sqrt(price) * (1 - np.exp(-half)))
    share = mine / (mine + pool["liquidity"])
    seen = history.state[0]
    fees = history.ring[(seen - 1) % 145, 1] - history.ring[0, 1]
    daily = fees * 144 / (seen - 1)
    net = amount1 / 2 * 0.997
    out = net / price / (1 + net / (float(pool["liquidity"]) * np.sqrt(price)))
    return share * daily, amount1 / 2 - out * price


@pytest.mark.parametrize(("part", "moves"), [(0.9, False), (1.1, True)])
def test_a_keeper_moves_at_the_horizon_where_fees_exceed_costs(part, moves):
    """The break-even horizon by hand, from a world in which nobody moves; gas is free."""
    points = ((0, 2_000), (4, 2_000), (5, 2_400), (6, 2_400))
    frozen = keeping(points, keeper_horizon_hours=1e-6)
    run(frozen, 6 * HOUR)
    daily, cost = gain_and_cost(frozen)
    horizon = 24 * cost / daily
    assert 1.0 < horizon < 1_000.0
    # a keeper who looks earlier saw other fees: it first looks when the price stands still
    rest = f"{horizon * part:.6f}"
    world = keeping(points, keeper_horizon_hours=rest)
    world.switch("lps", is_on=False)
    world.advance(ticks(6 * HOUR))
    copy = own(world)[1]
    for a, b in zip(copy, own(frozen)[1], strict=True):
        a[...] = b  # the same history
    world.switch("lps", is_on=True)
    world.advance(ticks(6 * HOUR + 24))
    assert (column(world, "n_moves")[0] > 0) == moves


def test_keepers_do_not_thrash():
    """20 % a day and a width of 2 %: out every few hours, but an hour of rest between moves."""
    wild = "assets.ETH.price={kind: gbm, price: 2000, volatility: 0.2}"
    noise = (
        "populations.noise={kind: noise_traders, chain: mainnet, count: 1000, swaps_per_day: 10, "
        "median_usd: 500, size_log_sd: 1}"
    )
    crowd = people(count=60, value_usd=1e6, keeper_share=0.5, keeper_half_width=0.02)
    world = world_of(*FIXED, RANGES, wild, noise, crowd)
    log = run(world, 24 * HOUR)
    removed = orders_of(world, log, "remove")
    keeps = own(world)[0].style == KEEPER
    assert keeps[removed["row"][removed["status"] == Status.OK]].any()
    for row in np.unique(removed["row"]):
        time = np.sort(removed["time"][removed["row"] == row])
        assert len(time) <= 24
        assert (np.diff(time) >= ticks(HOUR)).all()
    assert (column(world, "ETH")[keeps] > 0.0).all()
    books_agree(world)


def test_an_add_pays_its_gas_from_the_reserve():
    fee = "chains.mainnet.fee_market={kind: eip1559, base_fee_gwei: 20, floor_gwei: 20}"
    world = keeping(RISE, fee, value_usd=2e4, keeper_horizon_hours=1e4)
    log = run(world, 8 * HOUR)
    added = orders_of(world, log, "add")
    assert len(added) >= 1
    assert (added["status"] == Status.OK).all()
    # 350,000 gas at 20 gwei and a tip of one
    assert added["gas_paid"][0] == pytest.approx(350_000 * 21 * GWEI)
    assert column(world, "ETH")[0] >= 0.1 - added["gas_paid"].sum() - 1e-12
    books_agree(world)


# --- work ----------------------------------------------------------------------------------------


def test_whoever_has_nothing_to_decide_is_not_looked_at():
    world = bench(people(count=400))
    wheel = own(world)[2]
    assert (wheel.head == -1).all()
    run(world, 24 * HOUR)
    assert (wheel.head == -1).all()
    assert wheel.clock[3] * wheel.clock[2] <= 24 * HOUR * TICKS_PER_SECOND


# --- contract ------------------------------------------------------------------------------------

SHARED = (  # one pool and one price for all: what one does, the others see
    "orders ETH USD GAS value_usd liquidity entry_usd stage due next n_moves moved expires "
    "bought mark tick_lower tick_upper is_in_range"
)


def test_they_keep_the_contract_of_reactions():
    mechanism = concentrated_venue.MECHANISM
    chain = CHAINS[0]
    pool = mechanism.config(kind=mechanism.kind, chain=chain, tokens=["ETH", "USD"], value_usd=1e6)
    venue = VenuePlan("pool", mechanism, chain, tuple(mechanism.nodes(pool)), pool)
    arbs = arbitrageurs.ArbitrageursConfig(
        kind="arbitrageurs", chain=chain, count=1, inventory_usd=1e8
    )
    plan = small_plan(
        (venue,), (PopulationPlan("arbs", arbitrageurs.KIND, chain, 1, arbs),), volatility=0.5
    )
    config = LiquidityProvidersConfig(
        kind="liquidity_providers", chain=chain, pool="pool", count=8, value_usd=1e5,
        keeper_share=0.5, keeper_half_width=0.005,
        keeper_horizon_hours=1e4, keeper_rest_hours=0.1, leaver_share=0.5, fear_par=2_100.0,
        fear_discount=0.01, delay_hours=0.02, calm_hours=0.1,
    )  # fmt: skip
    check_population(KIND, config, plan, run_seconds=1_200.0, depends_on_all=SHARED.split())
