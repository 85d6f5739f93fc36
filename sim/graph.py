"""The token graph: which pools and bridges lead from which token to which.

A node is `(chain, symbol)`; an edge is a pool (inside a chain) or a bridge (between chains) and is
keyed by its venue. Edges carry `kind` and `row` and nothing else: every number lives in the columns
of its mechanism. Python reads the networkx MultiGraph; compiled code reads `GraphState`, the same
graph in compressed rows with one entry per parallel edge and direction, made anew when the version
has moved.

Halting an edge here takes it out of the compiled graph, so that whoever enumerates paths forgets
it. A venue that `Venues.is_halted` pauses for a while needs no new graph: behaviors and blocks look
at the flag themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sim.errors import InputError
from sim.kernel import I8, columnar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import networkx as nx

    from sim.registry import VenueSite
    from sim.world import World

Node = tuple[str, str]  # chain, token symbol


@columnar
class GraphState(NamedTuple):
    """The live graph in compressed rows: node n has the entries start[n] to start[n + 1] - 1.

    They are sorted by neighbor, then venue. Every edge has two entries, one from each end.
    """

    start: I8  # int64, (n_nodes + 1,)
    neighbor: I8  # int64, (n_entries,), node at the other end
    venue: I8  # int64, (n_entries,)
    side: I8  # int64, (n_entries,), 0: leaves the venue's first node, as a swap that pays token 0
    chain: I8  # int64, (n_nodes,), number of the node's chain


class _Edge(NamedTuple):
    first: int  # node of token 0
    second: int
    is_halted: bool


class TokenGraph:
    """A graph of tokens, pools and bridges that can change while a world runs.

    Attributes
    ----------
    topology : networkx.MultiGraph for reading; change it through the methods only
    nodes : the nodes in the order of their numbers
    chains : chain names in the order of their numbers
    version : counts changes
    """

    def __init__(self, nodes: Sequence[Node] = (), chains: Sequence[str] = ()) -> None:
        import networkx as nx

        self.topology: nx.MultiGraph[Node] = nx.MultiGraph()
        self.nodes: list[Node] = []
        self.chains = list(chains)
        self.version = 0
        self._number: dict[Node, int] = {}
        self._edges: dict[int, _Edge] = {}
        self._compiled: tuple[int, GraphState] | None = None
        for node in nodes:
            self.add_node(node)

    def add_node(self, node: Node) -> int:
        """Add a token unless it is there; return its number."""
        if node not in self._number:
            self._number[node] = len(self.nodes)
            self.nodes.append(node)
            if node[0] not in self.chains:
                self.chains.append(node[0])
            self.topology.add_node(node)
            self.version += 1
        return self._number[node]

    def add_edge(self, venue: int, kind: str, row: int, first: Node, second: Node) -> None:
        """Add a pool or bridge; nodes that are new are added with it.

        Parameters
        ----------
        venue : number of the venue, the key of the edge
        kind, row : mechanism and row in its state
        first, second : the ends; of a pool token 0 and token 1

        Raises
        ------
        InputError
            The venue is an edge already, or both ends are one node.
        """
        if venue in self._edges:
            raise InputError(
                f"venue {venue} is an edge of the token graph already; remove it first"
            )
        if first == second:
            raise InputError(
                f"venue {venue} leads from {first} to itself; give two different tokens"
            )
        self._edges[venue] = _Edge(self.add_node(first), self.add_node(second), is_halted=False)
        self.topology.add_edge(first, second, key=venue, kind=kind, row=row)
        self.version += 1

    def halt(self, venue: int) -> None:
        """Take an edge out of the compiled graph until it is resumed."""
        self._mark(venue, is_halted=True)

    def resume(self, venue: int) -> None:
        """Put a halted edge back into the compiled graph."""
        self._mark(venue, is_halted=False)

    def remove(self, venue: int) -> None:
        """Remove an edge for good."""
        edge = self._edge(venue)
        self.topology.remove_edge(self.nodes[edge.first], self.nodes[edge.second], key=venue)
        del self._edges[venue]
        self.version += 1

    def is_halted(self, venue: int) -> bool:
        """Return whether an edge is halted."""
        return self._edge(venue).is_halted

    def compiled(self) -> GraphState:
        """Return the live edges in compressed rows; the same arrays until the version moves."""
        if self._compiled is None or self._compiled[0] != self.version:
            self._compiled = (self.version, self._compile())
        return self._compiled[1]

    def _edge(self, venue: int) -> _Edge:
        if venue not in self._edges:
            known = ", ".join(map(str, self._edges)) or "none"
            raise InputError(f"venue {venue} is no edge of the token graph; these are: {known}")
        return self._edges[venue]

    def _mark(self, venue: int, *, is_halted: bool) -> None:
        edge = self._edge(venue)
        if edge.is_halted != is_halted:
            self._edges[venue] = edge._replace(is_halted=is_halted)
            self.version += 1

    def _compile(self) -> GraphState:
        live = [(e.first, e.second, v) for v, e in self._edges.items() if not e.is_halted]
        first, second, venue = np.array(live, np.int64).reshape(-1, 3).T
        here, there = np.concatenate([first, second]), np.concatenate([second, first])
        venue, side = np.tile(venue, 2), np.repeat(np.arange(2), len(first))
        order = np.lexsort((venue, there, here))
        degree = np.bincount(here, minlength=len(self.nodes))
        numbers = {name: k for k, name in enumerate(self.chains)}
        return GraphState(
            start=np.concatenate([[0], np.cumsum(degree)]).astype(np.int64),
            neighbor=there[order],
            venue=venue[order],
            side=side[order],
            chain=np.array([numbers[chain] for chain, _ in self.nodes], np.int64),
        )


def token_graph(world: World) -> TokenGraph:
    """Return the graph of a world: its nodes are numbered as its tokens, its chains as its chains.

    Pools are edges between their two tokens. Any other venue that works with tokens of more than
    one chain is a bridge, an edge between its first token and the first one on another chain.
    """
    nodes = [(token.chain, token.symbol) for token in world.tokens]
    graph = TokenGraph(nodes, world.chain_names)
    for site in world.venue_sites:
        ends = _ends(world, site)
        if ends is not None:
            kind = world.plan.venues[site.number].mechanism.kind
            graph.add_edge(site.number, kind, site.row, nodes[ends[0]], nodes[ends[1]])
    return graph


def _ends(world: World, site: VenueSite) -> tuple[int, int] | None:
    token0, token1 = world.venues.token0[site.number], world.venues.token1[site.number]
    if token0 >= 0:
        return int(token0), int(token1)
    tokens = (*site.tokens, *site.own_tokens)
    for token in tokens[1:]:
        if world.tokens[token].chain != world.tokens[tokens[0]].chain:
            return tokens[0], token
    return None
