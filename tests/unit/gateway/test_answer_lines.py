from __future__ import annotations

import pytest

from overspill.config.equivalence import Served
from overspill.core.types import LocalOnly, Spill
from overspill.gateway.answer_lines import AnswerLines, id_headers, id_lines
from overspill.gateway.http.response import encode_lines
from overspill.wire.request import SurfaceName

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
                    (b"x-overspill-model", b"m"),
                    *([] if bound is None else [(b"x-overspill-local-only", b"key")]),
                    (b"x-request-id", b"req-%d" % attempts),
                    (b"x-overspill-attempts", b"%d" % attempts),
                ],
            )
            assert expected == lines.of(
                is_stream=is_stream,
                spill=spill,
                target_id=target_id,
                ids=id_lines("chat", f"req-{attempts}", None),
                attempts=attempts,
                model="m",
                answered="m",
                local_only_by=bound,
            )


def test_a_target_whose_name_would_begin_another_header_is_an_error() -> None:
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        written(AnswerLines(), target_id="a\r\nb: c")


def test_reloads_without_end_do_not_grow_what_is_kept() -> None:
    lines = AnswerLines()
    for number in range(3000):
        text = written(lines, target_id=f"t/{number}")
        assert b"x-overspill-target: t/%d\r\n" % number in text
    assert len(lines._lines) <= 1024


def written(lines: AnswerLines, target_id: str = "t", model: str = "m", answered: str | None = None) -> bytes:
    return lines.of(
        is_stream=False,
        spill=None,
        target_id=target_id,
        ids=b"x-request-id: r\r\n",
        attempts=1,
        model=model,
        answered=answered,
    )


@pytest.mark.parametrize(
    ("model", "answered", "header"),
    [
        ("x", None, b"x; canonical=deepseek-v3.2; quantization=q4_k_m"),
        ("x", "x", b"x; canonical=deepseek-v3.2; quantization=q4_k_m"),
        ("x", "x-0813", b"x; canonical=deepseek-v3.2; quantization=q4_k_m; answered=x-0813"),
        ("deepseek-v3.2", None, b"deepseek-v3.2"),
        ("org/name:7b", "org/name", b"org/name:7b; answered=org/name"),
        ("any", None, b"any"),
        ("a\r\nb: c; d=e", "\u6a21\u578b", b"a%0D%0Ab:%20c%3B%20d%3De; answered=%E6%A8%A1%E5%9E%8B"),
    ],
)
def test_the_model_that_answered_is_named(model: str, answered: str | None, header: bytes) -> None:
    lines = AnswerLines()
    lines.know(
        {
            ("t", "x"): Served("x", "deepseek-v3.2", "deepseek-v3", "q4_k_m"),
            ("t", "deepseek-v3.2"): Served("deepseek-v3.2", "deepseek-v3.2", "deepseek-v3", None),
        }
    )
    assert b"\r\nx-overspill-model: %b\r\n" % header in written(lines, model=model, answered=answered)


def test_what_was_kept_is_forgotten_when_a_target_serves_another_model() -> None:
    lines = AnswerLines()
    assert b"x-overspill-model: m\r\n" in written(lines)
    lines.know({("t", ""): Served("", None, None, "fp8")})
    assert b"x-overspill-model: m; quantization=fp8\r\n" in written(lines)


@pytest.mark.parametrize(
    ("surface", "theirs", "names"),
    [
        ("chat", None, [b"x-request-id"]),
        ("responses", None, [b"x-request-id"]),
        ("messages", None, [b"x-request-id", b"request-id"]),
        ("chat", "abc", [b"x-overspill-request-id"]),
        ("messages", "abc", [b"x-overspill-request-id", b"request-id"]),
    ],
)
def test_our_number_goes_by_the_names_that_clients_read(
    surface: SurfaceName, theirs: str | None, names: list[bytes]
) -> None:
    headers = id_headers(surface, "req-1", theirs)
    assert headers == [(name, b"req-1") for name in names]
    assert id_lines(surface, "req-1", theirs) == b"".join(b"%b: %b\r\n" % header for header in headers)
