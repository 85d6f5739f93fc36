"""How cost grows with the size of a world, with what happens held fixed: fitted exponents.

An exponent of 0 means that size costs nothing, 1 that cost grows as fast as size.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from experiments.bench.operations import swapping_world
from experiments.bench.rows import Row, at_most, shown
from experiments.bench.timing import count_for, exponent, in_turn, median
from experiments.bench.work_counts import counted_work
from experiments.bench.worlds import SHIPPED, Effort, Runner, dense, world_of
from experiments.scenario import load_scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PASSIVE = "populations.providers.keeper_share=0"  # keepers look about every ten minutes, each
_TRADES = 100.0  # a block, in all worlds of a curve


class Point(NamedTuple):
    """One size of a curve."""

    size: int
    seconds: float  # a block
    work: dict[str, float]  # a block


def _measure(effort: Effort, runner: Runner, size: int) -> Point:
    n = count_for(runner.blocks, effort.seconds, 10_000)
    before, started = counted_work(runner.world), runner.work()
    (times,) = in_turn([lambda: runner.blocks(n)], effort.repeats)
    after = counted_work(runner.world)
    done: dict[str, float] = {name: after[name] - before[name] for name in after}
    done["fills"] = runner.work()["fills"] - started["fills"]
    each = {name: count / (n * effort.repeats) for name, count in done.items()}
    return Point(size, median([one.cpu for one in times]) / n, each)


def _curve(what: str, points: Sequence[Point], note: str) -> Row:
    sizes, costs = [p.size for p in points], [p.seconds for p in points]
    told = ", ".join(f"{p.size:,}: {shown(1e6 * p.seconds)} µs" for p in points)
    return Row(
        f"growth with {what}: exponent of the time of a block",
        exponent(sizes, costs),
        "",
        None,
        {f"fills a block at {p.size:,}": round(p.work["fills"], 2) for p in points},
        f"{note}; {told}",
    )


def agents(effort: Effort) -> Iterator[Row]:
    """Compare dense markets of more and more agents in which as much happens."""
    sizes = [n for n in (1_000, 10_000, 100_000, 1_000_000) if n <= effort.largest]
    points = []
    for n in sizes:
        runner = Runner(world_of(dense(n, PASSIVE, busy=min(n, SHIPPED), days=10.0)))
        runner.start()
        points.append(_measure(effort, runner, n))
    yield _curve("agents", points[1:], "dense market; as many arrivals and near accounts")
    first, last = points[1], points[-1]
    done = [sum(p.work.values()) for p in (first, last)]
    name = f"{first.size:,} to {last.size:,} traders"
    work = {f"{k} at {p.size:,}": round(v, 2) for p in (first, last) for k, v in p.work.items()}
    yield Row(f"{name}: counted work", done[1] / done[0], "times", at_most(1.05), work, "a block")
    yield Row(
        f"{name}: time",
        last.seconds / first.seconds,
        "times",
        at_most(3, 2),
        {},
        "processor time of a block; cache misses are in it",
    )


def transactions(effort: Effort) -> Iterator[Row]:
    """Compare blocks with more and more swaps; the cost of one is to stay."""
    points = [
        _measure(effort, swapping_world(per_block, 20.0), per_block)
        for per_block in (10, 100, 1_000)
    ]
    yield _curve("transactions", points, "one pool, 10,000 traders")


def ticks(effort: Effort) -> Iterator[Row]:
    """Compare pools with more and more initialized ticks, the swaps being the same."""
    points = []
    for n in (10, 100, 1_000):
        runner = Runner(
            world_of(
                load_scenario(
                    "dense-market",
                    [
                        "horizon=10d",
                        "assets.ETH.price={kind: fixed, price: 2000}",
                        f"populations.providers.count={n}",
                        "populations.providers.keeper_half_width=0.4",
                        "populations.providers.keeper_rest_hours=10000",
                        "populations.traders-30.swaps_per_day=0",
                        "populations.borrowers.count=1",
                        "populations.borrowers.debt_usd=1",
                        "populations.borrowers.health_quantiles=[[0, 5], [1, 5]]",
                    ],
                )
            )
        )
        runner.start()
        points.append(_measure(effort, runner, n))
    yield _curve("initialized ticks", points, "providers with a range each, some 50 swaps a block")


def _pools_of(n: int) -> list[str]:
    """Return what makes `n` pools of `n` pairs out of the quiet market, one block for them all."""
    assets = {f"T{k}": {"price": {"kind": "fixed", "price": 2_000 + k}} for k in range(n)}
    fixed = {"kind": "fixed", "price": 1}
    pool = {"kind": "constant_product", "chain": "mainnet", "fee": 0.003, "value_usd": 1e9}
    venues = {f"pool-{k}": {**pool, "tokens": [f"T{k}", "USD"]} for k in range(n)}
    every = {**assets, "USD": {"price": fixed}, "ETH": {"price": {"kind": "fixed", "price": 2_000}}}
    tokens = ["ETH", "USD", *assets]
    return [
        f"assets={json.dumps(every)}",
        f"chains.mainnet.tokens={json.dumps(tokens)}",
        f"venues={json.dumps(venues)}",
    ]


def _traders(n: int, per_block: float, chain: str = "mainnet") -> dict[str, object]:
    return {
        "kind": "noise_traders", "chain": chain, "count": n,
        "swaps_per_day": per_block * 7_200.0 / n, "median_usd": 400, "size_log_sd": 1.2,
        "size_share_between": 0, "wallet_multiple": 1e4, "slippage_low": 0.9,
        "slippage_high": 0.9, "max_activity": 1, "tip_gwei": 0,
    }  # fmt: skip


def _quiet(overrides: Sequence[str], people: Mapping[str, object]) -> Runner:
    scenario = load_scenario(
        "quiet-market",
        [
            "horizon=10d",
            "price_step_seconds=12",
            "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
            "chains.mainnet.gas_limit=1000000000000",
            *overrides,
            f"populations={json.dumps(people)}",
        ],
    )
    runner = Runner(world_of(scenario))
    runner.start()
    return runner


def pools(effort: Effort) -> Iterator[Row]:
    """Compare worlds of more and more pools in which as many swaps happen in all."""
    points = []
    for n in (1, 10, 100):
        watcher = {"kind": "arbitrageurs", "chain": "mainnet", "count": 1, "inventory_usd": 1e9}
        people = {"traders": _traders(1_000, _TRADES), "watcher": watcher}
        points.append(_measure(effort, _quiet(_pools_of(n), people), n))
    yield _curve("pools", points, "a pair each, one arbitrageur over all, 100 swaps a block")


def chains(effort: Effort) -> Iterator[Row]:
    """Compare worlds of more and more chains in which as many swaps happen in all."""
    points = []
    for n in (1, 4, 16):
        names = ["mainnet", *(f"chain-{k}" for k in range(1, n))]
        chain = {
            "blocks": {"kind": "fixed", "interval_seconds": 12}, "gas_limit": 10**12,
            "native": "ETH", "tokens": ["ETH", "USD"],
        }  # fmt: skip
        pool = {
            "kind": "constant_product", "tokens": ["ETH", "USD"], "fee": 0.003, "value_usd": 1e9,
        }  # fmt: skip
        overrides = [
            "assets.ETH.price={kind: fixed, price: 2000}",
            f"chains={json.dumps(dict.fromkeys(names, chain))}",
            f"venues={json.dumps({f'pool-{k}': {**pool, 'chain': k} for k in names})}",
        ]
        people = {f"traders-{k}": _traders(1_000, _TRADES / n, k) for k in names}
        points.append(_measure(effort, _quiet(overrides, people), n))
    yield _curve("chains", points, "a pool each, 100 swaps in 12 s on all together")


CURVES: tuple[Callable[[Effort], Iterator[Row]], ...] = (
    agents,
    transactions,
    ticks,
    pools,
    chains,
)
