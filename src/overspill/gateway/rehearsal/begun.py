"""How far an answer has come that the rehearsal engine is asked to go on with.

It goes on as llama.cpp does: a chat whose last message is the assistant's, with ``continue_final_message``, and a
completion whose prompt ends with the answer's first tokens; and as DeepSeek does: a chat whose last message has
``prefix``. Since what it says is known, what was given is a number; a text that is not the beginning of an answer is a
prompt like any other, and the answer begins anew.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.gateway.rehearsal.speech import Speech
from overspill.wire.request import Request

_FLAG = "continue_final_message"


def begun_tokens(request: Request, speech: Speech, *, is_chat: bool) -> int:
    """Return how many tokens of its answer the request brings along."""
    if is_chat:
        messages = _messages(request.fields["messages"])
        return _count(speech, _given(messages)) if _is_continued(request, messages) else 0
    prompt = msgspec.json.decode(request.fields["prompt"])
    return _count_at_end(speech, prompt) if isinstance(prompt, str) else 0


def rendered_prompt(body: bytes) -> str:
    """Return what a chat request comes to as one text, the answer's beginning last: what ``/apply-template`` shows."""
    request = msgspec.json.decode(body, type=dict[str, Any])
    messages = request.get("messages") or []
    *earlier, last = messages or [{}]
    lines = [f"<{one.get('role')}>{one.get('content') or ''}</>" for one in earlier]
    if request.get(_FLAG):
        return "".join(lines) + f"<{last.get('role')}>" + _given(messages)
    return "".join(lines) + f"<{last.get('role')}>{last.get('content') or ''}</><assistant>"


def _is_continued(request: Request, messages: list[dict[str, Any]]) -> bool:
    flag = request.fields.get(_FLAG)
    return bool(messages and messages[-1].get("prefix")) or (flag is not None and bool(msgspec.json.decode(flag)))


def _messages(raw: msgspec.Raw) -> list[dict[str, Any]]:
    return msgspec.json.decode(raw, type=list[dict[str, Any]])


def _given(messages: list[dict[str, Any]]) -> str:
    """Return the text of the last message if it is the assistant's: its thoughts, then what it said."""
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant":
        return ""
    return (last.get("reasoning_content") or "") + (last.get("content") or "")


def _count(speech: Speech, given: str) -> int:
    """Return how many tokens a text is that the answer begins with; 0 if it begins otherwise."""
    tokens, length_chars = 0, 0
    while length_chars < len(given) and tokens != speech.length:
        length_chars += len(speech.text(tokens + 1, tokens))
        tokens += 1
    return tokens if speech.text(tokens) == given else 0


def _count_at_end(speech: Speech, prompt: str) -> int:
    """Return how many tokens of the answer a prompt ends with."""
    first = speech.text(1)
    start = prompt.rfind(first) if first else -1
    while start >= 0:
        tokens = _count(speech, prompt[start:])
        if tokens:
            return tokens
        start = prompt.rfind(first, 0, start)
    return 0
