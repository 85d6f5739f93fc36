"""What a lending market is worth, to whom, and whether its books balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.errors import InvariantError
from sim.feeds import Feeds
from sim.grouping import ranges, sort_rows
from sim.kernel import kernel
from sim.lending.modes import secures, terms_of
from sim.lending.reserve import (
    borrow_index_at,
    borrow_rate,
    supply_index_at,
    supply_rate,
    utilization,
)
from sim.lending.settings import KIND
from sim.registry import Claim, Columns
from sim.units import TICKS_PER_SECOND

if TYPE_CHECKING:
    from sim.lending.state import LendingState
    from sim.lending.verbs import LendingDesk
    from sim.world import World

BORNE = ("backstop", "deficit", "borne_by_treasury", "borne_by_backstop", "borne_by_suppliers")
_HALF = 32
_MASK = (1 << _HALF) - 1


class Book(NamedTuple):
    """Values of every position at given prices."""

    collateral: np.ndarray  # float64, (n_positions,), USD
    threshold: np.ndarray  # float64, (n_positions,), USD, weighted by liquidation thresholds
    debt: np.ndarray  # float64, (n_positions,), USD


@kernel(inline=False)
def _grow_indices(state, now, supply_index, borrow_index):  # type: ignore[no-untyped-def]
    for k in range(state.reserves.shape[0]):
        supply_index[k] = supply_index_at(state.reserves[k], now)
        borrow_index[k] = borrow_index_at(state.reserves[k], now)


def grown_indices(state: LendingState, now: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the supply and borrow index of every reserve as of a tick; writes nothing."""
    supply_index, borrow_index = np.zeros((2, len(state.reserves)))
    _grow_indices(state, now, supply_index, borrow_index)
    return supply_index, borrow_index


@kernel
def _value(state, position, has, owes):  # type: ignore[no-untyped-def]
    """Return collateral, its weighted value and debt of one position."""
    collateral = threshold = debt = 0.0
    for place in range(state.collateral_reserve.shape[1]):
        k = state.collateral_reserve[position, place]
        if secures(state, position, place):
            value = state.collateral_scaled[position, place] * has[k]
            collateral += value
            threshold += value * terms_of(state, position, k)[1]
    for place in range(state.debt_reserve.shape[1]):
        k = state.debt_reserve[position, place]
        if k >= 0:
            debt += state.debt_scaled[position, place] * owes[k]
    return collateral, threshold, debt


@kernel(inline=False)
def _value_positions(state, has, owes, book):  # type: ignore[no-untyped-def]
    """Write collateral, its weighted value and debt of every position: (3, n_positions)."""
    for position in range(book.shape[1]):
        book[0, position], book[1, position], book[2, position] = _value(state, position, has, owes)


def value_book(state: LendingState, price: np.ndarray, now: int) -> Book:
    """Return what every position has and owes at the given prices of the reserves.

    Parameters
    ----------
    price : float64, (n_reserves,), USD
    """
    book = np.empty((3, len(state.positions)))
    supply_index, borrow_index = grown_indices(state, now)
    _value_positions(state, supply_index * price, borrow_index * price, book)
    return Book(*book)


def shortfall_shares(book: Book) -> np.ndarray:
    """Return the share of each position's debt that its collateral does not cover.

    Float64, (n,).
    """
    short = np.maximum(book.debt - book.collateral, 0.0)
    return np.asarray(np.divide(short, book.debt, out=np.zeros(len(short)), where=book.debt > 0.0))


@kernel(inline=False)
def _note_unsafe(state, has, owes, index, now, since, latent):  # type: ignore[no-untyped-def]
    """Note since when positions are unsafe; add to `latent` the debt beyond their collateral."""
    for position in range(since.shape[0]):
        collateral, threshold, debt = _value(state, position, has, owes)
        if not (debt > 0.0 and threshold < debt):
            since[position] = -1
        elif since[position] < 0:
            since[position] = now
        if debt > collateral:
            share = (debt - collateral) / debt
            for place in range(state.debt_reserve.shape[1]):
                k = state.debt_reserve[position, place]
                if k >= 0:
                    latent[k] += state.debt_scaled[position, place] * index[k] * share


@kernel(inline=False)
def _read_rates(state, rates):  # type: ignore[no-untyped-def]
    """Write utilization, borrow and supply rate of every reserve: (n_reserves, 3)."""
    for k in range(state.reserves.shape[0]):
        asset = state.reserves[k]
        rates[k, 0], rates[k, 1], rates[k, 2] = (
            utilization(asset),
            borrow_rate(asset),
            supply_rate(asset),
        )


