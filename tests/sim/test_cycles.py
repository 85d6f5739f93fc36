"""Cycle enumeration against networkx, and by hand."""

from collections import Counter
from itertools import pairwise, product

import networkx as nx
import numpy as np
import pytest

from sim import cycles as module
from sim.cycles import drop_repeats, enumerate_cycles, find_cycles, rotate_cycles
from sim.errors import InputError
from sim.graph import TokenGraph


def one_chain(node):
    return 0


def make_graph(edges, n_nodes, chain_of=one_chain):
    """A token graph of (node, node) edges, numbered as listed."""
    nodes = [(f"chain{chain_of(k)}", f"T{k}") for k in range(n_nodes)]
    graph = TokenGraph(nodes)
    for venue, (first, second) in enumerate(edges):
        graph.add_edge(venue, "constant_product", venue, nodes[first], nodes[second])
    return graph


def random_graph(seed, n_nodes, n_edges, n_chains=1):
    rng = np.random.default_rng(seed)
    edges = []
    while len(edges) < n_edges:
        a, b = (int(k) for k in rng.integers(0, n_nodes, 2))
        if a != b:
            edges.append((a, b))
    return make_graph(edges, n_nodes, lambda node: node % n_chains)


def as_sets(cycles):
    """Each cycle as its legs, as a plain tuple."""
    return [
        tuple((int(v), int(s)) for v, s in zip(venue, side, strict=True) if v >= 0)
        for venue, side in zip(cycles.venue, cycles.side, strict=True)
    ]


def lowest_first(legs):
    """The same ring, from its lowest leg on."""
    at = legs.index(min(legs))
    return legs[at:] + legs[:at]


def reference_cycles(graph, longest):
    """Every directed cycle as the set of its (venue, from) legs, by networkx on a simple graph."""
    simple = nx.Graph(
        (a, b) for a, b in graph.topology.edges() if a[0] == b[0]
    )  # pools only, one edge a pair
    found = []
    rings = [c for c in nx.simple_cycles(simple, length_bound=longest) if len(c) > 2]
    rings += [[a, b] for a, b in simple.edges()]
    for ring in rings:
        for way in (ring, ring[::-1]) if len(ring) > 2 else (ring,):
            steps = [*pairwise([*way, way[0]])]
            pools = [list(graph.topology[a][b]) for a, b in steps]
            starts = [graph.nodes.index(here) for here, _ in steps]
            found += [
                frozenset(zip(chosen, starts, strict=True))
                for chosen in product(*pools)
                if len(set(chosen)) == len(chosen)
            ]
    return Counter(found)


@pytest.mark.parametrize("longest", [2, 3, 4])
@pytest.mark.parametrize("seed", range(6))
def test_cycles_are_those_of_networkx_times_parallel_pools(seed, longest):
    graph = random_graph(seed, n_nodes=9, n_edges=20, n_chains=1 + seed % 2)
    cycles = enumerate_cycles(graph.compiled(), longest)
    found = Counter(
        frozenset((int(v), int(t)) for v, t in zip(venue, token, strict=True) if v >= 0)
        for venue, token in zip(cycles.venue, cycles.token, strict=True)
    )
    assert found == reference_cycles(graph, longest)
    assert max(found.values()) == 1


def test_two_parallel_pools_make_one_cycle_each_way():
    cycles = enumerate_cycles(make_graph([(0, 1), (1, 0)], 2).compiled(), 3)
    assert as_sets(cycles) == [((0, 0), (1, 0)), ((1, 1), (0, 1))]
    assert cycles.venue.tolist() == [[0, 1, -1], [1, 0, -1]]
    assert cycles.token.tolist() == [[0, 1, -1], [0, 1, -1]]


def test_one_pool_is_no_cycle():
    assert len(enumerate_cycles(make_graph([(0, 1)], 2).compiled(), 4).venue) == 0


def test_a_triangle_is_found_once_each_way():
    cycles = enumerate_cycles(make_graph([(0, 1), (1, 2), (2, 0)], 3).compiled(), 3)
    assert as_sets(cycles) == [((0, 0), (1, 0), (2, 0)), ((2, 1), (1, 1), (0, 1))]


def test_a_square_needs_four_legs():
    graph = make_graph([(0, 1), (1, 2), (2, 3), (3, 0)], 4).compiled()
    assert len(enumerate_cycles(graph, 3).venue) == 0
    assert len(enumerate_cycles(graph, 4).venue) == 2


