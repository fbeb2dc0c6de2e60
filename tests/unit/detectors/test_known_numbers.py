from __future__ import annotations

import random

import pytest

from overspill.detectors.known import KNOWN


def kinds_in(text: str) -> set[str]:
    return {
        name
        for name, known in KNOWN.items()
        if any(known.holds(match.group()) for match in known.pattern.finditer(text))
    }


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("card 4111 1111 1111 1111 12/27", "bank_card"),
        ("5555-5555-5555-4444", "bank_card"),
        ("6222021001116245702 is 19 digits", "bank_card"),
        ("2223003122003222, 13 of them: 4222222222222", "bank_card"),
        ("22 4111 1111 1111 1111 is card 22", "bank_card"),
        ("身份证11010519491231002X。", "cn_id_card"),
        ("id=11010519491231002x", "cn_id_card"),
        ("code 91350100M000100Y43", "cn_credit_code"),
        ("call +8613800138000", "cn_mobile"),
        ("call +86 138-0013-8000 or 008613800138000", "cn_mobile"),
        ("电话13912345678,谢谢", "cn_mobile"),
        ("mail a.b+c@mail.example.co.uk now", "email"),
        ("DE89 3704 0044 0532 0130 00 IS MINE", "iban"),
        ("GB82WEST12345698765432", "iban"),
        ("NO9386011117947", "iban"),
        ("-----BEGIN RSA PRIVATE KEY-----", "private_key"),
        ("-----BEGIN PRIVATE KEY-----", "private_key"),
        ("use sk-0123456789abcdefghij", "api_key"),
        ("AKIAIOSFODNN7EXAMPLE", "api_key"),
    ],
)
def test_what_has_a_form_is_found_in_a_text(text: str, kind: str) -> None:
    assert kinds_in(text) == {kind}


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # the check digit is wrong
        "1234567890123",
        "4444 4444 4444 4444 is a pattern of keys, and all zero: 0000000000000000",
        "0",
        "110105194912310021",  # wrong check character
        "11010519491431002X",  # there is no 14th month
        "91350100M000100Y44",
        "91350100M000100I43",
        "12800138000 and 113800138000 and 138001380001",
        "a@b, @example.com, user@localhost",
        "GB82WEST12345698765431",
        "XX89 3704 0044 0532 0130 00",
        "DE89 3704 0044 0532",
        "BEGIN PRIVATE KEY",
        "task-0123456789abcdefghij is no key, nor is sk-short",
        "In 2026 there were 1,234,567 requests at 10.0.0.1:8788, 0.25 s each.",
    ],
)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert kinds_in(text) == set()


@pytest.mark.parametrize(
    ("kind", "number", "odds"),
    [
        ("bank_card", "4532015112830366", 10),
        ("cn_id_card", "11010519491231002X", 11),
        ("iban", "DE89370400440532013000", 97),
    ],
)
def test_a_wrong_digit_is_noticed_as_often_as_the_check_digits_can(kind: str, number: str, odds: int) -> None:
    assert kinds_in(number) == {kind}
    dice = random.Random(7)
    seen = 0
    for _ in range(2000):
        at = dice.randrange(4, len(number) - 1)
        other = number[:at] + dice.choice([d for d in "0123456789" if d != number[at]]) + number[at + 1 :]
        seen += kind in kinds_in(other)
    assert seen <= 2000 / odds / 4  # a single wrong digit is what check digits are made for


def test_a_long_run_of_digits_is_read_in_a_short_time() -> None:
    digits = "4 1" * 20_000
    assert "bank_card" not in kinds_in("7" * 40_000)
    kinds_in(digits)  # quadratic work would take minutes: the scenario's limit is the test's
