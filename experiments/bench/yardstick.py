"""The yardstick: a market of many agents as bare arrays and kernels, without an engine around it.

One chain with two pools against a reference price that follows a geometric Brownian motion: a pool
of concentrated liquidity (0.05 %, usable ticks ten apart) and a constant product pool (0.3 %).
`n` traders of whom each trades with probability 1 % in a block, `n / 10` providers who re-center
with probability 0.2 %, two arbitrageurs, and `n` borrowers who are liquidated when their health
factor falls below one, the collateral being sold in the first pool. A block looks at every agent,
shuffles those who act and lets them act one after another.

`experiments.bench.plain_mesa` is the same market with an object an agent; the scenario
`dense-market` is the same market as a world of ours.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import uint64

from sim.kernel import F8, I8, F8x2, I8x2, bind, columnar, kernel, view_of

TRADES, RECENTERS = 0.01, 0.002  # probability in a block
VOLATILITY = 1e-3  # of the price, a block
START = 2_000.0  # token 1 per token 0
FEE, WIDE_FEE = 5e-4, 3e-3
THRESHOLD, CLOSE, BONUS = 0.83, 0.5, 0.05
INTEREST = 1e-9  # a block
SIZE_LOG, SIZE_LOG_SD = 6.0, 1.2  # USD
N_TICKS = 8_192  # usable ticks that exist
STEP_LOG = 5.0 * math.log(1.0001)  # of the square root of the price, from one to the next
LOWEST_LOG = 0.5 * math.log(START) - N_TICKS // 2 * STEP_LOG
ALL = 1e300

# Market.number
PRICE, ROOT, LIQUIDITY, GROWTH0, GROWTH1, RESERVE0, RESERVE1, INDEX, LOSS, GAIN = range(10)
# Market.tally
BLOCK, BELOW, ABOVE, SWAPS, LIQUIDATIONS, MOVES, CROSSINGS, ACTIONS = range(8)
NET, GROSS, OUTSIDE0, OUTSIDE1 = range(4)  # Market.ticks
STAKE, INSIDE0, INSIDE1, CASH0, CASH1 = range(5)  # Market.stakes
TRADER, PROVIDER, ARBITRAGEUR, BORROWER = range(4)

_GOLDEN, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_TRADE_BELOW, _MOVE_BELOW = int(TRADES * 2.0**53), int(RECENTERS * 2.0**53)
_UNIT = 2.0**-53


@columnar
class Market(NamedTuple):
    """The whole market."""

    number: F8  # float64, (10,), see PRICE …
    tally: I8  # int64, (8,), see BLOCK …
    wallets: F8x2  # float64, (n, 2), tokens of traders
    ranges: I8x2  # int64, (n / 10, 2), usable ticks of providers
    stakes: F8x2  # float64, (n / 10, 5), see STAKE …
    loans: F8x2  # float64, (n, 2), collateral in token 0, debt over index in token 1
    ticks: F8x2  # float64, (N_TICKS, 4), see NET …
    roots: F8  # float64, (N_TICKS,), square root of the price
    queue: I8  # int64, (most actions,), who acts: kind << 32 | row


unpack = view_of(Market)


class Endowment(NamedTuple):
    """What everybody starts with; arrays of float64 and int64, one entry an agent."""

    token0: np.ndarray
    token1: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    cash: np.ndarray  # of a provider, USD in either token
    collateral: np.ndarray
    debt: np.ndarray
    reserve: float  # of the constant product pool, USD in either token


def endow(n: int, seed: int) -> Endowment:
    """Return what the agents of a market of `n` traders start with."""
    random = np.random.default_rng(seed)
    n_providers = max(n // 10, 1)
    half = random.integers(5, 200, n_providers)
    center = N_TICKS // 2 + random.integers(-4, 5, n_providers)
    collateral = random.lognormal(1.0, 1.0, n)
    return Endowment(
        token0=random.lognormal(9.0, 1.0, n) / START,
        token1=random.lognormal(9.0, 1.0, n),
        lower=center - half,
        upper=center + half,
        cash=random.lognormal(10.0, 1.0, n_providers),
        collateral=collateral,
        debt=collateral * START * THRESHOLD / (1.02 + random.exponential(0.5, n)),
        reserve=5_000.0 * n,
    )


def roots() -> list[float]:
    """Return the square root of the price at every usable tick."""
    return [math.exp(LOWEST_LOG + STEP_LOG * k) for k in range(N_TICKS)]


# --- draws ---------------------------------------------------------------------------------------


@kernel
def mixed(z):  # type: ignore[no-untyped-def]
    """Return 64 well mixed bits (Steele, Lea and Flood 2014)."""
    z = (z ^ (z >> uint64(30))) * uint64(_MIX1)
    z = (z ^ (z >> uint64(27))) * uint64(_MIX2)
    return z ^ (z >> uint64(31))


@kernel
def key_of(seed, block):  # type: ignore[no-untyped-def]
    """Return the key of a block's draws."""
    return mixed(uint64(seed) * uint64(_GOLDEN) ^ mixed(uint64(block) + uint64(_GOLDEN)))


