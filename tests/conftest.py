"""Settings of every test: one hypothesis profile, no display, plain error lines."""

import os

import pytest
from hypothesis import settings

# The first example may compile a kernel, hence no deadline; the same examples on every machine.
settings.register_profile(
    "undertow", deadline=None, derandomize=True, max_examples=50, print_blob=True
)
settings.load_profile("undertow")

os.environ["MPLBACKEND"] = "agg"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["TYPER_USE_RICH"] = "0"  # one-line errors without escape codes


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the engine on all cores where this machine has not done so yet."""
    from experiments.compiling import compile_all, is_ready
    from experiments.scenario import load_scenario, shipped_scenarios

    scenarios = [load_scenario(name) for name in shipped_scenarios()]
    if not is_ready(scenarios):
        compile_all(scenarios)
