from __future__ import annotations

import json

import pytest

from overspill.wire.tokens import estimate_tokens


def test_english_is_four_characters_a_token() -> None:
    assert estimate_tokens(b"x" * 4000) == 1000


def test_chinese_is_two_thirds_of_a_token_a_character() -> None:
    tokens = estimate_tokens(("你好世界" * 250).encode())
    assert 600 <= tokens <= 700


def test_escaped_chinese_costs_what_plain_chinese_costs() -> None:
    messages = [{"role": "user", "content": "你好世界" * 250}]
    plain = estimate_tokens(json.dumps(messages, ensure_ascii=False).encode())
    escaped = estimate_tokens(json.dumps(messages).encode())
    assert plain == escaped


def test_an_escaped_backslash_before_a_u_never_makes_the_estimate_negative() -> None:
    assert estimate_tokens(rb'"\\u"') == 1


def test_other_escapes_are_plain_characters() -> None:
    assert estimate_tokens(rb'"\n\n\n\n\n\n\n"') == 4


def test_two_byte_letters_and_emoji_stay_near_their_known_cost() -> None:
    assert 350 <= estimate_tokens(("привет" * 150).encode()) <= 450
    assert 80 <= estimate_tokens(("🙂" * 100).encode()) <= 200


@pytest.mark.parametrize(
    ("raw", "count"), [(b"[1]", 1), (b"[1, 2, 3]", 3), (b"[[1,2],[3]]", 3), (b"[ [ 15496 , 995 ] ]", 2), (b"[-1,2]", 2)]
)
def test_token_ids_are_counted(raw: bytes, count: int) -> None:
    assert estimate_tokens(raw) == count


def test_the_least_is_one_token() -> None:
    assert estimate_tokens(b'""') == 1
    assert estimate_tokens(b"") == 1


def test_an_image_counts_a_fixed_amount_whatever_its_size() -> None:
    def message(size: int) -> bytes:
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBOR" * size}}
        return json.dumps([{"role": "user", "content": [image, {"type": "text", "text": "what is it?"}]}]).encode()

    assert estimate_tokens(message(2_000)) == estimate_tokens(message(200_000))
    assert 1000 <= estimate_tokens(message(200_000)) <= 1100


def test_audio_counts_a_fixed_amount_beside_its_text() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "UklGR" * 20_000, "format": "wav"}}
    assert 1000 <= estimate_tokens(json.dumps([{"role": "user", "content": [audio]}]).encode()) <= 1100


def test_long_text_without_attachments_is_text() -> None:
    assert estimate_tokens(b'"' + b"word " * 2000 + b'"') == 2500
