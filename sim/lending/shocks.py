"""What a guardian does to a lending market at a given time, as scenario actions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from sim.errors import InputError
from sim.ledger import slot, transfer
from sim.lending.guardian import Guardian, set_mode_limits
from sim.lending.reserve import collect_treasury
from sim.registry import Config, ShockKind
from sim.status import Status

if TYPE_CHECKING:
    from sim.world import World

_YEARLY: Any = {"unit": "1/year"}


class _OnReserve(Config):
    """An action on one reserve."""

    venue: str = Field(description="Lending market.")
    asset: str = Field(description="Symbol of the reserve.")

    @model_validator(mode="after")
    def _check(self) -> _OnReserve:
        given = set(type(self).model_fields) - set(_OnReserve.model_fields) - {"kind"}
        optional = {name for name in given if type(self).model_fields[name].default is None}
        if optional and all(getattr(self, name) is None for name in optional):
            raise ValueError(f"it would change nothing; give {' or '.join(sorted(optional))}")
        return self


class FreezeReserve(_OnReserve):
    """Freeze a reserve: no new supply of it and no new debt in it."""

    kind: Literal["freeze_reserve"]
    zero_loan_to_value: bool = Field(
        False,
        description="Also set its loan to value to 0 until the freeze ends, as contracts do from "
        "version 3.1.",
    )


class UnfreezeReserve(_OnReserve):
    """Let a frozen reserve take supply and debt again."""

    kind: Literal["unfreeze_reserve"]


class PauseReserve(_OnReserve):
    """Pause a reserve: nothing at all can be done with it."""

    kind: Literal["pause_reserve"]


class UnpauseReserve(_OnReserve):
    """Let a paused reserve work again."""

    kind: Literal["unpause_reserve"]


class SetBorrowing(_OnReserve):
    """Forbid, or allow again, new debt in a reserve."""

    kind: Literal["set_borrowing"]
    is_enabled: bool = Field(description="Whether it can be borrowed from then on.")


class SetCaps(_OnReserve):
    """Change caps of a reserve; what exceeds a lowered cap stays."""

    kind: Literal["set_caps"]
    supply_cap: float | None = Field(
        None, ge=0.0, description="Most that can be supplied.", json_schema_extra={"unit": "token"}
    )
    borrow_cap: float | None = Field(
        None, ge=0.0, description="Most that can be borrowed.", json_schema_extra={"unit": "token"}
    )
    debt_ceiling: float | None = Field(
        None,
        ge=0.0,
        description="Most debt against it in isolation.",
        json_schema_extra={"unit": "quote unit"},
    )


class SetCollateral(_OnReserve):
    """Change risk limits of a reserve; a loan to value of 0 stops new debt against it."""

    kind: Literal["set_collateral"]
    loan_to_value: float | None = Field(None, ge=0.0, le=1.0, description="From then on.")
    liquidation_threshold: float | None = Field(
        None, ge=0.0, le=1.0, description="From then on, for existing positions too."
    )
    liquidation_bonus: float | None = Field(None, ge=0.0, le=1.0, description="From then on.")


class SetRates(_OnReserve):
    """Change the rate curve or the reserve factor of a reserve."""

    kind: Literal["set_rates"]
    base_rate: float | None = Field(
        None, ge=0.0, description="Borrow rate without utilization.", json_schema_extra=_YEARLY
    )
    slope1: float | None = Field(
        None, ge=0.0, description="Rate added up to the kink.", json_schema_extra=_YEARLY
    )
    slope2: float | None = Field(
        None, ge=0.0, description="Rate added beyond the kink.", json_schema_extra=_YEARLY
    )
    kink: float | None = Field(None, gt=0.0, le=1.0, description="Utilization of the kink.")
    reserve_factor: float | None = Field(
        None, ge=0.0, le=1.0, description="Share of interest that goes to the treasury."
    )


class SetEfficiencyMode(Config):
    """Change risk limits of an efficiency mode."""

    kind: Literal["set_efficiency_mode"]
    venue: str = Field(description="Lending market.")
    label: str = Field(description="Label of the mode.")
    loan_to_value: float | None = Field(None, ge=0.0, le=1.0, description="From then on.")
    liquidation_threshold: float | None = Field(None, gt=0.0, le=1.0, description="From then on.")
    liquidation_bonus: float | None = Field(None, ge=0.0, le=1.0, description="From then on.")


class CollectTreasury(_OnReserve):
    """Pay what the protocol has earned in a reserve to an account, as far as there is cash."""

    kind: Literal["collect_treasury"]
    population: str = Field(description="Population whose row 0 receives it.")


def _market(world: World, name: str) -> int:
    from sim.lending.settings import KIND

    number = world.venue(name)
    if world.plan.venues[number].mechanism.kind != KIND:
        raise InputError(f"'{name}' is not a lending market")
    return number


def _reserve(world: World, config: Any) -> Any:
    from sim.lending.building import reserve_of
    from sim.lending.settings import KIND

    number = _market(world, config.venue)
    return world.states[KIND][0].reserves[reserve_of(world, number, config.asset)]


def _guardian(world: World, config: Any) -> Guardian:
    return Guardian(_reserve(world, config), world.now)


def _given(config: Any) -> dict[str, Any]:
    """Return what an action changes."""
    own = set(type(config).model_fields) - {"kind", "venue", "asset", "label"}
    values = {name: getattr(config, name) for name in own}
    return {name: value for name, value in values.items() if value is not None}


def _freeze(world: World, config: FreezeReserve) -> None:
    _guardian(world, config).freeze(zero_loan_to_value=config.zero_loan_to_value)


def _set_mode(world: World, config: SetEfficiencyMode) -> None:
    from sim.lending.building import mode_of
    from sim.lending.settings import KIND

    row = mode_of(world, _market(world, config.venue), config.label)
    set_mode_limits(
        world.states[KIND][0].modes[row],
        config.loan_to_value,
        config.liquidation_threshold,
        config.liquidation_bonus,
    )


def _collect(world: World, config: CollectTreasury) -> None:
    from sim.lending.settings import KIND

    asset, desk = _reserve(world, config), world.states[KIND][1]
    group, token = world.group(config.population), int(asset["token"])
    if slot(world.ledger, group, 0, token) < 0:
        raise InputError(
            f"{config.population}[0] cannot hold {world.token_names[token]}; name a population "
            "that can"
        )
    held = float(asset["scaled_treasury"]) * float(asset["supply_index"])
    status, paid = collect_treasury(asset, math.inf, world.now)
    if status == Status.NO_CASH:
        status, paid = collect_treasury(asset, min(held, float(asset["cash"])), world.now)
    if status == Status.OK:
        own = int(desk.group[0]), int(desk.account[asset["market"]])
        transfer(world.ledger, *own, group, 0, token, paid)


SHOCKS = (
    ShockKind("freeze_reserve", FreezeReserve, _freeze),
    ShockKind("unfreeze_reserve", UnfreezeReserve, lambda w, c: _guardian(w, c).unfreeze()),
    ShockKind("pause_reserve", PauseReserve, lambda w, c: _guardian(w, c).pause()),
    ShockKind("unpause_reserve", UnpauseReserve, lambda w, c: _guardian(w, c).unpause()),
    ShockKind(
        "set_borrowing",
        SetBorrowing,
        lambda w, c: _guardian(w, c).set_borrowing(is_enabled=c.is_enabled),
    ),
    ShockKind("set_caps", SetCaps, lambda w, c: _guardian(w, c).set_caps(**_given(c))),
    ShockKind(
        "set_collateral", SetCollateral, lambda w, c: _guardian(w, c).set_limits(**_given(c))
    ),
    ShockKind("set_rates", SetRates, lambda w, c: _guardian(w, c).set_rates(**_given(c))),
    ShockKind("set_efficiency_mode", SetEfficiencyMode, _set_mode),
    ShockKind("collect_treasury", CollectTreasury, _collect),
)
