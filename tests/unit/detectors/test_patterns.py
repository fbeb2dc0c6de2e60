from __future__ import annotations

from typing import Any

import pytest

from overspill.detectors import registry
from overspill.detectors.known import KNOWN
from overspill.errors import OverspillError


def finds(text: str, **options: Any) -> bool:
    detector = registry.create("patterns")
    detector.check(options)
    return detector.load(options)(text)


def test_a_pattern_of_the_user_is_found_anywhere() -> None:
    assert finds("see CASE-1234, please", patterns={"case": r"CASE-\d{4}"})
    assert not finds("see CASE-12, please", patterns={"case": r"CASE-\d{4}"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("This is CONFIDENTIAL.", True),
        ("confidential", True),
        ("confidentially", False),
        ("unconfidential", False),
        ("这是机密文件", True),
        ("project Blue Whale", True),
        ("project Blue Whales", False),
        ("50%off today", True),
        ("ordinary", False),
    ],
)
def test_a_keyword_is_found_in_any_case_as_a_whole_word(text: str, found: bool) -> None:
    assert finds(text, keywords=["Confidential", "机密", " blue whale ", "50%off"]) is found


@pytest.mark.parametrize(
    "text",
    [
        "电话１３９１２３４５６７８",  # full-width digits
        "139\u200b1234\u200b5678",  # zero-width spaces
        "139\u00ad12345678",  # a soft hyphen
    ],
)
def test_other_writings_of_digits_hide_nothing(text: str) -> None:
    assert finds(text, known=["cn_mobile"])


def test_a_pattern_may_ask_for_what_the_plain_form_would_lose() -> None:
    assert finds("（内部）", patterns={"internal": "（内部）"})


def test_all_kinds_are_looked_for_together() -> None:
    options: dict[str, Any] = {"known": list(KNOWN), "keywords": ["secret"], "patterns": {"x": "x{3}"}}
    for text in ("a secret", "xxx", "a@example.com", "11010519491231002X"):
        assert finds(text, **options)
    assert not finds("nothing here", **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "nothing to look for"),
        ({"known": ["emial"]}, "did you mean 'email'"),
        ({"patterns": {"x": "("}}, "'x' is no regular expression"),
        ({"patterns": {"x": "a*"}}, "matches the empty text"),
        ({"keywords": ["a", " "]}, "a keyword is empty"),
        ({"keywords": "secret"}, "Expected `array`"),
        ({"words": ["secret"]}, "unknown field `words`"),
    ],
)
def test_options_that_cannot_work_are_refused_in_words(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OverspillError) as caught:
        registry.create("patterns").check(options)
    assert said in str(caught.value)


def test_a_detector_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(OverspillError, match="did you mean 'patterns'"):
        registry.create("paterns")
