"""Loss versus rebalancing: Milionis et al. 2022 and 2023, Nezlobin and Tassy 2025.

Pools face one arbitrageur without costs and a log price that is a martingale. Gains and fees are
divided by the pool's value at each trade, since that value drifts. Standard errors come from days,
which are nearly independent: prices stay inside the fee band for minutes to hours.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest

from sim.status import Status
from sim.units import DAY, ticks
from sim.world import World
from tests.worlds import world_of

FIXED_SLOT = math.sqrt(2.0 * math.pi) / 1.4603545088095868  # sqrt(2 pi) / |zeta(1/2)| = 1.7164
TRADES, GAIN, FEES, TURNOVER = range(4)
LOSS = 0.05**2 / 8.0  # a day, at 5 % a day


class Pool(NamedTuple):
    """What one pool did, a row a day; money as a share of the pool's value."""

    per_day: np.ndarray  # float64, (n_days, 4)
    blocks_per_day: float
    fee: float

    @property
    def gamma(self):
        """Half-width of the band in which nobody trades, in log price."""
        return -math.log1p(-self.fee)

    def mean(self, *columns):
        """Mean a day of a sum of columns, and its standard error."""
        daily = self.per_day[:, list(columns)].sum(axis=1)
        return daily.mean(), daily.std() / math.sqrt(len(daily))

    def per_loss(self, column, sigma=0.05):
        """Mean a day of a column at the theoretical loss, and its standard error.

        Gain and fees add up to the loss, whose rate is sigma^2 / 8 (tested below). A column over
        their sum hardly knows how much the path happened to move: half of the noise is gone.
        """
        a, b = self.per_day[:, column], self.per_day[:, [GAIN, FEES]].sum(axis=1)
        ratio, loss = a.sum() / b.sum(), sigma**2 / 8.0
        return ratio * loss, (a - ratio * b).std() / b.mean() / math.sqrt(len(a)) * loss

    def trade_probability(self):
        """Share of blocks with a trade, by the better of two estimates, and its standard error."""
        estimates = self.mean(TRADES), self.per_loss(TRADES)
        mean, error = min(estimates, key=lambda estimate: estimate[1])
        return mean / self.blocks_per_day, error / self.blocks_per_day


def pool(fee, chain="mainnet"):
    return (
        f"{{kind: constant_product, chain: {chain}, tokens: [ETH, USD], fee: {fee}, "
        "value_usd: 10e6, fees_compound: false}"
    )


def chain(name, kind, seconds):
    """Overrides for one more chain with an arbitrageur of its own."""
    return (
        (
            f"chains.{name}={{blocks: {{kind: {kind}, interval_seconds: {seconds}}}, native: ETH, "
            "tokens: [ETH, USD]}"
        ),
        f"populations.on-{name}={{kind: arbitrageurs, chain: {name}, inventory_usd: 1e9}}",
    )


def liquidity_of(world: World) -> np.ndarray:
    """sqrt(x y) of each venue: constant, since fees stay beside the reserves."""
    state, row = world.states["constant_product"], world.venues.row
    return np.sqrt(state.reserve0[row] * state.reserve1[row])


