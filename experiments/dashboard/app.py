"""The page: Mesa's frame with our panels; every browser session has a run of its own."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import solara

from experiments.dashboard.chart import Chart
from experiments.dashboard.controls import SPEEDS, ShockControls, SpeedControl, speed_of
from experiments.dashboard.feed import clock, table_of, usd_text
from experiments.dashboard.graph import graph_option
from experiments.dashboard.health import health_option
from experiments.dashboard.live_run import LiveRun
from experiments.dashboard.parameters import sliders_of
from experiments.dashboard.prices import prices_option
from experiments.scenario import Scenario

with warnings.catch_warnings():  # a rule of solara's that Mesa's own component breaks
    warnings.simplefilter("ignore", UserWarning)
    from mesa.visualization import Slider, SolaraViz
    from mesa.visualization.utils import update_counter

if TYPE_CHECKING:
    from collections.abc import Callable

_PAUSE = 31  # ms between the end of a frame and the next step: time for the browser to draw
_CSS = ".v-tabs { display: none } .v-main .solara-autorouter-content { padding-top: 0 }"


@dataclass
class Shown:
    """What the server of this process shows: set once, before it starts."""

    scenario: Scenario | None = None
    seed: int = 1


shown = Shown()


def parameters_of(scenario: Scenario, seed: int) -> dict[str, Any]:
    """Return the parameters of Mesa's frame: what is fixed, the seed, and the sliders."""
    sliders = {
        name: Slider(range_.label, range_.neutral, range_.low, range_.high, range_.step)
        for name, range_ in sliders_of(scenario).items()
    }
    seed_field = {"type": "InputText", "value": str(seed), "label": "Seed"}
    return {"watched": scenario, "seed": seed_field, **sliders}


@solara.component
def Page() -> None:
    """Show the scenario that the server was started with."""
    if shown.scenario is None:
        solara.Error("No scenario is shown; start the page with: undertow dashboard SCENARIO")
    else:
        Dashboard(shown.scenario, shown.seed)


@solara.component
def Dashboard(scenario: Scenario, seed: int) -> None:
    """Show a scenario; the run is made here, so that no other session has it."""
    first = solara.use_memo(lambda: LiveRun(scenario, seed), [])
    run = solara.use_reactive(first)
    speed = solara.use_reactive(speed_of(first.step_seconds))
    parameters = solara.use_memo(lambda: parameters_of(scenario, seed), [])
    run.value.step_seconds = SPEEDS[speed.value]
    solara.Style(_CSS)
    SolaraViz(
        run,
        components=[(panel, 0) for panel in (Graph, Prices, Health, Happenings)],
        model_params=parameters,
        play_interval=_PAUSE,
        name=f"Undertow: {scenario.name}",
    )
    _Beside(run.value, speed)


@solara.component
def _Beside(run: LiveRun, speed: solara.Reactive[str]) -> None:
    """Add our controls below Mesa's: solara sorts the side bar by the depth of who adds to it."""
    _Cards(run, speed)


@solara.component
def _Cards(run: LiveRun, speed: solara.Reactive[str]) -> None:
    with solara.Sidebar(), solara.Column(gap="8px"):
        SpeedControl(speed)
        ShockControls(run)
        with solara.Card("Repeat", margin=0):
            name = f"{run.watched.name}-as-watched.yaml"
            if not run.fault:
                solara.FileDownload(run.file_as_run, filename=name, label="Scenario as watched")


# --- panels --------------------------------------------------------------------------------------
# A panel is drawn once for each run. After each step it sets one property of one widget, past
# reacton, which would walk through every number of every chart. So the element does not name that
# property: reacton sets those that it names again whenever it draws.


def _use_frames(run: LiveRun, element: solara.Element, name: str, make: Callable[[], Any]) -> None:
    """Set a property of an element's widget now and after each step."""
    widget = solara.use_ref(None)

    def find() -> None:  # once: the widget stays, while elements are known for one drawing only
        widget.current = solara.get_widget(element)

    def follow() -> Callable[[], None]:
        def show(_: int = 0) -> None:
            setattr(widget.current, name, make())

        show()
        stop: Callable[[], None] = update_counter.subscribe(show)
        return stop

    solara.use_effect(find, [])
    solara.use_effect(follow, [run])


@solara.component
def Graph(run: LiveRun) -> None:
    """Show the token graph, or why there is none."""
    if run.fault:
        solara.Error(run.fault)
    else:
        _Chart(run, lambda: graph_option(run.now))


@solara.component
def Prices(run: LiveRun) -> None:
    """Show prices through time."""
    if not run.fault:
        _Chart(run, lambda: prices_option(run.history, run.marks))


@solara.component
def Health(run: LiveRun) -> None:
    """Show debts by health."""
    if not run.fault:
        _Chart(run, lambda: health_option(run.now.health, run.history, run.marks))


@solara.component
def _Chart(run: LiveRun, make: Callable[[], dict[str, Any]]) -> None:
    with solara.Card(margin=0):
        figure = Chart.element()
    _use_frames(run, figure, "option", make)


@solara.component
def Happenings(run: LiveRun) -> None:
    """Show liquidations and shocks, newest first."""
    with solara.Card(margin=0, style={"height": "100%", "overflow": "hidden"}):
        rows = solara.widgets.HTML.element(tag="div")
    _use_frames(run, rows, "unsafe_innerHTML", lambda: _headline(run) + table_of(run.events))


def _headline(run: LiveRun) -> str:
    return (
        '<div style="font-weight:600;margin-bottom:6px">'
        f"{clock(run.time)} h of {clock(run.watched.horizon)} h &nbsp; "
        f"{run.n_liquidations:,} liquidations, {usd_text(run.liquidated)}</div>"
    )
