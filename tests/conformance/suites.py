"""Public suites of tests that run against a base URL: where they come from, what is run, and what came of each test.

None of their code is in this repository. openai's and anthropic's own tests are in the source distributions of the
packages, of the same version as is installed, checked against the lock's hashes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

LOCK = Path("requirements/clients.txt")
KEPT = Path(".venv-clients/conformance")
_LONGEST_S = 900


class SuiteError(Exception):
    """A suite could not be run at all."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests of a package for Python."""

    package: str
    variable: str
    """Environment variable that names a checkout to take instead of the source distribution."""
    base_path: str
    """What follows the gateway's origin in the URL that the tests are given."""
    files: tuple[str, ...]
    options: tuple[str, ...] = ()
    least: int = 100
    """So many tests there must be."""

    def run(self, origin: str, folder: Path) -> dict[str, str]:
        """Return what was wrong with each test, or "" where nothing was."""
        report = folder / "report.xml"
        command = (
            *(sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider"),
            *("-n", "2", "-k", "not aiohttp and not path_params", "-o", "addopts=", f"--junitxml={report}"),
            *self.options,
            *self.files,
        )
        done = subprocess.run(
            command,
            cwd=self.source(),
            env={**os.environ, "TEST_API_BASE_URL": origin + self.base_path},
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
        if done.returncode not in (0, 1):
            raise SuiteError(f"{self.package}'s tests did not run:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return outcomes(report)

    def source(self) -> Path:
        """Return the folder of its tests, fetched if it is not there."""
        named = os.environ.get(self.variable)
        if named:
            return Path(named).resolve()
        name = f"{self.package}-{version(self.package)}"
        if not (KEPT / name).is_dir():
            _fetch(self.package)
        return (KEPT / name).resolve()

    def missing(self) -> str:
        """Say what it needs and is not there; "" if nothing is."""
        return ""


@dataclass(frozen=True, slots=True)
class OpenResponses:
    """The compliance suite of Open Responses, in TypeScript: in no registry, so a checkout of it is named."""

    variable: str = "OVERSPILL_OPEN_RESPONSES"
    least: int = 10
    model: str = "gpt-6-astra"

    def missing(self) -> str:
        """Say what it needs and is not there; "" if nothing is."""
        folder = os.environ.get(self.variable)
        if not folder:
            return f"name a checkout of openresponses by {self.variable}, with bun and zod installed there by npm"
        return "" if self._bun(folder) else f"bun is missing: npm install bun zod@3 in {folder}"

    def run(self, origin: str, folder: Path) -> dict[str, str]:
        """Return what was wrong with each test, or "" where nothing was."""
        source = os.environ[self.variable]
        bun = self._bun(source)
        assert bun is not None
        done = subprocess.run(
            (bun, "run", "bin/compliance-test.ts", "-u", f"{origin}/v1", "-k", "x", "-m", self.model, "--json"),
            cwd=source,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
        try:
            results = json.loads(done.stdout)["results"]
        except (ValueError, KeyError):
            raise SuiteError(f"the suite did not run:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}") from None
        return {
            one["id"]: "" if one["status"] == "passed" else "; ".join(one["errors"] or ["failed"]) for one in results
        }

    def _bun(self, folder: str) -> str | None:
        return shutil.which("bun", path=f"{Path(folder) / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}")


def _fetch(package: str) -> None:
    """Download a source distribution, as the lock has it, and unpack it."""
    KEPT.mkdir(parents=True, exist_ok=True)
    pin = KEPT / f"{package}.txt"
    pin.write_text(_pin(package, LOCK.read_text(encoding="utf-8")))
    command = (
        *(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", package, "--no-build-isolation"),
        *("--require-hashes", "-d", str(KEPT), "-r", str(pin)),
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    archives = list(KEPT.glob(f"{package}-*.tar.gz"))
    if done.returncode or len(archives) != 1:
        raise SuiteError(f"the source distribution of {package} could not be downloaded:\n{done.stderr[-4000:]}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(KEPT, filter="data")
    archives[0].unlink()


def _pin(package: str, lock: str) -> str:
    """Return a package's entry of a lock: its version and hashes."""
    lines = lock.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"{package}=="))
    end = start
    while lines[end].endswith("\\"):
        end += 1
    return "\n".join(lines[start : end + 1]) + "\n"


def outcomes(report: Path) -> dict[str, str]:
    """Read a JUnit report: test → the first line of what was wrong with it."""
    found: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').removeprefix('tests.api_resources.')}.{case.get('name')}"
        wrong = next((child for child in case if child.tag in ("failure", "error")), None)
        found[name] = "" if wrong is None else (wrong.get("message") or wrong.tag).splitlines()[0]
    return found


OPENAI = Suite(
    "openai",
    "OVERSPILL_OPENAI_TESTS",
    "/v1",
    (
        "tests/api_resources/chat/test_completions.py",
        "tests/api_resources/test_completions.py",
        "tests/api_resources/test_embeddings.py",
        "tests/api_resources/test_models.py",
        "tests/api_resources/test_responses.py",
        "tests/api_resources/responses",
    ),
)
ANTHROPIC = Suite(
    "anthropic",
    "OVERSPILL_ANTHROPIC_TESTS",
    "",
    (
        "tests/api_resources/test_messages.py",
        "tests/api_resources/test_models.py",
        "tests/api_resources/beta/test_messages.py",
        "tests/api_resources/beta/test_models.py",
    ),
    ("-p", "tests._alias_httpx"),
)
SUITES: Mapping[str, Suite | OpenResponses] = {
    "openai": OPENAI,
    "anthropic": ANTHROPIC,
    "open-responses": OpenResponses(),
}
