from __future__ import annotations

import pytest

from overspill.core.types import LocalOnly, Spill
from overspill.gateway.answer_lines import AnswerLines
from overspill.gateway.http.response import encode_lines

JSON = ((b"content-type", b"application/json"),)
STREAM = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("spill", [None, *Spill])
@pytest.mark.parametrize("bound", [None, LocalOnly.KEY])
def test_kept_lines_are_what_would_be_written_anew(
    is_stream: bool, spill: Spill | None, bound: LocalOnly | None
) -> None:
    lines = AnswerLines()
    for target_id in ("local/0", "cloud/main/m", "local/0"):
        for attempts in (1, 3):
            expected = encode_lines(
                200,
                [
                    *(STREAM if is_stream else JSON),
                    (b"x-overspill-reason", b"home" if spill is None else spill.value.encode()),
                    (b"x-overspill-target", target_id.encode()),
                    *([] if bound is None else [(b"x-overspill-local-only", b"key")]),
                    (b"x-request-id", b"req-%d" % attempts),
                    (b"x-overspill-attempts", b"%d" % attempts),
                ],
            )
            request_id = f"req-{attempts}"
            assert expected == lines.of(
                is_stream=is_stream,
                spill=spill,
                target_id=target_id,
                request_id=request_id,
                attempts=attempts,
                local_only_by=bound,
            )


def test_a_target_whose_name_would_begin_another_header_is_an_error() -> None:
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        AnswerLines().of(is_stream=True, spill=None, target_id="a\r\nb: c", request_id="r", attempts=1)


def test_reloads_without_end_do_not_grow_what_is_kept() -> None:
    lines = AnswerLines()
    for number in range(3000):
        text = lines.of(is_stream=False, spill=None, target_id=f"t/{number}", request_id="r", attempts=1)
        assert b"x-overspill-target: t/%d\r\n" % number in text
    assert len(lines._lines) <= 1024
