"""Files of real pools: reserves of constant product pools, liquidity of ranges.

A reserve file has one row for each pool and token. A liquidity file has one row for each range of
ticks: positions of owners, or the liquidity between neighboring ticks. Contracts count liquidity
and ticks in raw units: `decimals` turns them into tokens,

    liquidity = raw / 10^((d0 + d1) / 2),   tick = raw tick + (d0 - d1) ln 10 / ln 1.0001

where the shift is rounded to the pool's tick spacing, so that all ranges lie up to half a spacing
off.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.amm.tick_math import MAX_TICK
from sim.errors import ScenarioError
from sim.table_files import FileColumn, FileFormat, FileSource, TableFile

_AGREES = 0.01  # relative difference up to which two prices are the same
_MAX_DECIMALS = 36

RESERVES = FileFormat(
    name="reserves",
    noun="reserve file",
    content="reserves",
    meaning="Reserves of constant product pools: venues.NAME.reserves {file: FILE}.",
    columns=(
        FileColumn("pool", "text", "", "Name of the pool."),
        FileColumn("token", "text", "", "Symbol of the token."),
        FileColumn("reserve", "number", "token", "What the pool holds of the token."),
    ),
)
LIQUIDITY = FileFormat(
    name="liquidity",
    noun="liquidity file",
    content="ranges",
    meaning="Ranges of a concentrated liquidity pool: venues.NAME.liquidity {file: FILE}, or "
    "populations.NAME.ranges {file: FILE} of liquidity providers.",
    columns=(
        FileColumn("tick_lower", "whole number", "tick", "Lower end; price is 1.0001^tick."),
        FileColumn("tick_upper", "whole number", "tick", "Upper end."),
        FileColumn("liquidity", "number", "sqrt(token0 token1)", "Liquidity of the range."),
        FileColumn("owner", "text", "", "Whose it is; left out, all differ.", is_required=False),
        FileColumn(
            "price",
            "number",
            "token1/token0",
            "Price of the pool at the snapshot; the same in all rows.",
            is_required=False,
        ),
    ),
)


class ReserveSource(FileSource):
    """Reserves of a real pool."""

    pool_in_file: str | None = Field(
        None, description="Name of the pool in the file; that of the venue when left out."
    )
    names: dict[str, str] = Field(
        {}, description="Symbols of the chain for tokens that the file calls otherwise."
    )
    price: Literal["agree", "from_file", "rescale"] = Field(
        "agree",
        description="agree: the price of the reserves must be that of the scenario, within 1 %; "
        "from_file: the pool begins at the price of its reserves; rescale: it begins at the "
        "scenario's, with the product of its reserves.",
    )

    def read(self) -> TableFile:
        """Return the table, its cells checked.

        Raises
        ------
        ScenarioError
            The file is wrong; names line or row, column, value and what is allowed.
        """
        table = self.table(RESERVES)
        table.unique("pool", "token")
        allowed = "it must be a finite number above 0"
        reserve = table.numbers("reserve")
        table.check("reserve", reserve, lambda v: np.isfinite(v) & (v > 0.0), allowed)
        return table


class LiquiditySource(FileSource):
    """Ranges of liquidity of a real pool."""

    decimals: (
        Annotated[
            list[Annotated[int, Field(ge=0, le=_MAX_DECIMALS)]], Field(min_length=2, max_length=2)
        ]
        | None
    ) = Field(
        None,
        description="Decimals of token 0 and token 1 where liquidity and ticks are the contract's; "
        "left out, they are in tokens.",
    )
    price: Literal["agree", "from_file"] = Field(
        "agree",
        description="agree: a price of the file must be that of the scenario, within 1 %; "
        "from_file: the pool begins at the price of the file.",
    )

    def read(self) -> Ranges:
        """Return the ranges, in the units of the file.

        Raises
        ------
        ScenarioError
            The file is wrong; names line or row, column, value and what is allowed.
        """
        table = self.table(LIQUIDITY)
        lower, upper = table.whole_numbers("tick_lower"), table.whole_numbers("tick_upper")
        allowed = f"it must lie in {-MAX_TICK} to {MAX_TICK}"
        for name, ticks in (("tick_lower", lower), ("tick_upper", upper)):
            table.check(name, ticks, lambda v: np.abs(v) <= MAX_TICK, allowed)
        for row in np.flatnonzero(lower >= upper)[:1]:
            table.refuse(
                int(row), f"tick_lower is {lower[row]}; it must be below tick_upper {upper[row]}"
            )
        liquidity = table.amounts("liquidity")
        whole = [""] * table.n_rows
        prices = table.constant("price", whole) if table.has("price") else {}
        if self.price == "from_file" and not prices:
            table.refuse(None, "has no column 'price', which price: from_file needs; add it")
        return Ranges(table, lower, upper, liquidity, prices.get("", math.nan))


class Ranges(NamedTuple):
    """Ranges of a pool; a row each."""

    table: TableFile
    tick_lower: np.ndarray  # int64, (n,)
    tick_upper: np.ndarray  # int64, (n,)
    liquidity: np.ndarray  # float64, (n,), sqrt(token0 token1)
    price: float  # token 1 per token 0; NaN: not given

    @property
    def n_accounts(self) -> int:
        """Number of ranges that hold liquidity."""
        return int(np.count_nonzero(self.liquidity > 0.0))

    def owners(self) -> np.ndarray:
        """Return whose each range is, numbered from 0 in order of appearance: int64, (n,)."""
        if not self.table.has("owner"):
            return np.arange(len(self.liquidity))
        names = self.table.texts("owner")
        number = {name: k for k, name in enumerate(dict.fromkeys(names))}
        return np.array([number[name] for name in names], np.int64)


def reserves_of(
    source: ReserveSource, name: str, tokens: list[str], price: float
) -> tuple[float, float]:
    """Return the reserves of a pool, by the file's price or the scenario's.

    Parameters
    ----------
    name : of the venue
    tokens : symbols of token 0 and token 1
    price : token 1 per token 0 in the scenario

    Raises
    ------
    ScenarioError
        The file is wrong or lacks the pool, has other tokens, or has another price.
    """
    table = source.read()
    wanted = source.pool_in_file or name
    pools, cells = table.texts("pool"), table.texts("token")
    rows = [row for row, pool in enumerate(pools) if pool == wanted]
    if not rows:
        known = ", ".join(dict.fromkeys(pools[:1_000]))
        table.refuse(None, f"has no pool {wanted!r} (pool_in_file names one); it has {known:.200}")
    held = {source.names.get(cells[row], cells[row]): row for row in rows}
    if sorted(held) != sorted(tokens) or len(rows) != 2:
        table.refuse(
            rows[0],
            f"pool {wanted!r} holds {', '.join(held)}; the venue is a pool of "
            f"{' and '.join(tokens)} (`names` translates)",
        )
    amounts = table.numbers("reserve")
    reserve0, reserve1 = (float(amounts[held[token]]) for token in tokens)
    if source.price == "rescale":
        root = math.sqrt(reserve0 * reserve1)
        return root / math.sqrt(price), root * math.sqrt(price)
    if source.price == "agree":
        other = "from_file or rescale"
        _check_price(table, rows[0], "price of the reserves", reserve1 / reserve0, price, other)
    return reserve0, reserve1


def ranges_of(source: LiquiditySource, spacing: int, price: float) -> Ranges:
    """Return the ranges of a pool in tokens, and the price at which it begins.

    Parameters
    ----------
    spacing : ticks between usable ones
    price : token 1 per token 0 in the scenario

    Raises
    ------
    ScenarioError
        The file is wrong or has another price, or a tick is not usable.
    """
    found = source.read()
    table, most = found.table, MAX_TICK // spacing * spacing
    for name, ticks in (("tick_lower", found.tick_lower), ("tick_upper", found.tick_upper)):
        allowed = f"a pool of this tick spacing has ticks that are multiples of {spacing}"
        table.check(name, ticks, lambda v: v % spacing == 0, allowed)
    if source.price == "agree" and not math.isnan(found.price):
        _check_price(table, 0, "price", found.price, price, "from_file")
    begin = found.price if source.price == "from_file" else price
    shift, unit = 0, 1.0
    if source.decimals is not None:
        d0, d1 = source.decimals
        shift = round((d0 - d1) * math.log(10.0) / math.log(1.0001) / spacing) * spacing
        unit = 10.0 ** (-0.5 * (d0 + d1))
    lower, upper = (
        np.clip(ticks + shift, -most, most) for ticks in (found.tick_lower, found.tick_upper)
    )
    for row in np.flatnonzero(lower >= upper)[:1]:
        table.refuse(
            int(row),
            f"tick_lower is {found.tick_lower[row]}; with decimals {source.decimals} the range "
            "lies beyond the last tick: check decimals and the order of the tokens",
        )
    return Ranges(table, lower, upper, found.liquidity * unit, begin)


def _check_price(
    table: TableFile, row: int, what: str, given: float, price: float, other: str
) -> None:
    if abs(given / price - 1.0) > _AGREES:
        table.refuse(
            row,
            f"{what} is {given:.6g} token 1 per token 0, and the scenario begins at {price:.6g}; "
            f"set those prices, or price: {other}",
        )


def one_of(value_usd: float | None, source: FileSource | None, name: str) -> None:
    """Refuse a pool that is given neither a value nor a file, or both.

    Raises
    ------
    ScenarioError
        Says what to give.
    """
    if value_usd is None and source is None:
        raise ScenarioError(f"value_usd is missing; give it, or a file of {name}")
    if value_usd is not None and source is not None:
        raise ScenarioError(f"value_usd and {name} are both given; leave one out")
