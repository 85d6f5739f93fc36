"""How far our numbers are from the contract's, and what counts as equal."""

import re
from dataclasses import dataclass, field
from fractions import Fraction

from sim.errors import InputError
from tests.conformance.machine import RevertError

UNITS = 3.0  # smallest units of either token at the price
RELATIVE = 1e-9
PRICE = 1e-12


class EndError(Exception):
    """A sequence ends: from here on the two follow different rules, or float64 cannot follow."""


@dataclass
class Gap:
    """The differences of one quantity over all operations."""

    n: int = 0
    units: float = 0.0  # largest, in units, where it is more than `RELATIVE` of the number itself
    relative: float = 0.0  # largest, of the number itself, where it is more than `UNITS` units
    n_left_out: int = 0  # beyond both: what float64 cannot represent
    worst: float = 0.0  # largest of these, of the number itself


@dataclass
class Errors:
    """All quantities of one mechanism."""

    is_strict: bool = True  # False only measures
    gaps: dict = field(default_factory=dict)
    n_done: int = 0
    reasons: dict = field(default_factory=dict)  # the contract's refusals: reason -> how often
    n_ended: int = (
        0  # sequences that ended early: float64 cannot tell which side of a tick it is on
    )
    n_otherwise: int = 0  # one refuses and the other does not, or for another reason

    def part_left_out(self):
        """Return the part of all comparisons that was left out."""
        gaps = self.gaps.values()
        return sum(gap.n_left_out for gap in gaps) / sum(gap.n for gap in gaps)

    def compare(self, name, ours, exact, unit=1.0, relative=RELATIVE, unseen=0.0):
        """Note one difference; beyond the bound, only what `unseen` says may be left out.

        Parameters
        ----------
        unit : of the number, in which three are allowed
        unseen : how much of the number float64 cannot represent, known beforehand
        """
        gap = float(abs(Fraction(ours) - exact))
        found = self.gaps.setdefault(name, Gap())
        found.n += 1
        allowed = relative * float(abs(exact))
        if gap > allowed:
            found.units = max(found.units, gap / unit if gap <= UNITS * unit else 0.0)
        if gap > UNITS * unit:
            found.relative = max(found.relative, gap / float(abs(exact)) if gap <= allowed else 0.0)
        if gap > max(allowed, UNITS * unit):
            found.n_left_out += 1
            found.worst = max(found.worst, gap / float(max(abs(exact), 1)))
            assert gap <= max(allowed, UNITS * unit) + unseen or not self.is_strict, (
                name, float(ours), exact, gap, unit, unseen,
            )  # fmt: skip

    def both(self, contract, ours, reasons, label, *, is_near=False):
        """Run one operation on both; return (contract's outcome, ours), None where both refuse.

        Parameters
        ----------
        contract, ours : called without arguments
        reasons : the contract's reason -> pattern of our messages that say the same
        is_near : so near a limit that what float64 cannot represent decides who refuses
        """
        try:
            exact = contract()
        except RevertError as error:
            self.reasons[error.reason] = self.reasons.get(error.reason, 0) + 1
            self._refuse(ours, error.reason, reasons, label, is_near)
            return None
        self.n_done += 1
        try:
            return exact, ours()
        except InputError as error:
            if is_near:
                raise EndError from None
            if self.is_strict:
                raise AssertionError((label, "only we refuse", str(error))) from None
            self.n_otherwise += 1
            raise EndError from None

    def _refuse(self, ours, reason, reasons, label, is_near):
        try:
            outcome = ours()
        except InputError as error:
            outcome = str(error)
            if re.search(reasons[reason], outcome):
                return
        if is_near:
            raise EndError
        assert not self.is_strict, (label, "the contract refuses", reason, "we say", outcome)
        self.n_otherwise += 1
        raise EndError
