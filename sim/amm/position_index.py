"""The index of positions: from (pool, group, account, tick_lower, tick_upper) to a number.

A hash table with linear probing, at most half full, -1 where it is empty; what is removed leaves no
mark, because those behind it move up. Free numbers are a chain that starts at `free_position[0]`.
"""

from __future__ import annotations

from sim.kernel import kernel


@kernel
def mix(value, part):  # type: ignore[no-untyped-def]
    """Return 32 bits that depend on all of both; products stay below 2^63, as the twin needs."""
    value = ((value ^ (part & 0xFFFFFFFF)) * 0x45D9F3B) & 0xFFFFFFFF
    return value ^ (value >> 15)


@kernel
def home_of(pools, row, group, account, tick_lower, tick_upper):  # type: ignore[no-untyped-def]
    """Return where the search for a key starts."""
    value = mix(mix(mix(mix(mix(0, row), group), account), tick_lower), tick_upper)
    return value & (pools.position_index.shape[0] - 1)


@kernel
def find_position(pools, row, group, account, tick_lower, tick_upper):  # type: ignore[no-untyped-def]
    """Return the number of a position, or -1."""
    mask = pools.position_index.shape[0] - 1
    place = home_of(pools, row, group, account, tick_lower, tick_upper)
    while pools.position_index[place] >= 0:
        number = pools.position_index[place]
        position = pools.position[number]
        if (
            position.pool == row
            and position.group == group
            and position.account == account
            and position.tick_lower == tick_lower
            and position.tick_upper == tick_upper
        ):
            return number
        place = (place + 1) & mask
    return -1


@kernel
def home_of_number(pools, number):  # type: ignore[no-untyped-def]
    """Return where the search for a position's key starts."""
    p = pools.position[number]
    return home_of(pools, p.pool, p.group, p.account, p.tick_lower, p.tick_upper)


@kernel
def enter_number(pools, number):  # type: ignore[no-untyped-def]
    """Enter a position into the index."""
    mask = pools.position_index.shape[0] - 1
    place = home_of_number(pools, number)
    while pools.position_index[place] >= 0:
        place = (place + 1) & mask
    pools.position_index[place] = number


@kernel
def add_position(pools, row, group, account, tick_lower, tick_upper):  # type: ignore[no-untyped-def]
    """Take the first free number for a key; the caller has seen that there is one."""
    number = pools.free_position[0]
    position = pools.position[number]
    pools.free_position[0] = position.next_free
    position.pool, position.group, position.account = row, group, account
    position.tick_lower, position.tick_upper = tick_lower, tick_upper
    enter_number(pools, number)
    return number


@kernel
def remove_position(pools, number):  # type: ignore[no-untyped-def]
    """Free the number of an empty position and close the gap in the index."""
    mask = pools.position_index.shape[0] - 1
    gap = home_of_number(pools, number)
    while pools.position_index[gap] != number:
        gap = (gap + 1) & mask
    place = (gap + 1) & mask
    while pools.position_index[place] >= 0:
        home = home_of_number(pools, pools.position_index[place])
        if ((place - home) & mask) >= ((place - gap) & mask):
            pools.position_index[gap] = pools.position_index[place]
            gap = place
        place = (place + 1) & mask
    pools.position_index[gap] = -1
    position = pools.position[number]
    position.pool = -1
    position.next_free = pools.free_position[0]
    pools.free_position[0] = number


@kernel
def is_position(pools, row, number):  # type: ignore[no-untyped-def]
    """Return whether a number is that of a position in this pool."""
    return 0 <= number < pools.position.shape[0] and pools.position[number].pool == row
