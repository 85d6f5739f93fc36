"""Pages as tests see them: parsed, with their tables; and folders of runs that never were."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.metrics import summarize

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Parsed(HTMLParser):
    """A page: its text, its tables by id, its attributes; raises where tags do not match."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[tuple[str, str | None]]]] = {}
        self.headings: dict[str, list[str]] = {}
        self.words: list[str] = []
        self._table = ""
        self.feed(page)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        assert len(found) == len(attrs), f"{tag} has an attribute twice"
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self._table = found["id"]
            self.tables[self._table], self.headings[self._table] = [], []
        elif tag == "tr" and "tbody" in self.open:
            self.tables[self._table].append([])
        elif tag == "td":
            self.tables[self._table][-1].append(("", found.get("data-value")))
        elif tag == "th":
            self.headings[self._table].append("")

    def handle_endtag(self, tag):
        assert self.open, f"{tag} was never opened"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open:
            row = self.tables[self._table][-1]
            row[-1] = (row[-1][0] + data, row[-1][1])
        elif "th" in self.open:
            self.headings[self._table][-1] += data
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that a reader sees, numbers beside their units."""
        return " ".join(" ".join(self.words).replace("\u00a0", " ").replace("\u2060", "").split())

    def exact(self, table: str) -> dict[str, dict[str, str]]:
        """Return the exact values of a table by first cell and heading."""
        rows = {}
        for row in self.tables[table]:
            values = [text if value is None else value for text, value in row]
            rows[values[0]] = dict(zip(self.headings[table], values, strict=True))
        return rows

    def attributes(self, name: str) -> list[str | None]:
        """Return every value of an attribute."""
        return [found[name] for _, found in self.tags if name in found]


def write_run(folder, manifest, tables):
    """Write a run folder as `undertow run` would; return its summary."""
    (folder / "records").mkdir(parents=True)
    for name, frame in tables.items():
        pq.write_table(pa.Table.from_pandas(frame), folder / "records" / f"{name}.parquet")
    whole = {"status": "done", "content_hash": "f00d", "code_version": "c0de", **manifest}
    summary = summarize(tables, whole)
    (folder / "manifest.json").write_text(json.dumps(whole), "utf-8")
    (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    return summary


def write_data_set(folder, rows, outcomes, verdict=None, n_planned=None):
    """Write the data set of a study as `undertow sweep` and `undertow verdict` would."""
    for part in ("runs", "plans"):
        (folder / part).mkdir(parents=True)
    about = {
        "study": "small",
        "identity": "1d",
        "scenario": {"name": "quiet-market", "description": "One pool."},
        "outcomes": outcomes,
        "code_version": "c0de",
    }
    (folder / "study.json").write_text(json.dumps(about), "utf-8")
    if len(rows):
        pq.write_table(pa.Table.from_pandas(rows), folder / "runs" / "0001-000000.parquet")
    planned = pa.table({"run_id": [str(k) for k in range(n_planned or len(rows))]})
    pq.write_table(planned, folder / "plans" / "0001.parquet")
    if verdict is not None:
        (folder / "verdict.json").write_text(json.dumps(verdict), "utf-8")
