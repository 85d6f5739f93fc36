"""A page as one HTML file: every picture, rule and script inside, nothing from outside.

The page forbids its own browser everything but the two texts that stand in it (Content Security
Policy with their hashes); all that comes from records is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from analysis.report.blocks import Page

GENERATOR = "Undertow report"


def as_html(page: Page) -> str:
    """Return the page as HTML; the same page, the same text."""
    style, script = _part("report.css"), _part("sort.js")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(_part("report.html.j2")).render(
        page=page,
        generator=GENERATOR,
        style=style,
        script=script,
        style_hash=_hash_of(style),
        script_hash=_hash_of(script),
        footer="Made by undertow report from recorded files alone. A simulation is not a forecast.",
    )


def is_report(start: str) -> bool:
    """Return whether a file that starts so is a page of ours."""
    return start.startswith("<!DOCTYPE html>") and f'content="{GENERATOR}"' in start


def _part(name: str) -> str:
    return (files("analysis.report") / "template" / name).read_text("utf-8")


def _hash_of(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")