@kernel
def bits(key, agent, draw):  # type: ignore[no-untyped-def]
    """Return the bits of one of four draws of an agent."""
    return mixed(key + (uint64(agent) * uint64(4) + uint64(draw) + uint64(1)) * uint64(_GOLDEN))


@kernel
def normal(a, b):  # type: ignore[no-untyped-def]
    """Return a standard normal from the bits of two draws."""
    u = (float(a >> uint64(11)) + 0.5) * _UNIT
    v = (float(b >> uint64(11)) + 0.5) * _UNIT
    return math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)


# --- concentrated liquidity ----------------------------------------------------------------------


@kernel
def next_below(ticks, at):  # type: ignore[no-untyped-def]
    """Return the highest initialized tick from one on downward, or -1."""
    while at >= 0 and ticks[at, GROSS] <= 0.0:
        at -= 1
    return at


@kernel
def next_above(ticks, at):  # type: ignore[no-untyped-def]
    """Return the lowest initialized tick from one on upward, or the number of ticks."""
    while at < ticks.shape[0] and ticks[at, GROSS] <= 0.0:
        at += 1
    return at


@kernel
def cross(market, tick, sign):  # type: ignore[no-untyped-def]
    """Let the price pass an initialized tick upward (1) or downward (-1)."""
    number, tally, ticks = market.number, market.tally, market.ticks
    number[LIQUIDITY] += sign * ticks[tick, NET]
    ticks[tick, OUTSIDE0] = number[GROWTH0] - ticks[tick, OUTSIDE0]
    ticks[tick, OUTSIDE1] = number[GROWTH1] - ticks[tick, OUTSIDE1]
    tally[CROSSINGS] += 1
    if sign > 0.0:
        tally[BELOW], tally[ABOVE] = tick, next_above(ticks, tick + 1)
    else:
        tally[ABOVE], tally[BELOW] = tick, next_below(ticks, tick - 1)


@kernel
def sell(market, amount, limit):  # type: ignore[no-untyped-def]
    """Sell at most `amount` of token 0 down to a root price; returns (sold, bought)."""
    number, tally, roots = market.number, market.tally, market.roots
    left, bought = amount, 0.0
    while left > 0.0 and number[ROOT] > limit:
        root, liquidity, tick = number[ROOT], number[LIQUIDITY], tally[BELOW]
        edge = roots[max(tick, 0)]
        goal = max(edge, limit)
        if liquidity > 0.0:
            needed = liquidity * (root - goal) / (root * goal) / (1.0 - FEE)
            used = min(needed, left)
            if left < needed:
                goal = liquidity * root / (liquidity + left * (1.0 - FEE) * root)
            bought += liquidity * (root - goal)
            number[GROWTH0] += used * FEE / liquidity
            left -= used
        number[ROOT] = goal
        if tick < 0:
            break
        if goal == edge and left > 0.0:
            cross(market, tick, -1.0)
    tally[SWAPS] += 1
    return amount - left, bought


@kernel
def buy(market, amount, limit):  # type: ignore[no-untyped-def]
    """Pay at most `amount` of token 1 up to a root price; returns (paid, bought)."""
    number, tally, roots = market.number, market.tally, market.roots
    left, bought, last = amount, 0.0, roots.shape[0] - 1
    while left > 0.0 and number[ROOT] < limit:
        root, liquidity, tick = number[ROOT], number[LIQUIDITY], tally[ABOVE]
        edge = roots[min(tick, last)]
        goal = min(edge, limit)
        if liquidity > 0.0:
            needed = liquidity * (goal - root) / (1.0 - FEE)
            used = min(needed, left)
            if left < needed:
                goal = root + left * (1.0 - FEE) / liquidity
            bought += liquidity * (goal - root) / (root * goal)
            number[GROWTH1] += used * FEE / liquidity
            left -= used
        number[ROOT] = goal
        if tick > last:
            break
        if goal == edge and left > 0.0:
            cross(market, tick, 1.0)
    tally[SWAPS] += 1
    return amount - left, bought


