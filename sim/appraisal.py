"""Appraisals: what an account has in a venue, and how it gets out, whatever the venue is.

A mechanism whose venues can hold something for an account declares one handler. It is asked what
the account would be given now, in tokens, and answers with the verb and the arguments of an order
that takes it out. Who holds positions of several kinds, such as a tranche vault, knows no more of
them than this.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.kernel import invoke, kernel, record_of, row_address

BOOK, SEEN, FAIR = range(3)
# ^ of `basis`: as the venue's books say; less losses that show at the prices that the venue uses
# and that it has not recognized; the same at fundamental prices

APPRAISAL = np.dtype(
    [
        ("venue", "i8"),  # asked …
        ("group", "i8"),
        ("row", "i8"),
        ("a", "i8"),  # which position, as in orders of the venue
        ("b", "i8"),
        ("basis", "i8"),  # BOOK, SEEN, FAIR
        ("now", "i8"),
        ("token0", "i8"),  # … and answered, -1: none
        ("token1", "i8"),
        ("verb", "i8"),  # takes it out, counted from the venue's first
        ("amount0", "f8"),  # tokens
        ("amount1", "f8"),
        ("available", "f8"),  # share of the position that the venue could pay out now
        ("units", "f8"),  # `amount` of an order that takes all of it out
    ],
    align=True,
)
appraisal_at: Any = record_of(APPRAISAL)


@kernel
def appraise(venues, message, venue, group, row, a, b, basis, now):  # type: ignore[no-untyped-def]
    """Ask a venue what an account has in it; returns the record, the first of `message`."""
    asked = message[0]
    asked.venue, asked.group, asked.row, asked.a, asked.b = venue, group, row, a, b
    asked.basis, asked.now = basis, now
    asked.token0 = asked.token1 = asked.verb = -1
    asked.amount0 = asked.amount1 = asked.available = asked.units = 0.0
    if venues.appraise[venue] != 0:
        invoke(venues.appraise[venue], venues.appraise_binding[venue], row_address(message, 0))
    return asked
