"""Leveraged portfolios of a run, and the fire sale that a price shock would force on them now.

A portfolio is what a population has pledged or supplied in lending and CDP markets, by token; its
debt is what it owes there, at most what covers it. Impact is that of the first dollar sold, from
current depth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.contagion.fire_sales import FireSale, fire_sale
from analysis.contagion.selling import depths, last_at
from analysis.series import frame_of
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


class Portfolios(NamedTuple):
    """What leveraged populations hold and owe.

    Attributes
    ----------
    names : populations that owe something and have equity
    tokens : as `chain/symbol`
    holdings : float64, (n, n_tokens), USD
    debt : float64, (n,), USD
    impact : float64, (n_tokens,), fall of the price by the first dollar sold, fraction
    """

    names: list[str]
    tokens: list[str]
    holdings: NDArray[np.float64]
    debt: NDArray[np.float64]
    impact: NDArray[np.float64]


def portfolios(
    tables: Mapping[str, pd.DataFrame], manifest: Mapping[str, Any], time: float = np.inf
) -> Portfolios:
    """Return the leveraged portfolios of a run at a time.

    Parameters
    ----------
    tables, manifest : of a run
    time : seconds; the last sample at or before it counts
    """
    held = last_at(frame_of(tables, "holdings"), time)
    markets = set(frame_of(tables, "lending")["venue"].astype(str))
    held = held[(held["holder_kind"] == "population") & held["venue"].isin(markets)]
    who, token = held["holder"].astype(str), held["token"].astype(str)
    has = held["value"].clip(lower=0.0).groupby([who, token]).sum().unstack().fillna(0.0)  # noqa: PD010 - sums, no means
    owes = -held["value"].clip(upper=0.0).groupby(who).sum()
    is_leveraged = (owes > 0.0) & (has.sum(axis=1) > owes)
    names = [str(name) for name in is_leveraged.index[is_leveraged]]
    has = has.loc[names, has.loc[names].sum() > 0.0]
    known = depths(tables, manifest, float(held["time"].max()) if len(held) else 0.0)
    tokens = [str(name) for name in has]
    impact = np.array([known[name].impact if name in known else np.inf for name in tokens])
    return Portfolios(names, tokens, has.to_numpy(), owes[names].to_numpy(), impact)


def fire_sale_of(book: Portfolios, shock: Mapping[str, float]) -> FireSale:
    """Return what a price shock would force leveraged portfolios to sell, and what that costs.

    Parameters
    ----------
    book : from `portfolios`
    shock : change of price by token, fraction, negative when it falls

    Raises
    ------
    InputError
        Nobody is leveraged, nobody holds a token of the shock, or a token cannot be sold.
    """
    unknown = [token for token in shock if token not in book.tokens]
    if unknown or not book.names:
        known = ", ".join(book.tokens) or "none"
        raise InputError(f"no leveraged holding of {', '.join(unknown) or 'anything'}; of: {known}")
    if not np.isfinite(book.impact).all():
        stuck = [t for t, one in zip(book.tokens, book.impact, strict=True) if not np.isfinite(one)]
        raise InputError(f"{', '.join(stuck)} cannot be sold: no pool and no reference price")
    equity = book.holdings.sum(axis=1) - book.debt
    change = np.array([shock.get(token, 0.0) for token in book.tokens])
    return fire_sale(book.holdings, equity, book.debt / equity, book.impact, change)