def days_of(world: World) -> dict[str, np.ndarray]:
    """Run a world to its end and return what each pool did on each day."""
    n_days, n = round(world.horizon / ticks(DAY)), len(world.venue_names)
    liquidity = liquidity_of(world)
    totals = np.zeros((4, n * n_days))

    def add(fills):
        if not len(fills):
            return
        assert (fills["status"] == Status.OK).all()
        value = 2.0 * liquidity[fills["venue"]] * np.sqrt(fills["price_after"])
        day = np.minimum(fills["time"] // ticks(DAY), n_days - 1)
        fees = fills["value_in"] * fills["fee_paid"] / fills["amount_in"]
        gain = fills["value_out"] - fills["value_in"]
        for k, amount in enumerate((value, gain, fees, fills["value_in"])):
            totals[k] += np.bincount(fills["venue"] * n_days + day, amount / value, n * n_days)

    world.on_fills = add
    world.advance(world.horizon)
    world.flush()
    days = totals.reshape(4, n, n_days).transpose(1, 2, 0)
    return dict(zip(world.venue_names, days, strict=True))


def simulate(days, seeds, *overrides):
    """Run the worlds of several seeds and return all pools by name."""
    found: dict[str, list[np.ndarray]] = {}
    for seed in seeds:
        world = world_of(f"horizon={days}d", *overrides, seed=seed)
        for name, per_day in days_of(world).items():
            found.setdefault(name, []).append(per_day)
    chains = world.box.chains["interval"][world.venues.chain]
    return {
        name: Pool(np.concatenate(parts), ticks(DAY) / chains[k], float(world.venues.fee[k]))
        for k, (name, parts) in enumerate(found.items())
    }


def check(what, measured, expected, tolerance):
    """Fail when a measured mean is off by more than the tolerance, a share of what is expected.

    The tolerance must be worth at least 3.3 standard errors: were the seeds drawn anew, a false
    alarm at most once in a thousand. Where prices that stand still between steps take half of a
    tolerance (fixtures say how much), at most one in ten; most errors are far smaller than that.
    """
    value, error = measured
    said = f"{what}: {value:.6g} +- {error:.2g}, expected {expected:.6g} within {tolerance:.1%}"
    assert 3.3 * error <= tolerance * expected, f"too few days to tell; {said}"
    assert abs(value - expected) <= tolerance * expected, said


# --- theory --------------------------------------------------------------------------------------


def trade_probability(sigma, gamma, seconds):
    """Milionis et al. 2023, theorem 1: blocks at exponential intervals."""
    return 1.0 / (1.0 + gamma / (sigma * math.sqrt(seconds / DAY / 2.0)))


def gain_rate(sigma, gamma, seconds):
    """Milionis et al. 2023, theorem 3, for a constant product pool: a day, per value."""
    instant = sigma**2 / 8.0 / (1.0 - sigma**2 * seconds / DAY / 8.0)
    return instant * trade_probability(sigma, gamma, seconds) * math.cosh(gamma / 2.0)


def fixed_gain_rate(sigma, gamma, seconds):
    """Nezlobin and Tassy 2025 with the fee of one side: blocks at fixed intervals."""
    return sigma**2 / 8.0 / (1.0 + FIXED_SLOT * gamma / (sigma * math.sqrt(seconds / DAY)))


def fixed_trade_probability(sigma, gamma, seconds):
    return 1.0 / (math.sqrt(2.0) * gamma / (sigma * math.sqrt(seconds / DAY)) + 0.8239)


def test_the_formulas_give_the_published_numbers():
    assert trade_probability(0.05, 0.003, 12.0) == pytest.approx(0.12195, abs=5e-6)
    assert trade_probability(0.05, 0.0005, 12.0) == pytest.approx(0.45455, abs=6e-6)
    assert gain_rate(0.05, 0.003, 12.0) * 1e4 == pytest.approx(0.3811, abs=5e-5)
    assert gain_rate(0.05, 0.0005, 12.0) * 1e4 == pytest.approx(1.42045, abs=1e-5)
    assert fixed_gain_rate(0.05, 0.003, 12.0) * 1e4 == pytest.approx(0.32089, abs=1e-4)
    assert fixed_trade_probability(0.05, 0.003, 12.0) == pytest.approx(0.1246, abs=5e-5)


# --- exponential blocks --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def poisson():
    """240 days at 5 % a day: blocks of 12 s and 2 minutes, several fees; prices every 0.2 s.

    A price that stands still for 0.2 s lowers the trade probability, by 0.3 % at one basis point.
    """
    return simulate(
        20,
        range(1, 13),
        "price_step_seconds=0.2",
        f"venues.one-bp={pool(0.0001)}",
        f"venues.five-bp={pool(0.0005)}",
        f"venues.ten-bp={pool(0.001)}",
        *chain("two-minutes", "exponential", 120),
        f"venues.slow-one={pool(0.0001, 'two-minutes')}",
        f"venues.slow-five={pool(0.0005, 'two-minutes')}",
        f"venues.slow-ten={pool(0.001, 'two-minutes')}",
    )


@pytest.fixture(scope="module")
def slowest():
    """Four years: blocks of 10 minutes; prices every 5 s, which lowers probabilities by 0.3 %."""
    return simulate(
        360,
        range(31, 35),
        "price_step_seconds=5",
        "chains.mainnet.blocks={kind: exponential, interval_seconds: 600}",
        f"venues.slowest-one={pool(0.0001)}",
        f"venues.slowest-five={pool(0.0005)}",
        f"venues.slowest-ten={pool(0.001)}",
        f"venues.slowest-thirty={pool(0.003)}",
    )


@pytest.fixture(scope="module")
def thirty(poisson):
    """The pool of 30 bp for three more years, prices every second: 1,320 days in all."""
    more = simulate(360, range(21, 24), "price_step_seconds=1")["eth-usd"]
    per_day = np.concatenate([poisson["eth-usd"].per_day, more.per_day])
    return more._replace(per_day=per_day)


@pytest.mark.parametrize(
    ("blocks", "name", "seconds", "published"),
    [
        ("poisson", "eth-usd", 12.0, 0.1220),
        ("poisson", "ten-bp", 12.0, 0.2941),
        ("poisson", "five-bp", 12.0, 0.4545),
        ("poisson", "one-bp", 12.0, 0.8065),
        ("poisson", "slow-ten", 120.0, 0.5685),
        ("poisson", "slow-five", 120.0, 0.7249),
        ("poisson", "slow-one", 120.0, 0.9295),
        ("slowest", "slowest-thirty", 600.0, 0.4955),
        ("slowest", "slowest-ten", 600.0, 0.7466),
        ("slowest", "slowest-five", 600.0, 0.8549),
        ("slowest", "slowest-one", 600.0, 0.9672),
    ],
)
def test_blocks_trade_as_often_as_theory_says(request, blocks, name, seconds, published):
    """Cells of the table with the engine's own blocks; all of it: `test_trade_probability`."""
    p = request.getfixturevalue(blocks)[name]
    expected = trade_probability(0.05, p.gamma, seconds)
    assert expected == pytest.approx(published, rel=2e-3)  # the table takes gamma for the fee
    check(f"trade probability of {name}", p.trade_probability(), expected, 0.01)


def test_arbitrageurs_gain_what_theory_says_at_five_basis_points(poisson):
    p = poisson["five-bp"]
    expected = gain_rate(0.05, p.gamma, 12.0)
    assert expected * 1e4 == pytest.approx(1.42045, rel=2e-3)
    check("gain", p.per_loss(GAIN), expected, 0.005)
    check("gain, plain", p.mean(GAIN), expected, 0.01)


def test_arbitrageurs_gain_what_theory_says_at_thirty_basis_points(thirty):
    expected = gain_rate(0.05, thirty.gamma, 12.0)
    assert expected * 1e4 == pytest.approx(0.3811, rel=2e-3)
    check("gain", thirty.per_loss(GAIN), expected, 0.01)
    check("gain, plain", thirty.mean(GAIN), expected, 0.01)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("one-bp", 0.01),
        ("five-bp", 0.01),
        ("ten-bp", 0.01),
        ("slow-one", 0.02),
        ("slow-five", 0.02),
    ],
)
def test_gain_and_fees_add_up_to_loss_versus_rebalancing(poisson, name, tolerance):
    check(f"gain and fees of {name}", poisson[name].mean(GAIN, FEES), LOSS, tolerance)


