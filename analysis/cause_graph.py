"""Which liquidations caused which: recorded causes, followed back to the liquidations behind them.

The causes of a liquidation name trades; a trade has a cause of its own, and so on. A cause is
followed until an order that liquidated somebody, which takes its share, or until nothing that
somebody did is behind it: then the share is exogenous. All legs of an order are one cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from analysis.series import frame_of
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping


_MASK = (1 << 56) - 1  # the number in a cause id
_FILL = 2  # its kind, when a fill caused it


class CauseGraph(NamedTuple):
    """Liquidations of a run and how far each caused the others.

    Attributes
    ----------
    liquidations : the record in the order of execution, with `order_id`, `trigger` (the fill that
        its sender named, 0: none), `endogenous` (share of its cause that liquidations are) and
        `carried_usd` (debt that would not have been liquidated had it not happened, itself
        included)
    weights : (n, n), fraction; row: the caused liquidation, column: the causing one
    """

    liquidations: pd.DataFrame
    weights: sparse.csr_array


def cause_graph(tables: Mapping[str, pd.DataFrame]) -> CauseGraph:
    """Return the liquidations of a run and how far each caused the others.

    Parameters
    ----------
    tables : record tables by name; absent and empty ones are allowed

    Raises
    ------
    sim.errors.InputError
        An earlier version recorded them, without all that is needed.
    """
    found = frame_of(tables, "liquidations").sort_values("fill_id", ignore_index=True)
    if "shadow_health_factor" not in found:
        raise InputError("liquidations: recorded by an earlier version; repeat the run")
    fills = frame_of(tables, "fills")
    orders = _Orders(fills)
    found = found.assign(
        order_id=orders.order_of(found["fill_id"]), trigger=orders.trigger_of(found["fill_id"])
    )
    weights = _weights(found, frame_of(tables, "causes"), orders)
    found["endogenous"] = np.minimum(weights.sum(axis=1), 1.0)
    found["carried_usd"] = carried(weights, found["debt_usd"].to_numpy(float))
    return CauseGraph(found, weights)


class _Orders:
    """Finds the order and the named cause of fills."""

    def __init__(self, fills: pd.DataFrame) -> None:
        ids = fills["fill_id"].to_numpy(np.int64)
        executed = np.flatnonzero(ids > 0)
        self._row = executed[np.argsort(ids[executed], kind="stable")]
        self._ids = ids[self._row]
        self._order = fills["order_id"].to_numpy(np.int64)
        self._cause = fills["cause_id"].to_numpy(np.int64)

    def rows(self, fill_ids: Any) -> NDArray[np.int64]:
        """Return the row of each fill; -1: it is not recorded."""
        ids = np.asarray(fill_ids, np.int64)
        if not len(self._ids):
            return np.full(len(ids), -1)
        place = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return np.where(self._ids[place] == ids, self._row[place], -1)

    def order_of(self, fill_ids: Any) -> NDArray[np.int64]:
        """Return the order of each fill; -1: it is not recorded."""
        rows = self.rows(fill_ids)
        return np.where(rows >= 0, self._order[rows], -1) if len(self._order) else rows

    def trigger_of(self, fill_ids: Any) -> NDArray[np.int64]:
        """Return the fill that the sender of each fill named as its cause; 0: none."""
        rows = self.rows(fill_ids)
        if not len(self._cause):
            return np.zeros(len(rows), np.int64)
        cause = self._cause[rows]
        return np.where((rows >= 0) & (cause >> 56 == _FILL), cause & _MASK, 0)


class _Links(NamedTuple):
    """Causes that are fills: a share of what an order does comes from another order."""

    child: NDArray[np.int64]  # fill
    order: NDArray[np.int64]  # order of the child
    parent: NDArray[np.int64]  # order of the parent
    weight: NDArray[np.float64]


def _links(causes: pd.DataFrame, orders: _Orders) -> _Links:
    """Return the causes that are recorded fills of other orders."""
    mine = causes[causes["parent_kind"].astype(str).to_numpy() == "fill"]
    child = mine["fill_id"].to_numpy(np.int64)
    order, parent = orders.order_of(child), orders.order_of(mine["parent_id"])
    keep = (order >= 0) & (parent >= 0) & (order != parent)
    weight = mine["weight"].to_numpy(float)
    return _Links(child[keep], order[keep], parent[keep], weight[keep])


def _weights(found: pd.DataFrame, causes: pd.DataFrame, orders: _Orders) -> sparse.csr_array:
    """Return the share of each liquidation's cause that each other one is."""
    n = len(found)
    if not n:
        return sparse.csr_array((0, 0))
    links = _links(causes, orders)
    own = links.order
    is_liquidation = np.isin(own, found["order_id"].to_numpy())
    fill_ids = found["fill_id"].to_numpy(np.int64)
    place = np.minimum(np.searchsorted(fill_ids, links.child), n - 1)
    is_row = fill_ids[place] == links.child
    between = _first_legs(_kept(links, ~is_liquidation))
    numbers, parents, sources = _numbered(found, links.parent[is_row], between)
    shares = (links.weight[is_row], (place[is_row], parents))
    direct = sparse.csr_array(shares, shape=(n, len(numbers)))
    return sparse.csr_array(direct @ sources)


def _first_legs(links: _Links) -> _Links:
    """Return the links of one leg of each order: its legs have the cause in common."""
    first = pd.Series(links.child).groupby(links.order).transform("min").to_numpy()
    keep = links.child == first
    return _kept(links, keep)


def _kept(links: _Links, keep: NDArray[np.bool_]) -> _Links:
    return _Links(links.child[keep], links.order[keep], links.parent[keep], links.weight[keep])


def _numbered(
    found: pd.DataFrame, parents: NDArray[np.int64], between: _Links
) -> tuple[NDArray[np.int64], NDArray[np.int64], sparse.csr_array]:
    """Return orders behind liquidations, the place of `parents` among them, and their sources.

    Sources: (n_orders, n_liquidations), the share of each order that comes from each liquidation.
    """
    behind = np.unique(np.concatenate([parents, found["order_id"].to_numpy(np.int64)]))
    while True:
        mine = np.isin(between.order, behind)
        more = np.union1d(behind, between.parent[mine])
        if len(more) == len(behind):
            break
        behind = more
    n, n_found = len(behind), len(found)
    at = np.searchsorted(behind, found["order_id"].to_numpy(np.int64))
    debt = found["debt_usd"].to_numpy(float) + 1e-300
    share = debt / np.bincount(at, debt, n)[at]  # of its order, which may liquidate several
    own = sparse.csr_array((share, (at, np.arange(n_found))), shape=(n, n_found))
    links = _kept(between, mine)
    rows, columns = (np.searchsorted(behind, side) for side in (links.order, links.parent))
    step = sparse.csr_array((links.weight, (rows, columns)), shape=(n, n))
    sources, reached = own, own
    while reached.nnz:  # an order comes after its causes: this ends
        reached = sparse.csr_array(step @ reached)
        sources = sources + reached
    return behind, np.searchsorted(behind, parents), sparse.csr_array(sources)


def carried(weights: sparse.csr_array, debt: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the debt that each liquidation stands behind: its own, and its shares of the others'.

    What would vanish had it not happened, where effects are in proportion to causes.

    Parameters
    ----------
    weights : (n, n), as in `CauseGraph`; causes come before what they cause
    debt : float64, (n,), USD
    """
    total = debt.copy()
    for caused in range(len(debt) - 1, -1, -1):
        start, end = weights.indptr[caused], weights.indptr[caused + 1]
        total[weights.indices[start:end]] += weights.data[start:end] * total[caused]
    return total
