"""Trading cycles: every way to leave a token through pools of its chain and come back to it.

A cycle visits no token twice and uses no pool twice; parallel pools make different cycles. Each
appears once per direction, from its lowest token: the search starts at every token in turn, walks
depth first over higher ones only, and closes where it started. The number of cycles can grow
exponentially with their length, so they are counted before they are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sim.errors import InputError
from sim.kernel import I8x2, columnar, kernel

if TYPE_CHECKING:
    from sim.graph import GraphState

MOST_CYCLES = 5_000_000  # 240 MB at length 3


@columnar
class Cycles(NamedTuple):
    """Cycles as legs in the order of execution; short ones end in -1."""

    venue: I8x2  # int64, (n_cycles, max_length)
    side: I8x2  # int64, (n_cycles, max_length), 0: pays token 0
    token: I8x2  # int64, (n_cycles, max_length), node that the leg pays


@kernel
def _is_taken(graph, taken, depth, entry):  # type: ignore[no-untyped-def]
    """Return whether the path uses the entry's venue already."""
    found = False
    for k in range(depth):
        found |= graph.venue[taken[k]] == graph.venue[entry]
    return found


@kernel
def _is_visited(node, depth, there):  # type: ignore[no-untyped-def]
    """Return whether the path, up to `depth`, visits a node already."""
    found = False
    for k in range(depth + 1):
        found |= node[k] == there
    return found


@kernel(inline=False)
def find_cycles(graph, only_chain, path, venue, side, token):  # type: ignore[no-untyped-def]
    """Write the cycles of at most `path.shape[1]` legs, as many as fit; return how many there are.

    Parameters
    ----------
    graph : GraphState
    only_chain : number of a chain, -1: every chain
    path : int64, (3, max_length), workspace
    venue, side, token : int64, (capacity, max_length), out
    """
    node, cursor, taken = path[0], path[1], path[2]
    n, longest = 0, path.shape[1]
    for root in range(graph.chain.shape[0]):
        if only_chain >= 0 and graph.chain[root] != only_chain:
            continue
        depth = 0
        node[0], cursor[0] = root, graph.start[root]
        while depth >= 0:
            entry = cursor[depth]
            if entry == graph.start[node[depth] + 1]:
                depth -= 1
                continue
            cursor[depth] = entry + 1
            there = graph.neighbor[entry]
            if there < root or graph.chain[there] != graph.chain[root]:
                continue
            if _is_taken(graph, taken, depth, entry):
                continue
            taken[depth] = entry
            if there == root:
                if n < venue.shape[0]:
                    for k in range(depth + 1):
                        venue[n, k] = graph.venue[taken[k]]
                        side[n, k] = graph.side[taken[k]]
                        token[n, k] = node[k]
                n += 1
            elif depth + 1 < longest and not _is_visited(node, depth, there):
                depth += 1
                node[depth], cursor[depth] = there, graph.start[there]
    return n


def enumerate_cycles(graph: GraphState, max_length: int, chain: int = -1) -> Cycles:
    """Return every cycle of 2 to `max_length` pools inside one chain.

    Parameters
    ----------
    graph : compiled token graph
    max_length : most legs, at least 2
    chain : number of the chain, -1: all of them

    Raises
    ------
    InputError
        `max_length` is below 2, or there are more cycles than can be kept.
    """
    if max_length < 2:
        raise InputError(f"max_length ({max_length}) must be at least 2, a cycle of two pools")
    path = np.zeros((3, max_length), np.int64)
    none = np.zeros((0, max_length), np.int64)
    count = int(find_cycles(graph, chain, path, none, none, none))
    if count > MOST_CYCLES:
        raise InputError(
            f"the token graph has {count} cycles of up to {max_length} pools, more than "
            f"{MOST_CYCLES}; lower max_length ({max_length})"
        )
    cycles = Cycles(*(np.full((count, max_length), -1, np.int64) for _ in range(3)))
    find_cycles(graph, chain, path, *cycles)
    return cycles


def rotate_cycles(cycles: Cycles, tokens: list[int]) -> Cycles:
    """Return the cycles that pay one of the tokens, each turned to start at the first it pays.

    Parameters
    ----------
    cycles : as enumerated
    tokens : where to start, the preferred one first
    """
    n, longest = cycles.venue.shape
    length = (cycles.venue >= 0).sum(axis=1)
    first = np.full(n, -1)
    for token in reversed(tokens):
        pays = cycles.token == token
        first = np.where(pays.any(axis=1), pays.argmax(axis=1), first)
    kept = np.flatnonzero(first >= 0)
    legs = np.arange(longest)
    turned = (first[kept, None] + legs) % np.maximum(length[kept, None], 1)
    is_leg = legs < length[kept, None]
    return Cycles(
        *(np.where(is_leg, np.take_along_axis(c[kept], turned, axis=1), -1) for c in cycles)
    )


def drop_repeats(cycles: Cycles, pool: np.ndarray) -> Cycles:
    """Return the cycles that use no pool twice, where a pool of many tokens is several venues.

    Parameters
    ----------
    cycles : as enumerated
    pool : int64, (n_venues,), a number of the pool that a venue belongs to
    """
    owner = np.where(cycles.venue >= 0, pool[cycles.venue], -1 - np.arange(cycles.venue.shape[1]))
    ordered = np.sort(owner, axis=1)
    is_kept = (np.diff(ordered, axis=1) != 0).all(axis=1)
    return Cycles(*(np.ascontiguousarray(column[is_kept]) for column in cycles))
