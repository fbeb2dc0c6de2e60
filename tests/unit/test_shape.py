"""The shape of the repository: sizes, names, imports at start, and what must not be in any tracked file."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path("src/overspill")
FILES = sorted(SOURCE.rglob("*.py"))
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 50
VAGUE = {"utils", "util", "helpers", "helper", "manager", "data", "info", "common", "misc"}
BROAD_EXCEPTS = {
    "gateway/http/server_connection.py",  # the HTTP edge: a failed handler answers 500 and the server goes on
    "gateway/driver.py",  # the task runner: an adapter's slip is this target's failure
    "detectors/worker.py",  # the runner of plugins: whatever a detector raises, the request stays local
    "plugins.py",  # the loader of plugins: other people's code runs
}
MAX_MODULES = 200
HEAVY = ("xllamacpp", "rich", "prometheus_client", "yaml", "pyarrow")
REGISTRY_HOSTS = re.compile(
    r"pythonhosted\.org|https?://[^\s)>]*/simple\b|artifactory|--index-url|--extra-index-url", re.IGNORECASE
)
HOME_PATHS = re.compile(r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/")


def parsed() -> Iterator[tuple[Path, ast.Module]]:
    for path in FILES:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def length_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def test_no_file_is_longer_than_500_lines() -> None:
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert len(lengths) > 100
    assert {path: length for path, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_50_lines() -> None:
    found = {
        f"{path}:{node.lineno} {node.name}": length_without_docstring(node)
        for path, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(found) > 500
    assert {name: length for name, length in found.items() if length > MAX_FUNCTION_LINES} == {}


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    names = {part.removesuffix(".py").strip("_") for path in FILES for part in path.relative_to(SOURCE).parts}
    assert names & VAGUE == set()


def test_broad_excepts_stand_only_where_they_may() -> None:
    places = set()
    for path, tree in parsed():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and _is_broad(node):
                places.add(path.relative_to(SOURCE).as_posix())
    assert places == BROAD_EXCEPTS


def _is_broad(handler: ast.ExceptHandler) -> bool:
    """Say whether this catches everything; cleaning up and raising it again is no such thing."""
    if any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler)):
        return False
    caught = [handler.type] if not isinstance(handler.type, ast.Tuple) else handler.type.elts
    return any(kind is None or getattr(kind, "id", "") in {"Exception", "BaseException"} for kind in caught)


def test_every_module_and_public_name_says_what_it_is() -> None:
    missing = [str(path) for path, tree in parsed() if tree.body and ast.get_docstring(tree) is None]
    assert missing == []


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_is_cheap() -> None:
    modules = modules_after("import overspill")
    assert len(modules) < MAX_MODULES
    assert [name for name in HEAVY if name in modules] == []


@pytest.mark.parametrize("module", ["overspill.cli.serve", "overspill.gateway.service", "overspill.cli.main"])
def test_the_gateway_never_imports_the_engine(module: str) -> None:
    modules = modules_after(f"import {module}")
    assert module in modules
    assert "xllamacpp" not in modules


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.decode().split("\0") if name and (path := Path(name)).is_file()]


def test_no_tracked_file_names_a_registry_host_or_a_path_of_one_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if path != Path("tests/unit/test_shape.py") and (REGISTRY_HOSTS.search(line) or HOME_PATHS.search(line)):
                found.append(f"{path}:{number}: {line.strip()[:100]}")
    assert found == []


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_the_page_that_a_visitor_looks_for_exists(name: str) -> None:
    assert len(Path(name).read_text(encoding="utf-8").splitlines()) > 5


def test_the_licence_is_apache_2() -> None:
    text = Path("LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in text
    assert 'license = "Apache-2.0"' in Path("pyproject.toml").read_text(encoding="utf-8")
