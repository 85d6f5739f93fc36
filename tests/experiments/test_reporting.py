"""`undertow report`: where it writes, what it refuses, how a result is repeated."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from experiments.repeating import repeat_of, shipped_words
from experiments.reporting import is_page
from experiments.running import run
from experiments.scenario import load_scenario
from tests.experiments.test_cli import ENVIRONMENT


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return a folder of a short run, without figures."""
    folder = tmp_path_factory.mktemp("recorded") / "run"
    run(load_scenario("quiet-market", until=600.0), seed=5, out=folder, figures=False)
    return folder


@pytest.fixture
def folder(recorded, here):
    """Return a copy of that folder where commands run."""
    shutil.copytree(recorded, here / "it")
    return here / "it"


@pytest.fixture
def quick(monkeypatch):
    """Make pages at once: what they say is tested elsewhere."""
    page = '<!DOCTYPE html>\n<html>\n<meta name="generator" content="Undertow report">\n{}'
    made = []

    def make(place, repeat, calm=None):
        made.append(place)
        return page.format(len(made))

    monkeypatch.setattr("analysis.report.make_report", make)
    return made


# --- where it writes ------------------------------------------------------------------------------


def test_a_report_is_one_file_in_the_folder_of_the_run(undertow, folder):
    before = {path for path in folder.rglob("*") if path.is_file()}
    done = undertow("report", "it")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"report  it/report\.html  \(\d\.\d MB\)\n", done.out)
    assert {path for path in folder.rglob("*") if path.is_file()} - before == {
        folder / "report.html"
    }
    assert "<h1>quiet-market, seed 5</h1>" in (folder / "report.html").read_text("utf-8")


def test_out_is_written_there_and_nowhere_else(undertow, folder, here, quick):
    before = sorted(folder.rglob("*"))
    assert undertow("report", "it", "--out", "pages/new.html").code == 0
    assert sorted(folder.rglob("*")) == before
    assert [path.name for path in (here / "pages").iterdir()] == ["new.html"]


def test_what_exists_is_kept_without_force_and_replaced_with_it(undertow, folder, quick):
    assert undertow("report", "it").code == 0
    refused = undertow("report", "it")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "undertow: it/report.html exists; give another --out, or --force to replace it\n"
    )
    assert (folder / "report.html").read_text("utf-8").endswith("1")
    assert undertow("report", "it", "--force").code == 0
    assert (folder / "report.html").read_text("utf-8").endswith("2")
    assert len(quick) == 2  # what is refused is refused before the work


def test_force_replaces_no_file_that_is_not_a_report(undertow, folder, here, quick):
    (here / "notes.html").write_text("<html>mine</html>", "utf-8")
    done = undertow("report", "it", "--out", "notes.html", "--force")
    assert (done.code, done.err) == (
        2,
        "undertow: notes.html is no report; it is not replaced, even with --force\n",
    )
    assert (here / "notes.html").read_text("utf-8") == "<html>mine</html>"


def test_a_link_is_not_followed(undertow, folder, here, quick):
    assert undertow("report", "it", "--out", "page.html").code == 0
    (here / "link.html").symlink_to(here / "page.html")
    assert undertow("report", "it", "--out", "link.html", "--force").code == 2
    assert (here / "link.html").is_symlink()


def test_a_folder_as_target_and_a_place_that_cannot_be_written_are_told(undertow, folder, quick):
    assert undertow("report", "it", "--out", "it").err.startswith("undertow: it is a folder; give")
    done = undertow("report", "it", "--out", "it/manifest.json/page.html")
    assert done.code == 1
    assert "a part of the path is a file" in done.err


def test_nothing_is_left_when_the_page_cannot_be_made(undertow, folder, here):
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"status": "running"}), "utf-8")
    before = sorted(here.rglob("*"))
    done = undertow("report", "it")
    assert done.code == 2
    assert "is not a finished run, for its status is 'running'" in done.err
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_what_is_no_result_is_told_in_one_line(name, undertow):
    done = undertow("report", name)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)


def test_a_run_folder_with_its_report_is_still_replaced_and_with_a_foreign_one_not(
    undertow, folder, quick
):
    assert undertow("report", "it").code == 0
    again = ("run", "quiet-market", "--until", "60s", "--out", "it", "--force", "--no-figures")
    assert undertow(*again).code == 0
    assert not (folder / "report.html").exists()
    (folder / "report.html").write_text("mine", "utf-8")
    assert "holds 'report.html', which no run wrote" in undertow(*again).err
    assert not is_page(folder / "report.html")


def test_help_of_the_report_loads_nothing_heavy():
    code = (
        "import sys\nfrom experiments.cli import main\n"
        "try: main(['report', '--help'])\nexcept SystemExit as end: assert not end.code\n"
        "assert not {'pandas', 'matplotlib', 'jinja2', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True, capture_output=True)


# --- how it is repeated ---------------------------------------------------------------------------


def test_a_shipped_scenario_is_repeated_by_its_name(folder):
    lines = repeat_of(folder).commands
    assert lines[0] == (f"undertow run quiet-market --until 600.0s --seed 5 --out {folder}-again")


@pytest.mark.parametrize("changes", [[], ["venues.eth-usd.fee=0.005"]])
def test_the_commands_of_a_page_make_the_same_run_again(changes, here, undertow):
    place = here / "a run"  # a name that a shell would take apart
    first = run(load_scenario("quiet-market", changes, until=300.0), 9, out=place, figures=False)
    *before, last, report = (shlex.split(line) for line in repeat_of(place).commands)
    assert len(before) == len(changes)
    for words in before:
        subprocess.run([sys.executable, *words[1:]], check=True)
    assert undertow(*last[1:], "--no-figures").code == 0
    again = json.loads((here / "a run-again" / "manifest.json").read_text("utf-8"))
    assert again["content_hash"] == first.manifest["content_hash"]
    assert report == ["undertow", "report", f"{place}-again"]


def test_files_that_a_scenario_reads_are_named(folder):
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text("utf-8"))
    manifest["scenario"]["assets"]["ETH"]["price"] = {"kind": "replay", "file": "candles.csv"}
    file.write_text(json.dumps(manifest), "utf-8")
    assert any("candles.csv" in note for note in repeat_of(folder).notes)


def test_a_changed_scenario_is_not_taken_for_the_shipped_one():
    shipped = load_scenario("quiet-market").model_dump(mode="json")
    assert shipped_words(shipped) == ["quiet-market"]
    assert shipped_words(shipped | {"warmup": 1.0}) == []
    assert shipped_words(shipped | {"horizon": 1e9}) == []
    assert shipped_words({"name": "no such"}) == []


def test_a_manifest_without_sense_still_ends_in_one_message(undertow, folder):
    (folder / "manifest.json").write_text("[1, 2", "utf-8")
    done = undertow("report", "it")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "cannot be read" in done.err


def test_the_page_shows_the_commands_of_the_run(undertow, folder, here):
    undertow("report", "it", "--out", "page.html")
    page = (here / "page.html").read_text("utf-8")
    (shown,) = re.findall(r'<pre class="commands"><code>(.*?)</code>', page, re.DOTALL)
    assert html.unescape(shown).splitlines() == list(repeat_of(folder.relative_to(here)).commands)