def test_gain_and_fees_add_up_at_thirty_basis_points(thirty):
    check("gain and fees", thirty.mean(GAIN, FEES), LOSS, 0.01)


def test_fees_keep_most_of_the_loss_at_thirty_basis_points(thirty):
    mean, error = thirty.per_loss(FEES)
    check("fees / loss", (mean / LOSS, error / LOSS), 0.8780, 0.005)


def test_arbitrage_turns_the_pool_over_as_theory_says(thirty):
    check("turnover a day", thirty.per_loss(TURNOVER), 0.09146, 0.01)
    check("turnover a day, plain", thirty.mean(TURNOVER), 0.09146, 0.01)


# --- every step, no fee --------------------------------------------------------------------------

EVERY_STEP = (
    "price_step_seconds=60",
    "chains.mainnet.blocks={kind: fixed, interval_seconds: 60}",
    "venues.eth-usd.fee=0",
)


@pytest.mark.parametrize("sigma", [0.05, 0.08])
def test_without_fee_the_loss_is_an_eighth_of_the_variance(sigma):
    """3.125 bp a day at 5 %; 1,440 squared normals a day: SE sqrt(2 / n) = 0.11 % of n = 1.6e6."""
    pools = simulate(360, range(1, 4), *EVERY_STEP, f"assets.ETH.price.volatility={sigma}")
    expected = sigma**2 / 8.0 / (1.0 - sigma**2 * 60.0 / DAY / 8.0)
    check("loss a day", pools["eth-usd"].mean(GAIN), expected, 0.005)
    assert pools["eth-usd"].per_day[:, TRADES].sum() == 3 * 360 * 1_440


def test_without_fee_the_loss_is_that_of_the_path_to_rounding():
    """A trade from price p to q, at price q, costs L (sqrt q - sqrt p)^2 / sqrt p."""
    world = world_of("horizon=2d", *EVERY_STEP)
    root, liquidity = np.sqrt(world.prices.path[0]), liquidity_of(world)[0]
    world.advance(world.horizon)
    expected = liquidity * (np.diff(root) ** 2 / root[:-1]).sum()
    # The loss is a difference of amounts some 5,000 times as large.
    assert world.venues.lvr[0] == pytest.approx(expected, rel=1e-9)
    assert world.venues.fees[0] == 0.0


