"""What crvUSD markets are worth, to whom, and whether their books balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.errors import InvariantError
from sim.feeds import Feeds
from sim.kernel import kernel
from sim.llamma.deposits import position_of
from sim.llamma.loans import debt_of, health
from sim.llamma.settings import KIND
from sim.registry import Claim, Columns
from sim.units import TICKS_PER_SECOND

if TYPE_CHECKING:
    from sim.llamma.state import LlammaState
    from sim.world import World

_ROUNDING = 1e-9  # of all that was moved
_BEARERS = (
    "bad_debt",
    "treasury",
    "backstop",
    "deficit",
    "borne_by_treasury",
    "borne_by_backstop",
    "borne_by_suppliers",
)


class LoanBook(NamedTuple):
    """What every loan has in its bands and owes: float64, (n_loans,)."""

    x: np.ndarray  # debt tokens
    y: np.ndarray  # collateral tokens
    debt: np.ndarray  # debt tokens
    health: np.ndarray  # with what the collateral is worth above its bands; inf without debt


@kernel(inline=False)
def _read_loans(state, now, book):  # type: ignore[no-untyped-def]
    for loan in range(book.shape[1]):
        book[0, loan], book[1, loan] = position_of(state, loan)
        book[2, loan] = debt_of(state, loan, now)
        book[3, loan] = health(state, loan, 1, now)


def read_loans(state: LlammaState, now: int) -> LoanBook:
    """Return what every loan has and owes at a tick."""
    book = np.zeros((4, len(state.loans)))
    _read_loans(state, now, book)
    return LoanBook(*book)


def venue_numbers(world: World) -> np.ndarray:
    """Return the venue of each market: int64, (n_markets,)."""
    return np.array([s.number for s in world.venue_sites if s.config.kind == KIND], np.int64)


def _values(world: World, state: LlammaState, book: LoanBook) -> tuple[np.ndarray, np.ndarray]:
    """Return what every loan has and owes at reference prices: USD."""
    market = state.markets[state.loans["market"]]
    price = world.prices.reference
    worth = price[market["debt_token"]]
    return book.x * worth + book.y * price[market["collateral_token"]], book.debt * worth


def claims(world: World, state: LlammaState) -> list[Claim]:
    """Return what borrowers have in bands and owe, and what the markets owe.

    A debt is worth at most what lies in its bands, at fundamental prices. The debt token is a debt
    of its market, whose account carries minus what it has issued.
    """
    book, price = read_loans(state, world.now), world.prices.fundamental
    market = state.markets[state.loans["market"]]
    worth = price[market["debt_token"]]
    has = book.x + book.y * price[market["collateral_token"]] / worth
    debt = np.minimum(book.debt, has)
    found = []
    for row, venue in enumerate(venue_numbers(world)):
        m = state.markets[row]
        x_token, y_token = int(m["debt_token"]), int(m["collateral_token"])
        for token, amounts in ((x_token, book.x), (y_token, book.y), (x_token, -debt)):
            found += _between(state, row, int(venue), token, amounts)
        liability = float(m["issued"] + m["elsewhere"])
        found.append(_own(state, row, x_token, -liability, int(venue)))
    return found


def _between(
    state: LlammaState, row: int, venue: int, token: int, amounts: np.ndarray
) -> list[Claim]:
    """Return amounts of loans as claims of their owners, and the opposite one of the market."""
    loans, found = state.loans, []
    mine = np.flatnonzero((loans["market"] == row) & (amounts != 0.0))
    for population in np.unique(loans["population"][mine]):
        part = mine[loans["population"][mine] == population]
        owners = loans["owner"][part].astype(np.int64)
        found.append(Claim(int(population), owners, token, amounts[part], venue))
    found.append(_own(state, row, token, -float(amounts[mine].sum()), venue))
    return found


def _own(state: LlammaState, row: int, token: int, amount: float, venue: int) -> Claim:
    market = state.markets[row]
    own = np.array([market["account"]], np.int64)
    return Claim(int(market["group"]), own, token, np.array([amount]), venue)


# --- records -------------------------------------------------------------------------------------


def sample(world: World, state: LlammaState) -> dict[str, Columns]:
    """Return columns of `pools` and `lending`, and note which loans have become unsafe."""
    book, venue = read_loans(state, world.now), venue_numbers(world)
    is_unsafe = book.health < 0.0
    since = state.loans["unsafe_since"]
    since[~is_unsafe] = -1
    since[is_unsafe & (since < 0)] = world.now
    has, owed = _values(world, state, book)
    n = len(state.markets)
    latent = np.bincount(state.loans["market"], np.maximum(owed - has, 0.0), n)
    x, y = state.x.sum(axis=1), state.y.sum(axis=1)
    nothing, debt = np.zeros(n), np.bincount(state.loans["market"], book.debt, n)
    room = np.maximum(state.markets["debt_ceiling"] - debt, 0.0)
    left = np.where(np.isfinite(room), room, 0.0)
    is_drawn = np.isfinite(room) & (debt > 0.0)
    collateral = _rows(state.markets["collateral_token"], y, nothing, y, state.markets["price"])
    loans = _rows(state.markets["debt_token"], x, debt, left, np.ones(n))
    loans["utilization"] = np.divide(debt, debt + left, out=nothing.copy(), where=is_drawn)
    loans["borrow_rate"], loans["latent_bad_debt"] = state.markets["rate"], latent
    both = {name: np.concatenate([collateral[name], loans[name]]) for name in loans}
    pools = {
        "venue": venue,
        "reserve0": y,
        "reserve1": x,
        "liquidity": y * state.markets["price"] + x,
    }
    return {"pools": pools, "lending": {"venue": np.concatenate([venue, venue]), **both}}


def _rows(
    token: np.ndarray, supplied: np.ndarray, borrowed: np.ndarray, cash: np.ndarray, price: Any
) -> Columns:
    """Return rows of `lending` of one token of each market; `cash` is what can still be drawn."""
    nothing = np.zeros(len(token))
    return {
        "token": token,
        "supplied": supplied,
        "borrowed": borrowed,
        "cash": cash,
        "utilization": nothing,
        "borrow_rate": nothing,
        "supply_rate": nothing,
        "oracle_price": price,
        "latent_bad_debt": nothing,
        **dict.fromkeys(_BEARERS, nothing),
    }


def sample_positions(world: World, state: LlammaState) -> dict[str, Columns]:
    """Return the columns of the `positions` record: every loan.

    `collateral` counts the debt tokens in the bands, too; the health factor is 1 + health.
    """
    book = read_loans(state, world.now)
    has, owed = _values(world, state, book)
    rows = np.flatnonzero(book.debt > 0.0)
    loans = state.loans[rows]
    market = state.markets[loans["market"]]
    return {
        "positions": {
            "venue": venue_numbers(world)[loans["market"]],
            "position": rows,
            "population": loans["population"],
            "account": loans["owner"],
            "collateral_token": market["collateral_token"],
            "debt_token": market["debt_token"],
            "collateral": book.x[rows] + book.y[rows] * market["price"],
            "debt": book.debt[rows],
            "health_factor": 1.0 + book.health[rows],
            "shortfall": np.maximum(owed[rows] - has[rows], 0.0),
        }
    }


def _feed_of(world: World, fills: np.ndarray) -> np.ndarray:
    state = world.states[KIND]
    return np.asarray(state.markets["price_feed"][state.loans["market"][fills["a"]]])


def liquidation_details(world: World, fills: np.ndarray) -> dict[str, Any]:
    """Return what the `liquidations` record adds to the fills of hard liquidations."""
    state = world.states[KIND]
    loans = state.loans[fills["a"]]
    since = loans["unsafe_since"]
    delay = np.where(since >= 0, (fills["time"] - since) / TICKS_PER_SECOND, 0.0)
    return {
        "borrower_population": loans["population"],
        "borrower_account": loans["owner"],
        "delay": np.maximum(delay, 0.0),
    }


def liquidation_times(world: World, fills: np.ndarray, slack: int) -> tuple[np.ndarray, np.ndarray]:
    """Return when each liquidated loan was last safe, to a sample, and its price observed."""
    unsafe = world.states[KIND].loans["unsafe_since"][fills["a"]]
    since = np.maximum(np.where(unsafe >= 0, unsafe, fills["time"]) - slack, 0)
    observed = np.minimum(world.shared[Feeds].since[_feed_of(world, fills)], fills["time"])
    return since, np.maximum(observed, since)


def liquidation_feeds(world: World, fills: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the feeds of the collateral; debts count 1 USD."""
    return _feed_of(world, fills), np.full(len(fills), -1), np.full(len(fills), np.nan)


