"""Other packages, each in a virtual environment of its own, beside what it may be compared with.

Each is installed by pip into a temporary folder, in the version named here, and runs a loop of its
own public calls. None of them is a whole world: what one call of theirs does, and what ours does
beyond it, stands beside the number.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from experiments.bench.operations import swapping_world
from experiments.bench.rows import Row
from experiments.bench.timing import count_for, in_turn, median, timed
from experiments.console import say
from sim.amm.concentrated import ConcentratedLiquidityPool
from sim.amm.constant_product_facade import ConstantProductPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.bench.worlds import Effort

_TIMED = """
import json, statistics, time
found = []
for _ in range(5):
    started = time.process_time()
    for k in range(globals().get("CALLS", N)):
        body(k)
    found.append((time.process_time() - started) / N)
print(json.dumps(1e6 * statistics.median(found)))
"""


class Peer(NamedTuple):
    """A package, and a loop of its own calls."""

    name: str
    requirements: tuple[str, ...]
    call: str
    code: str  # defines N and body(k), called N times; or CALLS times where one call does all N
    note: str


PEERS = (
    Peer(
        "curvesim 0.5.0",
        ("curvesim==0.5.0",),
        "exchange in a stableswap pool of two",
        """
from curvesim.pool import CurvePool
pool, N = CurvePool(A=250, D=10**24, n=2, fee=4 * 10**6), 2_000
body = lambda k: pool.exchange(k % 2, 1 - k % 2, 10**20)
""",
        "exact whole numbers as the contract has them, another curve; one pool, no block",
    ),
    Peer(
        "uniswappy 1.7.9",
        ("uniswappy==1.7.9",),
        "swap in a constant product pool",
        """
from uniswappy import ERC20, Join, Swap, UniswapExchangeData, UniswapFactory
ether, dollar = ERC20("ETH", "0x1"), ERC20("USD", "0x2")
data = UniswapExchangeData(tkn0=ether, tkn1=dollar, symbol="LP", address="0x4")
pool, N = UniswapFactory("pools", "0x3").deploy(data), 2_000
Join().apply(pool, "user", 1_000.0, 2_000_000.0)
body = lambda k: Swap().apply(pool, ether if k % 2 else dollar, "user", 0.1 if k % 2 else 200.0)
""",
        "decimal and whole numbers; one pool, no ledger, no block",
    ),
    Peer(
        "degenbot 0.3.0",
        ("degenbot==0.3.0",),
        "one step of a concentrated swap",
        """
from degenbot.uniswap.v3_libraries.swap_math import compute_swap_step
step, N, ROOT = compute_swap_step.__wrapped__, 5_000, 2**96 * 44
body = lambda k: step(ROOT, ROOT * 99 // 100, 10**22, 10**17 + k, 500)
""",
        "exact whole numbers, its cache of answers passed by; one step, no pool is changed",
    ),
    Peer(
        "radcad 0.14.0",
        ("radcad==0.14.0", "typing_extensions"),
        "step of a model of one pool and one arbitrageur",
        """
import contextlib, io, math, random
from radcad import Experiment, Model, Simulation
from radcad.engine import Backend, Engine
draw, N = random.Random(1), 1_000
def arbitrage(params, substep, history, state):
    price = state["price"] * math.exp(1e-3 * draw.gauss(0.0, 1.0))
    product = state["x"] * state["y"]
    x = math.sqrt(product / price)
    return {"price": price, "x": x, "y": product / x}
def update(name):
    return lambda params, substep, history, state, signal: (name, signal[name])
names = ("price", "x", "y")
blocks = [{"policies": {"arbitrage": arbitrage}, "variables": {k: update(k) for k in names}}]
first = {"price": 2000.0, "x": 1e3, "y": 2e6}
model = Model(initial_state=first, state_update_blocks=blocks, params={"a": [0]})
def body(k):
    run = Experiment(Simulation(model=model, timesteps=N, runs=1))
    run.engine = Engine(backend=Backend.SINGLE_PROCESS, deepcopy=False)
    with contextlib.redirect_stdout(io.StringIO()):
        run.run()
CALLS = 1
""",
        "a general engine of state updates in Python; copies of the state switched off",
    ),
)


def measure(effort: Effort) -> Iterator[Row]:
    """Measure each peer, and calls of ours that come nearest."""
    for peer in PEERS:
        say(f"installing {peer.name} in an environment of its own ...", stderr=True)
        try:
            value = _measured(peer)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            last = str(error.stderr or "").strip().splitlines()[-1:]
            say(f"{peer.name} left out: {' '.join(last) or error}", stderr=True)
            continue
        yield Row(f"{peer.name}: {peer.call}", value, "µs", None, {}, peer.note)
    yield from _ours(effort)


def _measured(peer: Peer) -> float:
    """Install a package in an environment of its own and run its loop there; microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _call([*install, *peer.requirements])
        told = _call([str(python), "-c", peer.code + _TIMED])
    return float(json.loads(told.strip().splitlines()[-1]))


def _call(command: list[str]) -> str:
    done = subprocess.run(  # noqa: S603 - the interpreter of that environment, code from above
        command, check=True, capture_output=True, text=True, timeout=900.0
    )
    return done.stdout


def _ours(effort: Effort) -> Iterator[Row]:
    product = ConstantProductPool(1e3, 2e6, 0.003)
    ranges = ConcentratedLiquidityPool(0.0005, 10, 44.72)
    ranges.mint("me", 75_000, 77_000, 1e7)
    n = 2_000

    def swap_product() -> None:
        for k in range(n):
            product.swap_exact_in(k % 2, 200.0 if k % 2 else 0.1)

    def swap_ranges() -> None:
        for k in range(n):
            ranges.swap(bool(k % 2), 0.1 if k % 2 else 200.0)

    for name, body in (("constant product", swap_product), ("concentrated", swap_ranges)):
        body()
        times = [timed(body).cpu for _ in range(effort.repeats)]
        yield Row(
            f"ours: swap in a {name} pool, called from Python",
            1e6 * median(times) / n,
            "µs",
            None,
            {"swaps": n * len(times)},
            "float64; one pool, no sender, no block",
        )
    yield _fill(effort)


def _fill(effort: Effort) -> Row:
    runner = swapping_world(100.0, 20.0)
    n = count_for(runner.blocks, effort.seconds, 10_000)
    before = runner.work()["fills"]
    (times,) = in_turn([lambda: runner.blocks(n)], effort.repeats)
    each = (runner.work()["fills"] - before) / effort.repeats
    return Row(
        "ours: swap in a constant product pool, all in, in a world",
        1e6 * median([one.cpu for one in times]) / each,
        "µs",
        None,
        runner.work(),
        "float64; decision, order, mempool, gas, ledger, record",
    )
