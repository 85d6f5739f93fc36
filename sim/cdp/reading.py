"""What CDP markets are worth, to whom, and whether their books balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.cdp.settings import KIND
from sim.cdp.state import ENGLISH, N_ACTIVE
from sim.cdp.vault import index_at
from sim.errors import InvariantError
from sim.feeds import Feeds
from sim.kernel import kernel
from sim.registry import Claim, Columns
from sim.units import TICKS_PER_SECOND

if TYPE_CHECKING:
    from sim.cdp.state import CdpState
    from sim.cdp.verbs import CdpDesk
    from sim.world import World

_ROUNDING = 1e-9  # of all that was moved
_BEARERS = (
    "treasury",
    "backstop",
    "deficit",
    "borne_by_treasury",
    "borne_by_backstop",
    "borne_by_suppliers",
)


class VaultBook(NamedTuple):
    """Values of every vault at given prices."""

    collateral: np.ndarray  # float64, (n_vaults,), USD
    debt: np.ndarray  # float64, (n_vaults,), USD
    ratio: np.ndarray  # float64, (n_vaults,), liquidation ratio of its market


@kernel(inline=False)
def _grow_indices(state, now, index):  # type: ignore[no-untyped-def]
    for k in range(state.markets.shape[0]):
        index[k] = index_at(state.markets[k], now)


def grown_indices(state: CdpState, now: int) -> np.ndarray:
    """Return the index of every market as of a tick; writes nothing: float64, (n_markets,)."""
    index = np.zeros(len(state.markets))
    _grow_indices(state, now, index)
    return index


def debts(state: CdpState, now: int) -> np.ndarray:
    """Return the debt of every vault as of a tick: float64, (n_vaults,), debt tokens."""
    return np.asarray(state.scaled * grown_indices(state, now)[state.vaults["market"]])


def value_vaults(
    state: CdpState, collateral_price: np.ndarray, debt_price: np.ndarray, now: int
) -> VaultBook:
    """Return what every vault has and owes.

    Parameters
    ----------
    collateral_price, debt_price : float64, (n_markets,), USD
    """
    market = state.vaults["market"]
    return VaultBook(
        collateral=state.collateral * collateral_price[market],
        debt=debts(state, now) * debt_price[market],
        ratio=np.asarray(state.markets["liquidation_ratio"][market]),
    )


def book_at_own_prices(state: CdpState, now: int) -> VaultBook:
    """Return the values of every vault as its market sees them: oracle price and target price."""
    return value_vaults(state, state.markets["price"], state.markets["target_price"], now)


def shortfall_shares(book: VaultBook) -> np.ndarray:
    """Return the share of each vault's debt that its collateral does not cover: float64, (n,)."""
    short = np.maximum(book.debt - book.collateral, 0.0)
    return np.asarray(np.divide(short, book.debt, out=np.zeros(len(short)), where=book.debt > 0.0))


def open_auctions(state: CdpState) -> np.ndarray:
    """Return the open auctions, oldest first: AUCTION records."""
    rows = np.sort(state.active[: int(state.counter[N_ACTIVE])])
    return np.asarray(state.auctions[rows])


def claims(world: World, own: tuple[CdpState, CdpDesk]) -> list[Claim]:
    """Return collateral and debts of vault owners, bids in escrow, and what the markets owe.

    A debt is worth at most its collateral at fundamental prices. The debt token is a debt of its
    market, whose account therefore carries minus what it has issued: all holdings of a debt token,
    this debt included, add up to 0.
    """
    state, desk = own
    fundamental = world.prices.fundamental
    collateral_token, debt_token = (
        state.markets["collateral_token"],
        state.markets["debt_token"],
    )
    book = value_vaults(state, fundamental[collateral_token], fundamental[debt_token], world.now)
    owed = debts(state, world.now) * (1.0 - shortfall_shares(book))
    found = _between(state, desk, collateral_token, state.collateral)
    found += _between(state, desk, debt_token, -owed)
    for lot in open_auctions(state):
        if state.markets["mode"][lot["market"]] == ENGLISH and lot["bid"] > 0.0:
            token, bid = int(debt_token[lot["market"]]), np.array([lot["bid"]])
            found.append(Claim(int(lot["group"]), np.array([lot["row"]]), token, bid))
            found.append(_own_claim(desk, int(lot["market"]), token, -float(bid[0])))
    for row, market in enumerate(state.markets):
        liability = float(market["issued"] + market["elsewhere"])
        found.append(_own_claim(desk, row, int(market["debt_token"]), -liability))
    return found


