"""The command `undertow dashboard`."""

from typing import Annotated

import typer

_NEEDED = ("solara", "solara-assets", "ipyvuetify", "altair")
_INSTALL = "pip install -c constraints.txt -e '.[dashboard]'"


def _complete_scenario(incomplete: str) -> list[str]:
    from experiments.scenario import shipped_scenarios

    return [name for name in shipped_scenarios() if name.startswith(incomplete)]


def check_libraries() -> None:
    """Refuse to start without the libraries of the extra `dashboard`.

    Raises
    ------
    InputError
        One is missing, or of a version that Mesa's frame does not work with; says what to install.
    """
    from sim.errors import InputError

    missing = [name for name in _NEEDED if _version_of(name) is None]
    if missing:
        raise InputError(f"the dashboard needs {', '.join(missing)}; install the extra: {_INSTALL}")
    widgets = _version_of("ipyvuetify") or ""
    if not widgets.startswith("1."):
        raise InputError(
            f"ipyvuetify is {widgets}, and Mesa's frame needs one below 2; "
            f"install the extra: {_INSTALL}"
        )


def _version_of(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def dashboard(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO",
            help="Shipped name, or path of a YAML file.",
            autocompletion=_complete_scenario,
        ),
    ] = "black-thursday",
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, metavar="N", help="Seed of the first run.")
    ] = 1,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Override one value, as in `run`."),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="NAME", help="Address to listen at; 0.0.0.0: all of them.")
    ] = "localhost",
    port: Annotated[
        int, typer.Option(min=1, max=65_535, metavar="N", help="Port to listen at.")
    ] = 8765,
    *,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Watch a scenario live in a browser: play, pause, turn its parameters, inject shocks."""
    check_libraries()

    from experiments.console import prepare_engine, say
    from experiments.dashboard.server import serve
    from experiments.scenario import load_scenario

    loaded = load_scenario(scenario, set_ or ())
    prepare_engine([loaded])
    say(f"{loaded.name} at http://{host}:{port}; stop with Ctrl-C")
    serve(loaded, seed, host, port, opens_browser=browser)
