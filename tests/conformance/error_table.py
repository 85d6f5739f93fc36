"""Measure the error of each mechanism against the deployed contracts, and write the table.

python -m tests.conformance.error_table           # rewrites the table in docs/conformance.md
"""

import random
from pathlib import Path

from tests.conformance import (
    aave_v3_sequences,
    balancer_sequences,
    uniswap_v2_sequences,
    uniswap_v3_sequences,
)
from tests.conformance.measure import Errors
from tests.conformance.uniswap_v3 import SPACINGS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
N = 200  # operations of a sequence
ROUNDED, REAL = "as the contract", "real numbers"


def uniswap_v2(errors, quantum):
    draw = random.Random(1)  # noqa: S311  # test sequences
    for seed in range(8):
        digits = draw.uniform(4.0, 33.0), draw.uniform(4.0, 33.0)
        uniswap_v2_sequences.run_sequence(
            seed, *digits, N, errors, quantum, protocol_fee=seed % 2 == 0
        )


def uniswap_v3(errors, quantum):
    draw = random.Random(2)  # noqa: S311
    for seed in range(12):
        pips, tick = sorted(SPACINGS)[seed % 4], draw.randint(-600_000, 600_000)
        digits = draw.randint(6, uniswap_v3_sequences.most_digits(tick))
        shares = draw.choice((0, 4, 10)), draw.choice((0, 5))
        uniswap_v3_sequences.run_sequence(seed, pips, tick, digits, shares, N, errors, quantum)


def aave_v3(errors, quantum):
    draw = random.Random(3)  # noqa: S311
    for seed in range(6):
        digits, fixed_point = draw.uniform(9.0, 20.0), quantum is not None
        aave_v3_sequences.run_sequence(seed, digits, N, errors, fixed_point=fixed_point)


def balancer(errors, quantum):
    for seed in range(8):
        balancer_sequences.run_sequence(seed, N, errors, quantum)


MECHANISMS = {
    "constant product, Uniswap v2": uniswap_v2,
    "concentrated liquidity, Uniswap v3": uniswap_v3,
    "weighted pool, Balancer v2": balancer,
    "lending market, Aave v3.0.2": aave_v3,
}


def lines_of(name, rounding, errors):
    """Return the rows of one mechanism: one summary, then one a quantity."""
    refused = sum(errors.reasons.values())
    summary = (
        f"**{name}, {rounding}**: {errors.n_done:,} operations and {refused:,} refusals for "
        f"{len(errors.reasons)} reasons; {errors.n_otherwise} decided otherwise, "
        f"{errors.n_ended} sequences ended early."
    )
    rows = [
        "",
        summary,
        "",
        "| quantity | compared | largest gap, units | largest gap, relative | left out | worst |",
        "|---|---|---|---|---|---|",
    ]
    for quantity, gap in errors.gaps.items():
        worst = f"{gap.worst:.1e}" if gap.n_left_out else ""
        rows.append(
            f"| {quantity.replace('_', ' ')} | {gap.n:,} | {gap.units:.2g} | {gap.relative:.1e} "
            f"| {gap.n_left_out or ''} | {worst} |"
        )
    return rows


def measured():
    """Return the whole table as text."""
    rows = []
    for name, run in MECHANISMS.items():
        for rounding, quantum in ((ROUNDED, 1.0), (REAL, None)):
            errors = Errors(is_strict=quantum is not None)
            run(errors, quantum)
            rows += lines_of(name, rounding, errors)
    return "\n".join(rows).lstrip("\n") + "\n"


def main():
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + "\n" + measured() + "\n" + END + after, "utf-8")


if __name__ == "__main__":
    main()
