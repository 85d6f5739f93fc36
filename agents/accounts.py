"""Accounts that do nothing by themselves: those in whose name agents of your own act.

A plain Mesa agent, a notebook or a test submits orders for row k of such a population with
`model.world.submit(venue, verb, population, k, ...)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from agents.population import ColumnarAgent
from sim.errors import InputError
from sim.registry import Config, PopulationKind, PopulationSite

if TYPE_CHECKING:
    from sim.world import World

Amount = Annotated[float, Field(ge=0.0)]


class AccountsConfig(Config):
    """Accounts without a behavior of their own."""

    kind: Literal["accounts"]
    chain: str = Field(description="Chain on which they hold tokens.")
    count: int = Field(1, gt=0, le=10_000_000, description="Number of accounts.")
    holds: dict[str, Amount] = Field(
        description="What each account holds at the start, by symbol; gas money is not added.",
        json_schema_extra={"unit": "tokens"},
    )


class Account(ColumnarAgent):
    """One account: a view on a row of its population."""


def fund(world: World, site: PopulationSite, state: object) -> None:
    """Give every account what it holds.

    Raises
    ------
    InputError
        Its chain has no such token; names those it has.
    """
    for symbol, amount in site.config.holds.items():
        try:
            token = world.token(site.config.chain, symbol)
        except InputError as error:
            raise InputError(f"populations.{site.name}.holds.{symbol}: {error}") from None
        world.endow_column(site.group, token, amount)


KIND = PopulationKind(
    kind="accounts",
    config=AccountsConfig,
    states=(),
    make=lambda world, site: (),
    react=None,
    fund=fund,
    view=Account,
)
