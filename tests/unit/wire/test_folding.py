from __future__ import annotations

from typing import Any

import msgspec

from overspill.wire.folding import fold_system

SYSTEM = {"role": "system", "content": "Be brief."}
HELLO = {"role": "user", "content": "hello"}
ANSWER = {"role": "assistant", "content": "hi"}
NOTE = "<system-reminder>\nBe brief.\n</system-reminder>"


def folded(*turns: dict[str, Any]) -> list[dict[str, Any]] | None:
    found = fold_system(msgspec.json.encode(turns))
    return None if found is None else msgspec.json.decode(found)


def test_a_conversation_with_its_system_message_in_front_stays_as_it_is() -> None:
    assert folded(SYSTEM, HELLO, ANSWER) is None
    assert folded(HELLO, {"role": "user", "content": '{"role":"system"}'}) is None


def test_a_later_one_is_said_by_the_user_and_joins_the_turn_beside_it() -> None:
    assert folded(SYSTEM, HELLO, SYSTEM) == [SYSTEM, {"role": "user", "content": f"hello\n\n{NOTE}"}]
    assert folded(HELLO, ANSWER, SYSTEM, HELLO) == [
        HELLO,
        ANSWER,
        {"role": "user", "content": f"{NOTE}\n\nhello"},
    ]


def test_it_joins_a_turn_of_parts_as_a_part() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    assert folded({"role": "user", "content": parts}, SYSTEM) == [
        {"role": "user", "content": [*parts, {"type": "text", "text": NOTE}]}
    ]


def test_behind_a_tools_result_it_is_a_turn_of_its_own() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": []}
    result = {"role": "tool", "tool_call_id": "t", "content": "sun"}
    assert folded(HELLO, call, result, SYSTEM) == [HELLO, call, result, {"role": "user", "content": NOTE}]
