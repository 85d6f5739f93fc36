"""Who is who: the classes of participants to which gains and losses are added up.

Lenders, borrowers, liquidity providers, traders, holders of wrapped tokens, tranche investors and
the treasury bear losses; liquidators, arbitrageurs, attacker, relayers, validators and the outside
take gains. The manifest of a run tells the role of each population and protocol, as its kind
declares it. The trading gains of all classes add up to zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from analysis.setting import Setting

COVER = "the cover of wrapped tokens"
_CLASS_OF_ACCOUNT = {
    "outside/validators": "validators",
    "outside/reference_market": "reference market",
    "outside/background_users": "background users",
    "outside/base_fees": "burnt fees",
    "outside/genesis": "holders without an agent",
    "outside/insurer": "insurers",
    "lock_and_mint": COVER,  # before its role: who holds wrapped tokens bears what it lost
}
_CENT = 0.01  # USD
_PARTS = ("value_end", "holding_gain", "trading_gain", "gas")


def class_of(name: str, setting: Setting) -> str:
    """Return the class of a population, protocol account or outside account.

    Parameters
    ----------
    name : as in the record table `equity`
    setting : of the run, which names the roles of populations and protocols

    Returns
    -------
    the role in words; the name in words where the run tells none
    """
    found = _CLASS_OF_ACCOUNT.get(name) if name not in setting.kinds else None
    return found or setting.roles.get(name, name.rpartition("/")[2]).replace("_", " ")


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
