"""Samples of who has what where: claims on venues, debts to them, tokens that they issued.

A claim comes from the mechanism that owes it; what a venue issued, such as a wrapped token, is
found on the ledger. Tokens without a price (shares of pools, whose reserves are claims) are left
out, and so is what a venue holds of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from experiments.record_tables import Text
from sim.outside import OUTSIDE, OUTSIDE_ACCOUNTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sim.registry import Claim, Columns
    from sim.world import World

KINDS = ("population", "venue", "outside")


class _Part(NamedTuple):
    """What accounts of one group have of a token at a venue."""

    group: int
    rows: np.ndarray  # int64, (n,)
    venue: int
    token: int
    amount: np.ndarray  # float64, (n,), token units


class HoldingSamples:
    """Takes samples of the record `holdings`.

    Parameters
    ----------
    world : sampled
    claims : returns those of now
    add : keeps columns of a record, given its name
    has_accounts : list every account of a population, not only their sum
    """

    def __init__(
        self,
        world: World,
        claims: Callable[[], list[Claim]],
        add: Callable[[str, Columns], None],
        has_accounts: bool,
    ) -> None:
        self._world = world
        self._claims = claims
        self._add = add
        self._has_accounts = has_accounts
        outside = [f"outside/{name}" for name in OUTSIDE_ACCOUNTS]
        self._names = [*world.group_names, *world.venue_names, *outside]
        self._first_venue = len(world.group_names)
        self._first_outside = self._first_venue + len(world.venue_names)
        sites = world.venue_sites
        self._venue_at = {(site.group, site.account): site.number for site in sites}
        self._issued = [(site.number, token) for site in sites for token in site.own_tokens]

    def take(self) -> None:
        """Sample all holdings."""
        self._world.flush()
        self._world.refresh_prices()
        rows = [row for part in self._parts() for row in self._rows_of(part)]
        if not rows:
            return
        holder, account, venue, token = np.array([row[:4] for row in rows], np.int64).T
        amount = np.array([row[4] for row in rows])
        self._add(
            "holdings",
            {
                "holder": Text(holder, self._names),
                "holder_kind": Text(self._kinds_of(holder), KINDS),
                "account": account,
                "venue": venue,
                "token": token,
                "amount": amount,
                "value": amount * self._world.prices.fundamental[token],
            },
        )

    def _parts(self) -> Iterator[_Part]:
        """Yield claims, then balances of tokens that venues issued, where they have a price."""
        world = self._world
        price = world.prices.fundamental
        for claim in self._claims():
            if claim.venue >= 0 and price[claim.token] > 0.0:
                yield _Part(claim.group, claim.rows, claim.venue, claim.token, claim.amount)
        for venue, token in self._issued:
            if price[token] > 0.0:
                for group, rows, amount in world.holders(token):
                    yield _Part(group, rows, venue, token, amount)

    def _rows_of(self, part: _Part) -> Iterator[tuple[int, int, int, int, float]]:
        """Yield (holder, account, venue, token, amount) of a part."""
        group, rows, venue, token, amount = part
        if group >= self._world.n_venue_groups and not self._has_accounts:
            for side in (amount[amount > 0.0], amount[amount < 0.0]):
                if len(side):
                    yield group, -1, venue, token, float(side.sum())
            return
        for row, one in zip(rows.tolist(), amount.tolist(), strict=True):
            if group == OUTSIDE:
                yield self._first_outside + row, -1, venue, token, one
            elif group >= self._world.n_venue_groups:
                yield group, row, venue, token, one
            elif self._venue_at[group, row] != venue:
                yield self._first_venue + self._venue_at[group, row], -1, venue, token, one

    def _kinds_of(self, holder: np.ndarray) -> np.ndarray:
        return np.asarray(np.digitize(holder, (self._first_venue, self._first_outside)))