def _between(
    state: CdpState, desk: CdpDesk, tokens: np.ndarray, amounts: np.ndarray
) -> list[Claim]:
    """Return amounts of vaults as claims of their owners, and the opposite ones of the markets."""
    found = []
    vaults = state.vaults
    for row in range(len(state.markets)):
        mine = np.flatnonzero((vaults["market"] == row) & (amounts != 0.0))
        for population in np.unique(vaults["population"][mine]):
            part = mine[vaults["population"][mine] == population]
            owners = vaults["owner"][part].astype(np.int64)
            found.append(Claim(int(population), owners, int(tokens[row]), amounts[part]))
        found.append(_own_claim(desk, row, int(tokens[row]), -float(amounts[mine].sum())))
    return found


def _own_claim(desk: CdpDesk, row: int, token: int, amount: float) -> Claim:
    return Claim(int(desk.group[0]), desk.account[row : row + 1], token, np.array([amount]))


# --- records -------------------------------------------------------------------------------------


def sample(world: World, own: tuple[CdpState, CdpDesk]) -> dict[str, Columns]:
    """Return columns of `lending` and `deficits`, and note which vaults have become unsafe."""
    state, desk = own
    reference = world.prices.reference
    at = reference[state.markets["collateral_token"]], reference[state.markets["debt_token"]]
    book = value_vaults(state, *at, world.now)
    at_target = value_vaults(state, at[0], state.markets["target_price"], world.now)
    is_unsafe = at_target.collateral < at_target.debt * at_target.ratio
    desk.unsafe_since[~is_unsafe] = -1
    desk.unsafe_since[is_unsafe & (desk.unsafe_since < 0)] = world.now
    n = len(state.markets)
    latent = np.bincount(state.vaults["market"], shortfall_shares(book) * book.debt, n)
    pledged = np.bincount(state.vaults["market"], state.collateral, n)
    collateral = _collateral_columns(world, state, pledged)
    debt = _debt_columns(world, state, latent, at[1])
    markets = {name: np.concatenate([collateral[name], debt[name]]) for name in debt}
    return {"lending": markets, "deficits": _deficit_columns(world, state)}


def _collateral_columns(world: World, state: CdpState, pledged: np.ndarray) -> Columns:
    nothing = np.zeros(len(pledged))
    return {
        "venue": venue_numbers(world),
        "token": state.markets["collateral_token"],
        "supplied": pledged,
        "borrowed": nothing,
        "cash": pledged,
        "utilization": nothing,
        "borrow_rate": nothing,
        "supply_rate": nothing,
        "oracle_price": state.markets["price"],
        "bad_debt": nothing,
        "latent_bad_debt": nothing,
        **dict.fromkeys(_BEARERS, nothing),
    }


def _debt_columns(world: World, state: CdpState, latent: np.ndarray, price: np.ndarray) -> Columns:
    """Return the rows of the debt tokens: `cash` is what the ceiling still lets vaults draw."""
    markets, nothing = state.markets, np.zeros(len(state.markets))
    debt, ceiling = (
        markets["scaled_debt"] * grown_indices(state, world.now),
        markets["debt_ceiling"],
    )
    left = np.where(np.isfinite(ceiling), np.maximum(ceiling - debt, 0.0), 0.0)
    is_drawn = np.isfinite(ceiling) & (debt > 0.0)
    return {
        "venue": venue_numbers(world),
        "token": markets["debt_token"],
        "supplied": nothing,
        "borrowed": debt,
        "cash": left,
        "utilization": np.divide(debt, debt + left, out=nothing.copy(), where=is_drawn),
        "borrow_rate": markets["log_fee"] * 365.0 * 86_400.0,
        "supply_rate": nothing,
        "oracle_price": markets["target_price"],
        "bad_debt": markets["written_off"] * price,
        "latent_bad_debt": latent,
        "treasury": markets["surplus"],
        "backstop": nothing,  # an insurer outside, see `deficits`
        "deficit": markets["unbacked"],
        "borne_by_treasury": markets["from_surplus"] + markets["healed"],
        "borne_by_backstop": markets["from_backstop"],
        "borne_by_suppliers": nothing,
    }


