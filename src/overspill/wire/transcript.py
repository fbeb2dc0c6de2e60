"""What a client already has of a streamed answer, read from the events that were sent to it.

In the path of a request this stands beside the relay: events are handed over as they were forwarded and are read only
when the stream breaks, or now and then so that they do not pile up. What is remembered is exact: which characters came
as reasoning and which as content, where a piece ended and the next began, and how the answer called itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from overspill.wire.answers import MalformedChunk
from overspill.wire.contract import REASONING_FIELDS, Part

MAX_CHARACTERS = 4 * 1024**2
"""Longest answer that is remembered."""
_RECENT = 512
"""Pieces whose boundaries are remembered: a continuation begins at one of the last few."""
_KNOWN = frozenset({"role", "content", "tool_calls", "function_call", "refusal", *REASONING_FIELDS})

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Written:
    """The text of one part, piece by piece; a piece is what one event brought, so at least one token."""

    __slots__ = ("_older", "_recent", "characters", "older_pieces")

    def __init__(self) -> None:
        self._older: list[str] = []
        self._recent: list[str] = []
        self.older_pieces = 0
        self.characters = 0

    def add(self, pieces: Iterable[str]) -> None:
        """Take further pieces, none of them empty."""
        recent = self._recent
        before = len(recent)
        recent.extend(pieces)
        self.characters += sum(map(len, recent[before:]))
        if len(recent) > 2 * _RECENT:
            older = recent[:-_RECENT]
            self._older.append("".join(older))
            self.older_pieces += len(older)
            del recent[:-_RECENT]

    @property
    def pieces(self) -> int:
        """How many pieces there are."""
        return self.older_pieces + len(self._recent)

    def text(self) -> str:
        """Return all of it."""
        return "".join(self._older) + "".join(self._recent)

    def starts(self) -> Iterator[tuple[int, int]]:
        """Go through the recent pieces, last first: the offset at which each begins, and the pieces before it."""
        offset, count = self.characters, self.pieces
        for piece in reversed(self._recent):
            offset -= len(piece)
            count -= 1
            yield offset, count


class Transcript:
    """One answer as far as its client has it."""

    __slots__ = (
        "content",
        "created",
        "fingerprint",
        "finish_reason",
        "has_logprobs",
        "has_role",
        "has_tool_call",
        "identity",
        "is_chat",
        "is_odd",
        "model",
        "prompt_token_ids",
        "reasoning",
        "reasoning_field",
        "token_ids",
    )

    def __init__(self, *, is_chat: bool) -> None:
        self.is_chat = is_chat
        self.reasoning = Written()
        self.content = Written()
        self.identity: Any = None
        """The answer's ``id``, ``created``, ``model`` and ``system_fingerprint``, as its first events gave them."""
        self.created: Any = None
        self.model: Any = None
        self.fingerprint: Any = None
        self.reasoning_field: str | None = None
        """The field in which the client sees thoughts."""
        self.has_role = False
        self.has_tool_call = False
        """Whether any part of a tool call has reached the client."""
        self.has_logprobs = False
        self.is_odd = False
        """Whether there is something that is not understood: a second choice, a thought after content, a refusal."""
        self.finish_reason: str | None = None
        self.token_ids: list[int] | None = []
        """The tokens, if every piece came with its own; else ``None``."""
        self.prompt_token_ids: list[int] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the client has nothing of the answer yet."""
        return not (self.characters or self.has_tool_call)

    @property
    def is_too_long(self) -> bool:
        """Whether it is longer than what is remembered."""
        return self.characters > MAX_CHARACTERS

    @property
    def characters(self) -> int:
        """Characters of reasoning and content."""
        return self.reasoning.characters + self.content.characters

    @property
    def pieces(self) -> int:
        """Pieces of reasoning and content: at least so many tokens."""
        return self.reasoning.pieces + self.content.pieces

    def add_texts(self, field: str, texts: list[str]) -> None:
        """Take the texts of plain tokens, which came in ``field``, a name as in ``wire.plain``."""
        if texts:
            self.token_ids = None
            self._write(field, texts)

    def add(self, data: bytes) -> None:
        """Take one event's data, ``[DONE]`` left out; raise ``MalformedChunk`` if it is no chunk."""
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedChunk(f"{len(data)} bytes that are no chunk of an answer: {error}") from None
        self._identify(chunk)
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return
        choice = choices[0]
        if len(choices) > 1 or not isinstance(choice, dict) or choice.get("index"):
            self.is_odd = True
            return
        self._add_choice(choice)

    def _identify(self, chunk: dict[str, Any]) -> None:
        self.identity = self.identity or chunk.get("id")
        self.created = self.created or chunk.get("created")
        self.model = self.model or chunk.get("model")
        self.fingerprint = self.fingerprint or chunk.get("system_fingerprint")

    def _add_choice(self, choice: dict[str, Any]) -> None:
        before = self.pieces
        self.has_logprobs = self.has_logprobs or choice.get("logprobs") is not None
        self.finish_reason = self.finish_reason or choice.get("finish_reason") or None
        if choice.get("text"):
            self._add_text("text", choice["text"])
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._add_delta(delta)
        self._add_ids(choice, has_text=self.pieces != before)

    def _add_ids(self, choice: dict[str, Any], *, has_text: bool) -> None:
        prompt, ids = choice.get("prompt_token_ids"), choice.get("token_ids")
        if isinstance(prompt, list):
            self.prompt_token_ids = prompt
        if self.token_ids is None:
            return
        if isinstance(ids, list):
            self.token_ids += ids
        elif has_text:
            self.token_ids = None

    def _add_delta(self, delta: dict[str, Any]) -> None:
        self.has_role = self.has_role or bool(delta.get("role"))
        self.has_tool_call = self.has_tool_call or bool(delta.get("tool_calls") or delta.get("function_call"))
        fields = [name for name, value in delta.items() if value and name in REASONING_FIELDS]
        if len(fields) > 1 and len({delta[name] for name in fields if isinstance(delta[name], str)}) > 1:
            self.is_odd = True
        for name in fields[:1]:
            self._add_text(name, delta[name])
        if delta.get("content"):
            self._add_text("content", delta["content"])
        if delta.get("refusal") or any(value and name not in _KNOWN for name, value in delta.items()):
            self.is_odd = True

    def _add_text(self, field: str, text: Any) -> None:
        if isinstance(text, str):
            self._write(field, [text])
        else:
            self.is_odd = True

    def _write(self, field: str, texts: list[str]) -> None:
        if field not in REASONING_FIELDS:
            self.content.add(texts)
            return
        self.reasoning_field = self.reasoning_field or field
        self.reasoning.add(texts)
        if self.content.characters:
            self.is_odd = True

    def text(self, part: Part) -> str:
        """Return all of one part."""
        return self.reasoning.text() if part is Part.REASONING else self.content.text()
