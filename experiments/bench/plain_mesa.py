"""The yardstick in plain Mesa: one Python object an agent, `agents.shuffle_do("step")` a block.

The same market as `experiments.bench.yardstick`, with the same endowments, written as a modeler
would write it. With the same draws in the same order both give the same bits.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import Any

from experiments.bench import yardstick as terms
from sim.mesa_import import mesa


@dataclass(slots=True)
class Tick:
    """An initialized tick of a concentrated pool."""

    net: float = 0.0
    gross: float = 0.0
    outside0: float = 0.0
    outside1: float = 0.0


class ConcentratedPool:
    """A pool of concentrated liquidity; ticks in a dictionary and a sorted list."""

    def __init__(self, price: float, fee: float) -> None:
        self.fee = fee
        self.roots = terms.roots()
        self.root = math.sqrt(price) * (1.0 + 1e-7)
        self.liquidity = self.growth0 = self.growth1 = 0.0
        self.ticks: dict[int, Tick] = {}
        self.order: list[int] = []  # initialized ticks, rising
        self.n_below = 0  # of them, at or below the price
        self.swaps = self.crossings = 0

    def _is_below(self, tick: int) -> bool:
        return self.n_below > 0 and tick <= self.order[self.n_below - 1]

    def _cross(self, tick: Tick, sign: int) -> None:
        self.liquidity += sign * tick.net
        tick.outside0 = self.growth0 - tick.outside0
        tick.outside1 = self.growth1 - tick.outside1
        self.n_below += sign
        self.crossings += 1

    def sell(self, amount: float, limit: float) -> tuple[float, float]:
        """Sell at most `amount` of token 0 down to a root price; returns (sold, bought)."""
        left, bought = amount, 0.0
        while left > 0.0 and self.root > limit:
            root, liquidity, is_last = self.root, self.liquidity, self.n_below == 0
            edge = self.roots[0 if is_last else self.order[self.n_below - 1]]
            goal = max(edge, limit)
            if liquidity > 0.0:
                needed = liquidity * (root - goal) / (root * goal) / (1.0 - self.fee)
                used = min(needed, left)
                if left < needed:
                    goal = liquidity * root / (liquidity + left * (1.0 - self.fee) * root)
                bought += liquidity * (root - goal)
                self.growth0 += used * self.fee / liquidity
                left -= used
            self.root = goal
            if is_last:
                break
            if goal == edge and left > 0.0:
                self._cross(self.ticks[self.order[self.n_below - 1]], -1)
        self.swaps += 1
        return amount - left, bought

    def buy(self, amount: float, limit: float) -> tuple[float, float]:
        """Pay at most `amount` of token 1 up to a root price; returns (paid, bought)."""
        left, bought = amount, 0.0
        while left > 0.0 and self.root < limit:
            root, liquidity, is_last = self.root, self.liquidity, self.n_below == len(self.order)
            edge = self.roots[-1 if is_last else self.order[self.n_below]]
            goal = min(edge, limit)
            if liquidity > 0.0:
                needed = liquidity * (goal - root) / (1.0 - self.fee)
                used = min(needed, left)
                if left < needed:
                    goal = root + left * (1.0 - self.fee) / liquidity
                bought += liquidity * (goal - root) / (root * goal)
                self.growth1 += used * self.fee / liquidity
                left -= used
            self.root = goal
            if is_last:
                break
            if goal == edge and left > 0.0:
                self._cross(self.ticks[self.order[self.n_below]], 1)
        self.swaps += 1
        return amount - left, bought

    def growth_inside(self, lower: int, upper: int) -> tuple[float, float]:
        """Return the fees per unit of liquidity earned between two ticks so far."""
        low, high = self.ticks[lower], self.ticks[upper]
        below0, below1 = low.outside0, low.outside1
        above0, above1 = high.outside0, high.outside1
        if not self._is_below(lower):
            below0, below1 = self.growth0 - below0, self.growth1 - below1
        if self._is_below(upper):
            above0, above1 = self.growth0 - above0, self.growth1 - above1
        return self.growth0 - below0 - above0, self.growth1 - below1 - above1

    def _change(self, at: int, gross: float, net: float) -> None:
        tick = self.ticks.get(at)
        if tick is None:
            tick = self.ticks[at] = Tick()
            bisect.insort(self.order, at)
            if self.roots[at] <= self.root:
                tick.outside0, tick.outside1 = self.growth0, self.growth1
                self.n_below += 1
        tick.gross += gross
        tick.net += net
        if gross < 0.0 and tick.gross < 1e-6:
            self.n_below -= self._is_below(at)
            del self.ticks[at]
            self.order.remove(at)

    def mint(self, lower: int, upper: int, liquidity: float) -> tuple[float, float]:
        """Add liquidity to a range; returns the growth inside it."""
        self._change(lower, liquidity, liquidity)
        self._change(upper, liquidity, -liquidity)
        if self._is_below(lower) and not self._is_below(upper):
            self.liquidity += liquidity
        return self.growth_inside(lower, upper)

    def burn(self, lower: int, upper: int, liquidity: float) -> tuple[float, float]:
        """Take liquidity out of a range; returns the growth inside it."""
        inside = self.growth_inside(lower, upper)
        if self._is_below(lower) and not self._is_below(upper):
            self.liquidity -= liquidity
        self._change(lower, -liquidity, -liquidity)
        self._change(upper, -liquidity, liquidity)
        return inside


class ProductPool:
    """A constant product pool."""

    def __init__(self, reserve0: float, reserve1: float, fee: float) -> None:
        self.reserves, self.fee, self.swaps = [reserve0, reserve1], fee, 0

    def swap(self, amount: float, side: int) -> float:
        """Pay `amount` of token `side`; returns what was bought."""
        net = amount * (1.0 - self.fee)
        bought = self.reserves[1 - side] * net / (self.reserves[side] + net)
        self.reserves[side] += amount
        self.reserves[1 - side] -= bought
        self.swaps += 1
        return bought


class Trader(mesa.Agent):
    """Trades now and then, in either pool."""

    model: PlainMarket

    def __init__(self, model: PlainMarket, token0: float, token1: float) -> None:
        super().__init__(model)
        self.wallet = [token0, token1]

    def step(self) -> None:
        """Swap a lognormal amount, at most what it holds."""
        market, random = self.model, self.random
        if random.random() >= terms.TRADES:
            return
        pick = random.getrandbits(2)
        side = pick & 1
        usd = math.exp(terms.SIZE_LOG + terms.SIZE_LOG_SD * random.gauss(0.0, 1.0))
        amount = min(usd if side == 1 else usd / market.price, self.wallet[side])
        if amount <= 0.0:
            return
        if pick & 2:
            paid, bought = amount, market.wide.swap(amount, side)
        elif side == 0:
            paid, bought = market.pool.sell(amount, 0.0)
        else:
            paid, bought = market.pool.buy(amount, terms.ALL)
        self.wallet[side] -= paid
        self.wallet[1 - side] += bought


class Provider(mesa.Agent):
    """Keeps a range around the price."""

    model: PlainMarket

    def __init__(self, model: PlainMarket, lower: int, upper: int, cash: float) -> None:
        super().__init__(model)
        self.lower, self.upper = lower, upper
        self.cash = [cash / terms.START, cash]
        self.liquidity = 0.0
        self.enter()

    def enter(self) -> None:
        """Put all cash into the range."""
        pool = self.model.pool
        low, high = pool.roots[self.lower], pool.roots[self.upper]
        root = min(max(pool.root, low), high)
        liquidity = terms.ALL
        if root < high:
            liquidity = self.cash[0] * root * high / (high - root)
        if root > low:
            liquidity = min(liquidity, self.cash[1] / (root - low))
        self.liquidity = liquidity
        if liquidity <= 0.0:
            return
        self.cash[0] -= liquidity * (high - root) / (root * high)
        self.cash[1] -= liquidity * (root - low)
        self.inside = pool.mint(self.lower, self.upper, liquidity)

    def leave(self) -> None:
        """Take everything out of the range, fees included."""
        pool, liquidity = self.model.pool, self.liquidity
        if liquidity <= 0.0:
            return
        low, high = pool.roots[self.lower], pool.roots[self.upper]
        root = min(max(pool.root, low), high)
        inside0, inside1 = pool.burn(self.lower, self.upper, liquidity)
        fees0, fees1 = inside0 - self.inside[0], inside1 - self.inside[1]
        self.cash[0] += liquidity * (high - root) / (root * high) + liquidity * fees0
        self.cash[1] += liquidity * (root - low) + liquidity * fees1
        self.liquidity = 0.0

    def step(self) -> None:
        """Re-center now and then."""
        if self.random.random() >= terms.RECENTERS:
            return
        half = (self.upper - self.lower) // 2
        self.leave()
        center = int((math.log(self.model.pool.root) - terms.LOWEST_LOG) / terms.STEP_LOG)
        self.lower = max(center - half, 0)
        self.upper = max(min(center + half, terms.N_TICKS - 1), self.lower + 1)
        self.enter()
        self.model.moves += 1


class RangeArbitrageur(mesa.Agent):
    """Holds the concentrated pool at the reference price, fee included."""

    model: PlainMarket

    def step(self) -> None:
        """Trade up to the point where the price, fee included, is the reference price."""
        market, pool = self.model, self.model.pool
        price, kept, spot = market.price, 1.0 - pool.fee, pool.root * pool.root
        if price * kept > spot:
            paid, bought = pool.buy(terms.ALL, math.sqrt(price * kept))
            market.gain += bought * price - paid
        elif price < spot * kept:
            paid, bought = pool.sell(terms.ALL, math.sqrt(price / kept))
            market.gain += bought - paid * price


class ProductArbitrageur(mesa.Agent):
    """Holds the constant product pool there."""

    model: PlainMarket

    def step(self) -> None:
        """Trade the closed-form amount."""
        market, pool = self.model, self.model.wide
        price, kept, (reserve0, reserve1) = market.price, 1.0 - pool.fee, pool.reserves
        if price * kept * reserve0 > reserve1:
            paid = (math.sqrt(reserve0 * reserve1 * kept * price) - reserve1) / kept
            market.gain += pool.swap(paid, 1) * price - paid
        elif price * reserve0 < kept * reserve1:
            paid = (math.sqrt(reserve0 * reserve1 * kept / price) - reserve0) / kept
            market.gain += pool.swap(paid, 0) - paid * price


class Debtor(mesa.Agent):
    """Is liquidated when its health factor is below one."""

    model: PlainMarket

    def __init__(self, model: PlainMarket, collateral: float, debt: float) -> None:
        super().__init__(model)
        self.collateral, self.debt = collateral, debt

    def step(self) -> None:
        """Be liquidated, or not."""
        market = self.model
        price, index = market.price, market.index
        if self.collateral * (price * terms.THRESHOLD / index) >= self.debt:
            return
        seized = terms.CLOSE * self.debt * index * (1.0 + terms.BONUS) / price
        seized = min(seized, self.collateral)
        self.collateral -= seized
        self.debt -= seized * price / (1.0 + terms.BONUS) / index
        if self.collateral <= 1e-12:
            market.loss += self.debt * index
            self.debt = 0.0
        market.pool.sell(seized, 0.0)
        market.liquidations += 1


class PlainMarket(mesa.Model):
    """The yardstick's market in plain Mesa; a step is a block.

    Parameters
    ----------
    n : traders, and borrowers
    seed : of the endowments and of the draws
    """

    def __init__(self, n: int, seed: int) -> None:
        super().__init__(seed=seed)
        given = terms.endow(n, seed)
        self.price, self.index = terms.START, 1.0
        self.gain = self.loss = 0.0
        self.moves = self.liquidations = 0
        self.pool = ConcentratedPool(terms.START, terms.FEE)
        self.wide = ProductPool(given.reserve / terms.START, given.reserve, terms.WIDE_FEE)
        Trader.create_agents(self, n, given.token0.tolist(), given.token1.tolist())
        ranges: list[Any] = [given.lower.tolist(), given.upper.tolist(), given.cash.tolist()]
        Provider.create_agents(self, len(given.cash), *ranges)
        RangeArbitrageur(self)
        ProductArbitrageur(self)
        Debtor.create_agents(self, n, given.collateral.tolist(), given.debt.tolist())

    def move_price(self, z: float) -> None:
        """Let the reference price and the interest go on by one block."""
        drift = -0.5 * terms.VOLATILITY * terms.VOLATILITY
        self.price *= math.exp(drift + terms.VOLATILITY * z)
        self.index *= 1.0 + terms.INTEREST

    def step(self) -> None:
        """Run one block."""
        self.move_price(self.random.gauss(0.0, 1.0))
        self.agents.shuffle_do("step")

    @property
    def work(self) -> dict[str, int]:
        """What has happened so far."""
        return {
            "swaps": self.pool.swaps + self.wide.swaps,
            "liquidations": self.liquidations,
            "re-centerings": self.moves,
            "crossings": self.pool.crossings,
        }
