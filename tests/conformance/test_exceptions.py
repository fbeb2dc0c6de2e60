"""Exceptions are checked in both directions."""

from __future__ import annotations

from tests.conformance.exceptions import Exceptions, complaints

LISTED = [Exceptions(["a.*[strict]", "b"], "no reason"), Exceptions(["c"], "no reason", ["script"])]


def test_what_is_as_listed_is_no_complaint() -> None:
    assert complaints(LISTED, {"a.x[strict]": "wrong", "a.x[loose]": "", "b": "wrong", "c": "wrong"}, "script") == []


def test_a_failure_that_is_not_listed_is_one() -> None:
    found = complaints(LISTED, {"a.x[strict]": "wrong", "a.x[loose]": "odd", "b": "wrong"}, "model")
    assert found == ["failed: a.x[loose]: odd"]


def test_an_exception_that_passes_or_does_not_exist_is_one() -> None:
    found = complaints(LISTED, {"a.x[strict]": "", "b": "wrong"}, "model")
    assert found == ["an exception that passes: a.x[strict] (a.*[strict])"]
    assert complaints(LISTED, {"b": "wrong"}, "model") == ["an exception that is no test: a.*[strict]"]