@kernel
def growth_inside(market, lower, upper):  # type: ignore[no-untyped-def]
    """Return the fees per unit of liquidity earned between two ticks so far."""
    number, ticks, at = market.number, market.ticks, market.tally[BELOW]
    below0, below1 = ticks[lower, OUTSIDE0], ticks[lower, OUTSIDE1]
    above0, above1 = ticks[upper, OUTSIDE0], ticks[upper, OUTSIDE1]
    if lower > at:
        below0, below1 = number[GROWTH0] - below0, number[GROWTH1] - below1
    if upper <= at:
        above0, above1 = number[GROWTH0] - above0, number[GROWTH1] - above1
    return number[GROWTH0] - below0 - above0, number[GROWTH1] - below1 - above1


@kernel
def change_tick(market, tick, gross, net):  # type: ignore[no-untyped-def]
    """Add liquidity to an edge of a range, or take it away."""
    number, tally, ticks = market.number, market.tally, market.ticks
    before = ticks[tick, GROSS]
    after = before + gross
    if gross < 0.0 and after < 1e-6:
        after = 0.0
    ticks[tick, GROSS] = after
    ticks[tick, NET] += net
    if before == 0.0 and after > 0.0:
        is_below = market.roots[tick] <= number[ROOT]
        ticks[tick, OUTSIDE0] = number[GROWTH0] if is_below else 0.0
        ticks[tick, OUTSIDE1] = number[GROWTH1] if is_below else 0.0
        if is_below:
            tally[BELOW] = max(tally[BELOW], tick)
        else:
            tally[ABOVE] = min(tally[ABOVE], tick)
    elif before > 0.0 and after == 0.0:
        ticks[tick, NET] = 0.0
        if tick == tally[BELOW]:
            tally[BELOW] = next_below(ticks, tick - 1)
        if tick == tally[ABOVE]:
            tally[ABOVE] = next_above(ticks, tick + 1)


@kernel
def enter(market, row):  # type: ignore[no-untyped-def]
    """Let a provider put all its cash into its range."""
    number, stakes = market.number, market.stakes
    lower, upper = market.ranges[row, 0], market.ranges[row, 1]
    low, high = market.roots[lower], market.roots[upper]
    root = min(max(number[ROOT], low), high)
    liquidity = ALL
    if root < high:
        liquidity = stakes[row, CASH0] * root * high / (high - root)
    if root > low:
        liquidity = min(liquidity, stakes[row, CASH1] / (root - low))
    stakes[row, STAKE] = liquidity
    if liquidity <= 0.0:
        return
    stakes[row, CASH0] -= liquidity * (high - root) / (root * high)
    stakes[row, CASH1] -= liquidity * (root - low)
    change_tick(market, lower, liquidity, liquidity)
    change_tick(market, upper, liquidity, -liquidity)
    if lower <= market.tally[BELOW] < upper:
        number[LIQUIDITY] += liquidity
    stakes[row, INSIDE0], stakes[row, INSIDE1] = growth_inside(market, lower, upper)


@kernel
def leave(market, row):  # type: ignore[no-untyped-def]
    """Let a provider take everything out of its range, fees included."""
    number, stakes = market.number, market.stakes
    lower, upper, liquidity = market.ranges[row, 0], market.ranges[row, 1], stakes[row, STAKE]
    if liquidity <= 0.0:
        return
    inside0, inside1 = growth_inside(market, lower, upper)
    low, high = market.roots[lower], market.roots[upper]
    root = min(max(number[ROOT], low), high)
    fees0, fees1 = inside0 - stakes[row, INSIDE0], inside1 - stakes[row, INSIDE1]
    stakes[row, CASH0] += liquidity * (high - root) / (root * high) + liquidity * fees0
    stakes[row, CASH1] += liquidity * (root - low) + liquidity * fees1
    if lower <= market.tally[BELOW] < upper:
        number[LIQUIDITY] -= liquidity
    change_tick(market, lower, -liquidity, -liquidity)
    change_tick(market, upper, -liquidity, liquidity)
    stakes[row, STAKE] = 0.0


