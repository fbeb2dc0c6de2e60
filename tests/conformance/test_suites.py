"""The public suites pass against a real gateway, but for what ``exceptions.yaml`` lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.exceptions import complaints, read
from tests.conformance.suites import SUITES
from tests.conformance.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("suite", SUITES)
def test_the_suite_passes_but_for_its_exceptions(suite: str, target: str, tmp_path: Path) -> None:
    if missing := SUITES[suite].missing():
        pytest.skip(missing)
    wrong: list[str] = []
    counts: list[int] = []

    def talk(origin: str) -> None:
        found = SUITES[suite].run(origin, tmp_path)
        counts.extend((len(found), sum(map(bool, found.values()))))
        wrong.extend(complaints(read()[suite], found, target))

    TARGETS[target](tmp_path, talk)
    assert not wrong, "\n".join([f"{len(wrong)} not as listed:", *wrong])
    assert counts[0] >= SUITES[suite].least
    print(f"{suite} on the {target}: {counts[0]} tests, {counts[1]} exceptions")
