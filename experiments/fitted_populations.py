"""Fitted books as the populations of a scenario, in YAML ready to be pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.book_fit import SizeFit

if TYPE_CHECKING:
    from experiments.book_fit import FileFit, Group

_TAIL = (0.51, 10.0)  # what suppliers accept
_MOST_LOG_SD = 5.0  # what borrowers accept


def as_populations(fit: FileFit, chain: str, market: str) -> str:
    """Return the populations of a scenario that stand for a fitted file, as YAML.

    Suppliers come first: there must be cash to lend.
    """
    debtors = f"{fit.n_debtors:,} with debt, {fit.n_unsafe:,} of these with a health factor below 1"
    left_out = (
        f"{fit.n_left_out:,} left out (too small, few of their kind, one asset on both sides)"
    )
    lines = [
        f"# {fit.n_accounts:,} accounts, {debtors};",
        f"# {left_out}, with {fit.left_out_usd:,.4g} USD of debt.",
        "populations:",
    ]
    for group in sorted(fit.groups, key=lambda group: group.debt is not None):
        lines += _population(group, chain, market)
    return "\n".join(lines) + "\n"


def _population(group: Group, chain: str, market: str) -> list[str]:
    place = [f"    chain: {chain}", f"    market: {market}"]
    if isinstance(group.fit, SizeFit):
        sizes = group.fit
        tail = min(max(sizes.tail, _TAIL[0]), _TAIL[1])
        told = f"standard error {sizes.tail_error:.2g}; distance {sizes.pareto_distance:.2g}"
        return [
            f"  suppliers-{group.collateral}:",
            "    kind: suppliers",
            *place,
            f"    asset: {group.collateral}",
            f"    count: {sizes.n}",
            f"    supplied_usd: {group.value_usd:.6g}",
            f"    pareto_tail: {tail:.3g} # fitted {sizes.tail:.3g}, {told}",
        ]
    book = group.fit
    sizes = book.sizes
    pairs = ", ".join(f"[{share:g}, {factor:.5g}]" for share, factor in book.quantiles)
    errors = ", ".join(f"{error:.2g}" for error in book.share_errors)
    told = f"standard error {sizes.log_sd_error:.2g}; distance {sizes.lognormal_distance:.2g}"
    name = f"borrowers-{group.collateral}-{group.debt}"
    if group.mode:
        name += f"-mode-{group.mode}"
        place.append(f'    efficiency_mode: "{group.mode}" # the label of that mode in the market')
    return [
        f"  {name}: # {book.n_unsafe} with health below 1",
        "    kind: borrowers",
        *place,
        f"    collateral: {group.collateral}",
        f"    debt: {group.debt}",
        f"    count: {book.n}",
        f"    debt_usd: {book.debt_usd:.6g}",
        f"    debt_log_sd: {min(sizes.log_sd, _MOST_LOG_SD):.3g} # {told}",
        f"    # tail index of the largest tenth: {sizes.tail:.3g} +- {sizes.tail_error:.2g}",
        f"    # standard errors of the shares: {errors}",
        f"    health_quantiles: [{pairs}]",
    ]
