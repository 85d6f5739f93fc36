"""The kernels as the engine uses them: over addresses, without counting, equal to plain Python."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim import kernel as compiler
from sim.kernel import bind, handler, invoke, view_of
from sim.lending import account, liquidation, market
from sim.lending.config import MarketConfig, ReserveConfig
from sim.lending.facade import LendingMarket
from sim.lending.state import LendingState, add_positions, make_state

ROOT = Path(__file__).resolve().parents[3]
unpack = view_of(LendingState)


@handler
def liquidate_first(binding, message):
    """Liquidate position 1 as an engine's table entry would."""
    (state,) = unpack(binding)
    outcome = liquidation.liquidate(state, 1, 1, 0, 40.0, 1e9, liquidation.UNDERLYING, message)
    return outcome[0]


def make_world():
    assets = (ReserveConfig(price=10.0), ReserveConfig(price=1.0))
    state = make_state([MarketConfig(reserves=assets)], [0], [0, 1], [0, 1])
    state = add_positions(state, 0, 0, np.arange(2))
    market.supply(state, 0, 1, 1_000.0, np.inf, 0)
    market.supply(state, 1, 0, 100.0, np.inf, 0)
    market.borrow(state, 1, 1, 82.0, 0)
    state.reserves["price"][0] = 1.0
    return state


def test_a_handler_sees_the_state_by_address():
    state = make_world()
    binding = bind(state)
    assert invoke_handler(liquidate_first, binding, 0) == 0
    assert account.claim_of(state, 1, 0, 0) == pytest.approx(58.0, rel=1e-15)
    assert invoke_handler(liquidate_first, binding, 0) == liquidation.NOT_LIQUIDATABLE


def invoke_handler(entry, binding, message):
    if not compiler.JIT:
        return invoke(entry.address, binding.ctypes.data, message)
    return call(entry.address, binding.ctypes.data, message)


@compiler.kernel(inline=False)
def call(address, binding, message):
    """Call a table entry from compiled code."""
    return invoke(address, binding, message)


def digest():
    """Run random operations; returns a hash of every bit of the state."""
    draw = random.Random(3)  # noqa: S311  # a test sequence
    world = LendingMarket(
        {
            "A": ReserveConfig(price=2.0, liquidation_protocol_fee=0.1, slope2=4.0),
            "B": ReserveConfig(price=1.0, base_rate=0.02, reserve_factor=0.3),
        }
    )
    for _ in range(400):
        user, token, other = draw.choice("uvw"), draw.choice("AB"), draw.choice("AB")
        verb = draw.choice(("supply", "withdraw", "borrow", "repay", "liquidate"))
        amount = draw.lognormvariate(3.0, 2.0)
        arguments = (user, token, other, amount) if verb == "liquidate" else (user, token, amount)
        try:
            getattr(world, verb)(*arguments)
        except ValueError:
            world.now += draw.randrange(10**11)
            world.set_price(token, draw.lognormvariate(0.0, 0.3))
    return hashlib.sha256(b"".join(column.tobytes() for column in world.state)).hexdigest()


def test_interpreted_equals_compiled_to_the_last_bit():
    done = subprocess.run(
        [sys.executable, __file__],
        cwd=ROOT,
        env=os.environ | {"UNDERTOW_JIT": "0" if compiler.JIT else "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest()


if __name__ == "__main__":
    sys.stdout.write(digest())
