"""The token graph: parallel pools stay apart, and every change shows in the compiled rows."""

import networkx as nx
import numpy as np
import pytest

from sim.errors import InputError
from sim.graph import TokenGraph

ETH, DAI, BTC, FAR = ("main", "ETH"), ("main", "DAI"), ("main", "BTC"), ("side", "ETH")


def make_graph():
    """Two ETH/DAI pools, one of BTC/ETH, a bridge of ETH; nodes ETH 0, DAI 1, BTC 2, far 3."""
    graph = TokenGraph([ETH, DAI, BTC, FAR], ["main", "side"])
    graph.add_edge(0, "constant_product", 0, ETH, DAI)
    graph.add_edge(1, "constant_product", 1, DAI, ETH)
    graph.add_edge(5, "concentrated", 0, BTC, ETH)
    graph.add_edge(7, "lock_and_mint", 0, ETH, FAR)
    return graph


def leaving(graph, node):
    """(neighbor, venue, side) of every entry of a node."""
    rows = graph.compiled()
    at = slice(rows.start[node], rows.start[node + 1])
    columns = (rows.neighbor[at], rows.venue[at], rows.side[at])
    return list(zip(*(c.tolist() for c in columns), strict=True))


def test_every_parallel_edge_has_an_entry_at_each_end_with_the_side_it_pays():
    graph = make_graph()
    assert leaving(graph, 0) == [(1, 0, 0), (1, 1, 1), (2, 5, 1), (3, 7, 0)]
    assert leaving(graph, 1) == [(0, 0, 1), (0, 1, 0)]
    assert leaving(graph, 2) == [(0, 5, 0)]
    assert leaving(graph, 3) == [(0, 7, 1)]


def test_compiled_rows_know_the_chain_of_every_node():
    assert make_graph().compiled().chain.tolist() == [0, 0, 0, 1]


def test_edges_carry_kind_and_row_and_nothing_else():
    topology = make_graph().topology
    assert isinstance(topology, nx.MultiGraph)
    assert topology.number_of_edges(ETH, DAI) == 2
    assert topology.edges[BTC, ETH, 5] == {"kind": "concentrated", "row": 0}


def test_compiled_rows_are_kept_until_the_version_moves():
    graph = make_graph()
    before, version = graph.compiled(), graph.version
    assert graph.compiled() is before
    graph.add_edge(9, "constant_product", 2, BTC, DAI)
    assert graph.version > version
    assert graph.compiled() is not before


def test_a_halted_edge_leaves_the_compiled_graph_and_comes_back():
    graph = make_graph()
    every = leaving(graph, 0)
    graph.halt(1)
    assert graph.is_halted(1)
    assert leaving(graph, 0) == [(1, 0, 0), (2, 5, 1), (3, 7, 0)]
    assert graph.topology.number_of_edges(ETH, DAI) == 2
    graph.resume(1)
    assert leaving(graph, 0) == every


def test_halting_twice_is_one_change():
    graph = make_graph()
    graph.halt(0)
    version = graph.version
    graph.halt(0)
    assert graph.version == version


def test_a_removed_edge_is_gone_and_its_venue_may_be_added_again():
    graph = make_graph()
    graph.remove(0)
    assert graph.topology.number_of_edges(ETH, DAI) == 1
    assert leaving(graph, 1) == [(0, 1, 0)]
    graph.add_edge(0, "constant_product", 0, ETH, DAI)
    assert leaving(graph, 1) == [(0, 0, 1), (0, 1, 0)]


def test_adding_an_edge_adds_its_new_nodes_and_chains():
    graph = TokenGraph()
    graph.add_edge(3, "constant_product", 0, ("a", "X"), ("a", "Y"))
    graph.add_edge(4, "lock_and_mint", 0, ("a", "X"), ("b", "wX"))
    assert graph.nodes == [("a", "X"), ("a", "Y"), ("b", "wX")]
    assert graph.chains == ["a", "b"]
    assert leaving(graph, 0) == [(1, 3, 0), (2, 4, 0)]


def test_a_graph_without_edges_compiles():
    rows = TokenGraph([ETH, DAI]).compiled()
    assert rows.start.tolist() == [0, 0, 0]
    assert rows.neighbor.dtype == rows.venue.dtype == np.int64
    assert len(rows.neighbor) == 0


def test_a_venue_cannot_be_two_edges():
    with pytest.raises(InputError, match="venue 0 is an edge of the token graph already"):
        make_graph().add_edge(0, "constant_product", 3, BTC, DAI)


def test_an_edge_needs_two_tokens():
    with pytest.raises(InputError, match="to itself"):
        make_graph().add_edge(2, "constant_product", 3, BTC, BTC)


def test_an_unknown_venue_is_named_with_those_that_exist():
    with pytest.raises(
        InputError, match="venue 4 is no edge of the token graph; these are: 0, 1, 5, 7"
    ):
        make_graph().halt(4)
