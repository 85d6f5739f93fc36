"""When shocks happen: at a time, or some delay after another shock to which they react.

A guardian's reaction named so is one number to sweep: `shocks.3.delay`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.errors import InputError

if TYPE_CHECKING:
    from experiments.scenario import Scenario


def shock_times(scenario: Scenario) -> list[float]:
    """Return when each shock happens, reactions included, seconds since the start.

    Raises
    ------
    InputError
        A reaction names no shock, or two shocks of the same name, or itself over others.
    """
    names = [shock.name for shock in scenario.shocks]
    times: list[float] = []
    for k in range(len(scenario.shocks)):
        time, at, seen = 0.0, k, {k}
        while scenario.shocks[at].at is None:
            time += scenario.shocks[at].delay
            at = _named_shock(names, scenario.shocks[at].after, k)
            if at in seen:
                raise InputError(
                    f"shocks[{k}].after: shocks[{at}] waits for itself; give one of them a time"
                )
            seen.add(at)
        times.append(time + scenario.shocks[at].at)
    return times


def with_times(scenario: Scenario) -> Scenario:
    """Return the scenario with the time of every shock in place of what it reacts to."""
    shocks = [
        shock.model_copy(update={"at": time, "after": None, "delay": 0.0})
        for shock, time in zip(scenario.shocks, shock_times(scenario), strict=True)
    ]
    return scenario.model_copy(update={"shocks": shocks})


def _named_shock(names: list[str | None], after: str | int, k: int) -> int:
    """Return the place of the shock to which shock `k` reacts."""
    if isinstance(after, int):
        if 0 <= after < len(names):
            return after
        raise InputError(
            f"shocks[{k}].after: there is no shock {after}; they are 0 to {len(names) - 1}"
        )
    found = [place for place, name in enumerate(names) if name == after]
    if len(found) == 1:
        return found[0]
    known = ", ".join(name for name in names if name) or "none has a name"
    why = "there is no shock" if not found else f"{len(found)} shocks are called"
    raise InputError(f"shocks[{k}].after: {why} '{after}'; names: {known}")
