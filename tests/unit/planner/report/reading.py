"""Reads a report's page as a browser would: its texts, its figures with their values, and what it would load."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

_VOID = {"meta", "br", "link", "img", "input", "hr"}
_LOADS = {"src", "srcset", "poster", "action", "formaction", "background", "data", "ping", "manifest", "cite"}


class ReadPage(HTMLParser):
    """Everything in a page; fails on tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: list[str] = []
        """Outside of figures and times."""
        self.figures: list[tuple[float, str]] = []
        """Value and what is shown."""
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.scripts: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.tags: list[str] = []
        self.styles = ""
        self.policy = ""
        self._value: float | None = None
        self._script = ""
        self.feed(page)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = {name: value or "" for name, value in attrs}
        assert not any(name.startswith("on") for name in given), given
        self.loads += [value for name, value in given.items() if name in _LOADS]
        if tag == "link":
            self.loads.append(given.get("href", ""))
        if tag == "a":
            self.targets.append(given["href"])
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        if "id" in given:
            self.ids.append(given["id"])
        if "aria-label" in given:
            self.labels[given["id"]] = given["aria-label"]
        if tag == "data":
            self._value = float(given["value"])
        if tag == "script":
            self._script = given.get("id", f"script-{len(self.scripts)}")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "data":
            self._value = None

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        elif inside == "style":
            self.styles += data
        elif inside == "data":
            assert self._value is not None
            self.figures.append((self._value, data))
        elif inside != "time" and data.strip():
            self.texts.append(data.strip())


def numbers_of(values: Any) -> set[float]:
    """Return all numbers in plain values."""
    if isinstance(values, bool):
        return set()
    if isinstance(values, int | float):
        return {float(values)}
    if isinstance(values, dict):
        return set().union(*map(numbers_of, values.values())) if values else set()
    if isinstance(values, list):
        return set().union(*map(numbers_of, values)) if values else set()
    return set()


def texts_of(values: Any) -> set[str]:
    """Return all texts in plain values."""
    if isinstance(values, str):
        return {values}
    if isinstance(values, dict):
        return set(values) | (set().union(*map(texts_of, values.values())) if values else set())
    if isinstance(values, list):
        return set().union(*map(texts_of, values)) if values else set()
    return set()


def plots_of(page: ReadPage) -> dict[str, Any]:
    """Return the figures in plotly's form."""
    found: dict[str, Any] = json.loads(page.scripts["figures"])
    return found