def _deficit_columns(world: World, state: CdpState) -> Columns:
    names = ("written_off", "incentives", "from_surplus", "from_backstop", "healed", "unbacked")
    markets, lots = state.markets, open_auctions(state)
    n = len(markets)
    return {
        "venue": venue_numbers(world),
        "token": markets["debt_token"],
        **{name: markets[name] for name in (*names, "surplus", "auction_debt")},
        "auction_collateral": np.bincount(lots["market"], lots["lot"], n),
        "n_auctions": np.bincount(lots["market"], minlength=n),
    }


def venue_numbers(world: World) -> np.ndarray:
    """Return the venue of each CDP market: int64, (n_markets,)."""
    return np.array([s.number for s in world.venue_sites if s.config.kind == KIND], np.int64)


def sample_positions(world: World, own: tuple[CdpState, CdpDesk]) -> dict[str, Columns]:
    """Return the columns of the `positions` record: every vault with a debt."""
    state, _ = own
    at_oracle = book_at_own_prices(state, world.now)
    reference = world.prices.reference
    at_reference = value_vaults(
        state,
        reference[state.markets["collateral_token"]],
        reference[state.markets["debt_token"]],
        world.now,
    )
    rows = np.flatnonzero(at_oracle.debt > 0.0)
    vaults, debt, collateral = state.vaults[rows], at_oracle.debt[rows], at_oracle.collateral[rows]
    return {
        "positions": {
            "venue": venue_numbers(world)[vaults["market"]],
            "position": rows,
            "population": vaults["population"],
            "account": vaults["owner"],
            "collateral": collateral,
            "debt": debt,
            "health_factor": collateral / (debt * at_oracle.ratio[rows]),
            "shortfall": np.maximum(at_reference.debt[rows] - at_reference.collateral[rows], 0.0),
        }
    }


