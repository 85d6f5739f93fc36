"""A page in a browser: a click on a heading sorts, and nothing outside is reached."""

from __future__ import annotations

import re
import shutil
import subprocess

import pandas as pd
import pytest

from analysis.report.blocks import Page, Section, table_of
from analysis.report.page import as_html

BROWSER = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (found := shutil.which(name))
    ),
    None,
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

FRAME = pd.DataFrame(
    {
        "name": ["b", "a", "pool-10", "pool-9"],
        "gain": [-1_500.0, 2.5e7, 30.0, None],
        "status": ["x", "y", "z", "w"],
    }
)
CLICK = "<script>document.querySelectorAll('#t th button')[{k}].{clicks}</script></body>"


def shown_after(page, tmp_path, k, n_clicks):
    """Return the first cells of the table after some clicks on heading k."""
    clicks = "click(),document.querySelectorAll('#t th button')[%d]." % k  # noqa: UP031
    script = CLICK.format(k=k, clicks=clicks * (n_clicks - 1) + "click()")
    # the policy allows no script but the page's own: the test's needs it to be lifted
    free = re.sub(r"<meta http-equiv=.*?>", "", page).replace("</body>", script)
    file = tmp_path / "page.html"
    file.write_text(free, "utf-8")
    return [row[0] for row in rows_in(dumped(file))]


def dumped(file):
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--incognito",
        f"--user-data-dir={file.parent / 'profile'}", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return done.stdout


def rows_in(dom):
    (body,) = re.findall(r'<table id="t".*?<tbody>(.*?)</tbody>', dom, re.DOTALL)
    return [
        re.findall(r"<td[^>]*>([^<]*)</td>", row)
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]


@pytest.fixture(scope="module")
def page():
    columns = {"name": "name", "gain": "gain (USD)", "status": "status"}
    table = table_of("t", "Things", FRAME, columns, usd=("gain",))
    return as_html(Page("Title", "sub", [Section("s", "Section", [table])]))


@pytest.mark.parametrize(
    ("k", "n_clicks", "order"),
    [
        (1, 1, ["a", "pool-10", "b", "pool-9"]),  # numbers: largest first, without a value last
        (1, 2, ["b", "pool-10", "a", "pool-9"]),
        (0, 1, ["a", "b", "pool-9", "pool-10"]),  # words: numbers within them count as numbers
        (0, 2, ["pool-10", "pool-9", "b", "a"]),
    ],
)
def test_a_click_on_a_heading_sorts_by_the_exact_values(k, n_clicks, order, page, tmp_path):
    assert shown_after(page, tmp_path, k, n_clicks) == order


def test_the_page_as_written_makes_its_headings_buttons_and_runs_no_other_script(page, tmp_path):
    file = tmp_path / "page.html"
    foreign = "<script>document.title = 'taken'</script></body>"
    file.write_text(page.replace("</body>", foreign), "utf-8")
    dom = dumped(file)
    assert dom.count('<button type="button">') == 3  # our script ran under its policy
    assert "<title>Title</title>" in dom
    assert [row[0] for row in rows_in(dom)] == list(FRAME["name"])
