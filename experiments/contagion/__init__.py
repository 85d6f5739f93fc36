"""Causal contagion: paired worlds of one scenario in which channels of stress are cut."""

from __future__ import annotations

from experiments.contagion.analyzing import ContagionResult, contagion

__all__ = ["ContagionResult", "contagion"]
