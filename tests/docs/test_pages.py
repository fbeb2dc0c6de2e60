"""The written pages: what they link to exists, what they configure loads, and the two READMEs agree."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.docs.markdown import Block, Page, anchor, read_page

from overspill.catalog.load import shipped
from overspill.catalog.merge import overridden
from overspill.catalog.registry import OVERRIDES_FILE
from overspill.config.load import load_file, load_text
from overspill.pools.facts import load_facts

WRITTEN = [Path(name) for name in ("README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
ALL = [*WRITTEN, *sorted(Path("docs").rglob("*.md")), Path("examples/README.md"), Path("benchmarks/README.md")]
LONGEST = 120
LONGEST_CHINESE = 130
"""Columns of a line of prose; a Chinese sign takes two, and punctuation must not begin a line."""
SHOWN = {"text", ""}
"""Languages of blocks that are looked at and not run."""
IDS = [str(path) for path in ALL]


@pytest.mark.parametrize("path", ALL, ids=IDS)
def test_internal_links_resolve(path: Path) -> None:
    broken = []
    for link in read_page(path).links:
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        there = (path.parent / name).resolve().relative_to(Path.cwd()) if name else path
        if not there.exists() or (fragment and fragment not in anchors(there)):
            broken.append(link)
    assert broken == []


def anchors(path: Path) -> set[str]:
    return {anchor(text) for _, text in read_page(path).headings}


@pytest.mark.parametrize("path", ALL, ids=IDS)
def test_every_runnable_block_says_what_the_test_does_with_it(path: Path) -> None:
    unmarked = [b.line for b in read_page(path).blocks if b.action is None and b.language not in SHOWN]
    assert unmarked == []


@pytest.mark.parametrize("path", ALL, ids=IDS)
def test_every_configuration_on_a_page_loads(path: Path) -> None:
    for block in read_page(path).blocks:
        if block.language == "yaml" and block.argument == OVERRIDES_FILE:
            own = yaml.safe_load(block.text)
            assert overridden(shipped(), own, OVERRIDES_FILE, dt.date(2026, 11, 27)).providers
        elif block.language == "yaml":
            assert load_text(block.text, load_facts(), file=f"{path}:{block.line}").routes


@pytest.mark.parametrize("path", sorted(Path("examples").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_configuration_loads(path: Path) -> None:
    assert load_file(path, load_facts()).routes


@pytest.mark.parametrize("path", sorted(Path("examples").glob("*.py")), ids=lambda path: path.name)
def test_every_example_program_is_run_by_its_page(path: Path) -> None:
    page = read_page(Path("examples/README.md"))
    assert any(block.action == "run" and f"python examples/{path.name}" in block.text for block in page.blocks)


def test_the_index_names_every_page() -> None:
    linked = {(Path("docs") / link.partition("#")[0]) for link in read_page(Path("docs/index.md")).links}
    pages = {path for path in Path("docs").rglob("*.md") if path != Path("docs/index.md")}
    assert pages - linked == set()


def blocks_of(page: Page) -> list[Block]:
    return [Block(b.language, b.text, 0, b.action, b.argument) for b in page.blocks]


def test_the_two_readmes_agree() -> None:
    english, chinese = read_page(Path("README.md")), read_page(Path("README.zh-CN.md"))
    assert [depth for depth, _ in english.headings] == [depth for depth, _ in chinese.headings]
    assert english.headings[0] == chinese.headings[0]
    assert blocks_of(english) == blocks_of(chinese)
    assert english.links == chinese.links
    text = Path("README.zh-CN.md").read_text(encoding="utf-8")
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 1000


def test_the_readme_starts_what_make_serve_starts() -> None:
    done = subprocess.run(["make", "--no-print-directory", "-n", "serve"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == [".venv/bin/overspill", "serve"]
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "serve", "PORT=9000"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1].split() == [".venv/bin/overspill", "serve", "--port", "9000"]


def test_every_target_of_make_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", Path("Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    command = re.compile(r"^make ([a-z-]+)|`make ([a-z-]+)", re.MULTILINE)
    named = {a or b for path in ALL for a, b in command.findall(path.read_text(encoding="utf-8"))}
    assert {"serve", "demo", "regenerate"} <= named
    assert named - targets == set()


def test_the_changelog_has_news_for_users() -> None:
    text = Path("CHANGELOG.md").read_text(encoding="utf-8")
    unreleased = text.split("## Unreleased\n", 1)[1].split("\n## ", 1)[0]
    assert len(re.findall(r"^- \S", unreleased, re.MULTILINE)) >= 3


def test_prose_keeps_to_its_width() -> None:
    wide = []
    for path in [*WRITTEN, *sorted(Path("docs").rglob("*.md")), Path("examples/README.md")]:
        in_block = False
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            in_block ^= line.lstrip().startswith("```")
            is_free = in_block or line.startswith(("|", "<!--", "`")) or "reference" in path.parts
            columns = sum(2 if ord(sign) > 0x2E7F else 1 for sign in line)
            if columns > (LONGEST if columns == len(line) else LONGEST_CHINESE) and not is_free:
                wide.append(f"{path}:{number}")
    assert wide == []


@pytest.mark.parametrize("path", sorted(Path("docs/explanation").glob("*.md")), ids=lambda path: path.name)
def test_every_explanation_says_what_is_not_done(path: Path) -> None:
    headings = [text for depth, text in read_page(path).headings if depth == 2]
    assert any(re.search(r"\b(not|Not)\b", text) for text in headings)


@pytest.mark.parametrize("path", ALL, ids=IDS)
def test_no_page_names_a_person_or_an_address_of_one(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"[\w.+-]+@[\w-]+\.[\w.]+", text) == []
