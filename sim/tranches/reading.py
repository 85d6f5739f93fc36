"""What tranche vaults are worth, to whom, and whether their books balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.errors import InvariantError
from sim.registry import Claim, Columns
from sim.tranches.state import DEPOSITED, REDEEMING, STAGES

if TYPE_CHECKING:
    from sim.tranches.state import TrancheState
    from sim.world import World

_ROUNDING = 1e-9


class _Site(NamedTuple):
    """A vault as one who owes."""

    venue: int
    group: int
    account: np.ndarray  # int64, (1,)

    def owes(self, token: int, amount: float) -> Claim:
        return Claim(self.group, self.account, token, np.array([-amount]), self.venue)


def claims(world: World, state: TrancheState) -> list[Claim]:
    """Return what holders of shares and those who wait are owed, and what the vaults owe.

    A share is a debt of its vault, whose account carries minus the supply, and is worth its part of
    what can be recovered. A waiting redemption counts as its shares, a waiting deposit as its cash,
    both held by the vault for those who wait.
    """
    found = []
    for row, vault in enumerate(state.vaults):
        site = _Site(
            int(vault["venue"]), int(vault["group"]), np.array([vault["account"]], np.int64)
        )
        waiting = state.requests[state.requests["vault"] == row]
        for k in range(int(vault["n_tranches"])):
            token = int(state.share[row, k])
            found.append(site.owes(token, float(world.ledger.supply[token])))
            mine = waiting[(waiting["kind"] == REDEEMING) & (waiting["tranche"] == k)]
            found += _claims_of(mine, token, site)
        joining = waiting[waiting["kind"] == DEPOSITED]
        found += _claims_of(joining, int(vault["cash"]), site)
    return found


def _claims_of(waiting: np.ndarray, token: int, site: _Site) -> list[Claim]:
    """Return the claims of those who wait, and what the vault owes them."""
    found = []
    for holder in np.unique(waiting["group"]):
        mine = waiting[waiting["group"] == holder]
        rows, amount = mine["row"].copy(), mine["amount"].copy()
        found.append(Claim(int(holder), rows, token, amount, site.venue))
    if len(waiting):
        found.append(site.owes(token, float(waiting["amount"].sum())))
    return found


def secondary_price(world: World, share: int, cash: int) -> float:
    """Return what a share trades at in cash, by the first pool of both; 0: there is none."""
    venues = world.venues
    for pair, is_inverse in (((share, cash), False), ((cash, share), True)):
        at = np.flatnonzero((venues.token0 == pair[0]) & (venues.token1 == pair[1]))
        if len(at):
            price = float(venues.price[at[0]])
            return 1.0 / price if is_inverse and price > 0.0 else price
    return 0.0


def sample(world: World, state: TrancheState) -> dict[str, Columns]:
    """Return the columns of the `tranches` record."""
    rows: list[dict[str, Any]] = []
    for row, vault in enumerate(state.vaults):
        config = world.plan.venues[int(vault["venue"])].config
        for k, tranche in enumerate(config.tranches):
            rows.append(_tranche(world, state, row, k) | {"tranche": tranche.name})
    texts = ("tranche", "stage")
    return {
        "tranches": {
            name: [r[name] for r in rows] if name in texts else np.array([r[name] for r in rows])
            for name in rows[0]
        }
    }


def _tranche(world: World, state: TrancheState, row: int, k: int) -> dict[str, Any]:
    """Return one row of the record, but for the tranche's name."""
    vault, n = state.vaults[row], int(state.vaults[row]["n_tranches"])
    nav, claim = state.nav[row, :n], state.claim[row, :n]
    token, cash, total = int(state.share[row, k]), int(vault["cash"]), float(nav.sum())
    supply = float(world.ledger.supply[token])
    price = float(nav[k]) / supply if supply > 0.0 else 1.0
    queue = float(state.asked[row, k]) * price
    below, thick = float(nav[k + 1 :].sum()), float(nav[k])
    epoch_room = float(vault["gate"]) * thick
    secondary = secondary_price(world, token, cash)
    return {
        "venue": int(vault["venue"]),
        "level": k,
        "token": token,
        "stage": STAGES[int(vault["stage"])],
        "shares": supply,
        "nav": thick,
        "price": price,
        "fair": float(state.fair[row, k]),
        "claim": float(claim[k]),
        "attachment": below / total if total > 0.0 else 0.0,
        "detachment": (below + thick) / total if total > 0.0 else 0.0,
        "coverage": (total - float(nav[0])) / total if total > 0.0 else 0.0,
        "queue": queue,
        "queue_epochs": queue / epoch_room if epoch_room > 0.0 else 0.0,
        "joining": float(state.joining[row, k]),
        "secondary_price": secondary,
        "discount": 1.0 - secondary / price if secondary > 0.0 and price > 0.0 else 0.0,
        "income": float(state.income[row, k]),
        "loss": float(state.realized[row, k] + claim[k] - nav[k]),
        "paid": float(vault["paid"] + vault["insured"]),
        "taken": float(vault["taken"]),
    }


def check(world: World, state: TrancheState) -> None:
    """Check that tranches add up to their vault, and that it holds what it keeps for those waiting.

    Raises
    ------
    InvariantError
        They do not; names vault and amounts.
    """
    for row, vault in enumerate(state.vaults):
        name = world.venue_names[int(vault["venue"])]
        n, account = int(vault["n_tranches"]), (int(vault["group"]), int(vault["account"]))
        total, value = float(state.nav[row, :n].sum()), float(vault["flows"] + vault["gain"])
        scale = 1.0 + abs(float(vault["flows"])) + float(vault["paid"])
        if abs(total - value) > _ROUNDING * scale:
            raise InvariantError(
                f"{name}: its tranches add up to {total:.15g}, its value is {value:.15g}"
            )
        if (state.nav[row, :n] < -_ROUNDING * scale).any():
            raise InvariantError(f"{name}: a tranche is worth less than nothing")
        kept = [(int(vault["cash"]), float(vault["escrow"]), False)]
        kept += [(int(state.share[row, k]), float(state.asked[row, k]), True) for k in range(n)]
        for token, amount, is_all in kept:
            held = world.balance(*account, token)
            allowed = _ROUNDING * (1.0 + float(world.ledger.turnover[token]))
            if held < amount - allowed or (is_all and held > amount + allowed):
                raise InvariantError(
                    f"{name} holds {held:.15g} {world.token_names[token]} for those who wait, and "
                    f"owes them {amount:.15g}"
                )
