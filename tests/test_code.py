"""The code is formatted, linted, typed and layered: each tool in a child process."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def check(*arguments: str) -> None:
    """Run Python on `arguments` in the project's root; fail with all it printed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}{done.stderr}"


def test_every_file_is_formatted():
    check("-m", "ruff", "format", "--check", ".")


def test_every_file_passes_the_linter():
    check("-m", "ruff", "check", "--output-format", "concise", ".")


def test_every_type_is_right():
    check("-m", "mypy")


def test_every_import_obeys_the_layers():
    check("-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())")
