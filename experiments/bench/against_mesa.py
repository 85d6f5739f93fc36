"""The dense market against plain Mesa, and against bare kernels.

All three run the same rule book with as many agents and the same rates (`yardstick`). Ours does
more: orders wait in a mempool, are sorted, pay for block space and leave a record each; a provider
who moves sends three orders; draws are addressed. Its fills stand beside theirs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.bench.plain_mesa import PlainMarket
from experiments.bench.rows import Row, Target, at_least, at_most, shown
from experiments.bench.timing import Times, count_for, in_turn, median, ratios, timed
from experiments.bench.worlds import Effort, Runner, dense, world_of
from experiments.bench.yardstick import Yardstick
from experiments.recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_AGAINST_MESA = {
    1_000: at_least(300, 600),
    10_000: at_least(400, 800),
    100_000: at_least(600, 1_200),
}
_SEED = 1


def _scaled(times: list[Times], n: int) -> list[Times]:
    """Return times a block."""
    return [Times(one.wall / n, one.cpu / n) for one in times]


def _spread(found: list[float]) -> str:
    return f"{min(found):,.3g} to {max(found):,.3g} over {len(found)} pairs"


def against_mesa(effort: Effort) -> Iterator[Row]:
    """Time the dense market and plain Mesa in turn, in three sizes."""
    for n, target in _AGAINST_MESA.items():
        if n <= effort.largest:
            yield from _one_size(effort, n, target)


def _one_size(effort: Effort, n: int, target: Target) -> Iterator[Row]:
    ours, plain = Runner(world_of(dense(n))), PlainMarket(n, _SEED)
    ours.start()
    plain.step()

    def steps(count: int) -> None:
        for _ in range(count):
            plain.step()

    n_ours = count_for(ours.blocks, effort.seconds, 15_000)
    n_plain = count_for(steps, 2.0 * effort.seconds, 1_000)
    before = dict(plain.work)
    bodies: list[Callable[[], object]] = [lambda: steps(n_plain), lambda: ours.blocks(n_ours)]
    slow, fast = in_turn(bodies, effort.repeats)
    found = ratios(_scaled(slow, n_plain), _scaled(fast, n_ours))
    theirs = {name: count - before[name] for name, count in plain.work.items()}
    n_steps = effort.repeats * n_plain
    yield Row(
        f"dense market, {n:,} traders: plain Mesa's time over ours",
        median(found),
        "times",
        target,
        ours.work() | {"steps of Mesa": n_steps} | {f"Mesa's {k}": v for k, v in theirs.items()},
        f"a block each, nothing recorded; {_spread(found)}",
    )
    yield Row(
        f"dense market, {n:,} traders: time of a block",
        1e6 * median([one.cpu for one in _scaled(fast, n_ours)]),
        "µs",
        note=f"plain Mesa {shown(1e6 * median([one.cpu for one in _scaled(slow, n_plain)]))} µs",
    )


def against_kernels(effort: Effort) -> Iterator[Row]:
    """Time the dense market and the bare kernels in turn; recorded to files, and not."""
    n = 10_000
    bare, plain = Yardstick(n, _SEED), Runner(world_of(dense(n)))
    bare.advance(1)
    plain.start()
    n_bare = count_for(bare.advance, effort.seconds, 100_000)
    n_ours = count_for(plain.blocks, effort.seconds, 15_000)
    with tempfile.TemporaryDirectory() as folder:
        recorded = _Recorded(n, Path(folder))
        recorded.blocks(5)
        bodies: list[Callable[[], object]] = [
            lambda: bare.advance(n_bare),
            lambda: plain.blocks(n_ours),
            lambda: recorded.blocks(n_ours),
        ]
        kernels, off, on = in_turn(bodies, effort.repeats)
        rest = timed(recorded.finish)  # what waited in memory belongs to what was recorded
    share = rest.cpu / effort.repeats
    on = [Times(one.wall, one.cpu + share) for one in on]
    base = _scaled(kernels, n_bare)
    for name, times, target in (
        ("not recorded", off, at_most(1.2)),
        ("recorded to files", on, at_most(1.5)),
    ):
        found = ratios(_scaled(times, n_ours), base)
        yield Row(
            f"dense market, {n:,} traders, {name}: our time over that of bare kernels",
            median(found),
            "times",
            target,
            plain.work() | {f"the kernels' {k}": v for k, v in bare.work.items()},
            f"a block each, all threads; {_spread(found)}; kernels "
            f"{1e6 * median([one.cpu for one in base]):,.3g} µs a block",
        )


class _Recorded:
    """A dense market whose records go to files."""

    def __init__(self, n: int, folder: Path) -> None:
        scenario = dense(n)
        self.world = world_of(scenario)
        self.recorder = Recorder(self.world, scenario.records, folder)
        self.runner = Runner(self.world)
        self.world.on_fills = self.recorder.engine.take_fills

    def blocks(self, n: int) -> None:
        """Run so many blocks."""
        self.runner.blocks(n)

    def finish(self) -> None:
        """Write what waits."""
        self.recorder.finish()
