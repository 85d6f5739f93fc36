"""The real page in a real browser: load, play, inject a shock, see the chart move, reset."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.experiments.dashboard.browser import Tab, find_browser, open_page
from tests.experiments.dashboard.scenes import write

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = [name for name in ("solara", "altair", "websockets") if find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason="the extra `dashboard` is not installed"),
    pytest.mark.skipif(find_browser() is None, reason="there is no Chromium on this machine"),
]
CHART = "document.querySelectorAll('.undertow-chart')[%d].__vue__"
PRICES = f"{CHART % 1}.chart.getOption().series[0].data"
READY = "document.querySelectorAll('.undertow-chart canvas').length === 3"


@pytest.fixture
def address(tmp_path) -> Iterator[str]:
    """Serve the small scenario by the command itself; return where."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "experiments", "dashboard", str(write(tmp_path))]
    server = subprocess.Popen(
        [*command, "--no-browser", "--host", "127.0.0.1", "--port", str(port)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + 60.0
        while not _answers(url):
            assert server.poll() is None, server.stderr.read()
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.1)
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(10.0)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stderr.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:  # noqa: S310 - our own server
            return answer.status == 200
    except OSError:
        return False


def last_price(tab: Tab) -> float:
    """Return the last point of ether, % of its start."""
    return float(tab.ask(f"{PRICES}.at(-1)[1]"))


def debt(tab: Tab) -> float:
    """Return the debt of all markets, USD."""
    bars = f"{CHART % 2}.chart.getOption().series[0]"
    unit = {"USD": 1.0, "USD k": 1e3, "USD m": 1e6}
    total = tab.ask(f"{bars}.data.reduce((sum, bar) => sum + bar.value, 0)")
    return float(total) * unit[tab.ask(f"{bars}.name").removeprefix("debt, ")]


def slide(tab: Tab, label: str, share: float) -> None:
    """Press the mouse on a slider, at a share of its way."""
    x, y, width, height = tab.ask(
        "(() => { const input = [...document.querySelectorAll('.v-input__slider')]"
        f".find(slider => slider.innerText.includes({label!r}));"
        "input.scrollIntoView({block: 'center'});"
        "const box = input.querySelector('.v-slider').getBoundingClientRect();"
        "return [box.x, box.y, box.width, box.height]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        tab.call(
            "Input.dispatchMouseEvent",
            type=kind, button="left", clickCount=1, x=x + share * width, y=y + height / 2.0,
        )  # fmt: skip


def test_the_page_in_a_browser(address, tmp_path):
    with open_page(address, tmp_path / "profile") as tab:
        tab.wait_for(READY, 60.0)
        tab.wait_for(f"({PRICES} || []).length === 1")
        assert "Undertow: small" in tab.ask("document.body.innerText")

        borrowed = debt(tab)

        tab.click("▶")
        tab.wait_for(f"{PRICES}.length > 5")
        tab.click("Price gap")
        tab.wait_for(f"{PRICES}.at(-1)[1] < 80")
        tab.click("❚❚")

        slide(tab, "Debts and deposits, times", 0.1)
        tab.click("Reset")
        tab.wait_for(f"{PRICES}.length === 1")
        assert last_price(tab) == 100.0
        assert debt(tab) < 0.75 * borrowed  # 0.1 of the way from 0.1 to 4: about a half

        assert tab.complaints == []
        foreign = [url for url in tab.requested if url.startswith("http")]
        assert [url for url in foreign if not url.startswith(address)] == []  # works offline

        with open_page(address, tmp_path / "other") as other:  # a session with a run of its own
            other.wait_for(READY, 60.0)
            other.click("Step")
            other.wait_for(f"{PRICES}.length === 2")
            assert tab.ask(f"{PRICES}.length") == 1
