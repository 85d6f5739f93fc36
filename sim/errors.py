"""The exceptions of Undertow: one small tree, each class also the built-in it resembles.

Messages say what is wrong, the value, what is allowed and what to do. `exit_code` is what the
command line returns: 2 for a user's mistake, 1 for a job that failed.
"""

from __future__ import annotations


class UndertowError(Exception):
    """Any fault that Undertow reports without a traceback."""

    exit_code = 1


class InputError(UndertowError, ValueError):
    """A value the user gave is not usable."""

    exit_code = 2


class ScenarioError(InputError):
    """A scenario, or a file that it names, is wrong; the message names file, line and field."""


class RefusedError(InputError):
    """A protocol refuses an operation, as the deployed contract would."""


class OutputError(UndertowError, OSError):
    """The output folder cannot be written: full, read-only or in use."""


class InvariantError(UndertowError, ArithmeticError):
    """The world broke one of its own rules: conservation, escrow or an index out of range."""


class EngineError(UndertowError, RuntimeError):
    """The engine stopped for a reason that is not the user's."""
