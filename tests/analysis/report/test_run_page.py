"""The page of a run: whole, closed to the outside, with the numbers of the summary."""

from __future__ import annotations

import base64
import copy
import hashlib
import html
import json
import re
from pathlib import Path

import pytest

from analysis.metrics import QUANTITIES
from analysis.reading import RunFolderError
from analysis.report import Repeat, make_report
from analysis.report.registry import RUN_SECTIONS
from sim.errors import InputError
from tests.analysis.builders import crash_manifest, crash_run, quiet_manifest, quiet_run
from tests.analysis.report.pages import Parsed, write_run

COMMANDS = ("undertow run black-thursday --seed 7", "undertow report 'a b'")


@pytest.fixture(scope="module")
def crash(tmp_path_factory):
    """Return folder, summary and page of a run with liquidations on two chains."""
    folder = tmp_path_factory.mktemp("crash")
    summary = write_run(folder, crash_manifest(), crash_run())
    return folder, summary, make_report(folder, Repeat(COMMANDS, ("a note",)))


@pytest.fixture(scope="module")
def parsed(crash):
    return Parsed(crash[2])


def few_tables():
    """Return tables of which few figures are drawn."""
    return {name: quiet_run()[name] for name in ("prices", "equity", "fills")}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """Return folder, summary and page of a run of which little was recorded."""
    folder = tmp_path_factory.mktemp("quiet")
    summary = write_run(folder, quiet_manifest(), few_tables())
    return folder, summary, make_report(folder)


# --- one file, closed to the outside --------------------------------------------------------------


def test_a_page_loads_nothing_and_leads_nowhere(crash, parsed):
    targets = parsed.attributes("src") + parsed.attributes("href")
    assert all(target.startswith(("data:image/png;base64,", "#")) for target in targets)
    assert "http" not in re.sub(r'"data:[^"]*"|http-equiv', "", crash[2])
    assert "url(" not in crash[2]
    assert "@import" not in crash[2]


def test_the_policy_of_a_page_allows_its_own_script_and_style_alone(crash):
    page = crash[2]
    pattern = '<meta http-equiv="Content-Security-Policy" content="([^"]*)">'
    policy = html.unescape(re.findall(pattern, page)[0])
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_ids_are_used_once_and_links_within_the_page_have_targets(parsed):
    names = parsed.attributes("id")
    assert len(names) == len(set(names))
    assert {target[1:] for target in parsed.attributes("href")} <= set(names)


def test_every_picture_is_a_png_with_words_in_its_place(parsed):
    pictures = [found for tag, found in parsed.tags if tag == "img"]
    assert len(pictures) >= 8  # gains and the eight figures of a run with everything
    for found in pictures:
        assert base64.b64decode(found["src"].partition(",")[2]).startswith(b"\x89PNG")
        assert len(found["alt"]) > 40


def test_the_same_files_give_the_same_page(quiet):
    assert make_report(quiet[0]) == quiet[2]


def test_a_page_stays_below_three_megabytes(crash):
    assert len(crash[2].encode()) < 3e6


# --- its numbers ----------------------------------------------------------------------------------


def test_the_table_of_quantities_holds_the_summary_exactly(crash, parsed):
    summary = crash[1]
    shown = parsed.exact("quantities-table")
    assert set(shown) == {name for name in QUANTITIES if summary[name] is not None}
    for name, row in shown.items():
        assert float(row["value"]) == summary[name], name


def test_quantities_without_a_value_are_named(quiet):
    summary, page = quiet[1], Parsed(quiet[2])
    (told,) = re.findall(r"Without a value in this run: ([^.]*)\.", page.text)
    missing = {name for name in QUANTITIES if summary[name] is None}
    assert set(told.replace(" and ", ", ").split(", ")) == missing
    assert missing.isdisjoint(page.exact("quantities-table"))


def test_the_parts_of_the_summary_are_tables(crash, parsed):
    summary = crash[1]
    for table, part, columns in (
        ("pools-table", "by_pool", {"fees (USD)": "fees_usd", "volume (USD)": "volume_usd"}),
        ("assets-table", "by_asset", {"low (USD)": "reference_low"}),
        ("chains-table", "by_chain", {"gas used": "gas_used", "blocks": "n_blocks"}),
        ("gains-by-population", "by_population", {"trading gain (USD)": "trading_gain"}),
    ):
        shown = parsed.exact(table)
        assert set(shown) == set(summary[part]), part
        for name, row in shown.items():
            for heading, column in columns.items():
                assert float(row[heading]) == summary[part][name][column]
    statuses = {name: int(row["order legs"]) for name, row in parsed.exact("statuses").items()}
    assert statuses == summary["by_status"]


