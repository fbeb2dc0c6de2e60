from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from overspill.telemetry.logs import SECRET, LogFormat, configure, redact

KEY = "sk-live0123456789abcdef"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield io.StringIO()
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)


def test_a_json_line_has_time_level_logger_message_and_the_extra_fields(stream: io.StringIO) -> None:
    configure(LogFormat.JSON, "info", stream)
    logging.getLogger("overspill.x").warning("engine %s is down", "local-0", extra={"target": "local-0", "status": 503})
    line = json.loads(stream.getvalue())
    assert list(line) == ["ts", "level", "logger", "msg", "target", "status"]
    assert line["msg"] == "engine local-0 is down"
    assert line["level"] == "warning"
    assert line["status"] == 503
    assert line["ts"].endswith("Z")
    assert len(line["ts"]) == len("2026-01-01T00:00:00.000Z")


def test_a_text_line_is_for_people(stream: io.StringIO) -> None:
    configure(LogFormat.TEXT, "info", stream)
    logging.getLogger("overspill.x").info("已就绪", extra={"target": "local-0"})
    assert stream.getvalue().endswith(" INFO    overspill.x: 已就绪 target=local-0\n")


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    configure(LogFormat.TEXT, "warning", stream)
    logging.getLogger("overspill.x").info("quiet")
    assert stream.getvalue() == ""


def test_an_unknown_level_is_an_error(stream: io.StringIO) -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure(LogFormat.TEXT, "loud", stream)


def test_configuring_twice_writes_each_line_once(stream: io.StringIO) -> None:
    first = io.StringIO()
    configure(LogFormat.TEXT, "info", first)
    configure(LogFormat.JSON, "info", stream)
    logging.getLogger("overspill.x").info("once")
    assert first.getvalue() == ""
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_a_message_cannot_forge_a_line(stream: io.StringIO, log_format: LogFormat) -> None:
    configure(log_format, "info", stream)
    logging.getLogger("overspill.x").info("model %s", "a\n2026 CRITICAL \x1b[31m\x85b", extra={"m": "c\r\nd"})
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_a_lone_surrogate_does_not_lose_the_line(
    stream: io.StringIO, log_format: LogFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own keep the text, and xdist cannot send it
    configure(log_format, "info", stream)
    logging.getLogger("overspill.x").info("model %s", "\ud800")
    assert "\\ud800" in stream.getvalue()
    stream.getvalue().encode()


def test_values_that_json_does_not_know_are_written_as_text(stream: io.StringIO) -> None:
    configure(LogFormat.JSON, "info", stream)
    extra = {"wait_s": float("nan"), "limit_s": float("inf"), "where": {"a": object}, "level_": 1}
    logging.getLogger("overspill.x").info("x", extra=extra)
    line = json.loads(stream.getvalue(), parse_constant=pytest.fail)
    assert (line["wait_s"], line["limit_s"]) == ("nan", "inf")
    assert line["where"] == {"a": "<class 'object'>"}


def test_an_extra_field_does_not_replace_a_standard_one(stream: io.StringIO) -> None:
    configure(LogFormat.JSON, "info", stream)
    logging.getLogger("overspill.x").info("x", extra={"level": "critical", "ts": "never"})
    line = json.loads(stream.getvalue())
    assert line["level"] == "info"
    assert line["ts"] != "never"


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_a_traceback_is_shown_without_the_keys_in_it(stream: io.StringIO, log_format: LogFormat) -> None:
    configure(log_format, "info", stream)
    error = RuntimeError(f"refused: Authorization: Bearer {KEY}")
    logging.getLogger("overspill.x").error("call failed", exc_info=error)
    text = stream.getvalue()
    assert "RuntimeError" in text
    assert KEY not in text
    assert SECRET in text
    if log_format is LogFormat.JSON:
        assert json.loads(text)["error"].startswith("RuntimeError: refused")


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        "sk-ant-api03-AbCd_0123-xyz",
        f"Bearer {KEY}",
        "bearer abcdef.ghijkl~123=",
        "Basic dXNlcjpwYXNzd29yZA==",
        "Authorization: Token0123456789",
        "x-api-key: 0123456789abcdef",
        '{"api_key": "0123456789abcdef"}',
        "{'api-key': '0123456789abcdef'}",
        r"{\"api_key\":\"0123456789abcdef\"}",
        "https://host/v1?api_key=0123456789abcdef&x=1",
        "password=hunter2hunter2",
        "hf_0123456789abcdefABCDEF",
        "gsk_0123456789abcdef",
        "AIzaSyA0123456789abcdef",
        "AKIA0123456789ABCDEF",
    ],
)
def test_what_looks_like_a_key_is_taken_out(text: str) -> None:
    cleaned = redact(f"before {text} after")
    secrets = ("0123456789abcdef", "AbCd_0123", "abcdef.ghijkl", "dXNlcjp", "Token0123", "hunter2", "0123456789ABCDEF")
    assert not any(secret in cleaned for secret in secrets)
    assert SECRET in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")


def test_redacted_json_is_still_json() -> None:
    text = json.dumps({"msg": f'upstream said {{"api_key": "{KEY}"}} and Bearer {KEY}', "n": 1})
    assert json.loads(redact(text))["n"] == 1
    assert KEY not in redact(text)


@pytest.mark.parametrize(
    "text",
    ["prompt_tokens=128 output_tokens: 4096", "the key-id is team-a", "risk-based task-0 desk-lamp", "a basic model"],
)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert redact(text) == text


def test_a_field_named_like_a_secret_is_emptied(stream: io.StringIO) -> None:
    configure(LogFormat.JSON, "info", stream)
    extra = {"upstream_api_key": "short", "authorization": "x", "prompt_tokens": 5, "key_id": "team-a"}
    logging.getLogger("overspill.x").info("x", extra=extra)
    line = json.loads(stream.getvalue())
    assert line["upstream_api_key"] == line["authorization"] == SECRET
    assert (line["prompt_tokens"], line["key_id"]) == (5, "team-a")
