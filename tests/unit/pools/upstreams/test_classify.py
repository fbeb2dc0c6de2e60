"""The rules by which an error answer gets its meaning; recorded bodies are in tests/contract."""

from __future__ import annotations

import json

import pytest

from overspill.core.types import FailureKind
from overspill.pools.upstreams.bailian import Bailian
from overspill.pools.upstreams.classify import classify, retry_after_s
from overspill.pools.upstreams.error_body import read_error


def _kind(status: int, body: object) -> FailureKind:
    return classify(status, (), json.dumps(body).encode()).kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "bad_request"),
        (401, "bad_key"),
        (402, "no_money"),
        (403, "bad_key"),
        (404, "no_model"),
        (408, "timeout"),
        (409, "bad_request"),
        (413, "bad_request"),
        (422, "bad_request"),
        (429, "rate_limited"),
        (498, "overloaded"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "overloaded"),
        (504, "timeout"),
        (520, "server_error"),
        (529, "overloaded"),
    ],
)
def test_a_bare_status_has_a_meaning(status: int, kind: str) -> None:
    assert classify(status, (), b"").kind == kind
    assert classify(status, (), b"").message == f"HTTP {status}"


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize(
    "words", ["Insufficient Balance", "server is overloaded", "rate limit", "account overdue", "flagged by moderation"]
)
def test_words_that_a_client_may_have_written_never_harm_a_target(status: int, words: str) -> None:
    assert _kind(status, {"error": {"message": f"invalid tool name: '{words}'"}}) is FailureKind.BAD_REQUEST


def test_a_documented_code_decides_before_the_status() -> None:
    assert _kind(400, {"error": {"message": "x", "code": "Arrearage"}}) is FailureKind.NO_MONEY
    assert _kind(200, {"error": {"message": "x", "code": "rate_limit_exceeded"}}) is FailureKind.RATE_LIMITED


def test_the_status_that_a_body_names_counts_only_where_http_said_success() -> None:
    assert _kind(200, {"error": {"message": "x", "code": 402}}) is FailureKind.NO_MONEY
    assert _kind(503, {"error": {"message": "x", "code": 400}}) is FailureKind.OVERLOADED


def test_an_unknown_error_inside_a_stream_is_the_servers() -> None:
    assert _kind(200, {"error": {"message": "something broke"}}) is FailureKind.SERVER_ERROR
    assert _kind(200, {"error": {"message": "Rate limited, slow down"}}) is FailureKind.RATE_LIMITED


def test_a_whole_answer_read_as_an_error_is_malformed_and_not_blamed_on_money() -> None:
    assert _kind(200, {"choices": [{"message": {"content": "insufficient balance"}}]}) is FailureKind.MALFORMED


def test_html_under_a_success_or_a_refusal_is_a_proxy_and_no_verdict_on_the_key() -> None:
    page = b"<html><head><title>Just a moment...</title></head></html>"
    for status in (200, 400, 403, 404):
        failure = classify(status, (), page)
        assert failure.kind is FailureKind.SERVER_ERROR
        assert failure.message == "Just a moment..."
    assert classify(429, (), page).kind is FailureKind.RATE_LIMITED
    assert classify(500, (), b"<html>").message == "an HTML page"


def test_an_empty_account_is_no_passing_limit_except_at_bailian() -> None:
    body = json.dumps({"error": {"message": "quota", "code": "insufficient_quota"}}).encode()
    assert classify(429, (), body).kind is FailureKind.NO_MONEY
    assert Bailian().classify(429, (), body).kind is FailureKind.RATE_LIMITED
    assert Bailian().classify(403, (), body).kind is FailureKind.NO_MONEY
    assert Bailian().classify(403, (), b'{"error":{"message":"quota used"}}').kind is FailureKind.NO_MONEY
    assert Bailian().classify(401, (), b"{}").kind is FailureKind.BAD_KEY


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"Retry-After": b"7"}, 7.0),
        ({b"retry-after": b" 0.5 "}, 0.5),
        ({b"retry-after-ms": b"1500", b"retry-after": b"2"}, 1.5),
        ({b"retry-after-ms": b"soon", b"retry-after": b"2"}, 2.0),
        ({b"retry-after": b"-1"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"inf"}, None),
        ({b"retry-after": b"1e9"}, 3600.0),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"Mon, 23 Nov 2026 12:00:30 GMT"}, None),
        ({b"retry-after": b"Mon, 23 Nov 2026 12:00:30 GMT", b"date": b"Mon, 23 Nov 2026 12:00:00 GMT"}, 30.0),
        ({b"retry-after": b"Mon, 23 Nov 2026 12:00:00 GMT", b"date": b"Mon, 23 Nov 2026 12:00:30 GMT"}, 0.0),
        ({b"retry-after": b"Mon, 23 Nov 2099 12:00:00 GMT", b"date": b"Mon, 23 Nov 2026 12:00:30 GMT"}, 3600.0),
    ],
)
def test_the_wished_pause_is_read_in_every_form(headers: dict[bytes, bytes], seconds: float | None) -> None:
    assert retry_after_s(tuple(headers.items())) == seconds


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"m"}}', "m"),
        (b'{"error":{"error":{"message":"m"}}}', "m"),
        (b'{"error":"m"}', "m"),
        (b'{"error_code":"c","error_msg":"m"}', "m"),
        (b'{"object":"error","message":"m","code":400}', "m"),
        (b'{"detail":"m"}', "m"),
        (b'{"detail":[{"loc":["body"]}]}', '[{"loc":["body"]}]'),
        (b'[{"error":{"message":"m"}}]', "m"),
        (b'"m"', "m"),
        (b"m", "m"),
        (b"17", ""),
        (b"[]", ""),
        (b"{}", ""),
    ],
)
def test_the_message_is_found_in_every_shape(body: bytes, message: str) -> None:
    assert read_error(body).message == message


def test_a_deeply_nested_or_undecodable_body_is_read_without_an_exception() -> None:
    assert read_error(b'{"error":' * 100_000).message
    assert read_error(b"[" * 50_000 + b"]" * 50_000) is not None
    assert read_error(b"\xff\xfe{").message


def test_a_long_message_is_cut() -> None:
    assert len(read_error(json.dumps({"error": {"message": "x" * 10_000}}).encode()).message) == 500
