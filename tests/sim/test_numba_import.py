"""Numba loads without scipy's linear algebra, and still has it for whoever asks."""

import subprocess
import sys

CODE = """
import sys
from experiments import build, load_scenario
build(load_scenario("quiet-market"), 1).run_until(60.0)
assert "scipy.linalg" not in sys.modules, "a run loads scipy's linear algebra"

import numpy as np
from numba import njit

@njit
def product(a, b):
    return np.dot(a, b), np.linalg.solve(a, b), np.cov(b)

a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, 2.0], [3.0, 5.0]])
dot, solved, covariance = product(a, b)
assert np.allclose(dot, [[5.0, 9.0], [10.0, 17.0]])
assert np.allclose(a @ solved, b)
assert np.allclose(covariance, [[0.5, 1.0], [1.0, 2.0]])
print("both")
"""


def test_a_run_loads_no_linear_algebra_and_user_code_still_compiles_with_it():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "both", done.stderr