def _lots_of(world: World, fills: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (vault, is settled by an auction, its auction) of fills of liquidations.

    Auction 0 stands for none.
    """
    state, _ = world.states[KIND]
    names = np.array([name.rpartition(".")[2] for name in world.verb_names])
    verb = names[fills["verb"]]
    is_lot = verb != "liquidate"
    number = np.where(is_lot, fills["a"], 0)
    lots = state.auctions[number]
    return np.where(is_lot, lots["vault"], fills["a"]), verb == "deal", lots


def liquidation_details(world: World, fills: np.ndarray) -> dict[str, Any]:
    """Return what the `liquidations` record says otherwise, or beside, the fills of liquidations.

    An English auction is liquidated when it is settled, by whom has won it.
    """
    state, _ = world.states[KIND]
    vault, is_deal, lots = _lots_of(world, fills)
    since, _ = _unsafe_since(world, fills)
    vaults = state.vaults[vault]
    delay = np.where(since >= 0, (fills["time"] - since) / TICKS_PER_SECOND, 0.0)
    return {
        "position": vault,
        "borrower_population": vaults["population"],
        "borrower_account": vaults["owner"],
        "liquidator_population": np.where(is_deal, lots["group"], fills["group"]),
        "liquidator_account": np.where(is_deal, lots["row"], fills["row"]),
        "debt_repaid": np.where(is_deal, lots["bid"], fills["amount_in"]),
        "collateral_seized": np.where(is_deal, lots["lot"], fills["amount_out"]),
        "debt_usd": np.where(is_deal, lots["bid_usd"], fills["value_in"]),
        "seized_usd": np.where(is_deal, lots["lot_usd"], fills["value_out"]),
        "seized_oracle_usd": np.where(is_deal, lots["lot"], fills["amount_out"]) * fills["y"],
        "delay": np.maximum(delay, 0.0),
    }


def _unsafe_since(world: World, fills: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return since when each vault was unsafe, -1: unknown, and when its price was observed."""
    state, desk = world.states[KIND]
    vault, _, lots = _lots_of(world, fills)
    feeds = world.shared[Feeds]
    names = np.array([name.rpartition(".")[2] for name in world.verb_names])
    is_lot = names[fills["verb"]] != "liquidate"
    feed = state.markets["price_feed"][state.vaults["market"][vault]]
    since = np.where(is_lot, lots["unsafe_since"], desk.unsafe_since[vault])
    return since, np.where(is_lot, lots["observed"], feeds.since[feed])


def liquidation_times(world: World, fills: np.ndarray, slack: int) -> tuple[np.ndarray, np.ndarray]:
    """Return when each liquidated vault was last safe, and when its price was observed.

    Safety is noted at samples, so the first is exact to one sample interval, `slack` ticks. What
    an auction sells was unsafe when the auction began.
    """
    unsafe, observed = _unsafe_since(world, fills)
    since = np.maximum(np.where(unsafe >= 0, unsafe, fills["time"]) - slack, 0)
    return since, np.maximum(np.minimum(observed, fills["time"]), since)


# --- books ---------------------------------------------------------------------------------------


def check(world: World, own: tuple[CdpState, CdpDesk]) -> None:
    """Check that collateral and bids lie on the ledger, and that the books of every market balance.

    Raises
    ------
    InvariantError
        They do not; names market and amounts.
    """
    state, desk = own
    lots, ledger = open_auctions(state), world.ledger
    for row, venue in enumerate(venue_numbers(world)):
        market, name = state.markets[row], world.venue_names[int(venue)]
        mine = lots[lots["market"] == row]
        account = int(desk.group[0]), int(desk.account[row])
        pledged = float(state.collateral[state.vaults["market"] == row].sum())
        bids = float(mine["bid"].sum()) if market["mode"] == ENGLISH else 0.0
        held = pledged + float(mine["lot"].sum())
        for what, token, counted in (
            ("collateral", int(market["collateral_token"]), held),
            ("bids", int(market["debt_token"]), bids),
        ):
            scale = 1.0 + float(ledger.turnover[token])
            _check_same(f"{name}: {what} counted and on the ledger", counted,
                        world.balance(*account, token), scale)  # fmt: skip
        scale = 1.0 + float(ledger.turnover[int(market["debt_token"])])
        check_market(state, row, name, scale)
    for token in np.unique(state.markets["debt_token"]):
        mine = state.markets[state.markets["debt_token"] == token]
        total = float((mine["issued"] + mine["elsewhere"]).sum())
        scale = 1.0 + float(ledger.turnover[token])
        supply = float(ledger.supply[token])
        _check_same(f"{world.token_names[token]}: issued, and supply", total, supply, scale)


def check_market(state: CdpState, row: int, name: str, scale: float) -> None:
    """Check the identities of one market.

    Parameters
    ----------
    row : of the market
    name : for messages
    scale : debt tokens moved so far; a part of 1e-9 of it may be rounding

    Raises
    ------
    InvariantError
        One of them does not hold.
    """
    m = {key: float(state.markets[row][key]) for key in state.markets.dtype.names or ()}
    mine = state.vaults["market"] == row
    lots = open_auctions(state)
    scaled, in_auctions = state.scaled[mine].sum(), lots["debt"][lots["market"] == row].sum()
    debt = m["scaled_debt"] * m["index"]
    for what, x, y in (
        ("scaled debts of vaults, and their total", float(scaled), m["scaled_debt"]),
        ("debts in auctions, and their total", float(in_auctions), m["auction_debt"]),
        ("issued, and debts + unbacked - surplus", m["issued"],
         debt + m["auction_debt"] + m["unbacked"] - m["surplus"]),
        ("losses, and who bore them", m["written_off"] + m["incentives"],
         m["from_surplus"] + m["from_backstop"] + m["healed"] + m["unbacked"]),
        ("income, and what became of it", m["fees"] + m["penalties"],
         m["surplus"] + m["from_surplus"] + m["healed"]),
    ):  # fmt: skip
        _check_same(f"{name}: {what}", x, y, scale)


def _check_same(what: str, x: float, y: float, scale: float) -> None:
    if not abs(x - y) <= _ROUNDING * scale:
        raise InvariantError(f"{what}: {x:.15g} and {y:.15g}")
