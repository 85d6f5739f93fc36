"""The exposure graph: who would lose how much if somebody else failed wholly, at any time of a run.

An edge from one to another is what the first would lose if the second alone gave nothing back:

* holder -> reserve of a lending or CDP market: the claim, or the debt token held;
* holder -> pool: the part of its reserves; holder -> bridge or other issuer: the wrapped balance,
  also that of pools and of markets, which hold it for those who pledged it;
* vault -> market, pool or bridge: the same;
* reserve -> borrower: the loss given liquidation now, max(0, debt - collateral at the price after
  selling it into current depth, see `analysis.contagion.selling`).

Values are at fundamental prices, in which a wrapped token counts as far as it is backed.
Populations and accounts have the equity of the record. What a venue has belongs to its claimants:
its equity is the sum of the claims on it, so that a loss reaches them in proportion. Loans are
non-recourse: clearing payments run on the part of a debt that no collateral covers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import networkx as nx
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.contagion.clearing import Clearing, eisenberg_noe
from analysis.contagion.debt_rank import debt_rank, importance, leverage, linear_debt_rank
from analysis.contagion.selling import depths, last_at
from analysis.series import frame_of
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping


Graph: TypeAlias = "nx.DiGraph[Any]"

PARTICIPANTS = ("population", "account", "outside")  # kinds of nodes that are nobody's venue


class Network(NamedTuple):
    """An exposure graph as arrays, in the order of its nodes.

    Attributes
    ----------
    names : nodes
    exposures : sparse float64, (n, n), USD: what the row loses if the column fails wholly
    equity : float64, (n,), USD
    weights : float64, (n,), share of each population, or account, in the equity of all of them; 0
        for venues, whose equity is others', and for the outside
    """

    names: list[str]
    exposures: Any
    equity: NDArray[np.float64]
    weights: NDArray[np.float64]


def exposure_graph(
    tables: Mapping[str, pd.DataFrame],
    manifest: Mapping[str, Any],
    time: float = np.inf,
    *,
    has_accounts: bool = False,
) -> Graph:
    """Return the exposure graph of a run at a time.

    Parameters
    ----------
    tables, manifest : of a run
    time : seconds; the last sample at or before it counts
    has_accounts : a node for each account, in place of one for each population

    Returns
    -------
    nodes with `kind` (population, account, outside, pool, market, bridge, or the kind of the
    venue) and `equity` (USD); edges with `value` (USD) and `kind` (claim, liquidity, issued or
    loan)

    Raises
    ------
    InputError
        The run has no holdings at that time, or none by account.
    """
    held = last_at(frame_of(tables, "holdings"), time)
    if held.empty:
        raise InputError(
            f"no holdings are recorded up to {time:g} s; run with records.position_seconds above 0"
        )
    if has_accounts and not (held["account"] >= 0).any():
        raise InputError("no account is recorded; run with --set records.holding_accounts=true")
    moment = float(held["time"].iloc[0])
    graph: Graph = nx.DiGraph()
    kinds = _venue_kinds(tables, manifest)
    reserves = _reserves(tables)
    _add_claims(graph, held[held["value"] > 0.0], kinds, reserves, has_accounts)
    positions = last_at(frame_of(tables, "positions"), moment)
    loss = loss_given_liquidation(positions, tables, manifest, moment)
    _add_loans(graph, positions.assign(loss=loss), kinds, has_accounts)
    _set_equity(graph, tables, held, moment)
    return graph


def loss_given_liquidation(
    positions: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    manifest: Mapping[str, Any],
    time: float,
) -> NDArray[np.float64]:
    """Return what each debtor's lenders would lose if it alone were liquidated now.

    Each debtor's collateral counts as its main one: at the market price, then at the price after
    it has been sold. Debts count at oracle prices.

    Parameters
    ----------
    positions : rows of the record at one time
    tables, manifest : of the run
    time : seconds

    Returns
    -------
    float64, (n,), USD, at least 0
    """
    collateral = positions["collateral"].to_numpy(float).copy()
    oracle = last_at(frame_of(tables, "lending"), time)
    places = zip(oracle["venue"].astype(str), oracle["token"].astype(str), strict=True)
    believed = dict(zip(places, oracle["oracle_price"].to_numpy(float), strict=True))
    known = depths(tables, manifest, time)
    venues, tokens = (positions[name].astype(str) for name in ("venue", "collateral_token"))
    for venue, token in sorted(set(zip(venues, tokens, strict=True))):
        mine = ((venues == venue) & (tokens == token)).to_numpy()
        depth, price = known.get(token), believed.get((venue, token), 0.0)
        if depth is not None and price > 0.0:
            worth = collateral[mine] * depth.price / price
            collateral[mine] = worth * depth.price_ratio(worth)
    return np.asarray(np.maximum(positions["debt"].to_numpy(float) - collateral, 0.0))


def network_of(graph: Graph) -> Network:
    """Return an exposure graph as arrays."""
    names = list(graph)
    real = np.dtype(float)
    exposures = nx.to_scipy_sparse_array(graph, nodelist=names, weight="value", dtype=real)
    equity = np.array([graph.nodes[name]["equity"] for name in names])
    is_theirs = np.array([graph.nodes[name]["kind"] in PARTICIPANTS[:2] for name in names])
    own = np.where(is_theirs, np.maximum(equity, 0.0), 0.0)
    return Network(names, exposures, equity, own / own.sum() if own.sum() > 0.0 else own)


def rank_nodes(graph: Graph) -> pd.DataFrame:
    """Return every node with what others have at stake with it, and its DebtRank.

    Returns
    -------
    one row a node, largest DebtRank first; columns kind, equity, exposed_to_it and
    exposed_to_others (USD), debt_rank and original_debt_rank (share of all populations' equity that
    others lose if it alone fails wholly, in the linear and in the original form)
    """
    network = network_of(graph)
    shares = leverage(network.exposures, network.equity)
    table = pd.DataFrame(
        {
            "kind": [graph.nodes[name]["kind"] for name in network.names],
            "equity": network.equity,
            "exposed_to_it": np.asarray(network.exposures.sum(axis=0)).ravel(),
            "exposed_to_others": np.asarray(network.exposures.sum(axis=1)).ravel(),
            "debt_rank": importance(shares, network.weights),
            "original_debt_rank": importance(shares, network.weights, is_linear=False),
        },
        index=pd.Index(network.names, name="node"),
    )
    return table.sort_values(["debt_rank", "exposed_to_it"], ascending=False, kind="stable")


def largest_exposures(graph: Graph, n: int = 20) -> pd.DataFrame:
    """Return the n largest edges: who, to whom, kind, value (USD) and share of who's equity."""
    rows = [
        (source, target, data["kind"], data["value"], graph.nodes[source]["equity"])
        for source, target, data in graph.edges(data=True)
    ]
    table = pd.DataFrame(rows, columns=["who", "to", "kind", "value", "equity"])
    table = table.sort_values("value", ascending=False, kind="stable").head(n)
    own = table.pop("equity")
    return table.assign(share_of_equity=(table["value"] / own).where(own > 0.0)).reset_index(
        drop=True
    )


