"""Synthetic books fitted to the positions of a file: sizes, health factors, mixes.

Debts are fitted by a lognormal distribution (maximum likelihood), deposits by the tail index of a
Pareto distribution (Hill's estimator over the largest tenth). Health factors are described as the
borrowers' settings want them, by the factor below which a share of the *debt* lies. Accounts are
grouped by the collateral and the debt that weigh most in them; one group is one population.

References
----------
Hill (1975), A simple general approach to inference about the tail of a distribution.
Kish (1965), Survey sampling: n_effective = (sum d)^2 / sum d^2, by which the standard error of a
share s of the debt is sqrt(s (1 - s) / n_effective).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

from sim.errors import InputError

if TYPE_CHECKING:
    from sim.lending.position_file import PositionFile

SHARES = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)  # of debt, at which health is described
_LEAST = 5  # accounts of a group
_LOWEST_HEALTH = 0.01


class SizeFit(NamedTuple):
    """Distributions fitted to sizes, USD."""

    n: int
    log_mean: float  # of the lognormal
    log_sd: float  # of the lognormal
    log_sd_error: float  # standard error, log_sd / sqrt(2 n)
    lognormal_distance: float  # Kolmogorov-Smirnov
    tail: float  # of the Pareto: its index
    tail_error: float  # standard error, tail / sqrt(number in the tail)
    pareto_distance: float  # Kolmogorov-Smirnov, within the tail


class BookFit(NamedTuple):
    """A book of debts in few numbers."""

    n: int
    debt_usd: float
    sizes: SizeFit
    quantiles: tuple[tuple[float, float], ...]  # (share of debt, health factor)
    n_effective: float  # debts of equal size that would tell as much
    n_unsafe: int  # with a health factor below 1

    @property
    def share_errors(self) -> np.ndarray:
        """Standard errors of the shares of the quantiles: float64, (n_quantiles,)."""
        shares = np.array([share for share, _ in self.quantiles])
        return np.asarray(np.sqrt(shares * (1.0 - shares) / self.n_effective))


class Group(NamedTuple):
    """Accounts with the same main collateral, main debt and mode; debt None: suppliers."""

    collateral: str
    debt: str | None
    fit: BookFit | SizeFit
    value_usd: float  # debt of debtors, deposits of suppliers
    mode: int = 0  # efficiency mode, a number of the file; 0: none


class FileFit(NamedTuple):
    """What was fitted to a file."""

    groups: tuple[Group, ...]
    n_accounts: int
    n_debtors: int
    n_unsafe: int
    n_left_out: int  # too small, or of a group with too few accounts
    left_out_usd: float


def fit_sizes(usd: np.ndarray) -> SizeFit:
    """Fit sizes by a lognormal and their largest tenth by a Pareto distribution.

    Parameters
    ----------
    usd : float64, (n,), USD, above 0; n of at least 2
    """
    log_sd, _, median = stats.lognorm.fit(usd, floc=0.0)
    n_tail = min(max(len(usd) // 10, 10), len(usd) - 1)
    ordered = np.sort(usd)
    largest, edge = ordered[-n_tail:], ordered[-n_tail - 1]
    excess = float(np.log(largest / edge).mean())
    tail = 1.0 / excess if excess > 0.0 else np.inf
    return SizeFit(
        n=len(usd),
        log_mean=float(np.log(median)),
        log_sd=float(log_sd),
        log_sd_error=float(log_sd / np.sqrt(2.0 * len(usd))),
        lognormal_distance=float(_distance(usd, stats.lognorm(log_sd, 0.0, median))),
        tail=tail,
        tail_error=tail / np.sqrt(n_tail),
        pareto_distance=float(_distance(largest, stats.pareto(tail, 0.0, edge))),
    )


def _distance(values: np.ndarray, law: object) -> float:
    return float(stats.kstest(values, law.cdf).statistic)  # type: ignore[attr-defined]


def health_quantiles(
    debt: np.ndarray, health: np.ndarray, shares: tuple[float, ...] = SHARES
) -> np.ndarray:
    """Return the health factors below which shares of the debt lie: float64, (n_shares,).

    Parameters
    ----------
    debt : float64, (n,), USD
    health : float64, (n,)
    """
    order = np.argsort(health, kind="stable")
    weight = debt[order] / debt.sum()
    middle = np.cumsum(weight) - weight / 2.0
    logs = np.log(np.maximum(health[order], _LOWEST_HEALTH))
    return np.asarray(np.exp(np.interp(shares, middle, logs)))


def fit_book(debt: np.ndarray, health: np.ndarray) -> BookFit:
    """Fit a book of debts.

    Parameters
    ----------
    debt : float64, (n,), USD, above 0
    health : float64, (n,)

    Raises
    ------
    InputError
        There are fewer than five debts.
    """
    if len(debt) < _LEAST:
        raise InputError(f"{len(debt)} debts cannot be fitted; give at least {_LEAST}")
    factors = health_quantiles(debt, health)
    return BookFit(
        n=len(debt),
        debt_usd=float(debt.sum()),
        sizes=fit_sizes(debt),
        quantiles=tuple(zip(SHARES, map(float, factors), strict=True)),
        n_effective=float(debt.sum() ** 2 / np.sum(debt**2)),
        n_unsafe=int(np.count_nonzero(health < 1.0)),
    )


def fit_file(
    book: PositionFile,
    thresholds: dict[str, float],
    prices: dict[str, float] | None = None,
    smallest_usd: float = 1.0,
) -> FileFit:
    """Fit the accounts of a file, one group for each pair of main collateral and main debt.

    Accounts of different efficiency modes are different groups.

    Parameters
    ----------
    thresholds : liquidation threshold of each collateral; that of a collateral in an efficiency
        mode by its name and the number of the mode, `ETH@1`
    prices : USD a token, where the file has no price_usd or another is wanted
    smallest_usd : accounts with less debt (without debt: smaller deposits) are left out

    Raises
    ------
    InputError
        A threshold or a price is missing, or of an asset that the file does not have.
    """
    collateral, debt, weighted = _values(book, thresholds, prices or {})
    owed = debt.sum(axis=1)
    health = np.divide(weighted.sum(axis=1), owed, out=np.full(len(owed), np.inf), where=owed > 0.0)
    size = np.where(owed > 0.0, owed, collateral.sum(axis=1))
    pairs = _pairs(_modes(book), weighted, collateral, debt)
    is_kept = size >= smallest_usd
    groups: list[Group] = []
    is_fitted = np.zeros(len(owed), bool)
    for pair in sorted(set(map(tuple, pairs[is_kept].tolist()))):
        mine = is_kept & np.all(pairs == pair, axis=1)
        is_loop = pair[0] == pair[1]  # one asset on both sides, which no population has
        if np.count_nonzero(mine) < _LEAST or is_loop:
            continue
        is_fitted |= mine
        groups.append(_group(book, pair, size[mine], health[mine]))
    groups.sort(key=lambda group: (group.debt is None, -group.value_usd))
    return FileFit(
        groups=tuple(groups),
        n_accounts=book.n_accounts,
        n_debtors=int(np.count_nonzero(owed > 0.0)),
        n_unsafe=int(np.count_nonzero(health < 1.0)),
        n_left_out=int(np.count_nonzero(~is_fitted)),
        left_out_usd=float(owed[~is_fitted].sum()),
    )


def _group(
    book: PositionFile, pair: tuple[int, ...], size: np.ndarray, health: np.ndarray
) -> Group:
    asset, total = book.assets[pair[0]], float(size.sum())
    if pair[1] < 0:
        return Group(asset, None, fit_sizes(size), total)
    return Group(asset, book.assets[pair[1]], fit_book(size, health), total, pair[2])


def _pairs(
    modes: np.ndarray, weighted: np.ndarray, collateral: np.ndarray, debt: np.ndarray
) -> np.ndarray:
    """Return (main collateral, main debt or -1, mode) of each account: int64, (n_accounts, 3)."""
    has_debt = np.any(debt, axis=1)
    weight = np.where(has_debt[:, None], weighted, collateral)
    owed = np.where(has_debt, debt.argmax(axis=1), -1)
    return np.stack([weight.argmax(axis=1), owed, np.where(has_debt, modes, 0)], axis=1)


def _values(
    book: PositionFile, thresholds: dict[str, float], prices: dict[str, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return collateral, debt and collateral times threshold: float64, (n_accounts, n_assets)."""
    known = set(book.assets)
    for what, given, allowed in (
        ("threshold", thresholds, known | _moded(book)),
        ("price", prices, known),
    ):
        for name in sorted(given.keys() - allowed):
            raise InputError(
                f"{what} of '{name}': the file has no such asset; it has {', '.join(book.assets)}"
            )
    shape = book.n_accounts, len(book.assets)
    collateral, debt = np.zeros(shape), np.zeros(shape)
    collateral[book.account, book.asset] = book.collateral
    debt[book.account, book.asset] = book.debt
    price = np.array([prices.get(n, p) for n, p in zip(book.assets, book.price_usd, strict=True)])
    for k in np.flatnonzero(np.isnan(price))[:1]:
        name = book.assets[k]
        raise InputError(f"{name} has no price_usd in the file; give --price {name}=USD")
    secures = collateral[np.any(debt, axis=1)].max(axis=0, initial=0.0)
    for name in [n for n, s in zip(book.assets, secures, strict=True) if s and n not in thresholds]:
        raise InputError(f"{name} secures debts; give its --threshold {name}=0.8, or 0 for none")
    weighted = collateral * price * _thresholds(book, thresholds, np.any(debt, axis=1))
    return collateral * price, debt * price, weighted


