"""Which worlds a contagion analysis runs: the corners first, then what they call for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.contagion.causal import (
    all_worlds,
    antithetic_orders,
    corners,
    is_enumerated,
    worlds_of,
)
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analysis.contagion.causal import Channels

PAIRS = 8  # antithetic pairs of orders a seed, where channels are many


class Design:
    """Which worlds an analysis runs: the corners of every seed first, then what they call for.

    Parameters
    ----------
    channels : compared
    n_seeds : seeds 1, 2, …
    n_pairs : antithetic pairs of orders a seed, where channels are many
    """

    def __init__(self, channels: Sequence[str], n_seeds: int, n_pairs: int = PAIRS) -> None:
        for name, value in (("--seeds", n_seeds), ("--subsets", n_pairs)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100_000:
                raise InputError(f"{name} is {value}; it must be a whole number from 1 to 100,000")
        self.channels = tuple(channels)
        self.seeds = range(1, n_seeds + 1)
        self.n_pairs = n_pairs

    def first(self) -> dict[int, list[Channels]]:
        """Return the corners of every seed."""
        return {seed: corners(self.channels) for seed in self.seeds}

    def is_exact(self, firing: Sequence[str]) -> bool:
        """Return whether all worlds of the channels that fire are run."""
        return is_enumerated(len(firing), self.n_pairs)

    def orders(self, seed: int) -> list[tuple[str, ...]]:
        """Return the orders of a seed through which Shapley values are estimated."""
        return antithetic_orders(self.channels, self.n_pairs, seed)

    def wanted(self, seed: int, *, is_exact: bool) -> list[Channels]:
        """Return all worlds that the estimate of a seed reads."""
        inner = all_worlds(self.channels) if is_exact else worlds_of(self.orders(seed))
        return list(dict.fromkeys([*corners(self.channels), *inner]))

    def rest(self, firing: Mapping[int, Sequence[str]]) -> dict[int, list[Channels]]:
        """Return the worlds of every seed, those of silent channels left out."""
        is_exact = self.is_exact(ever_firing(self.channels, firing))
        found = {}
        for seed, heard in firing.items():
            inner = (w & frozenset(heard) for w in self.wanted(seed, is_exact=is_exact))
            found[seed] = list(dict.fromkeys([*corners(self.channels), *inner]))
        return found

    @property
    def most_runs(self) -> int:
        """Return the number of worlds if every channel fires in every seed."""
        everything = dict.fromkeys(self.seeds, self.channels)
        return sum(len(worlds) for worlds in self.rest(everything).values())


def ever_firing(channels: Sequence[str], firing: Mapping[int, Sequence[str]]) -> tuple[str, ...]:
    """Return the channels that fire in any seed, in their order."""
    heard = {name for names in firing.values() for name in names}
    return tuple(name for name in channels if name in heard)
