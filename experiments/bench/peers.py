"""Other packages, each in a virtual environment of its own, beside what it may be compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.bench.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.bench.worlds import Effort


def measure(effort: Effort) -> Iterator[Row]:
    yield from ()
