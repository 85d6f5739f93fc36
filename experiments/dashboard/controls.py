"""The controls beside Mesa's own: how far a step goes, and the buttons that inject shocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import solara

from experiments.dashboard.shocks import make_shock
from sim.units import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable

    from experiments.dashboard.live_run import LiveRun

SPEEDS = {
    "1 s": 1.0,
    "12 s": 12.0,
    "1 min": 60.0,
    "2 min": 120.0,
    "5 min": 300.0,
    "15 min": 900.0,
    "1 h": 3_600.0,
}


def speed_of(seconds: float) -> str:
    """Return the label of the fastest speed that is no faster than this."""
    slow = [label for label, value in SPEEDS.items() if value <= seconds]
    return slow[-1] if slow else next(iter(SPEEDS))


@solara.component
def SpeedControl(speed: solara.Reactive[str]) -> None:
    """Let the user choose how much simulated time one step takes."""
    with solara.Card("Speed", margin=0):
        labels = [*SPEEDS]
        solara.SliderInt(
            f"{speed.value} a step",
            value=labels.index(speed.value),
            on_value=lambda k: speed.set(labels[k]),
            max=len(labels) - 1,
            thumb_label=False,
        )


@solara.component
def ShockControls(run: LiveRun) -> None:
    """Offer shocks; each happens at the beginning of the next step."""
    said, say = solara.use_state("")

    def inject(kind: str, **fields: Any) -> None:
        run.inject(make_shock(kind, **fields))
        say(f"{kind.replace('_', ' ')} comes with the next step after {run.time / HOUR:.2f} h")

    targets = run.targets
    with solara.Card("Shocks", margin=0), solara.Column(gap="16px"):
        if targets.assets:
            _PriceGap(targets.assets, inject)
        if targets.bridges:
            _Switch("Bridge", targets.bridges, ("pause_bridge", "resume_bridge"), inject)
        if targets.oracles:
            _Switch("Oracle", targets.oracles, ("freeze_oracle", "thaw_oracle"), inject)
        if targets.pools:
            _Exit(targets.pools, inject)
        if said:
            solara.Text(said, style={"fontSize": "12px", "opacity": "0.75"})


@solara.component
def _PriceGap(assets: list[str], inject: Callable[..., None]) -> None:
    asset, set_asset = solara.use_state(assets[0])
    change, set_change = solara.use_state(-30)
    solara.Select("Asset", values=assets, value=asset, on_value=set_asset, dense=True)
    solara.SliderInt(f"Change {change:+d} %", value=change, on_value=set_change, min=-90, max=100)
    solara.Button(
        "Price gap",
        color="primary",
        small=True,
        on_click=lambda: inject("price_gap", asset=asset, change=change / 100.0),
    )


@solara.component
def _Switch(
    what: str, names: list[str], kinds: tuple[str, str], inject: Callable[..., None]
) -> None:
    """Offer a shock to one of some venues, and its end."""
    name, set_name = solara.use_state(names[0])
    solara.Select(what, values=names, value=name, on_value=set_name, dense=True)
    with solara.Row(gap="8px"):
        for kind in kinds:
            label = kind.replace("_", " ").capitalize()
            solara.Button(label, small=True, on_click=lambda kind=kind: inject(kind, venue=name))


@solara.component
def _Exit(pools: list[str], inject: Callable[..., None]) -> None:
    pool, set_pool = solara.use_state(pools[0])
    share, set_share = solara.use_state(100)
    solara.Select("Pool", values=pools, value=pool, on_value=set_pool, dense=True)
    solara.SliderInt(f"{share} % of providers", value=share, on_value=set_share, min=5, max=100)
    solara.Button(
        "Liquidity exit",
        small=True,
        on_click=lambda: inject("liquidity_exit", pool=pool, share=share / 100.0),
    )
