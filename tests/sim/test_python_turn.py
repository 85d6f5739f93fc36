"""A Python turn answers compiled code and never raises into it."""

import ctypes
import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

from sim.kernel import JIT, invoke, kernel
from sim.python_turn import PythonTurn
from sim.status import Status

ROOT = Path(__file__).resolve().parents[2]


def call(turn, binding, message):
    """Call a turn as the engine does, by its address."""
    if not JIT:
        return invoke(turn.address, binding, message)
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(turn.address)(
        binding, message
    )


def test_a_turn_gets_the_message_and_gives_ok():
    messages = []
    turn = PythonTurn(messages.append)
    assert call(turn, 3, 2**40) == Status.OK
    assert messages == [2**40]


def test_a_turn_gives_its_status():
    assert call(PythonTurn(lambda _: Status.SLIPPAGE), 0, 0) == Status.SLIPPAGE


def test_what_a_turn_raises_is_kept():
    def fail(message):
        raise KeyError(message)

    turn = PythonTurn(fail)
    assert call(turn, 0, 17) == Status.FAULT
    assert isinstance(turn.error, KeyError)
    assert turn.error.args == (17,)


def test_even_an_interrupt_does_not_cross_compiled_code():
    def stop(message):
        raise KeyboardInterrupt

    turn = PythonTurn(stop)
    assert call(turn, 0, 0) == Status.FAULT
    assert isinstance(turn.error, KeyboardInterrupt)


def test_a_status_that_is_no_number_is_a_fault():
    turn = PythonTurn(lambda _: "fine")
    assert call(turn, 0, 0) == Status.FAULT
    assert isinstance(turn.error, ValueError)


@kernel
def call_three_times(address):
    return invoke(address, 0, 1) + 10 * invoke(address, 0, 2) + 100 * invoke(address, 0, 3)


def test_compiled_code_calls_a_turn_by_its_address():
    turn = PythonTurn(lambda message: message)
    assert call_three_times(turn.address) == 321


def test_turns_are_freed_with_what_they_hold():
    def make():
        class Holder:
            pass

        holder = Holder()
        holder.turn = PythonTurn(lambda _: holder.turn is None)
        return weakref.ref(holder)

    made = [make() for _ in range(20)]
    gc.collect()
    assert sum(holder() is not None for holder in made) == 0


def test_turns_are_the_same_in_the_interpreted_twin():
    names = [name for name in globals() if name.startswith("test_") and "twin" not in name]
    script = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("turns", {__file__!r})
turns = importlib.util.module_from_spec(spec)
spec.loader.exec_module(turns)
assert not turns.JIT
for name in {names!r}:
    getattr(turns, name)()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "UNDERTOW_JIT": "0", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
