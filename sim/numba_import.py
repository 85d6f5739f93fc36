"""Numba's array functions without scipy's linear algebra, loaded only to learn that it is there.

Numba looks for scipy's BLAS when it first loads compiled code, which takes as long as building a
world; our kernels use none of it. scipy is a dependency of ours, so the answer is known: user code
that Numba compiles in the same process finds its linear algebra as always.
"""

from __future__ import annotations

import importlib
import sys

if "scipy.linalg" not in sys.modules and "numba.np.arraymath" not in sys.modules:
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]  # refuses to be imported
    try:
        arraymath = importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules["scipy.linalg"]
    arraymath._HAVE_BLAS = True  # type: ignore[attr-defined]
