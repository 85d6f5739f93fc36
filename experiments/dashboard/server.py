"""The server of the page: solara's, without telemetry, with every script from this machine."""

from __future__ import annotations

import os
import threading
import time
import webbrowser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn import Server

    from experiments.scenario import Scenario

_QUIET = {
    "SOLARA_APP": "experiments.dashboard.app",
    "SOLARA_MODE": "production",
    "SOLARA_TELEMETRY_MIXPANEL_ENABLE": "False",
    "SOLARA_THEME_TITLE": "Undertow",
    "SOLARA_THEME_SHOW_BANNER": "False",
    "REACTON_FAST": "1",  # draws what has changed, not the whole tree: 16 ms a frame, not 27
}


def make_server(scenario: Scenario, seed: int, host: str, port: int) -> Server:
    """Return a server that shows a scenario to every browser session, each with its own run."""
    os.environ.update(_QUIET)  # read when solara is imported

    from experiments.dashboard.app import shown

    shown.scenario, shown.seed = scenario, seed

    import uvicorn
    from solara.server.starlette import app

    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", ws_per_message_deflate=False
    )  # a page on this machine gains nothing by compression, which costs more than a step
    return uvicorn.Server(config)


def serve(scenario: Scenario, seed: int, host: str, port: int, *, opens_browser: bool) -> None:
    """Serve the page until the process is told to stop."""
    server = make_server(scenario, seed, host, port)
    if opens_browser:
        opener = threading.Thread(target=_open, args=(server, f"http://{host}:{port}"), daemon=True)
        opener.start()
    server.run()


def _open(server: Server, address: str) -> None:
    while not server.started:
        time.sleep(0.1)
    webbrowser.open(address)
