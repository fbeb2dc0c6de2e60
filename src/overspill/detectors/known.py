"""What the built-in detector knows by name: numbers and secrets that can be told from others by their own form.

Where a number has a check digit, it must be right: nine of ten random numbers of the same length are none. Names,
addresses and the like have no form; nothing here finds them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import NamedTuple

_SHORTEST_CARD, _LONGEST_CARD = 13, 19
# The registry of ISO 13616, as of 2024.
_IBAN_BY_LENGTH = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL",
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU",
    31: "MT SC",
    32: "LC",
}
_IBAN_LENGTHS = {country: length for length, countries in _IBAN_BY_LENGTH.items() for country in countries.split()}


class Known(NamedTuple):
    """One kind: where it may be in a text, and whether what was found there is one."""

    pattern: re.Pattern[str]
    holds: Callable[[str], bool]
    description: str


def luhn(digits: str) -> bool:
    """Check the last digit of a card's number (ISO/IEC 7812-1)."""
    total = 0
    for index, sign in enumerate(reversed(digits)):
        value = int(sign) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def cn_id_card(number: str) -> bool:
    """Check a citizen's number of China (GB 11643-1999): its birthday and its check character (ISO 7064, MOD 11-2)."""
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    rest = sum(int(sign) * (1 << (17 - index)) for index, sign in enumerate(number[:17])) % 11
    return "10X98765432"[rest] == number[17].upper()


def cn_credit_code(code: str) -> bool:
    """Check a unified social credit code of China (GB 32100-2015, MOD 31)."""
    signs = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    if any(sign not in signs for sign in code):
        return False
    rest = sum(signs.index(sign) * pow(3, index, 31) for index, sign in enumerate(code[:17])) % 31
    return signs[(31 - rest) % 31] == code[17]


def iban(text: str) -> bool:
    """Check an international account number (ISO 13616, MOD 97-10) that ``text`` begins with."""
    code = text.replace(" ", "")
    length = _IBAN_LENGTHS.get(code[:2])
    if length is None or len(code) < length:
        return False
    code = code[:length]  # words in capitals may follow
    return int("".join(str(int(sign, 36)) for sign in code[4:] + code[:4])) % 97 == 1


def bank_card(text: str) -> bool:
    """Say whether some of the groups of digits in ``text``, taken together, are a payment card's number."""
    groups = re.split("[ -]", text)
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > _LONGEST_CARD:
                break
            if len(digits) >= _SHORTEST_CARD and digits[0] in "23456" and len(set(digits)) > 1 and luhn(digits):
                return True
    return False


def _always(text: str) -> bool:  # noqa: ARG001 - it has no check digit
    return True


def _known(pattern: str, holds: Callable[[str], bool], description: str) -> Known:
    return Known(re.compile(pattern, re.ASCII), holds, description)


_NO_DIGIT_BEFORE, _NO_DIGIT_BEHIND = r"(?<![0-9])", r"(?![0-9])"
KNOWN: Mapping[str, Known] = {
    "api_key": _known(
        r"(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|hf_[A-Za-z0-9]{30,}"
        r"|LTAI[A-Za-z0-9]{12,}|xox[abprs]-[A-Za-z0-9-]{10,})",
        _always,
        "keys of OpenAI and DeepSeek (`sk-`), AWS, Alibaba Cloud, GitHub, Hugging Face and Slack, by their beginnings",
    ),
    "bank_card": _known(
        r"[0-9](?:[ -]?[0-9]){12,}",
        bank_card,
        "payment cards, 13 to 19 digits with a right check digit (Luhn)",
    ),
    "cn_credit_code": _known(
        r"(?<![A-Za-z0-9])[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}(?![A-Za-z0-9])",
        cn_credit_code,
        "unified social credit codes of China, with a right check character",
    ),
    "cn_id_card": _known(
        rf"{_NO_DIGIT_BEFORE}[1-9][0-9]{{16}}[0-9Xx]{_NO_DIGIT_BEHIND}",
        cn_id_card,
        "citizens' ID numbers of China, 18 characters with a birthday and a right check character",
    ),
    "cn_mobile": _known(
        rf"(?:(?<![0-9+])|(?<=\+86)|(?<=\+86[ -])|(?<=0086)|(?<=0086[ -]))1[3-9][0-9][ -]?[0-9]{{4}}[ -]?[0-9]{{4}}"
        rf"{_NO_DIGIT_BEHIND}",
        _always,
        "mobile numbers of China, 11 digits from 13 to 19; they have no check digit",
    ),
    "email": _known(
        r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])",
        _always,
        "e-mail addresses",
    ),
    "iban": _known(
        r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])",
        iban,
        "international bank account numbers, with right check digits",
    ),
    "private_key": _known(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----",
        _always,
        "private keys in PEM form",
    ),
}