def predicted_losses(
    graph: Graph, failures: Mapping[str, float], *, is_linear: bool = True
) -> pd.Series[float]:
    """Return what participants lose by DebtRank when nodes fail: USD, by node.

    Parameters
    ----------
    graph : from `exposure_graph`
    failures : share lost at first, 0 to 1, by node
    is_linear : the linear form; else the original

    Raises
    ------
    InputError
        The graph has no such node.
    """
    network = network_of(graph)
    initial = np.zeros(len(network.names))
    for name, share in failures.items():
        if name not in network.names:
            raise InputError(f"no node '{name}'; there are: {', '.join(sorted(network.names))}")
        initial[network.names.index(name)] = share
    shares = leverage(network.exposures, network.equity)
    distress = (linear_debt_rank if is_linear else debt_rank)(shares, initial)
    losses = pd.Series(distress * np.maximum(network.equity, 0.0), index=network.names)
    return losses[[graph.nodes[name]["kind"] in PARTICIPANTS for name in network.names]]


def clear(graph: Graph, lost: Mapping[str, float] | None = None) -> tuple[list[str], Clearing]:
    """Return what venues can pay their claimants, loans being non-recourse.

    A venue owes its claims. It has what other venues owe it and, as outside assets, what else backs
    the claims: tokens, and loans as far as their collateral covers them. Borrowers pay nothing of
    the part that it does not cover, and participants owe nobody.

    Parameters
    ----------
    graph : from `exposure_graph`
    lost : share of its own backing that a venue loses, 0 to 1, by node

    Returns
    -------
    nodes, and their clearing payments in the same order
    """
    network = network_of(graph)
    owes = network.exposures.T.toarray()
    backed = np.maximum(owes.sum(axis=1) - owes.sum(axis=0), 0.0)
    for k, name in enumerate(network.names):
        if graph.nodes[name]["kind"] in PARTICIPANTS:
            owes[k], backed[k] = 0.0, 0.0
        else:
            backed[k] *= 1.0 - (lost or {}).get(name, 0.0)
    return network.names, eisenberg_noe(owes, backed)


