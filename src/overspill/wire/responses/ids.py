"""The ids of a response and of its items: made of the request's id, so that they are known again when they come back.

An item's id begins as OpenAI's do for its type; some clients and OpenAI itself look at that.
"""

from __future__ import annotations

_OURS = "ovs_"
_MESSAGE = f"msg_{_OURS}"
OUR_THOUGHT = f"rs_{_OURS}"
_PREFIXES = {
    "message": _MESSAGE,
    "reasoning": OUR_THOUGHT,
    "function_call": f"fc_{_OURS}",
    "custom_tool_call": f"ctc_{_OURS}",
    "compaction": f"cmp_{_OURS}",
}


def response_id(request_id: str) -> str:
    """Return the response's id."""
    return f"resp_{_OURS}{_token(request_id)}"


def item_id(request_id: str, kind: str, index: int) -> str:
    """Return the id of the response's item number ``index``, which is of the type ``kind``."""
    return f"{_PREFIXES[kind]}{_token(request_id)}_{index}"


def call_id(request_id: str, index: int) -> str:
    """Return an id for a call that its target gave none."""
    return f"call_{_OURS}{_token(request_id)}_{index}"


def answer_of(message_id: str | None) -> str | None:
    """Say of which answer of ours a message was a part, by its id; ``None`` if that cannot be said."""
    if message_id is None or not message_id.startswith(_MESSAGE):
        return None
    return message_id.rpartition("_")[0]


def _token(request_id: str) -> str:
    return request_id.removeprefix("req-").replace("-", "")
