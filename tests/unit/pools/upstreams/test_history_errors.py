"""What hosts say of thoughts in the history, in the words that were seen."""

from __future__ import annotations

import msgspec
import pytest

from overspill.core.types import FailureKind
from overspill.pools.upstreams.classify import classify
from overspill.wire.form import History


def said(message: str, status: int = 400) -> History | None:
    return classify(status, (), msgspec.json.encode({"error": {"message": message}})).history


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        # opencode#24722
        ("The `reasoning_content` in the thinking mode must be passed back to the API.", History.KEEP_WITH_TOOLS),
        (
            "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",
            History.KEEP_WITH_TOOLS,
        ),
        ("property 'reasoning_content' is unsupported", History.STRIP),
        ("messages.2.assistant.reasoning_content: Extra inputs are not permitted", History.STRIP),
        ("Unrecognized field: 'reasoning'", History.STRIP),
        ("reasoning_content is too long", None),
        ("Unsupported parameter: 'reasoning_effort' is not supported with this model.", None),
        ("Unknown parameter: 'temprature'", None),
    ],
)
def test_what_a_host_wants_of_thoughts_is_read_from_its_error(message: str, wanted: History | None) -> None:
    assert said(message) is wanted
    assert classify(400, (), msgspec.json.encode({"error": {"message": message}})).kind is FailureKind.BAD_REQUEST


def test_only_a_verdict_on_the_request_says_it() -> None:
    assert said("reasoning_content must be passed back", 503) is None
