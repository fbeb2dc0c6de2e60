"""How far an answer has come that the rehearsal engine is asked to go on with.

It goes on as llama.cpp does: a chat whose last message is the assistant's, with ``continue_final_message``, and a
completion whose prompt ends with the answer's first tokens. Since every answer has the same tokens, what was given is
a number; a text that is not the beginning of an answer is a prompt like any other, and the answer begins anew.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from overspill.gateway.rehearsal.answer import text_of
from overspill.wire.request import Request

_TOKENS = re.compile(r"(?: t[0-9]+)*\Z")
_FLAG = "continue_final_message"


def begun_tokens(request: Request, *, is_chat: bool) -> int:
    """Return how many tokens of its answer the request brings along."""
    if is_chat:
        if not _is_continued(request):
            return 0
        return _count(_given(_messages(request.fields["messages"])))
    prompt = msgspec.json.decode(request.fields["prompt"])
    return _count(_TOKENS.search(prompt)) if isinstance(prompt, str) else 0


def rendered_prompt(body: bytes) -> str:
    """Return what a chat request comes to as one text, the answer's beginning last: what ``/apply-template`` shows."""
    request = msgspec.json.decode(body, type=dict[str, Any])
    messages = request.get("messages") or []
    *earlier, last = messages or [{}]
    lines = [f"<{one.get('role')}>{one.get('content') or ''}</>" for one in earlier]
    if request.get(_FLAG):
        return "".join(lines) + f"<{last.get('role')}>" + _given(messages)
    return "".join(lines) + f"<{last.get('role')}>{last.get('content') or ''}</><assistant>"


def _is_continued(request: Request) -> bool:
    flag = request.fields.get(_FLAG)
    return flag is not None and bool(msgspec.json.decode(flag))


def _messages(raw: msgspec.Raw) -> list[dict[str, Any]]:
    return msgspec.json.decode(raw, type=list[dict[str, Any]])


def _given(messages: list[dict[str, Any]]) -> str:
    """Return the text of the last message if it is the assistant's: its thoughts, then what it said."""
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant":
        return ""
    return (last.get("reasoning_content") or "") + (last.get("content") or "")


def _count(given: str | re.Match[str] | None) -> int:
    text = given if isinstance(given, str) else "" if given is None else given[0]
    tokens = text.count(" t")
    return tokens if text == text_of(tokens) else 0
