"""Arbitrage over any set of pools: the best trades in all of them at once, by convex duality.

Pools trade whatever leaves their function of reserves not lower, so what a pool can give is a
convex set, and

    maximize values . net   with   net = sum of what the pools give >= 0

is a convex problem (Angeris, Evans, Chitra and Boyd 2022, Optimal routing for constant function
market makers). In its dual every token has a price, no lower than its value outside; given prices,
each pool by itself makes the trade that is worth most, in closed form where its curve has one
(Diamandis, Resnick, Chitra and Angeris 2023, An efficient algorithm for optimal routing through
constant function market makers).

The dual is not smooth where a pool trades at one price, such as a constant sum. So trades are
collected, first along a quasi-Newton descent of the dual, then as a linear program over them asks:
its solution mixes trades that were made and proves, by its prices, how much better anything could
be. A mix is a trade of the pool too, as its set is convex. Every cycle of swaps is among what can
be mixed: none is worth more than the bound. Gas is not counted.

For a single pool and for a chain of constant product pools `sim.optimal_trade` has closed forms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from sim.errors import InputError
from sim.kernel import bind, kernel, view_of
from sim.status import Status
from sim.venues import Venues, quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

OK = int(Status.OK)
_MOST_ROUNDS = 80
_EXACT = 1e-8  # of the value, at which the search ends
_REACH = 1e6  # by which a price may exceed the value of its token
_KEPT = 12  # last points of the descent whose trades are mixed
_LINEAR: Any = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


class Market(Protocol):
    """A pool as arbitrage sees it."""

    @property
    def tokens(self) -> tuple[int, ...]:
        """The tokens of the pool, as places in the list of values."""
        ...

    def best_trade(self, prices: np.ndarray) -> np.ndarray:
        """Return what the pool gives, negative: gets, in the trade worth most at these prices.

        Parameters
        ----------
        prices : float64, (n_tokens_of_pool,), above 0

        Returns
        -------
        float64, (n_tokens_of_pool,), token units; zeros where none is worth more than nothing
        """
        ...


class WeightedMarket(NamedTuple):
    """A geometric mean pool of any number of tokens; equal weights of two: a constant product.

    The reserves after the best trade are m w / price of what is given and keep m w / price of what
    is paid, with one m for all: it is the root of a piecewise linear function of log m.
    """

    tokens: tuple[int, ...]
    reserves: np.ndarray  # float64, (n,), token units
    weights: np.ndarray  # float64, (n,), adding up to 1
    fee: float = 0.0  # fraction of what is paid

    def best_trade(self, prices: np.ndarray) -> np.ndarray:
        """Return the trade worth most at these prices; see `Market`."""
        keep = 1.0 - self.fee
        held = np.log(self.reserves)
        given = np.log(self.weights / prices)  # log reserve - log m where some is given
        bounds = np.sort(np.concatenate([held - given, held - given - np.log(keep)]))

        def after(m: float) -> np.ndarray:
            return np.asarray(np.clip(held, m + given + np.log(keep), m + given))

        surplus = [float(self.weights @ (after(bound) - held)) for bound in bounds]
        k = int(np.searchsorted(surplus, 0.0))
        if k == 0 or surplus[k] == 0.0:
            return self._net(after(bounds[k]), keep)
        part = -surplus[k - 1] / (surplus[k] - surplus[k - 1])
        return self._net(after(bounds[k - 1] + part * (bounds[k] - bounds[k - 1])), keep)

    def _net(self, after: np.ndarray, keep: float) -> np.ndarray:
        change = np.expm1(after - np.log(self.reserves)) * self.reserves
        return np.asarray(np.where(change > 0.0, -change / keep, -change))


class ConstantSumMarket(NamedTuple):
    """A pool that swaps two tokens one for one, less a fee, while it has them."""

    tokens: tuple[int, ...]
    reserves: np.ndarray  # float64, (2,), token units
    fee: float = 0.0  # fraction of what is paid

    def best_trade(self, prices: np.ndarray) -> np.ndarray:
        """Return all of the token that is worth more after the fee, or nothing; see `Market`."""
        keep = 1.0 - self.fee
        net = np.zeros(2)
        for out in (0, 1):
            if keep * prices[out] > prices[1 - out]:
                net[out], net[1 - out] = self.reserves[out], -self.reserves[out] / keep
        return net


_venues_at = view_of(Venues)


@kernel(inline=False)
def _quote_at(binding, venue, side, price_limit):  # type: ignore[no-untyped-def]
    (venues,) = _venues_at(binding)
    q = quote(venues, venue, side, 1e30, price_limit)
    return q.status, q.amount_in, q.amount_out


class VenueMarket:
    """A pool of two tokens of a world, asked by its quotes: of whatever mechanism it is.

    Parameters
    ----------
    world : as it is now; trades are of this moment
    venue : number of a pool; of a pool of more tokens, a pair is only part of what it can do
    """

    def __init__(self, world: World, venue: int) -> None:
        if world.venues.token0[venue] < 0:
            raise InputError(f"{world.venue_names[venue]} is no pool; only pools are traded with")
        self.world, self.venue = world, venue
        self.tokens = int(world.venues.token0[venue]), int(world.venues.token1[venue])
        self._binding = bind(world.venues)

    def best_trade(self, prices: np.ndarray) -> np.ndarray:
        """Return the trade that leaves the pool where another would not pay; see `Market`."""
        venues = self.world.venues
        keep = 1.0 - float(venues.fee[self.venue])
        price, wanted = float(venues.price[self.venue]), float(prices[0] / prices[1])
        if price * keep > wanted:
            side, limit = 0, wanted / keep
        elif price < wanted * keep:
            side, limit = 1, wanted * keep
        else:
            return np.zeros(2)
        status, paid, out = _quote_at(self._binding.ctypes.data, self.venue, side, limit)
        net = np.array([-paid, out] if side == 0 else [out, -paid])
        return net if status == OK and float(prices @ net) > 0.0 else np.zeros(2)


@dataclass(frozen=True)
class Arbitrage:
    """The best trades that were found.

    Attributes
    ----------
    value : of what is left over, at the values given
    bound : no trades at all are worth more than this
    net : float64, (n_tokens,), what is left over of each token
    trades : for each pool what it gives, negative: gets, in the order of its tokens
    prices : float64, (n_tokens,), of the dual
    """

    value: float
    bound: float
    net: np.ndarray
    trades: tuple[np.ndarray, ...]
    prices: np.ndarray


class _Search:
    """Trades collected so far: a column each, in tokens of the whole."""

    def __init__(self, markets: Sequence[Market], values: np.ndarray) -> None:
        self.markets, self.values = list(markets), values
        self.columns: list[np.ndarray] = []
        self.owners: list[int] = []
        self.bound, self.prices = np.inf, values.copy()

    def ask(self, prices: np.ndarray) -> tuple[float, np.ndarray]:
        """Return (dual value, its gradient) at some prices, and collect the trades."""
        total, net = 0.0, np.zeros(len(self.values))
        for k, market in enumerate(self.markets):
            at = list(market.tokens)
            trade = market.best_trade(prices[at])
            worth = float(prices[at] @ trade)
            if not worth > 0.0:
                continue
            column = np.zeros(len(self.values))
            column[at] = trade
            self.columns.append(column)
            self.owners.append(k)
            total += worth
            net += column
        if total < self.bound:
            self.bound, self.prices = total, prices.copy()
        return total, net

    def mix(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Return (value, prices, weights) of the best mix of the trades collected."""
        from scipy.optimize import linprog

        table = np.array(self.columns).T
        scale = np.maximum(np.abs(table).max(axis=1), 1e-300)
        owners = np.zeros((len(self.markets), len(self.owners)))
        owners[self.owners, np.arange(len(self.owners))] = 1.0
        done = linprog(
            -self.values @ table,
            A_ub=np.vstack([-table / scale[:, None], owners]),
            b_ub=np.concatenate([np.zeros(len(self.values)), np.ones(len(self.markets))]),
            method="highs",
            options=_LINEAR,
        )
        shadow = -np.asarray(done.ineqlin.marginals)[: len(self.values)] / scale
        return -float(done.fun or 0.0), self.values + np.maximum(shadow, 0.0), np.asarray(done.x)


