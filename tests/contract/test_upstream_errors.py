"""What each provider's error means, against bodies recorded from its documentation and from public issue threads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from overspill.pools.upstreams import registry

_FOLDER = Path(__file__).parent / "upstreams"
_CASES = [
    pytest.param(recording["adapter"], case, id=f"{path.stem}: {case['name']}")
    for path in sorted(_FOLDER.glob("*.json"))
    for recording in [json.loads(path.read_text(encoding="utf-8"))]
    for case in recording["cases"]
]


@pytest.mark.parametrize(("adapter", "case"), _CASES)
def test_a_recorded_error_means_what_the_provider_says(adapter: str, case: dict[str, Any]) -> None:
    headers = tuple((name.encode(), value.encode()) for name, value in case["headers"].items())
    failure = registry.create(adapter).classify(case["status"], headers, case["body"].encode())
    assert failure.kind == case["kind"]
    assert failure.retry_after_s == (None if case["retry_after_s"] is None else pytest.approx(case["retry_after_s"]))
    assert failure.message


def test_every_recording_names_its_source() -> None:
    for path in _FOLDER.glob("*.json"):
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
            assert case["source"], f"{path.name}: {case['name']}"