def test_bridges_are_on_no_cycle():
    edges = [(0, 1), (1, 0), (0, 2), (0, 2)]  # nodes 0 and 1 on one chain, 2 on another
    graph = make_graph(edges, 3, lambda node: node // 2)
    assert enumerate_cycles(graph.compiled(), 4).venue[:, :2].tolist() == [[0, 1], [1, 0]]


def test_cycles_of_one_chain_only():
    edges = [(0, 2), (0, 2), (1, 3), (1, 3)]
    graph = make_graph(edges, 4, lambda node: node % 2).compiled()
    assert len(enumerate_cycles(graph, 2).venue) == 4
    assert sorted({int(v) for v in enumerate_cycles(graph, 2, 1).venue.ravel()}) == [2, 3]


def test_a_halted_pool_is_on_no_cycle():
    graph = make_graph([(0, 1), (0, 1), (0, 1)], 2)
    assert len(enumerate_cycles(graph.compiled(), 2).venue) == 6
    graph.halt(1)
    assert enumerate_cycles(graph.compiled(), 2).venue.tolist() == [[0, 2], [2, 0]]


def test_too_little_room_changes_the_rows_and_not_the_count():
    graph = random_graph(1, 6, 15).compiled()
    every = enumerate_cycles(graph, 3)
    few = module.Cycles(*(np.full((5, 3), -1, np.int64) for _ in range(3)))
    count = find_cycles(graph, -1, np.zeros((3, 3), np.int64), *few)
    assert count == len(every.venue) > 5
    assert np.array_equal(few.venue, every.venue[:5])


def test_compiled_equals_interpreted():
    graph = random_graph(3, 8, 20).compiled()
    every = enumerate_cycles(graph, 4)
    twin = module.Cycles(*(np.full_like(column, -1) for column in every))
    find_cycles.py_func(graph, -1, np.zeros((3, 4), np.int64), *twin)
    for compiled, plain in zip(every, twin, strict=True):
        assert np.array_equal(compiled, plain)


def test_rotated_cycles_start_at_the_preferred_token_they_pay():
    cycles = enumerate_cycles(make_graph([(0, 1), (1, 2), (2, 0), (0, 1)], 3).compiled(), 3)
    turned = rotate_cycles(cycles, [2, 1])
    assert len(turned.venue) == len(cycles.venue)
    for venue, token in zip(turned.venue, turned.token, strict=True):
        assert token[0] == (2 if venue[2] >= 0 else 1)
    assert sorted(map(lowest_first, as_sets(turned))) == sorted(map(lowest_first, as_sets(cycles)))


def test_cycles_without_a_start_token_are_left_out():
    graph = make_graph([(0, 1), (0, 1), (2, 3), (2, 3)], 4).compiled()
    turned = rotate_cycles(enumerate_cycles(graph, 2), [3])
    assert turned.token.tolist() == [[3, 2], [3, 2]]
    assert {tuple(v) for v in turned.venue.tolist()} == {(2, 3), (3, 2)}


def test_a_cycle_of_one_is_refused():
    with pytest.raises(InputError, match=r"max_length \(1\) must be at least 2"):
        enumerate_cycles(make_graph([(0, 1)], 2).compiled(), 1)


def test_too_many_cycles_are_refused_before_they_are_stored(monkeypatch):
    monkeypatch.setattr(module, "MOST_CYCLES", 5)
    with pytest.raises(InputError, match=r"6 cycles of up to 2 pools.*lower max_length \(2\)"):
        enumerate_cycles(make_graph([(0, 1)] * 3, 2).compiled(), 2)


def test_cycles_through_two_pairs_of_one_pool_are_dropped():
    """Venues 0 and 1 are pairs of one pool of three tokens, 2 to 4 pools of their own."""
    graph = make_graph([(0, 1), (1, 2), (2, 0), (0, 1), (1, 2)], 3).compiled()
    every = enumerate_cycles(graph, 3)
    kept = drop_repeats(every, np.array([0, 0, 2, 3, 4]))
    uses_both = ((every.venue == 0).any(axis=1)) & ((every.venue == 1).any(axis=1))
    assert uses_both.any()
    assert np.array_equal(kept.venue, every.venue[~uses_both])
    assert np.array_equal(drop_repeats(every, np.arange(5)).token, every.token)