def _modes(book: PositionFile) -> np.ndarray:
    """Return the efficiency mode of each account: int64, (n_accounts,)."""
    modes = np.zeros(book.n_accounts, np.int64)
    modes[book.account] = book.mode
    return modes


def _moded(book: PositionFile) -> set[str]:
    """Return the names of assets in the efficiency modes of a file: `ETH@1`."""
    modes = np.unique(book.mode[book.mode > 0]).tolist()
    return {f"{name}@{mode}" for name in book.assets for mode in modes}


def _thresholds(
    book: PositionFile, thresholds: dict[str, float], has_debt: np.ndarray
) -> np.ndarray:
    """Return the liquidation threshold of each claim: float64, (n_accounts, n_assets)."""
    modes, names = _modes(book), book.assets
    found = np.tile([thresholds.get(name, 0.0) for name in names], (book.n_accounts, 1))
    for mode in np.unique(modes[has_debt & (modes > 0)]).tolist():
        named = [k for k, name in enumerate(names) if f"{name}@{mode}" in thresholds]
        if not named:
            raise InputError(
                f"accounts of mode {mode} have debts; give the threshold of a collateral in that "
                f"mode, such as --threshold {names[0]}@{mode}=0.93"
            )
        for k in named:
            found[modes == mode, k] = thresholds[f"{names[k]}@{mode}"]
    return found


def numbers_by_name(option: str, given: list[str]) -> dict[str, float]:
    """Return what an option of the command line gives by name: `ETH=0.8`.

    Raises
    ------
    InputError
        One is not a name, an equals sign and a number of at least 0.
    """
    found: dict[str, float] = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = np.nan
        if not (name and 0.0 <= found[name] < np.inf):
            raise InputError(f"{option} {text!r}: give a name and a number, such as ETH=0.8")
    return found