class Entries(NamedTuple):
    """The filled slots of all positions, one entry each."""

    position: np.ndarray  # int64, (n,)
    reserve: np.ndarray  # int64, (n,)
    amount: np.ndarray  # float64, (n,), tokens


@kernel(inline=False)
def _list_entries(slots, scaled, index, position, reserve, amount):  # type: ignore[no-untyped-def]
    """Write the filled slots, position after position; returns how many there are."""
    n = 0
    for row in range(slots.shape[0]):
        for place in range(slots.shape[1]):
            k = slots[row, place]
            if k >= 0:
                position[n], reserve[n], amount[n] = row, k, scaled[row, place] * index[k]
                n += 1
    return n


def _entries(slots: np.ndarray, scaled: np.ndarray, index: np.ndarray) -> Entries:
    columns = np.empty(slots.size, np.int64), np.empty(slots.size, np.int64), np.empty(slots.size)
    n = _list_entries(slots, scaled, index, *columns)
    return Entries(*(column[:n] for column in columns))


def claims(world: World, own: tuple[LendingState, LendingDesk]) -> list[Claim]:
    """Return claims and debts of every account, loans being non-recourse.

    A debt is worth at most its collateral at fundamental prices: the shortfall is taken from the
    claims on the debt's reserve pro rata, before anybody recognizes it.
    """
    state, desk = own
    if not len(state.positions):
        return []
    n, now = len(state.reserves), world.now
    supply_index, borrow_index = grown_indices(state, now)
    tokens = state.reserves["token"]
    book = value_book(state, world.prices.fundamental[tokens], now)
    share = shortfall_shares(book)
    held = _entries(state.collateral_reserve, state.collateral_scaled, supply_index)
    owed = _entries(state.debt_reserve, state.debt_scaled, borrow_index)
    lost = np.bincount(owed.reserve, owed.amount * share[owed.position], n)
    total = np.bincount(held.reserve, held.amount, n)
    kept = 1.0 - np.divide(lost, total, out=np.zeros(n), where=total > 0.0)
    kept = np.maximum(kept, 0.0)
    position = np.concatenate([held.position, owed.position])
    reserve = np.concatenate([held.reserve, owed.reserve])
    net = np.concatenate(
        [held.amount * kept[held.reserve], -owed.amount * (1.0 - share[owed.position])]
    )
    found = _by_owner(state, position, reserve, net)
    sums = np.bincount(reserve, net, n)
    accounts = desk.account[state.reserves["market"]]
    found += [
        Claim(int(desk.group[0]), accounts[k : k + 1], int(tokens[k]), -sums[k : k + 1])
        for k in range(n)
    ]
    return found


