"""Single operations of the engine: an idle block, a fill, a mix of transactions."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from experiments.bench.rows import Row, at_least, at_most
from experiments.bench.timing import count_for, in_turn, median
from experiments.bench.worlds import Effort, Runner, dense, world_of
from experiments.scenario import load_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

_STILL = (
    "assets.ETH.price={kind: fixed, price: 2000}",
    "populations.traders-5.swaps_per_day=0",
    "populations.traders-30.swaps_per_day=0",
    "populations.providers.keeper_share=0",
)
_WALLETS = 1e9  # of their median swap: nobody runs out


def idle(effort: Effort) -> Iterator[Row]:
    """Time blocks in which everybody is there and nobody has anything to do."""
    runner = Runner(world_of(dense(10_000, *_STILL, days=365.0)))
    runner.start()
    n = count_for(runner.blocks, effort.seconds, 200_000)
    (times,) = in_turn([lambda: runner.blocks(n)], effort.repeats)
    work = runner.work()
    yield Row(
        "idle block, all tables loaded",
        1e9 * median([one.cpu for one in times]) / n,
        "ns",
        at_most(50),
        work | {"reactions": len(runner.world.tables.react)},
        "dense market of 10,000 traders, price at rest, nobody arrives; every population looks",
    )


def _swappers(n: int, per_block: float) -> str:
    """Return a population of traders that swap so often in a block, all together."""
    return json.dumps(
        {
            "kind": "noise_traders", "chain": "mainnet", "count": n,
            "swaps_per_day": per_block * 7_200.0 / n, "median_usd": 400, "size_log_sd": 1.2,
            "size_share_between": 0, "wallet_multiple": _WALLETS, "slippage_low": 0.9,
            "slippage_high": 0.9, "max_activity": 1, "tip_gwei": 0,
        }
    )  # fmt: skip


def swapping_world(per_block: float, days: float, *overrides: str) -> Runner:
    """Return a market of one constant product pool and traders who swap so often in a block."""
    scenario = load_scenario(
        "quiet-market",
        [
            f"horizon={days}d",
            "price_step_seconds=12",
            "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
            "chains.mainnet.gas_limit=1000000000000",
            "assets.ETH.price={kind: fixed, price: 2000}",
            "venues.eth-usd.value_usd=1e12",
            "venues.eth-usd.fees_compound=true",
            f"populations={{traders: {_swappers(10_000, per_block)}}}",
            *overrides,
        ],
    )
    runner = Runner(world_of(scenario))
    runner.start()
    return runner


def fills(effort: Effort) -> Iterator[Row]:
    """Time a swap, all in: arrival, quote, order, mempool, gas, execution, record."""
    for per_block, target in ((10, at_most(150)), (100, at_most(150))):
        runner = swapping_world(per_block, 60.0)
        n = count_for(runner.blocks, effort.seconds, 400_000 // (effort.repeats + 1))
        before = runner.work()["fills"]
        (times,) = in_turn([partial(runner.blocks, n)], effort.repeats)
        work = runner.work()
        each = (work["fills"] - before) / effort.repeats
        yield Row(
            f"a fill all in, {per_block} in a block",
            1e9 * median([one.cpu for one in times]) / each,
            "ns",
            target,
            work,
            "constant product pool, 10,000 traders; its share of the block included",
        )


def mixed(effort: Effort) -> Iterator[Row]:
    """Count transactions a second where prices fall: swaps, mints, burns, liquidations."""
    falling = "assets.ETH.price={kind: gbm, price: 2000, volatility: 0.085, drift_per_day: -0.5}"
    runner = Runner(world_of(dense(10_000, falling, days=3.0)))
    runner.start()
    n = min(count_for(runner.blocks, effort.seconds, 5_000), 20_000 // (effort.repeats + 1))
    before = runner.work()["fills"]
    (times,) = in_turn([lambda: runner.blocks(n)], effort.repeats)
    work = runner.work()
    each = (work["fills"] - before) / effort.repeats
    yield Row(
        "transactions executed, mixed, one core",
        each / median([one.cpu for one in times]) / 1e6,
        "million/s",
        at_least(5, 10),
        work,
        "dense market of 10,000 traders while the price falls by half in a day; decisions and the "
        "search for unsafe accounts included",
    )
