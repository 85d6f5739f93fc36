"""The command line as tests use it: in this process, in a folder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from experiments.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Done(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, where commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def undertow(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Return a function that runs the command line in an empty folder."""

    def command(*arguments: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        return Done(end.value.code or 0, *capsys.readouterr())

    return command
