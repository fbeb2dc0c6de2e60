"""System messages between turns, for servers whose chat templates take one at the beginning only.

Clients of other surfaces send them (Claude Code does, with each prompt), and many templates of open models refuse such
a conversation as a whole. So what the system says later is said within the user's turn beside it, marked as Claude Code
marks such text itself, which models know by now.
"""

from __future__ import annotations

from typing import Any

import msgspec

_SYSTEM = b'"role":"system"'
_PARAGRAPH = "\n\n"

_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode


def fold_system(messages: bytes) -> bytes | None:
    """Write a conversation without system messages behind its first turn; ``None`` if it has none.

    ``messages`` were written by a reader of ours: without spaces, and with one system message in front at most.
    """
    if messages.count(_SYSTEM) <= messages.startswith(b"[{" + _SYSTEM):
        return None
    turns: list[dict[str, Any]] = []
    for turn in _decode(messages):
        said = turn
        if turns and turn.get("role") == "system":
            said = {"role": "user", "content": f"<system-reminder>\n{turn.get('content')}\n</system-reminder>"}
        if said["role"] == "user" and turns and turns[-1]["role"] == "user":
            turns[-1] = {**turns[-1], "content": _joined(turns[-1].get("content"), said.get("content"))}
        else:
            turns.append(said)
    return msgspec.json.encode(turns)


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, str) and isinstance(second, str):
        return first + _PARAGRAPH + second
    return [*_parts(first), *_parts(second)]


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]
