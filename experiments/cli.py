"""The command line: `undertow run`, `sweep`, `verdict`, and what helps with their files.

Only typer and the standard library are imported here; each command loads what it needs, so that
`--help` answers at once.
"""

import contextlib
import gc
import os
import signal
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn, TextIO

import typer

from experiments.bench.command import bench
from experiments.contagion.commands import contagion
from experiments.dashboard.commands import dashboard
from experiments.networks import add_network_commands
from experiments.reporting import report
from experiments.verify.commands import verify

app = typer.Typer(
    name="undertow",
    help="Simulate how stress travels through decentralized finance: pools, lending, bridges.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
scenarios_app = typer.Typer(help="List, show and check scenarios.", no_args_is_help=True)
app.add_typer(scenarios_app, name="scenarios")
add_network_commands(app)

PACKAGES = ("sim", "agents", "experiments", "analysis")
_GARBAGE_AFTER = 100_000  # objects; most that libraries make stay, and are walked every 700
_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
_SCHEMA = "https://json-schema.org/draft/2020-12/schema"


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
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) >= 2**63:
        allowed = f"give a whole number from 0 to {2**63 - 1}"
        raise typer.BadParameter(f"{text!r} is not a seed; {allowed}")
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
        typer.Option(
            metavar="FILE",
            help="Replay candles (CSV or Parquet) as the path of the first asset that moves; "
            "trades then have no impact on it.",
        ),
    ] = None,
    prices_start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Candle of FILE at time 0, e.g. 2020-03-12T00:00:00Z; the first when left out.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run folder; runs/SCENARIO-SEED when left out."),
    ] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a run folder that exists; nothing else.")
    ] = False,
    figures: Annotated[bool, typer.Option(help="Draw figures.")] = True,
    without_shocks: Annotated[
        bool,
        typer.Option("--without-shocks", help="The paired world: no shocks, and no news of any."),
    ] = False,
) -> None:
    """Run one scenario; write records, summary and figures; print what happened."""
    from experiments.drawing import drawer_of

    with drawer_of(figures) as drawer:  # it loads its libraries while we load ours
        from experiments.console import prepare_engine, print_run, show_progress
        from experiments.run_folder import check_place
        from experiments.running import run as run_scenario
        from experiments.scenario import load_scenario

        file = str(prices) if prices is not None else None
        loaded = load_scenario(scenario, set_ or (), file, until, prices_start)
        if without_shocks:
            from experiments.calm import without_shocks as calmed

            loaded = calmed(loaded)
        suffix = "-calm" if without_shocks else ""
        place = out if out is not None else Path("runs") / f"{loaded.name}-{seed}{suffix}"
        check_place(place, force)
        prepare_engine([loaded])
        with show_progress(loaded) as progress:
            result = run_scenario(
                loaded, seed, out=place, force=force, figures=drawer or False, progress=progress
            )
        print_run(result)


def _complete_study(incomplete: str) -> list[str]:
    folder = Path(__file__).parent / "studies" / "shipped"
    names = sorted(file.stem for file in folder.glob("*.yaml"))
    return [name for name in names if name.startswith(incomplete)]


StudyArgument = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="Shipped name, or path of a YAML file.",
        autocompletion=_complete_study,
    ),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--out", metavar="DIR", help="Data set: folder or URL; studies/NAME when left out."
    ),
]
EngineOption = Annotated[
    str, typer.Option(metavar="ENGINE", help="ray: a cluster, or one started here; local: neither.")
]
AddressOption = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Ray cluster to join, e.g. auto or ray://head:10001."),
]
WorkersOption = Annotated[
    int | None, typer.Option(metavar="N", help="Workers on this machine; all cores when left out.")
]


@app.command()
def sweep(
    study: StudyArgument,
    out: DataOption = None,
    engine: EngineOption = "ray",
    address: AddressOption = None,
    workers: WorkersOption = None,
    threads: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Worlds at once in a worker.")
    ] = 1,
    *,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would run, and run nothing.")
    ] = False,
) -> None:
    """Run what is missing of a study; start it again after any stop and it goes on."""
    from experiments.studies.commands import sweep_command

    code = sweep_command(study, out, engine, address, workers, threads, only_plan=plan)
    raise typer.Exit(code)


@app.command()
def verdict(
    study: StudyArgument,
    out: DataOption = None,
    engine: EngineOption = "ray",
    address: AddressOption = None,
    workers: WorkersOption = None,
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Requirement to decide, in place of the study's."),
    ] = None,
    largest: Annotated[
        str | None, typer.Option(metavar="LEVER", help="Find its largest value that passes.")
    ] = None,
    smallest: Annotated[
        str | None, typer.Option(metavar="LEVER", help="Find its smallest value that passes.")
    ] = None,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Judge the runs that are there; run nothing.")
    ] = False,
) -> None:
    """Decide a study's requirements: exit code 0 PASS, 1 FAIL, 3 UNDECIDED."""
    from experiments.studies.commands import verdict_command

    code = verdict_command(
        study,
        out,
        engine,
        address,
        workers,
        require or (),
        once=once,
        largest=largest,
        smallest=smallest,
    )
    raise typer.Exit(code)


app.command()(bench)
app.command()(contagion)
app.command()(dashboard)
app.command()(report)
app.command()(verify)


@scenarios_app.command("list")
def list_scenarios() -> None:
    """List the scenarios that come with Undertow."""
    from experiments.console import print_scenarios
    from experiments.scenario import load_scenario

    print_scenarios([load_scenario(name) for name in _shipped_names()])


