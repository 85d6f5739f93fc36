"""Studies: many runs of one scenario, and verdicts on the parameters of a protocol."""

from __future__ import annotations

from experiments.studies.study import Study, load_study

__all__ = ["Study", "load_study"]