# --- books ---------------------------------------------------------------------------------------


def check(world: World, state: LlammaState) -> None:
    """Check that what bands hold lies on the ledger, and that shares and debts add up.

    Raises
    ------
    InvariantError
        They do not; names market and amounts.
    """
    ledger = world.ledger
    for row, venue in enumerate(venue_numbers(world)):
        m, name = state.markets[row], world.venue_names[int(venue)]
        account = int(m["group"]), int(m["account"])
        for what, token, held in (
            ("collateral", int(m["collateral_token"]), float(state.y[row].sum())),
            ("debt tokens", int(m["debt_token"]), float(state.x[row].sum())),
        ):
            scale = 1.0 + float(ledger.turnover[token])
            _same(f"{name}: {what} in bands and on the ledger", held,
                  world.balance(*account, token), scale)  # fmt: skip
        check_market(state, row, name)
    for token in np.unique(state.markets["debt_token"]):
        mine = state.markets[state.markets["debt_token"] == token]
        total = float((mine["issued"] + mine["elsewhere"]).sum())
        scale = 1.0 + float(ledger.turnover[token])
        supply = float(ledger.supply[token])
        _same(f"{world.token_names[token]}: issued, and supply", total, supply, scale)


def check_market(state: LlammaState, row: int, name: str) -> None:
    """Check shares, debts and emptiness of one market.

    Raises
    ------
    InvariantError
        Shares of loans do not add up to those of bands, debts not to their total, or a band of
        nobody holds something.
    """
    m, mine = state.markets[row], np.flatnonzero(state.loans["market"] == row)
    shares, owners = np.zeros_like(state.shares[row]), np.zeros_like(state.n_owners[row])
    center = len(shares) // 2
    for loan in mine:
        first, n = int(state.loans["first"][loan]) + center, int(state.loans["n"][loan])
        shares[first : first + n] += state.held[loan, :n]
        owners[first : first + n] += 1
    scale = 1.0 + float(shares.max())
    for what, x, y in (
        ("shares of loans and of bands", shares, state.shares[row]),
        ("owners of bands", owners, state.n_owners[row]),
        ("what bands of nobody hold", (state.x + state.y)[row] * (owners == 0), 0.0),
    ):
        _same(f"{name}: {what}", float(np.abs(x - y).max()), 0.0, scale)
    scaled = float(state.loans["scaled"][mine].sum())
    _same(f"{name}: debts of loans, and their total", scaled, float(m["scaled_debt"]), 1.0 + scaled)


def _same(what: str, x: float, y: float, scale: float) -> None:
    if not abs(x - y) <= _ROUNDING * scale:
        raise InvariantError(f"{what}: {x:.15g} and {y:.15g}")