@scenarios_app.command("show")
def show_scenario(scenario: ScenarioArgument) -> None:
    """Print the file of a scenario, ready to be edited."""
    from experiments.scenario import read_scenario, shipped_scenarios

    read_scenario(scenario)  # says what is wrong
    file = shipped_scenarios().get(scenario, Path(scenario))
    print(file.read_text("utf-8"), end="")


@scenarios_app.command("check")
def check_scenario(scenario: ScenarioArgument, set_: SetOption = None) -> None:
    """Validate a scenario, build its world and say what it holds, without running it."""
    from experiments.composition import build
    from experiments.console import prepare_engine, print_books, print_scenarios
    from experiments.scenario import load_scenario

    loaded = load_scenario(scenario, set_ or ())
    prepare_engine([loaded])
    model = build(loaded)
    print_scenarios([loaded])
    print_books(model)


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenario files: every field, unit, default and bound."""
    import json

    from experiments.scenario import scenario_model

    described = scenario_model().model_json_schema()
    print(json.dumps({"$schema": _SCHEMA, **described}, indent=2))


@app.command()
def records(
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="One table only.")] = None,
) -> None:
    """Print the record tables of a run: every column, type, unit and meaning."""
    from experiments.console import print_records

    print_records(table)


@app.command()
def cascades(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")],
    stories: Annotated[
        int, typer.Option(min=0, max=1_000, metavar="N", help="Largest cascades to tell.")
    ] = 10,
) -> None:
    """Print the cascades of liquidations of a run: measures, the largest ones, their stories."""
    from experiments.cascades_command import print_cascades

    print_cascades(folder, stories)


@app.command()
def files(
    name: Annotated[str | None, typer.Argument(metavar="FORMAT", help="One format only.")] = None,
) -> None:
    """Print the files that a scenario may name: every column, type, unit and meaning."""
    from experiments.console import print_formats

    print_formats(name)


@app.command()
def fit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Position file, CSV or Parquet.")],
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ASSET=NUMBER",
            help="Liquidation threshold of a collateral, e.g. ETH=0.8; in mode 1: ETH@1=0.93.",
        ),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="ASSET=USD", help="Price of an asset; that of the file if left out."),
    ] = None,
    smallest: Annotated[
        float, typer.Option(metavar="USD", min=0.0, help="Leave out smaller debts and deposits.")
    ] = 1.0,
    chain: Annotated[str, typer.Option(metavar="NAME", help="Chain to print.")] = "mainnet",
    market: Annotated[str, typer.Option(metavar="NAME", help="Market to print.")] = "market",
) -> None:
    """Fit a synthetic book to real positions; print its populations, ready to be pasted."""
    from experiments.book_fit import fit_file, numbers_by_name
    from experiments.fitted_populations import as_populations
    from sim.lending.position_file import PositionSource

    book = PositionSource(file=str(file)).read()
    fitted = fit_file(
        book,
        numbers_by_name("--threshold", threshold or []),
        numbers_by_name("--price", price or []),
        smallest,
    )
    print(as_populations(fitted, chain, market), end="")


@app.command("compile")
def compile_engine() -> None:
    """Compile the engine into the cache now, so that later starts are warm."""
    from experiments.console import prepare_engine
    from experiments.scenario import load_scenario
    from experiments.warming import warm_up

    started = time.perf_counter()
    prepare_engine([load_scenario(name) for name in _shipped_names()])
    warm_up()
    print(f"compiled code is ready ({time.perf_counter() - started:.1f} s)")


def _version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"undertow {version('undertow')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; a user's mistake ends with one message and exit code 2."""
    foreign = foreign_packages()
    if foreign:
        found = ", ".join(f"{name} from {origin}" for name, origin in foreign.items())
        _complain(
            f"another distribution owns a package of ours ({found}); "
            "install undertow in an environment of its own"
        )
        sys.exit(1)
    sys.stdout = sys.stdout or _nowhere()  # None when the caller closed it: `>&-`
    sys.stderr = sys.stderr or _nowhere()
    with contextlib.suppress(ValueError):  # not the main thread, which alone has signals
        signal.signal(signal.SIGTERM, _stop)
    sys.exit(_flush(_run(arguments)))


def _run(arguments: list[str] | None) -> int | str | None:
    """Run a command; return its exit code."""
    gc.set_threshold(_GARBAGE_AFTER)
    try:
        app(arguments, prog_name="undertow")
    except SystemExit as end:
        if end.code in _STOPPED:
            _complain("stopped; nothing half-written is left")
        return end.code
    except MemoryError:
        _complain(
            "out of memory; give the scenario fewer agents, a shorter horizon or larger steps"
        )
        return 1
    except Exception as error:
        from sim.errors import UndertowError

        if isinstance(error, UndertowError):
            _complain(str(error))
            return error.exit_code
        if isinstance(error, OSError) and error.filename is None:  # no file but what we print to
            _complain(f"standard output: {error.strerror or error}")
            return 1
        raise
    return 0


def _complain(message: str) -> None:
    print(f"undertow: {message}", file=sys.stderr)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _stop(number: int, _: object) -> NoReturn:
    """Leave by an exception, so that nothing half-written stays."""
    raise SystemExit(128 + number)


def _flush(code: int | str | None) -> int | str | None:
    """Write out what was printed; a reader who has gone away is no fault of ours."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        if not code and not isinstance(error, BrokenPipeError):
            _complain(f"standard output: {error.strerror or error}")
        return code or 1
    return code
