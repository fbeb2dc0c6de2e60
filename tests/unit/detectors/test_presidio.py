"""Presidio itself, as the extra ``pii`` installs it: without a model, and without a network."""

from __future__ import annotations

from typing import Any

import pytest

from overspill.detectors import registry
from overspill.errors import OverspillError

pytest.importorskip("presidio_analyzer", reason="the extra pii is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # other people's


@pytest.fixture(scope="module")
def presidio() -> Any:
    return registry.create("presidio").load({})


@pytest.mark.parametrize(
    "text",
    [
        "My card is 4111 1111 1111 1111.",
        "Write to jane.doe@example.com.",
        "Phone: +1 415 555 2671",
        "Transfer it to DE89370400440532013000.",
    ],
)
def test_what_has_a_form_is_found(presidio: Any, text: str) -> None:
    assert presidio(text)


@pytest.mark.parametrize("text", ["What is the weather like in spring?", "On 2026-11-27 see https://example.com/a"])
def test_what_says_nothing_of_a_person_is_not(presidio: Any, text: str) -> None:
    assert not presidio(text)


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*args: object, **more: object) -> None:
        raise AssertionError(f"a connection was tried: {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert registry.create("presidio").load({})("jane.doe@mail.example.co.uk")


def test_only_what_is_asked_for_is_looked_for() -> None:
    find = registry.create("presidio").load({"entities": ["CREDIT_CARD"], "min_score": 0.9})
    assert find("4111 1111 1111 1111")
    assert not find("jane.doe@example.com")


def test_what_presidio_does_not_find_is_named() -> None:
    with pytest.raises(OverspillError, match="does not find SHOE_SIZE in 'en'"):
        registry.create("presidio").load({"entities": ["SHOE_SIZE"]})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_score": 2.0}, "must be from 0 to 1"),
        ({"model": "en core"}, "is no name of a spaCy model"),
        ({"model": "no_such_model_sm"}, "the spaCy model no_such_model_sm is not installed"),
        ({"lang": "en"}, "unknown field `lang`"),
    ],
)
def test_options_that_cannot_work_are_refused_in_words(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OverspillError) as caught:
        registry.create("presidio").check(options)
    assert said in str(caught.value)
