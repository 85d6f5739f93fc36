"""How often blocks trade: all thirty cells of the published table, Milionis et al. 2023.

Between blocks at exponential intervals a log price that is a Brownian motion moves by a Laplace
variable of scale b = sigma sqrt(dt / 2), so fixed blocks whose prices move by such steps have the
law of exponential ones, without a grid of prices between them. Exponential blocks of the engine's
own are measured in `test_loss_versus_rebalancing`.

The gap z between market and pool, in logs, is a random walk that is put back to the edge of
[-gamma, gamma] by a trade whenever it leaves it. A step x changes z^2 by x^2 + 2 x z, a trade that
takes away an overshoot o lowers it by 2 gamma o + o^2. Steps are independent of z, so these add up
to 2 b^2 a block in the mean. The number of trades over their sum is off by the noise of the
overshoots alone, which are exponential with mean b: its relative variance is that of
2 gamma o + o^2 over the number of trades.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest

from sim.kernel import kernel
from sim.units import DAY
from tests.worlds import world_of

SIGMA = 0.05  # per square root of a day
PUBLISHED = {  # percent of blocks with a trade, by seconds between blocks; columns are FEES
    600.0: (96.72, 85.49, 74.66, 49.55, 22.76),
    120.0: (92.95, 72.49, 56.85, 30.52, 11.64),
    12.0: (80.65, 45.45, 29.41, 12.20, 4.00),
    2.0: (62.98, 25.38, 14.54, 5.37, 1.67),
    0.25: (37.55, 10.74, 5.67, 1.97, 0.60),
    0.05: (21.20, 5.10, 2.62, 0.89, 0.27),
}
FEES = (0.0001, 0.0005, 0.001, 0.003, 0.01)
CELLS = [
    (seconds, fee, percent)
    for seconds, row in PUBLISHED.items()
    for fee, percent in zip(FEES, row, strict=True)
]
MOST = 2_500_000  # blocks of one world


class Cell(NamedTuple):
    """A band and the steps of the price."""

    gamma: float  # half-width of the band, log price
    scale: float  # of the steps, log price

    def probability(self):
        """Theorem 1."""
        return 1.0 / (1.0 + self.gamma / self.scale)

    def relative_variance(self):
        """Of 2 gamma o + o^2, o exponential with mean b: moments b, 2 b^2, 6 b^3, 24 b^4."""
        gamma, b = self.gamma, self.scale
        second = 8.0 * gamma**2 * b**2 + 24.0 * gamma * b**3 + 24.0 * b**4
        return second / (2.0 * gamma * b + 2.0 * b**2) ** 2 - 1.0

    def blocks_to_tell(self, tolerance):
        """Blocks after which 3.3 standard errors are the tolerance."""
        return math.ceil((3.3 / tolerance) ** 2 * self.relative_variance() / self.probability())


@kernel
def walk(steps, gamma):  # type: ignore[no-untyped-def]
    """Return (times a walk was put back, sum of 2 gamma o + o^2, where it ends)."""
    gap, total, n_back = 0.0, 0.0, 0
    for k in range(steps.shape[0]):
        gap += steps[k]
        over = abs(gap) - gamma
        if over > 0.0:
            total += 2.0 * gamma * over + over * over
            gap = gamma if gap > 0.0 else -gamma
            n_back += 1
    return n_back, total, gap


def trades_of(fee, steps):
    """Return the trades of a world whose price makes these steps, and its last gap."""
    world = world_of(
        f"horizon={len(steps) * 12}s",
        "price_step_seconds=12",
        "assets.ETH.price={kind: fixed, price: 2000}",
        "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
        f"venues.eth-usd.fee={fee}",
    )
    path, n_trades = world.prices.path[0], 0
    path[1:] = 2_000.0 * np.exp(np.cumsum(steps))

    def count(fills):
        nonlocal n_trades
        n_trades += len(fills)

    world.on_fills = count
    world.advance(world.horizon)
    world.flush()
    return n_trades, math.log(path[-1] / world.venues.price[0])


@pytest.mark.parametrize(("seconds", "fee", "percent"), CELLS)
def test_blocks_trade_as_often_as_the_table_says(seconds, fee, percent):
    """Within 1 %, 2 % where less than 3 % of blocks trade; 3.3 standard errors, so 1 in 1,000."""
    cell = Cell(-math.log1p(-fee), SIGMA * math.sqrt(seconds / DAY / 2.0))
    expected = cell.probability()
    assert 100.0 * expected == pytest.approx(percent, rel=0.012)  # gamma for the fee, few digits
    tolerance = 0.01 if percent > 3.0 else 0.02
    left, n_trades, explained, seed = cell.blocks_to_tell(tolerance), 0, 0.0, 0
    while left > 0:
        seed += 1
        steps = np.random.default_rng(seed).laplace(0.0, cell.scale, min(left, MOST))
        n_back, total, gap = walk(steps, cell.gamma)
        assert trades_of(fee, steps) == (n_back, pytest.approx(gap, abs=1e-9))
        n_trades, explained, left = n_trades + n_back, explained + total, left - MOST
    assert n_trades / explained * 2.0 * cell.scale**2 == pytest.approx(expected, rel=tolerance)