# --- nodes and edges ------------------------------------------------------------------------------


def _venue_kinds(tables: Mapping[str, pd.DataFrame], manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the kind of node of each venue: by the record that it has, else its own kind."""
    venues = manifest.get("scenario", {}).get("venues", {})
    kinds = {name: str(about.get("kind", "venue")) for name, about in venues.items()}
    for table, kind in (("pools", "pool"), ("lending", "market"), ("bridges", "bridge")):
        kinds |= dict.fromkeys(frame_of(tables, table)["venue"].astype(str).unique(), kind)
    return kinds


def _reserves(tables: Mapping[str, pd.DataFrame]) -> set[tuple[str, str]]:
    markets = frame_of(tables, "lending")[["venue", "token"]].drop_duplicates().astype(str)
    return set(markets.itertuples(index=False, name=None))


def _reserve(venue: str, token: str) -> str:
    return f"{venue} {token.rpartition('/')[2]}"


def _add_edge(graph: Graph, source: str, target: str, value: float, kind: str) -> None:
    if value > 0.0 and source != target:
        before = graph.get_edge_data(source, target, {"value": 0.0})["value"]
        graph.add_edge(source, target, value=before + value, kind=kind)


def _add_claims(
    graph: Graph,
    held: pd.DataFrame,
    kinds: Mapping[str, str],
    reserves: set[tuple[str, str]],
    has_accounts: bool,
) -> None:
    words = {"market": "claim", "pool": "liquidity"}
    names = ["holder", "holder_kind", "account", "venue", "token", "value"]
    for holder, holder_kind, account, venue, token, value in held[names].itertuples(
        index=False, name=None
    ):
        kind = kinds.get(venue, "venue")
        target = _reserve(venue, token) if (venue, token) in reserves else str(venue)
        source, source_kind = str(holder), str(holder_kind)
        if holder_kind == "venue":
            source_kind = kinds.get(source, "venue")
            source = _reserve(source, token) if (source, token) in reserves else source
        else:
            source, source_kind = _participant(source, account, kinds, has_accounts, source_kind)
        graph.add_node(source, kind=source_kind)
        graph.add_node(target, kind=kind)
        _add_edge(graph, source, target, float(value), words.get(kind, "issued"))


def _participant(
    name: str, account: int, kinds: Mapping[str, str], has_accounts: bool, kind: str = "population"
) -> tuple[str, str]:
    """Return the name and the kind of a participant's node; venues keep their names."""
    plain = f"{name} (population)" if name in kinds else name
    if has_accounts and account >= 0:
        return f"{plain}[{account}]", "account"
    return plain, kind


def _add_loans(
    graph: Graph, positions: pd.DataFrame, kinds: Mapping[str, str], has_accounts: bool
) -> None:
    names = ["venue", "debt_token", "population", "account", "loss"]
    losing = positions.loc[positions["loss"] > 0.0, names]
    for venue, token, population, account, loss in losing.itertuples(index=False, name=None):
        target, kind = _participant(str(population), int(account), kinds, has_accounts)
        source = _reserve(str(venue), str(token))
        graph.add_node(source, kind="market")
        graph.add_node(target, kind=kind)
        _add_edge(graph, source, target, float(loss), "loan")


def _set_equity(
    graph: Graph, tables: Mapping[str, pd.DataFrame], held: pd.DataFrame, time: float
) -> None:
    """Give participants the equity of the record, accounts what they hold, venues their claims."""
    record = frame_of(tables, "equity")
    whole = last_at(record[record["account"] < 0], time)
    values = dict(zip(whole["population"].astype(str), whole["value"].astype(float), strict=True))
    own = held[held["account"] >= 0]
    nodes = own["holder"].astype(str) + "[" + own["account"].astype(str) + "]"
    values |= {str(node): float(value) for node, value in own["value"].groupby(nodes).sum().items()}
    for node, about in graph.nodes(data=True):
        if about["kind"] in PARTICIPANTS:
            about["equity"] = values.get(node.replace(" (population)", ""), 0.0)
        else:
            about["equity"] = float(graph.in_degree(node, weight="value"))
