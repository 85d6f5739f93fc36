"""The page without a browser: load, step, play, move a slider, inject a shock, see charts move."""

import time
import warnings

import numpy as np
import pytest

from tests.experiments.dashboard.scenes import small

pytest.importorskip("solara", reason="the extra `dashboard` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of solara's and Mesa's own

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ipyvuetify
    import solara

    from experiments.dashboard import app
    from experiments.dashboard.chart import Chart


class Session:
    """A page that somebody looks at."""

    def __init__(self, scenario, seed=1):
        @solara.component
        def Page():
            with solara.AppLayout():
                app.Dashboard(scenario, seed)

        _, self._context = solara.render(Page(), handle_error=False)

    def close(self):
        self._context.close()

    def find(self, kind):
        return self._context.find(kind).widgets

    def button(self, label):
        found = [button for button in self.find(ipyvuetify.Btn) if label in button.children]
        assert len(found) == 1, f"{len(found)} buttons say {label}"
        return found[0]

    def click(self, label):
        self.button(label).click()

    def slider(self, label):
        (found,) = [s for s in self.find(ipyvuetify.Slider) if s.label == label]
        return found

    def chart(self, title):
        """Return the option of the chart whose title begins so."""
        for chart in self.find(Chart):
            titles = chart.option["title"]
            first = titles[0] if isinstance(titles, list) else titles
            if first["text"].startswith(title):
                return chart.option
        raise AssertionError(f"no chart '{title}'")

    def prices(self):
        """Return the points of the first line of prices."""
        return self.chart("Reference price")["series"][0]["data"]

    def debt(self):
        """Return the debt of all markets, USD."""
        bars = self.chart("Debt")["series"][0]
        unit = {"USD": 1.0, "USD k": 1e3, "USD m": 1e6}[bars["name"].removeprefix("debt, ")]
        return unit * sum(bar["value"] for bar in bars["data"])

    def type_seed(self, text):
        (seed,) = [field for field in self.find(ipyvuetify.TextField) if field.label == "Seed"]
        seed.v_model = text
        seed.fire_event("keyup.enter", {})

    def text(self):
        return " ".join(widget.unsafe_innerHTML for widget in self.find(solara.widgets.HTML))


@pytest.fixture
def scenario(tmp_path_factory):
    return small(tmp_path_factory.getbasetemp())


@pytest.fixture
def session(scenario):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Session(scenario)
    yield made
    made.close()


def wait_for(is_true, seconds=20.0):
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)


def test_the_page_shows_all_panels_before_the_first_step(session):
    assert len(session.find(Chart)) == 3
    assert session.prices() == [(0.0, 100.0)]
    assert len(session.chart("Token graph")["series"][0]["links"]) == 2
    assert sum(bar["value"] for bar in session.chart("Debt")["series"][0]["data"]) > 0.0
    assert "Nothing was liquidated yet" in session.text()


def test_a_step_moves_every_chart(session):
    before = [chart.option for chart in session.find(Chart)]
    session.click("Step")
    session.click("Step")
    assert len(session.prices()) == 3
    for old, chart in zip(before, session.find(Chart), strict=True):
        assert chart.option != old


def test_play_runs_until_paused(session):
    session.click("▶")
    wait_for(lambda: len(session.prices()) > 4)
    session.click("❚❚")
    time.sleep(0.2)
    n = len(session.prices())
    time.sleep(0.3)
    assert len(session.prices()) == n
    session.click("Step")
    assert len(session.prices()) == n + 1


def test_an_injected_price_gap_is_seen_in_prices_health_and_feed(session):
    session.click("Step")
    healthy = session.chart("Debt")["series"][0]["data"][0]["value"]
    session.click("Price gap")
    session.click("Step")
    assert session.prices()[-1][1] < 75.0
    assert len(session.chart("Reference price")["series"][0]["markLine"]["data"]) == 1
    for _ in range(3):
        session.click("Step")
    assert "price gap: ETH, -30 %" in session.text()
    assert session.chart("Debt")["series"][0]["data"][0]["value"] > healthy
    assert "liquidations, $" in session.text()


def test_every_button_injects_its_shock(session):
    for label in ("Pause bridge", "Freeze oracle", "Liquidity exit"):
        session.click(label)
    session.click("Step")
    for words in ("pause bridge: bridge", "freeze oracle: eth-feed", "liquidity exit: eth-usd"):
        assert words in session.text()
    bridge = session.chart("Token graph")["series"][0]["links"][-1]
    assert bridge["label"]["formatter"] == "bridge halted"
    session.click("Resume bridge")
    session.click("Step")
    assert not session.chart("Token graph")["series"][0]["links"][-1]["label"]["show"]


def test_a_slider_takes_effect_when_the_run_is_reset(session):
    session.click("Step")
    before = session.debt()
    session.slider("Debts and deposits, times").v_model = 0.5
    assert session.debt() == before
    session.click("Reset")
    assert session.debt() == pytest.approx(0.5 * before, rel=1e-3)
    assert session.prices() == [(0.0, 100.0)]


def test_another_seed_is_another_path_and_the_same_seed_the_same(session):
    def path():
        for _ in range(5):
            session.click("Step")
        return session.prices()

    first = path()
    session.click("Reset")
    assert path() == first
    session.type_seed("2")
    session.click("Reset")
    assert path() != first


def test_a_seed_that_is_none_is_answered_in_words(session):
    session.type_seed("two")
    session.click("Reset")
    said = str([alert.children for alert in session.find(ipyvuetify.Alert)])
    assert "give a whole number from 0" in said
    session.type_seed("2")
    session.click("Reset")
    session.click("Step")
    assert len(session.prices()) == 2


def test_the_speed_is_how_far_a_step_goes(session):
    session.click("Step")
    (speed,) = [s for s in session.find(ipyvuetify.Slider) if "a step" in str(s.label)]
    speed.v_model = 5  # 15 min
    session.click("Step")
    hours = [hour for hour, _ in session.prices()]
    assert np.diff(hours) == pytest.approx([12.0 / 3_600.0, 0.25], abs=1e-4)


def test_two_sessions_do_not_share_a_run(scenario, session):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = Session(scenario)
    try:
        for _ in range(3):
            session.click("Step")
        session.click("Price gap")
        session.click("Step")
        assert len(session.prices()) == 5
        assert other.prices() == [(0.0, 100.0)]
        other.click("Step")
        assert other.prices()[-1][1] > 90.0
        assert "price gap" not in other.text()
    finally:
        other.close()
