"""The accounts of the outside world: the first account group, whose balances may go below zero."""

from __future__ import annotations

OUTSIDE = 0  # group
REFERENCE_MARKET, VALIDATORS, BASE_FEES, BACKGROUND, INSURER, GENESIS = range(6)  # rows
OUTSIDE_ACCOUNTS = (
    "reference_market",
    "validators",
    "base_fees",
    "background_users",
    "insurer",
    "genesis",
)
