"""What the pages tell a reader to do works, with real gateways, and prints what they say it prints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.docs.markdown import Page, read_page
from tests.docs.stage import play

ACTIONS = {"run", "serve"}
NAMES = (
    Path("README.md"),
    Path("README.zh-CN.md"),
    Path("examples/README.md"),
    *sorted(Path("docs").rglob("*.md")),
)
PAGES = [page for page in map(read_page, NAMES) if any(block.action in ACTIONS for block in page.blocks)]


def marks_of(page: Page) -> list[pytest.MarkDecorator]:
    texts = [block.text + block.argument for block in page.blocks if block.action in ACTIONS | {"file"}]
    needs_engine = any("llamacpp" in text or "overspill serve --no-discovery" in text for text in texts)
    return [pytest.mark.local_engine] if needs_engine else []


def test_all_kinds_of_pages_are_run() -> None:
    assert {path.parts[0] for path in (page.path for page in PAGES)} == {
        "README.md",
        "README.zh-CN.md",
        "docs",
        "examples",
    }
    assert len(PAGES) >= 12


@pytest.mark.parametrize("page", [pytest.param(page, marks=marks_of(page), id=str(page.path)) for page in PAGES])
def test_the_page_does_what_it_says(page: Page, tmp_path: Path) -> None:
    if any("openssl " in block.text for block in page.blocks) and shutil.which("openssl") is None:
        pytest.skip("needs the openssl program")
    outputs = play(page, tmp_path)
    assert len(outputs) == len(page.blocks)