def best_arbitrage(markets: Sequence[Market], values: Sequence[float]) -> Arbitrage:
    """Return the trades in all pools together that leave over what is worth most.

    Parameters
    ----------
    markets : pools whose `tokens` are places in `values`
    values : what a unit of each token is worth outside, above 0

    Raises
    ------
    InputError
        A value is not positive, or a pool names a token that has none.
    """
    worth = np.asarray(values, float)
    if not (np.isfinite(worth) & (worth > 0.0)).all():
        raise InputError(f"values ({list(values)}) must be positive numbers, one a token")
    for market in markets:
        if not set(market.tokens) <= set(range(len(worth))):
            raise InputError(
                f"a pool has the tokens {market.tokens}; there are values of 0 to {len(worth) - 1}"
            )
    search = _Search(markets, worth)
    _descend(search)
    value, weights = 0.0, np.zeros(0)
    for _ in range(_MOST_ROUNDS):
        if not search.columns:
            break
        value, prices, weights = search.mix()
        search.ask(prices)
        if search.bound - value <= _EXACT * max(value, 1e-300):
            break
        search.ask(0.5 * (prices + search.prices))  # near the best prices so far, which steadies
    return _result(search, value, weights)


def _descend(search: _Search) -> None:
    """Collect trades along a quasi-Newton descent of the dual in the logarithms of prices."""
    from scipy.optimize import minimize

    low = np.log(search.values)

    def dual(logs: np.ndarray) -> tuple[float, np.ndarray]:
        prices = np.exp(logs)
        total, net = search.ask(prices)
        return total, net * prices

    limits: Any = list(zip(low, low + np.log(_REACH), strict=True))
    options: Any = {"maxiter": 300, "maxfun": 600, "ftol": 1e-15, "gtol": 1e-12, "maxcor": 30}
    minimize(dual, low, jac=True, method="L-BFGS-B", bounds=limits, options=options)
    most = _KEPT * len(search.markets)
    del search.columns[:-most], search.owners[:-most]


def _result(search: _Search, value: float, weights: np.ndarray) -> Arbitrage:
    n = len(search.values)
    wholes = [np.zeros(n) for _ in search.markets]
    for weight, owner, column in zip(weights, search.owners, search.columns, strict=False):
        wholes[owner] += weight * column
    trades = tuple(
        whole[list(market.tokens)] for whole, market in zip(wholes, search.markets, strict=True)
    )
    net = np.maximum(sum(wholes, np.zeros(n)), 0.0)
    bound = max(search.bound, value) if search.columns else 0.0  # which differ by rounding
    return Arbitrage(value, bound, net, trades, search.prices)
