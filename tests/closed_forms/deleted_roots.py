"""Delete 200 random roots one by one, each in a world of its own paired with the whole one.

`python -m tests.closed_forms.deleted_roots` prints the debt that vanished over the debt that the
roots were said to carry, with its standard error over 100 worlds; a minute or two.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from analysis.cascades import find_cascades
from tests.closed_forms.cascading import CascadingWorld, random_book

N_WORLDS, N_ROOTS = 100, 2


def deleted_singly(file: Path, seed: int) -> tuple[float, float]:
    """Return the debt said to be carried by random roots, and what vanishes with each, summed."""
    world = CascadingWorld(file, *random_book(2_500.0, 400, 2e-5, seed))
    done = find_cascades(world.run()).graph.liquidations
    roots = done[done["endogenous"] < 0.5].sample(N_ROOTS, random_state=seed)
    whole, vanished = float(done["debt_usd"].sum()), 0.0
    for row in roots["borrower_account"]:
        left = world.run(safe=[row])["liquidations"]["debt_usd"]
        vanished += whole - float(left.sum())
    return float(roots["carried_usd"].sum()), vanished


def main() -> None:
    """Delete the roots and print the ratio."""
    with tempfile.TemporaryDirectory() as place:
        pairs = [deleted_singly(Path(place) / "book.csv", seed) for seed in range(N_WORLDS)]
    told, vanished = np.array(pairs).T
    ratio = vanished.sum() / told.sum()
    spread = np.sqrt(((vanished - ratio * told) ** 2).sum() * N_WORLDS / (N_WORLDS - 1))
    error = spread / told.sum()
    sys.stdout.write(f"vanished / predicted: {ratio:.3f}, standard error {error:.3f}\n")


if __name__ == "__main__":
    main()