# --- fixed blocks --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fixed():
    """A year of fixed blocks of 12 s and 10 minutes at 5 % a day."""
    return simulate(
        360,
        [1],
        "price_step_seconds=12",
        "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
        f"venues.five-bp={pool(0.0005)}",
        *chain("ten-minutes", "fixed", 600),
        f"venues.slow-thirty={pool(0.003, 'ten-minutes')}",
    )


@pytest.mark.parametrize(
    ("name", "seconds", "published", "tolerance"),
    [
        ("eth-usd", 12.0, 0.32089, 0.015),
        ("five-bp", 12.0, 1.2722, 0.015),
        ("slow-thirty", 600.0, 1.3977, 0.02),
    ],
)
def test_fixed_blocks_protect_the_pool_as_theory_says(fixed, name, seconds, published, tolerance):
    p = fixed[name]
    expected = fixed_gain_rate(0.05, p.gamma, seconds)
    assert expected * 1e4 == pytest.approx(published, rel=2e-3)
    check(f"gain of {name}", p.per_loss(GAIN), expected, tolerance)


def test_fixed_blocks_trade_as_often_as_theory_says(fixed):
    check("trade probability", fixed["eth-usd"].trade_probability(), 0.1246, 0.015)


def test_fixed_blocks_cost_the_pool_a_sixth_less_than_exponential_ones(fixed, poisson):
    (slow, e1), (fast, e2) = (s["eth-usd"].per_loss(GAIN) for s in (fixed, poisson))
    ratio = slow / fast
    error = ratio * math.hypot(e1 / slow, e2 / fast)
    check("fixed / exponential", (ratio, error), 0.32089 / 0.3811, 0.02)


# --- scaling -------------------------------------------------------------------------------------

WIDE = (  # bands some twenty standard deviations of a block wide
    "price_step_seconds=12",
    "chains.mainnet.blocks={kind: fixed, interval_seconds: 24}",
    "venues.eth-usd.fee=0.02",
)


def slope(x, gains):
    """Regression slope of ln gain on ln x, and its standard error."""
    log_x = np.log(x) - np.log(x).mean()
    weights = log_x / (log_x**2).sum()
    values, errors = np.array(gains).T
    return float(weights @ np.log(values)), float(np.sqrt(weights**2 @ (errors / values) ** 2))


@pytest.fixture(scope="module")
def wide():
    """Three years: blocks of 12, 24 and 48 s, fees of 1.4, 2 and 2.8 %."""
    return simulate(
        360,
        range(1, 4),
        *WIDE,
        f"venues.narrower={pool(0.014)}",
        f"venues.wider={pool(0.028)}",
        *chain("fast", "fixed", 12),
        *chain("slow", "fixed", 48),
        f"venues.fast={pool(0.02, 'fast')}",
        f"venues.slow={pool(0.02, 'slow')}",
    )


def check_slope(measured, expected):
    """Fail when a slope is off by more than 0.05, or its standard error too large to tell.

    The finite width of the band takes up to 0.03 of the tolerance, see `WIDE`: the 0.02 that
    are left must be worth 3.3 standard errors, a false alarm at most once in a thousand.
    """
    value, error = measured
    said = f"slope {value:.4f} +- {error:.4f}, expected {expected}"
    assert 3.3 * error <= 0.02, f"too few days to tell; {said}"
    assert abs(value - expected) <= 0.05, said


def test_the_gain_grows_with_the_root_of_the_block_time(wide):
    gains = [wide[name].per_loss(GAIN) for name in ("fast", "eth-usd", "slow")]
    check_slope(slope([12.0, 24.0, 48.0], gains), 0.5)


def test_the_gain_falls_as_one_over_the_fee(wide):
    pools = [wide[name] for name in ("narrower", "eth-usd", "wider")]
    check_slope(slope([p.gamma for p in pools], [p.per_loss(GAIN) for p in pools]), -1.0)


def test_the_gain_grows_with_the_cube_of_volatility(wide):
    gains = [wide["eth-usd"].per_loss(GAIN)]
    for sigma in (0.035, 0.07):
        pools = simulate(360, range(1, 4), *WIDE, f"assets.ETH.price.volatility={sigma}")
        gains.append(pools["eth-usd"].per_loss(GAIN, sigma))
    check_slope(slope([0.05, 0.035, 0.07], gains), 3.0)
