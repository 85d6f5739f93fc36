"""Who is who: the classes of participants to which gains and losses are added up.

Lenders, borrowers, liquidity providers, traders, holders of wrapped tokens, tranche investors and
the treasury bear losses; liquidators, arbitrageurs, attacker, relayers, validators and the outside
take gains. The trading gains of all classes add up to zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from analysis.setting import Setting

COVER = "the cover of wrapped tokens"
_CLASS_OF_KIND = {
    kind: name
    for name, kinds in {
        "lenders": ("suppliers", "rate_seekers"),
        "borrowers": ("borrowers", "vault_owners"),
        "liquidity providers": ("liquidity_providers",),
        "traders": ("noise_traders", "momentum_traders", "informed_traders", "payments"),
        "wrapped holders": ("bridge_users",),
        "tranche investors": ("tranche_investors",),
        "arbitrageurs": (
            *("arbitrageurs", "cycle_arbitrage", "cross_chain_arbitrage"),
            "staking_arbitrageurs",
        ),
        "liquidators": ("liquidators", "keepers"),
        "attacker": ("exploiter",),
        "relayers": ("relayers", "oracle_keepers"),
    }.items()
    for kind in kinds
}
_CLASS_OF_ACCOUNT = {
    "outside/validators": "validators",
    "outside/reference_market": "reference market",
    "outside/background_users": "background users",
    "outside/base_fees": "burnt fees",
    "outside/genesis": "holders without an agent",
    "outside/insurer": "insurers",
    "lending": "treasury",
    "cdp": "treasury",
    "lock_and_mint": COVER,
    "liquidity_network": "bridge inventories",
}
_CENT = 0.01  # USD
_PARTS = ("value_end", "holding_gain", "trading_gain", "gas")


def class_of(name: str, setting: Setting) -> str:
    """Return the class of a population, protocol account or outside account.

    Parameters
    ----------
    name : as in the record table `equity`
    setting : of the run, which names the kinds of populations

    Returns
    -------
    a class of ours; the kind in words where it belongs to none
    """
    if name in setting.kinds:
        kind = setting.kinds[name]
        return _CLASS_OF_KIND.get(kind, kind.replace("_", " "))
    return _CLASS_OF_ACCOUNT.get(name, name.rpartition("/")[2].replace("_", " "))


def gains_by_class(
    by_population: Mapping[str, Mapping[str, Any]], setting: Setting
) -> pd.DataFrame:
    """Return gains since the start of statistics by class, the largest loser first.

    Parameters
    ----------
    by_population : of the summary
    setting : of the run

    Returns
    -------
    float64, USD; index: class; columns `value_end`, `holding_gain`, `trading_gain`, `gas`; classes
    that nothing happened to are left out
    """
    rows = [
        {"class": class_of(name, setting)} | {part: float(row[part] or 0.0) for part in _PARTS}
        for name, row in by_population.items()
    ]
    frame = pd.DataFrame(rows, columns=["class", *_PARTS]).groupby("class").sum()
    is_moved = (frame.abs() >= _CENT / 2).any(axis=1)
    return frame[is_moved].sort_values("trading_gain")
