"""The command: what it asks for, and what it says when something is missing."""

import pytest

from experiments.dashboard import commands
from tests.experiments.dashboard.scenes import write

VERSIONS = {"solara": "1.64", "solara-assets": "1.58", "ipyvuetify": "1.12", "altair": "6.3"}


@pytest.fixture
def install(monkeypatch):
    """Return a function that says which libraries are installed."""

    def having(**changes):
        found = VERSIONS | {name.replace("_", "-"): version for name, version in changes.items()}
        monkeypatch.setattr(commands, "_version_of", lambda name: found[name])

    return having


@pytest.mark.parametrize("name", VERSIONS)
def test_without_the_extra_it_says_which_to_install(undertow, install, name):
    install(**{name: None})
    done = undertow("dashboard", "quiet-market")
    assert done.code == 2
    assert f"the dashboard needs {name}; install the extra" in done.err
    assert ".[dashboard]" in done.err


def test_widgets_that_break_the_page_are_refused(undertow, install):
    install(ipyvuetify="3.0.1")
    done = undertow("dashboard", "quiet-market")
    assert done.code == 2
    assert "ipyvuetify is 3.0.1" in done.err


def test_it_serves_the_scenario_it_was_given(undertow, install, monkeypatch, tmp_path):
    install()
    served = []
    monkeypatch.setattr(
        "experiments.dashboard.server.serve",
        lambda *arguments, **options: served.append((*arguments, options)),
    )
    done = undertow(
        "dashboard", str(write(tmp_path)), "--seed", "5", "--port", "9000", "--no-browser",
        "--set", "venues.eth-usd.fee=0.01",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "small at http://localhost:9000" in done.out
    ((scenario, seed, host, port, options),) = served
    assert (seed, host, port, options) == (5, "localhost", 9000, {"opens_browser": False})
    assert scenario.venues["eth-usd"].fee == 0.01


def test_a_wrong_scenario_is_refused_before_the_server_starts(undertow, install):
    install()
    done = undertow("dashboard", "no-such-scenario")
    assert done.code == 2
    assert "no scenario 'no-such-scenario'" in done.err
