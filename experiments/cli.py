"""The command line: `undertow run`, `scenarios`, `schema`, `records`, `compile`.

Only typer and the standard library are imported here; each command loads what it needs, so that
`--help` answers at once.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="undertow",
    help="Simulate how stress travels through decentralized finance: pools, lending, bridges, chains.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
scenarios_app = typer.Typer(help="List, show and check scenarios.", no_args_is_help=True)
app.add_typer(scenarios_app, name="scenarios")

PACKAGES = ("sim", "agents", "experiments", "analysis")


def foreign_packages() -> dict[str, str]:
    """Return those of our four packages that another distribution has put in our place."""
    home = Path(__file__).resolve().parents[1]
    foreign = {}
    for name in PACKAGES:
        spec = find_spec(name)
        origin = Path(spec.origin) if spec and spec.origin else None
        is_ours = (
            origin is not None
            and origin.resolve().parent.parent == home
            and origin.read_text("utf-8").startswith('"""Undertow')
        )
        if not is_ours:
            foreign[name] = str(origin)
    return foreign


def _shipped_names() -> list[str]:
    folder = Path(__file__).parent / "scenarios"
    return sorted(file.stem for file in folder.glob("*.yaml"))


def _complete_scenario(incomplete: str) -> list[str]:
    return [name for name in _shipped_names() if name.startswith(incomplete)]


def _duration(text: str | float) -> float:
    from sim.errors import InputError
    from sim.units import parse_duration

    try:
        return parse_duration(text)
    except InputError as error:
        raise typer.BadParameter(str(error)) from None


def _seed(given: str | int) -> int:
    text = str(given)
    if not text.isdecimal() or int(text) >= 2**63:
        raise typer.BadParameter(f"'{text}' is not a seed; give a whole number from 0 to {2**63 - 1}")
    return int(text)


ScenarioArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO",
        help="Shipped name, or path of a YAML file.",
        autocompletion=_complete_scenario,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Override one value, e.g. venues.eth-usd.fee=0.0005."
    ),
]


@app.command()
def run(
    scenario: ScenarioArgument = "black-thursday",
    seed: Annotated[
        int, typer.Option(parser=_seed, metavar="N", help="Seed; the same seed, the same bits.")
    ] = 1,
    until: Annotated[
        float | None,
        typer.Option(parser=_duration, metavar="DURATION", help="End earlier, e.g. 6h."),
    ] = None,
    set_: SetOption = None,
    prices: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Replay candles (CSV or Parquet) as the price path."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run folder; runs/SCENARIO-SEED when left out."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a run folder that exists.")] = False,
    figures: Annotated[bool, typer.Option(help="Draw figures.")] = True,
) -> None:
    """Run one scenario; write records, summary and figures; print what happened."""
    from experiments.console import announce_compile, print_run, show_progress
    from experiments.running import run as run_scenario
    from experiments.scenario import load_scenario

    loaded = load_scenario(scenario, set_ or (), str(prices) if prices else None, until)
    place = out if out is not None else Path("runs") / f"{loaded.name}-{seed}"
    announce_compile()
    with show_progress(loaded) as progress:
        result = run_scenario(
            loaded, seed, out=place, force=force, figures=figures, progress=progress
        )
    print_run(result)


@scenarios_app.command("list")
def list_scenarios() -> None:
    """List the scenarios that come with Undertow."""
    from experiments.console import print_scenarios
    from experiments.scenario import load_scenario

    print_scenarios([load_scenario(name) for name in _shipped_names()])


@scenarios_app.command("show")
def show_scenario(scenario: ScenarioArgument) -> None:
    """Print the file of a shipped scenario, ready to be edited."""
    from experiments.scenario import read_scenario, shipped_scenarios

    shipped = shipped_scenarios()
    if scenario in shipped:
        print(shipped[scenario].read_text("utf-8"), end="")
        return
    read_scenario(scenario)  # explains what is wrong, or
    print(Path(scenario).read_text("utf-8"), end="")


@scenarios_app.command("check")
def check_scenario(scenario: ScenarioArgument, set_: SetOption = None) -> None:
    """Validate a scenario and say what it holds, without running it."""
    from experiments.console import print_scenarios
    from experiments.scenario import load_scenario

    print_scenarios([load_scenario(scenario, set_ or ())])


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenario files: every field, unit, default and bound."""
    import json

    from experiments.scenario import scenario_model

    print(json.dumps(scenario_model().model_json_schema(), indent=2))


@app.command()
def records(
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="One table only.")] = None,
) -> None:
    """Print the record tables of a run: every column, type, unit and meaning."""
    from experiments.console import print_records

    print_records(table)


@app.command("compile")
def compile_engine() -> None:
    """Compile the engine into the cache now, so that later starts are warm."""
    from experiments.console import announce_compile
    from experiments.warming import warm_up

    announce_compile()
    seconds = warm_up()
    print(f"compiled code is ready ({seconds:.1f} s)")


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"undertow {version('undertow')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a user's mistake ends with a message and exit code 2."""
    foreign = foreign_packages()
    if foreign:
        found = ", ".join(f"{name} from {origin}" for name, origin in foreign.items())
        print(
            f"undertow: another distribution owns a package of ours ({found}); "
            "install undertow in an environment of its own",
            file=sys.stderr,
        )
        sys.exit(1)
    try:
        return app(arguments)
    except Exception as error:
        from sim.errors import UndertowError

        if not isinstance(error, UndertowError):
            raise
        print(f"undertow: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