def _by_owner(
    state: LendingState, position: np.ndarray, reserve: np.ndarray, amount: np.ndarray
) -> list[Claim]:
    """Return the entries as claims, one for each population and reserve."""
    n = len(state.reserves)
    population = state.positions["population"].astype(np.int64)
    order, bounds = sort_rows(population[position] * n + reserve, n * (int(population.max()) + 1))
    owners, amounts = state.positions["owner"][position[order]], amount[order]
    tokens = state.reserves["token"].tolist()
    return [
        Claim(key // n, owners[start:end].astype(np.int64), tokens[key % n], amounts[start:end])
        for key, start, end in ranges(bounds)
    ]


def sample(world: World, own: tuple[LendingState, LendingDesk]) -> dict[str, Columns]:
    """Return the columns of the `lending` record; note which positions have become unsafe."""
    state, desk = own
    reserves, n = state.reserves, len(state.reserves)
    reference = world.prices.reference[reserves["token"]]
    supply_index, borrow_index = grown_indices(state, world.now)
    has, owes, latent = supply_index * reference, borrow_index * reference, np.zeros(n)
    _note_unsafe(state, has, owes, borrow_index, world.now, desk.unsafe_since, latent)
    rates = np.zeros((n, 3))
    _read_rates(state, rates)
    return {
        "lending": {
            "venue": venue_numbers(world, desk)[reserves["market"]],
            "token": reserves["token"],
            "supplied": (reserves["scaled_supply"] + reserves["scaled_treasury"]) * supply_index,
            "borrowed": reserves["scaled_debt"] * borrow_index,
            "cash": reserves["cash"],
            "utilization": rates[:, 0],
            "borrow_rate": rates[:, 1],
            "supply_rate": rates[:, 2],
            "oracle_price": reserves["price"],
            "bad_debt": reserves["written_off"] * reference,
            "latent_bad_debt": latent * reference,
            "treasury": reserves["scaled_treasury"] * supply_index,
            **{name: reserves[name] for name in BORNE},
        }
    }


def venue_numbers(world: World, desk: LendingDesk) -> np.ndarray:
    """Return the venue of each lending market: int64, (n_markets,)."""
    return np.flatnonzero(world.venues.group == desk.group[0])


def sample_positions(world: World, own: tuple[LendingState, LendingDesk]) -> dict[str, Columns]:
    """Return the columns of the `positions` record: every position with a debt."""
    state, desk = own
    at_oracle = value_book(state, state.reserves["price"], world.now)
    reference = world.prices.reference[state.reserves["token"]]
    at_reference = value_book(state, reference, world.now)
    rows = np.flatnonzero(at_oracle.debt > 0.0)
    debt = at_oracle.debt[rows]
    positions = state.positions[rows]
    return {
        "positions": {
            "venue": venue_numbers(world, desk)[positions["market"]],
            "position": rows,
            "population": positions["population"],
            "account": positions["owner"],
            "collateral": at_oracle.collateral[rows],
            "debt": debt,
            "health_factor": at_oracle.threshold[rows] / debt,
            "shortfall": np.maximum(at_reference.debt[rows] - at_reference.collateral[rows], 0.0),
        }
    }


def check(world: World, own: tuple[LendingState, LendingDesk]) -> None:
    """Check that the cash of every reserve lies on the ledger, and that the books balance.

    Raises
    ------
    InvariantError
        They do not; names market, token and amounts.
    """
    state, desk = own
    n = len(state.reserves)
    unit = np.ones(n)
    held = _entries(state.collateral_reserve, state.collateral_scaled, unit)
    owed = _entries(state.debt_reserve, state.debt_scaled, unit)
    scaled_claims = np.bincount(held.reserve, held.amount, n)
    scaled_debts = np.bincount(owed.reserve, owed.amount, n)
    for k in range(n):
        asset = state.reserves[k]
        name = world.token_names[int(asset["token"])]
        balance = world.balance(
            int(desk.group[0]), int(desk.account[asset["market"]]), int(asset["token"])
        )
        moved = float(world.ledger.turnover[int(asset["token"])])
        allowed = 1e-9 * (1.0 + moved)
        booked = float(asset["cash"] + asset["backstop"])
        if abs(balance - booked) > allowed:
            raise InvariantError(
                f"lending reserve {k} ({name}) counts {booked:.12g} in cash and backstop; its "
                f"account holds {balance:.12g}"
            )
        for what, total, parts in (
            ("claims", float(asset["scaled_supply"]), float(scaled_claims[k])),
            ("debts", float(asset["scaled_debt"]), float(scaled_debts[k])),
        ):
            if abs(total - parts) > 1e-9 * (1.0 + abs(total)):
                raise InvariantError(
                    f"lending reserve {k} ({name}): {what} of positions add up to {parts:.12g}, "
                    f"not to {total:.12g}"
                )


def liquidation_details(world: World, fills: np.ndarray) -> dict[str, Any]:
    """Return what the `liquidations` record adds to the fills of liquidations."""
    state, desk = world.states[KIND]
    positions = state.positions[fills["a"]]
    since = desk.unsafe_since[fills["a"]]
    delay = np.where(since >= 0, (fills["time"] - since) / TICKS_PER_SECOND, 0.0)
    return {
        "borrower_population": positions["population"],
        "borrower_account": positions["owner"],
        "delay": np.maximum(delay, 0.0),
    }


def liquidation_times(world: World, fills: np.ndarray, slack: int) -> tuple[np.ndarray, np.ndarray]:
    """Return when each liquidated account was last safe, and when its price was observed.

    Safety is noted at samples, so the first is exact to one sample interval, `slack` ticks.
    """
    state, desk = world.states[KIND]
    feeds = world.shared[Feeds]
    unsafe = desk.unsafe_since[fills["a"]]
    since = np.where(unsafe >= 0, unsafe, fills["time"]) - slack
    collateral = state.reserves["price_feed"][fills["b"] & _MASK]
    observed = np.minimum(feeds.since[collateral], fills["time"])
    return np.maximum(since, 0), np.maximum(observed, np.maximum(since, 0))
