"""The paired world without shocks: the same scenario and seed, and nothing that was made to happen.

Prices, block times, arrivals and sizes are drawn as before, so that every difference between the
two runs is due to the shocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.errors import InputError

if TYPE_CHECKING:
    from experiments.scenario import Scenario

NEWS = "news_at_seconds"  # field of a population that hears of a shock at a stated time


def without_shocks(scenario: Scenario) -> Scenario:
    """Return a scenario without its shocks and without the news of them.

    A population with the field `news_at_seconds` no longer hears any. What else a population does
    at a stated time stays: without the shock it has, as a rule, nothing to do it with.

    Raises
    ------
    InputError
        The scenario has neither shocks nor news.
    """
    hearers = [
        name for name, one in scenario.populations.items() if getattr(one, NEWS, None) is not None
    ]
    if not scenario.shocks and not hearers:
        raise InputError(f"{scenario.name} has no shocks; run it as it is")
    people = {
        name: one.model_copy(update={NEWS: None}) if name in hearers else one
        for name, one in scenario.populations.items()
    }
    return scenario.model_copy(update={"shocks": [], "populations": people})
