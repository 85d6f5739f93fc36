"""A planted world: a shock whose loss travels through channels of known size."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from experiments import kinds
from experiments.scenario import load_scenario
from sim.draws import normal_column
from sim.ledger import transfer
from sim.outside import GENESIS, OUTSIDE
from sim.registry import Channel, Config, Mechanism, ShockKind
from sim.venues import Venues
from tests.worlds import BENCH, HANDS

ADDITIVE = {"plant_a": 5_000.0, "plant_b": 2_000.0}
TOGETHER = ("plant_c", "plant_d"), 6_000.0
SILENT = "plant_e"
DIRECT = 1_000.0
PLANTED = (*ADDITIVE, *TOGETHER[0], SILENT)


class PlantedConfig(Config):
    """A protocol without verbs."""

    kind: Literal["planted"]
    chain: str


class LossConfig(Config):
    """The shock."""

    kind: Literal["planted_loss"]
    explode_seed: int = -1


class Switches:
    """Which planted channels are cut."""

    def __init__(self) -> None:
        self.cut: set[str] = set()


def loss_of(seed: int, on: set[str]) -> float:
    """Return the loss in a world: each part with a spread of a tenth over seeds."""
    spread = dict(zip(PLANTED, 1.0 + 0.1 * normal_column(seed, "planted", 5), strict=True))
    total = DIRECT + sum(usd * spread[name] for name, usd in ADDITIVE.items() if name in on)
    pair, usd = TOGETHER
    return total + (usd * spread[pair[0]] if set(pair) <= on else 0.0)


def _lose(world: Any, config: Any) -> None:
    if world.seed == config.explode_seed:
        raise ZeroDivisionError("boom")
    usd = loss_of(world.seed, set(PLANTED) - world.states["planted"].cut)
    token = world.token("mainnet", "USD")
    transfer(world.ledger, world.group(HANDS), 0, OUTSIDE, GENESIS, token, float(usd))


def _cut(name: str) -> Channel:
    def cut(_world: Any, own: Switches) -> None:
        own.cut.add(name)

    return Channel(name, cut)


def _make(_world: Any, _sites: Any) -> Switches:
    return Switches()


MECHANISM = Mechanism(
    kind="planted",
    config=PlantedConfig,
    verbs=(),
    states=(Venues,),
    make=_make,
    nodes=lambda config: [(config.chain, "USD")],
    shocks=(ShockKind("planted_loss", LossConfig, _lose),),
    channels=tuple(_cut(name) for name in PLANTED),
)


@pytest.fixture(scope="module")
def planted():
    """Return a builder of the planted scenario; its mechanism is registered for these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "_MECHANISMS", [*kinds._MECHANISMS, MECHANISM])
        yield planted_scenario


def planted_scenario(explode_seed=-1):
    """Return the planted scenario."""
    shock = f"{{kind: planted_loss, explode_seed: {explode_seed}}}"
    bench = [text for text in BENCH if not text.startswith("horizon")]
    return load_scenario(
        "quiet-market",
        [
            *bench,
            "horizon=10m",
            "venues.planted={kind: planted, chain: mainnet}",
            f"shocks=[{{at: 5m, do: {shock}}}]",
        ],
    )


def exact_losses(n_seeds: int) -> np.ndarray:
    """Return what contagion does in each seed: float64, (n,)."""
    every = set(PLANTED)
    return np.array([loss_of(s, every) - loss_of(s, set()) for s in range(1, n_seeds + 1)])
