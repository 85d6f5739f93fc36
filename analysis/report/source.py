"""What the sections of a run's page are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from analysis.reading import Run
from analysis.series import frame_of, since
from analysis.setting import Setting, setting_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


class Repeat(NamedTuple):
    """How a result is made again.

    Attributes
    ----------
    commands : lines for a shell
    notes : what they rest on
    """

    commands: Sequence[str] = ()
    notes: Sequence[str] = ()


class LeftOut(NamedTuple):
    """A section that a page does not have, and why."""

    title: str
    reason: str


@dataclass(frozen=True)
class RunSource:
    """A run, as the sections of its page see it."""

    run: Run
    repeat: Repeat
    calm: Run | None = None  # the same run without shocks

    @property
    def setting(self) -> Setting:
        """Tokens, populations, shocks and warm-up."""
        return setting_of(self.run.manifest)

    @property
    def summary(self) -> Mapping[str, Any]:
        """Measured quantities by name."""
        return self.run.summary

    @property
    def scenario(self) -> Mapping[str, Any]:
        """The scenario as run."""
        found: Mapping[str, Any] = self.run.manifest["scenario"]
        return found

    def value(self, name: str) -> float | None:
        """Return a quantity of the summary; None where the run has none."""
        found = self.summary.get(name)
        return None if found is None else float(found)

    def table(self, name: str) -> pd.DataFrame:
        """Return a record table of the whole run; an empty one where there is none."""
        return frame_of(self.run.frames, name)

    def measured(self, name: str) -> pd.DataFrame:
        """Return a record table without the warm-up."""
        return since(self.table(name), self.setting.warmup)
