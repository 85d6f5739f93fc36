"""How far the price of a token falls when some of it is sold at once: current depth.

A pool with virtual reserves x of the token sold and y of the other takes

    x (e^(d/2) - 1)  of the token until its price has fallen by d (natural logarithm),

and no more once its real reserves of the other token are out. Concentrated liquidity counts as if
that of the current range went on, which flatters pools whose ranges end near. The outside market
takes d / (impact per dollar). Sales are split so that all places fall alike. Pools count as if they
stood at the market price; fees are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.series import frame_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

_FALLS = np.concatenate([[0.0], np.geomspace(1e-6, 14.0, 600)])  # log price


class Depth(NamedTuple):
    """What can be sold of a token until its price has fallen by so much.

    Attributes
    ----------
    price : USD, before anything is sold
    falls : float64, (n,), natural logarithm, from 0 up
    sold : float64, (n,), USD at the price before, until the price has fallen by `falls`
    is_endless : the price never falls
    """

    price: float
    falls: NDArray[np.float64]
    sold: NDArray[np.float64]
    is_endless: bool

    @property
    def impact(self) -> float:
        """Fraction by which the price falls for the first dollar sold; inf: nobody buys."""
        if self.is_endless:
            return 0.0
        return float(self.falls[1] / self.sold[1]) if self.sold[1] > 0.0 else float("inf")

    def price_ratio(self, usd: Any) -> NDArray[np.float64]:
        """Return the price after a sale, as a share of that before; 0 beyond all depth.

        Parameters
        ----------
        usd : float64, any shape, value of what is sold, at the price before
        """
        amount = np.asarray(usd, float)
        if self.is_endless:
            return np.ones(amount.shape)
        fall = np.interp(amount, self.sold, self.falls)
        return np.where(amount > self.sold[-1], 0.0, np.exp(-fall))


def depths(
    tables: Mapping[str, pd.DataFrame], manifest: Mapping[str, Any], time: float
) -> dict[str, Depth]:
    """Return the depth of each token that has a price at a time, by `chain/symbol`.

    Parameters
    ----------
    tables, manifest : of a run
    time : seconds; the last sample at or before it counts
    """
    scenario = manifest.get("scenario", {})
    priced = _reference_prices(tables, scenario, time)
    sold: dict[str, NDArray[np.float64]] = {}
    price = dict(priced)
    for token0, token1, pool in _pools(tables, scenario, time):
        ratio = float(pool["price"])
        if ratio <= 0.0:
            continue
        if token0 not in priced and token1 in priced:
            price.setdefault(token0, ratio * priced[token1])
        if token1 not in priced and token0 in priced:
            price.setdefault(token1, priced[token0] / ratio)
        for token, taken in ((token0, _taken(pool, 0)), (token1, _taken(pool, 1))):
            if token in price:
                sold[token] = sold.get(token, 0.0) + price[token] * taken
    found = {}
    for token, usd in price.items():
        taken = sold.get(token, np.zeros(len(_FALLS)))
        per_usd = _impact_per_usd(scenario, token) if token in priced else None
        if per_usd:
            taken = taken + _FALLS / per_usd
        found[token] = Depth(usd, _FALLS, taken, is_endless=per_usd == 0.0)
    return found


def last_at(frame: pd.DataFrame, time: float) -> pd.DataFrame:
    """Return the rows of the last sample at or before a time; none where there is none."""
    times = frame["time"].to_numpy(float)
    before = times[times <= time]
    return frame[times == before.max()] if len(before) else frame.iloc[:0]


def _reference_prices(
    tables: Mapping[str, pd.DataFrame], scenario: Mapping[str, Any], time: float
) -> dict[str, float]:
    """Return the reference price of each token that has one, USD."""
    prices = last_at(frame_of(tables, "prices"), time)
    of_asset = dict(zip(prices["asset"].astype(str), prices["reference"], strict=True))
    found = {}
    for chain, about in scenario.get("chains", {}).items():
        for token in about.get("tokens", []):
            plan = {"symbol": token, "asset": token} if isinstance(token, str) else token
            if plan.get("asset") in of_asset:
                scale = float(plan.get("scale") or 1.0)
                found[f"{chain}/{plan['symbol']}"] = scale * float(of_asset[plan["asset"]])
    return found


def _pools(
    tables: Mapping[str, pd.DataFrame], scenario: Mapping[str, Any], time: float
) -> list[tuple[str, str, dict[str, Any]]]:
    """Return both tokens and the sample of every pool; its kind is that of the scenario."""
    found = []
    for row in last_at(frame_of(tables, "pools"), time).to_dict("records"):
        venue = scenario.get("venues", {}).get(str(row["venue"]), {})
        tokens = venue.get("tokens") or []
        if len(tokens) == 2:
            chain = venue.get("chain", row["chain"])
            about = {str(name): value for name, value in row.items()}
            about["kind"] = venue.get("kind")
            found.append((f"{chain}/{tokens[0]}", f"{chain}/{tokens[1]}", about))
    return found


def _taken(pool: Mapping[str, Any], side: int) -> NDArray[np.float64]:
    """Return what a pool takes of one of its tokens until the price has fallen by `_FALLS`."""
    real = float(pool["reserve0"]), float(pool["reserve1"])
    virtual = real
    if pool["kind"] == "concentrated_liquidity":
        root = float(np.sqrt(pool["price"]))
        virtual = float(pool["liquidity"]) / root, float(pool["liquidity"]) * root
    own, other, left = virtual[side], virtual[1 - side], real[1 - side]
    falls = _FALLS
    if left < other:
        falls = np.minimum(falls, -2.0 * np.log1p(-left / other))
    return np.asarray(own * np.expm1(falls / 2.0))


def _impact_per_usd(scenario: Mapping[str, Any], token: str) -> float:
    """Return the fall of the log reference price for one dollar sold of a token's asset."""
    chain, _, symbol = token.partition("/")
    for plan in scenario.get("chains", {}).get(chain, {}).get("tokens", []):
        name, asset = (plan, plan) if isinstance(plan, str) else (plan["symbol"], plan["asset"])
        if name == symbol:
            impact = scenario.get("assets", {}).get(asset, {}).get("impact")
            if not impact:
                return 0.0
            both = impact["permanent_coefficient"] + impact["transient_coefficient"]
            return float(both * impact["volatility"] / impact["daily_volume_usd"])
    return 0.0