def test_what_is_shown_is_the_exact_value_rounded(parsed):
    checked = 0
    for table, rows in parsed.tables.items():
        for row in rows:
            for text, value in row:
                if value is None or table in ("parameters", "timeline-events"):
                    continue
                if value == "":
                    assert text == "–"
                    continue
                seen, exact = text.replace("−", "-").replace(",", ""), float(value)
                scale = 100.0 if seen.endswith("%") else 1.0
                shown = float(seen.removesuffix("%").replace("\u00a0", "").strip())
                tolerance = max(0.006, 0.0006 * abs(exact * scale))
                assert shown == pytest.approx(exact * scale, abs=tolerance), (table, text, value)
                checked += 1
    assert checked > 200


def test_gains_by_class_add_up_to_those_by_population(parsed):
    classes, people = parsed.exact("gains-by-class"), parsed.exact("gains-by-population")
    for heading in ("trading gain (USD)", "of it gas paid (USD)"):
        total = sum(float(row[heading]) for row in classes.values())
        assert total == pytest.approx(sum(float(row[heading]) for row in people.values()))


# --- its parts ------------------------------------------------------------------------------------


def test_the_story_stands_first(parsed):
    sections = [found["id"] for tag, found in parsed.tags if tag == "section"]
    assert sections[0] == "story"
    assert sections[-2:] == ["limits", "repeat"]
    assert len(sections) <= len(RUN_SECTIONS) + 2


def test_every_table_has_what_sorting_needs(parsed):
    assert len(parsed.tables) >= 10
    tables = [found for tag, found in parsed.tags if tag == "table"]
    assert all(found["class"] == "sortable" for found in tables)
    for name, rows in parsed.tables.items():
        assert {len(row) for row in rows} == {len(parsed.headings[name])}, name


def test_the_commands_are_shown_as_they_are_typed(crash):
    (shown,) = re.findall(r'<pre class="commands"><code>(.*?)</code>', crash[2], re.DOTALL)
    assert shown.replace("&#39;", "'").splitlines() == list(COMMANDS)


def test_sections_without_data_are_left_out_with_the_reason(quiet):
    page = Parsed(quiet[2])
    assert "Lending and liquidations: the run has no lending or CDP market." in page.text
    assert "Bridges: the run has no bridge." in page.text
    assert {"lending", "bridges"}.isdisjoint(page.attributes("id"))


def test_the_scenario_as_run_is_there_by_path(parsed):
    shown = parsed.exact("parameters")
    assert float(shown["horizon"]["value"]) == 172_800.0
    assert shown["shocks[1].do.kind"]["value"] == "halt_venue"


# --- hostile text ---------------------------------------------------------------------------------

EVIL = '"><img src=x onerror=alert(1)></td><script>alert(2)</script>'


def test_names_and_messages_are_text_wherever_they_stand(tmp_path):
    manifest = copy.deepcopy(quiet_manifest())
    scenario = manifest["scenario"]
    scenario["name"] = scenario["description"] = EVIL
    scenario["shocks"] = [{"name": EVIL, "at": 60.0, "do": {"kind": EVIL, EVIL: EVIL}}]
    scenario["populations"][EVIL] = {"kind": EVIL}
    manifest["versions"] = {EVIL: EVIL}
    tables = few_tables()
    names = tables["equity"]["population"].astype(str).replace("arbitrageur", EVIL)
    tables["equity"] = tables["equity"].assign(population=names)
    write_run(tmp_path / "evil", manifest, tables)
    page = Parsed(make_report(tmp_path / "evil", Repeat((EVIL,), (EVIL,))))
    assert [tag for tag, _ in page.tags].count("script") == 1
    sources = [found["src"] for tag, found in page.tags if tag == "img"]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert page.attributes("onerror") == []
    assert page.text.count(EVIL) >= 6


# --- folders that are none ------------------------------------------------------------------------


def test_a_run_that_did_not_end_is_refused(tmp_path):
    folder = tmp_path / "run"
    write_run(folder, {**quiet_manifest(), "status": "running"}, {})
    with pytest.raises(RunFolderError, match="is not a finished run, for its status is 'running'"):
        make_report(folder)


def test_a_run_without_summary_is_refused(tmp_path):
    folder = tmp_path / "run"
    write_run(folder, quiet_manifest(), {})
    (folder / "summary.json").unlink()
    with pytest.raises(RunFolderError, match=r"for it has no summary\.json; repeat the run"):
        make_report(folder)


def test_a_summary_that_makes_no_sense_is_refused_in_one_message(tmp_path):
    folder = tmp_path / "run"
    write_run(folder, quiet_manifest(), {})
    (folder / "summary.json").write_text(json.dumps({"by_population": [1, 2]}), "utf-8")
    with pytest.raises(InputError, match="holds what this version cannot read"):
        make_report(folder)


def test_a_folder_without_records_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"status": "done"}), "utf-8")
    with pytest.raises(RunFolderError, match="has no records"):
        make_report(tmp_path)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Path.exists, "does not exist"),
        (Path.touch, "is not a folder"),
        (Path.mkdir, "is no result that can be reported"),
    ],
)
def test_what_is_no_result_is_refused(make, told, tmp_path):
    make(tmp_path / "it")
    with pytest.raises(InputError, match=told):
        make_report(tmp_path / "it")