# --- those who act -------------------------------------------------------------------------------


@kernel
def recenter(market, row):  # type: ignore[no-untyped-def]
    """Let a provider move its range to the price, as wide as it was."""
    half = (market.ranges[row, 1] - market.ranges[row, 0]) // 2
    leave(market, row)
    center = int((math.log(market.number[ROOT]) - LOWEST_LOG) / STEP_LOG)
    lower = max(center - half, 0)
    market.ranges[row, 0] = lower
    market.ranges[row, 1] = max(min(center + half, N_TICKS - 1), lower + 1)
    enter(market, row)
    market.tally[MOVES] += 1


@kernel
def swap_wide(market, amount, side):  # type: ignore[no-untyped-def]
    """Swap in the constant product pool; side 0 pays token 0; returns what was bought."""
    number = market.number
    pays, gives = RESERVE0 + side, RESERVE1 - side
    net = amount * (1.0 - WIDE_FEE)
    bought = number[gives] * net / (number[pays] + net)
    number[pays] += amount
    number[gives] -= bought
    market.tally[SWAPS] += 1
    return bought


@kernel
def trade(market, row, key):  # type: ignore[no-untyped-def]
    """Let a trader swap a lognormal amount, at most what it holds, in either pool."""
    pick = bits(key, row, 1)
    side = int(pick & uint64(1))
    usd = math.exp(SIZE_LOG + SIZE_LOG_SD * normal(bits(key, row, 2), bits(key, row, 3)))
    wanted = usd if side == 1 else usd / market.number[PRICE]
    amount = min(wanted, market.wallets[row, side])
    if amount <= 0.0:
        return
    if (pick & uint64(2)) != uint64(0):
        paid, bought = amount, swap_wide(market, amount, side)
    elif side == 0:
        paid, bought = sell(market, amount, 0.0)
    else:
        paid, bought = buy(market, amount, ALL)
    market.wallets[row, side] -= paid
    market.wallets[row, 1 - side] += bought


@kernel
def arbitrage(market, pool):  # type: ignore[no-untyped-def]
    """Trade in a pool up to the point where its price, fee included, is the reference price."""
    number = market.number
    price = number[PRICE]
    if pool == 0:
        kept, spot = 1.0 - FEE, number[ROOT] * number[ROOT]
        if price * kept > spot:
            paid, bought = buy(market, ALL, math.sqrt(price * kept))
            number[GAIN] += bought * price - paid
        elif price < spot * kept:
            paid, bought = sell(market, ALL, math.sqrt(price / kept))
            number[GAIN] += bought - paid * price
        return
    kept, reserve0, reserve1 = 1.0 - WIDE_FEE, number[RESERVE0], number[RESERVE1]
    if price * kept * reserve0 > reserve1:
        paid = (math.sqrt(reserve0 * reserve1 * kept * price) - reserve1) / kept
        number[GAIN] += swap_wide(market, paid, 1) * price - paid
    elif price * reserve0 < kept * reserve1:
        paid = (math.sqrt(reserve0 * reserve1 * kept / price) - reserve0) / kept
        number[GAIN] += swap_wide(market, paid, 0) - paid * price


@kernel
def liquidate(market, row):  # type: ignore[no-untyped-def]
    """Repay half of a borrower's debt and sell the collateral that this buys, with the bonus."""
    number, loans = market.number, market.loans
    price, index = number[PRICE], number[INDEX]
    seized = min(CLOSE * loans[row, 1] * index * (1.0 + BONUS) / price, loans[row, 0])
    loans[row, 0] -= seized
    loans[row, 1] -= seized * price / (1.0 + BONUS) / index
    if loans[row, 0] <= 1e-12:
        number[LOSS] += loans[row, 1] * index
        loans[row, 1] = 0.0
    sell(market, seized, 0.0)
    market.tally[LIQUIDATIONS] += 1


# --- a block -------------------------------------------------------------------------------------


