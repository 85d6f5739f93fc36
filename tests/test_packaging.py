"""What is installed, what is shipped, and what the tracked files may not say."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("sim", "agents", "experiments", "analysis")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PIN = re.compile(
    r"(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)==(?P<version>[0-9][0-9a-z.+!]*)( ; (?P<marker>.+))?"
)


def project_files() -> list[str]:
    """Return every file that belongs to the project, tracked or about to be.

    Without git, or in a copy that is no clone: every file but what tools leave behind.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return sorted(_walk())
    return sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file())


def _walk() -> list[str]:
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").split()}
    found = []
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if name not in ignored | {".git"}]
        found += [(Path(folder) / name).relative_to(ROOT).as_posix() for name in names]
    return found


def texts(*endings: str) -> dict[str, str]:
    """Return the text of each project file that is text, by name."""
    found = {}
    for name in project_files():
        raw = (ROOT / name).read_bytes()
        if b"\0" not in raw and not name.endswith(".parquet") and name.endswith(endings or ("",)):
            found[name] = raw.decode("utf-8")
    return found


def hits(pattern: str, found: dict[str, str]) -> list[str]:
    """Return `file:line: text` wherever the pattern matches."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in found.items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line, re.IGNORECASE)
    ]


# --- constraints ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pins() -> list[re.Match[str]]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    matches = [(line, PIN.fullmatch(line)) for line in lines]
    assert [line for line, match in matches if match is None] == []
    return [match for _, match in matches if match is not None]


def test_every_constraint_pins_one_version_and_names_no_place(pins):
    markers = [match["marker"] for match in pins if match["marker"]]
    assert [str(Marker(marker)) for marker in markers]
    assert len(pins) > 50


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
def test_every_requirement_is_pinned_once_to_a_version_it_allows(pins, python):
    environment = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    pinned: dict[str, list[str]] = {}
    for match in pins:
        if match["marker"] is None or Marker(match["marker"]).evaluate(environment):
            pinned.setdefault(match["name"], []).append(match["version"])
    assert {name: found for name, found in pinned.items() if len(found) > 1} == {}
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for requirement in (Requirement(line) for group in groups for line in group):
        is_asked = requirement.marker is None or requirement.marker.evaluate(environment)
        if is_asked and requirement.name != PROJECT["name"]:
            (version,) = pinned[canonicalize_name(requirement.name)]
            assert version in requirement.specifier, f"{requirement}: pinned to {version}"


# --- installation ---------------------------------------------------------------------------------


def test_the_four_packages_are_ours_wherever_python_starts(tmp_path):
    code = "from experiments.cli import foreign_packages; assert foreign_packages() == {}"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_opens_with_our_name_and_is_typed(package):
    assert (ROOT / package / "__init__.py").read_text("utf-8").startswith('"""Undertow')
    assert (ROOT / package / "py.typed").is_file()


def test_the_wheel_holds_every_file_of_the_four_packages_and_nothing_else(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == {name for name in project_files() if name.split("/")[0] in PACKAGES}


def test_git_ignores_nothing_but_bytecode_below_the_root():
    lines = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert [pattern for pattern in patterns if not pattern.startswith("/")] == ["__pycache__/"]
    assert {pattern.strip("/").split("/")[0] for pattern in patterns}.isdisjoint(PACKAGES)


# --- what the files say ---------------------------------------------------------------------------


def test_no_file_names_a_place_on_a_machine():
    unix = r"(?<![\w.\-/])/(?:tmp|root|work|opt|mnt|home/\w+|Users/\w+)/"
    windows = r"\b[A-Z]:\\+Users"
    assert hits(f"{unix}|{windows}", texts()) == []


def test_no_file_names_a_package_registry():
    # the brackets keep this line from matching itself
    assert hits(r"py[p]i\.org|python[h]osted|registry\.npm[j]s|anaconda[.]org", texts()) == []


def test_documents_are_finished_text():
    documents = texts(".md")
    assert "README.md" in documents
    assert hits(r"\b[T]ODO\b|\b[F]IXME\b|\b[X]XX\b|\btbd\b|lorem ipsum", documents) == []
    assert hits(r"[ \t]+$|\t|^(?:<<<<<<<|>>>>>>>) ", documents) == []
    assert [name for name, text in documents.items() if not text.endswith("\n")] == []


def test_every_link_between_documents_leads_to_a_file():
    broken = []
    for name, text in texts(".md").items():
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            is_local = not re.match(r"[a-z]+:", target)
            if is_local and not (ROOT / name).parent.joinpath(target).exists():
                broken.append(f"{name}: {target}")
    assert broken == []


def test_the_readme_gives_the_two_commands():
    lines = [line.strip() for line in (ROOT / "README.md").read_text("utf-8").splitlines()]
    job = "python -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt -e . "
    tests = (
        "python -m pip install -c constraints.txt -e '.[conformance,dashboard,test]' "
        "&& pytest -n 2 --dist loadfile"
    )
    assert [line for line in lines if line.startswith(job)] == [job + "&& undertow run"]
    assert [line for line in lines if line.startswith("python -m pip install ")] == [tests]
