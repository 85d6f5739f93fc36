"""Plain Python in the engine's tables: an entry that never raises into compiled code.

A Python turn costs about 0.1 µs and its body. It may read everything and submit orders; it may not
advance time. What it raises is kept in `error`, the engine stops at once, and the world raises it
again where Python can see it.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING

from sim.kernel import JIT, handler
from sim.status import FAULT, OK

if TYPE_CHECKING:
    from collections.abc import Callable

_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class PythonTurn:
    """A table entry whose body is plain Python.

    Whoever puts `address` into a table keeps the turn alive as long as the table.

    Parameters
    ----------
    turn : called with the address of the message; returns a `Status`, or None for `OK`

    Attributes
    ----------
    address : the word that the engine calls
    error : what the body raised, None: nothing
    """

    def __init__(self, turn: Callable[[int], int | None]) -> None:
        self.turn = turn
        self.error: BaseException | None = None
        if JIT:
            self._entry = _ENTRY(self.run)
            self.address = int(ctypes.cast(self._entry, ctypes.c_void_p).value or 0)
        else:
            self.address = handler(_weakly(self)).address

    def run(self, binding: int, message: int) -> int:  # noqa: ARG002 - a table entry's signature
        """Run the body; returns its status, or FAULT when it raised."""
        try:
            status = self.turn(message)
            return OK if status is None else int(status)
        except BaseException as error:  # noqa: BLE001 - even Ctrl-C must not cross compiled frames
            self.error = error
            return FAULT


def _weakly(turn: PythonTurn) -> Callable[[int, int], int]:
    """Return the turn as a function that does not keep it alive: the twin's table never shrinks."""
    reference = weakref.ref(turn)

    def run(binding: int, message: int) -> int:
        alive = reference()
        return FAULT if alive is None else alive.run(binding, message)

    return run