@kernel
def gather(market, key):  # type: ignore[no-untyped-def]
    """Queue everybody who acts in this block; returns how many."""
    queue, n = market.queue, 0
    n_traders, n_providers = market.wallets.shape[0], market.ranges.shape[0]
    for row in range(n_traders):
        queue[n] = row
        n += bits(key, row, 0) >> uint64(11) < uint64(_TRADE_BELOW)
    for row in range(n_providers):
        queue[n] = (PROVIDER << 32) | row
        n += bits(key, n_traders + row, 0) >> uint64(11) < uint64(_MOVE_BELOW)
    queue[n], queue[n + 1] = ARBITRAGEUR << 32, (ARBITRAGEUR << 32) | 1
    n += 2
    worth, loans = market.number[PRICE] * THRESHOLD / market.number[INDEX], market.loans
    for row in range(loans.shape[0]):
        queue[n] = (BORROWER << 32) | row
        n += loans[row, 0] * worth < loans[row, 1]
    return n


@kernel
def shuffle(queue, n, key):  # type: ignore[no-untyped-def]
    """Shuffle the first `n` entries."""
    own = mixed(key ^ uint64(_MIX1))
    for at in range(n - 1, 0, -1):
        other = int(bits(own, at, 0) % uint64(at + 1))
        queue[at], queue[other] = queue[other], queue[at]


@kernel
def act(market, n, key):  # type: ignore[no-untyped-def]
    """Let the first `n` of the queue act, one after another."""
    queue = market.queue
    for k in range(n):
        row, kind = queue[k] & 0xFFFFFFFF, queue[k] >> 32
        if kind == TRADER:
            trade(market, row, key)
        elif kind == PROVIDER:
            recenter(market, row)
        elif kind == ARBITRAGEUR:
            arbitrage(market, row)
        else:
            liquidate(market, row)


@kernel(inline=False)
def advance(binding, seed, n_blocks, is_shuffled):  # type: ignore[no-untyped-def]
    """Run some blocks."""
    (market,) = unpack(binding)
    number, tally = market.number, market.tally
    for _ in range(n_blocks):
        key = key_of(seed, tally[BLOCK])
        own = mixed(key ^ uint64(_MIX2))
        z = normal(bits(own, 0, 0), bits(own, 0, 1))
        number[PRICE] *= math.exp(-0.5 * VOLATILITY * VOLATILITY + VOLATILITY * z)
        number[INDEX] *= 1.0 + INTEREST
        n = gather(market, key)
        if is_shuffled:
            shuffle(market.queue, n, key)
        act(market, n, key)
        tally[ACTIONS] += n
        tally[BLOCK] += 1


@kernel(inline=False)
def _enter_all(binding):  # type: ignore[no-untyped-def]
    (market,) = unpack(binding)
    for row in range(market.ranges.shape[0]):
        enter(market, row)


class Yardstick:
    """A market of `n` traders.

    Parameters
    ----------
    n : traders, and borrowers
    seed : of the endowments and of the draws
    is_shuffled : whether those who act do so in random order
    """

    def __init__(self, n: int, seed: int, *, is_shuffled: bool = True) -> None:
        self.seed, self.is_shuffled = seed, is_shuffled
        given = endow(n, seed)
        n_providers = len(given.cash)
        self.market = Market(
            number=np.zeros(10),
            tally=np.zeros(8, np.int64),
            wallets=np.column_stack([given.token0, given.token1]),
            ranges=np.column_stack([given.lower, given.upper]),
            stakes=np.zeros((n_providers, 5)),
            loans=np.column_stack([given.collateral, given.debt]),
            ticks=np.zeros((N_TICKS, 4)),
            roots=np.array(roots()),
            queue=np.zeros(2 * n + n_providers + 3, np.int64),
        )
        self.market.stakes[:, CASH0] = given.cash / START
        self.market.stakes[:, CASH1] = given.cash
        number, tally = self.market.number, self.market.tally
        number[[PRICE, INDEX]] = START, 1.0
        number[[RESERVE0, RESERVE1]] = given.reserve / START, given.reserve
        number[ROOT] = math.sqrt(START) * (1.0 + 1e-7)  # not on a tick
        tally[[BELOW, ABOVE]] = -1, N_TICKS
        self._binding = bind(self.market)
        _enter_all(self._binding.ctypes.data)

    def advance(self, n_blocks: int) -> None:
        """Run some blocks."""
        advance(self._binding.ctypes.data, self.seed, n_blocks, self.is_shuffled)

    @property
    def work(self) -> dict[str, int]:
        """What has happened so far."""
        names = ("swaps", "liquidations", "re-centerings", "crossings", "actions")
        counts = self.market.tally[[SWAPS, LIQUIDATIONS, MOVES, CROSSINGS, ACTIONS]]
        return dict(zip(names, counts.tolist(), strict=True))
