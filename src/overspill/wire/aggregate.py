"""A stream of chunks made into the one body that a client gets who did not ask for a stream.

Engines are always asked to stream, because only a stream is cancelled when its client leaves and only a stream shows
progress. This is the last step of such an answer. What a server adds to its chunks survives.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.wire.answers import MalformedChunk
from overspill.wire.request import SurfaceName

MAX_ANSWER_BYTES = 64 * 1024**2
_OBJECTS = {"chat": "chat.completion", "completions": "text_completion"}
# Said once and repeated, or said once and then empty: the first that is not empty counts. Azure opens its streams with
# a chunk whose id and model are "". All other texts in a delta are pieces to put together.
_FIRST_COUNTS = frozenset({"id", "created", "model", "role", "type", "name"})

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class AnswerTooLong(ValueError):  # noqa: N818 - reads as the state it reports
    """The chunks of one answer are larger than the bound."""


class Aggregator:
    """Builds a ``chat.completion`` or ``text_completion`` from chunks that carry no error, ``[DONE]`` left out.

    Whether the stream was whole is the caller's to know: a choice without a finish reason gets ``null`` for it.
    """

    __slots__ = ("_choices", "_is_chat", "_max_bytes", "_object", "_size_bytes", "_top")

    def __init__(self, surface: SurfaceName, *, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        if surface not in _OBJECTS:
            raise ValueError(f"answers of {surface} are not streamed; aggregate one of: {', '.join(_OBJECTS)}")
        self._object = _OBJECTS[surface]
        self._is_chat = surface == "chat"
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._top: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}

    def add(self, data: bytes) -> None:
        """Take one event's data; raise ``MalformedChunk`` if it is no chunk, ``AnswerTooLong`` past the bound."""
        self._size_bytes += len(data)
        if self._size_bytes > self._max_bytes:
            raise AnswerTooLong(f"the answer's chunks are more than {self._max_bytes} bytes; ask for a shorter answer")
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedChunk(f"{len(data)} bytes that are no chunk of an answer: {error}") from None
        for fields in _objects(chunk.pop("choices", None), "choices"):
            index = fields.pop("index", None) or 0
            if not isinstance(index, int):
                raise MalformedChunk("a choice of the stream has an index that is no integer")
            if index not in self._choices:
                self._choices[index] = _Choice(index, is_chat=self._is_chat)
            usage = self._choices[index].add(fields)
            if usage is not None:
                self._top["usage"] = usage
        _keep(self._top, chunk)

    def finish(self) -> bytes:
        """Return the body; raise ``MalformedChunk`` if no chunk had a choice."""
        if not self._choices:
            raise MalformedChunk("the stream ended without a choice")
        # These five must be there for a client's types; what no chunk had is empty rather than made up.
        head = {"id": "", "object": self._object, "created": 0, "model": "", "choices": []}
        try:
            choices = [self._choices[index].whole() for index in sorted(self._choices)]
            return msgspec.json.encode({**head, **self._top, "object": self._object, "choices": choices})
        except RecursionError:
            raise MalformedChunk("the stream's chunks are nested too deeply to be written again") from None


class _Choice:
    """One choice so far."""

    __slots__ = ("_calls", "_extra", "_finish_reason", "_index", "_is_chat", "_logprobs", "_text")

    def __init__(self, index: int, *, is_chat: bool) -> None:
        self._index = index
        self._is_chat = is_chat
        self._text = _Pieces()
        self._calls: dict[int, _Pieces] = {}
        self._logprobs: _Pieces | None = None
        self._finish_reason: Any = None
        self._extra: dict[str, Any] = {}

    def add(self, fields: dict[str, Any]) -> Any:
        """Take this choice's part of a chunk; return the usage that Moonshot puts here."""
        if self._is_chat:
            self._add_delta(_object(fields.pop("delta", None), "delta"))
        else:
            self._text.add({"text": fields.pop("text", None)})
        logprobs = fields.pop("logprobs", None)
        if logprobs is not None:
            self._logprobs = self._logprobs or _Pieces()
            self._logprobs.add(_object(logprobs, "logprobs"))
        finish_reason = fields.pop("finish_reason", None)
        self._finish_reason = self._finish_reason or finish_reason or None
        usage = fields.pop("usage", None)
        for name, value in fields.items():
            earlier = self._extra.get(name)
            if isinstance(value, list) and isinstance(earlier, list):  # vLLM's token_ids
                earlier.extend(value)
            elif value is not None or name not in self._extra:
                self._extra[name] = value
        return usage

    def _add_delta(self, delta: dict[str, Any]) -> None:
        for call in _objects(delta.pop("tool_calls", None), "tool_calls"):
            index = call.pop("index", None)
            if not isinstance(index, int):
                # Gemini counts no calls: one with an id is a new one, one without goes on with the last.
                index = max(self._calls, default=-1) + (1 if call.get("id") or not self._calls else 0)
            if index not in self._calls:
                self._calls[index] = _Pieces()
            self._calls[index].add(call)
        self._text.add(delta)

    def whole(self) -> dict[str, Any]:
        """Return the choice as an answer has it."""
        text = self._text.whole()
        if self._is_chat:
            message = {"role": "assistant", "content": None, **text}
            message["role"] = message["role"] or "assistant"
            if self._calls:
                calls = [self._calls[index].whole() for index in sorted(self._calls)]
                message["tool_calls"] = [{"id": "", "type": "function", **call} for call in calls]
            text = {"message": message}
        else:
            text["text"] = text["text"] or ""
        return {
            "index": self._index,
            **text,
            "logprobs": None if self._logprobs is None else self._logprobs.whole(),
            "finish_reason": self._finish_reason,
            **self._extra,
        }


class _Pieces:
    """The fields of one JSON object that comes spread over many."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: dict[str, list[Any]] = {}

    def add(self, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            pieces = self._pieces.get(name)
            if pieces is None:
                pieces = self._pieces[name] = []
            if value is not None:
                pieces.append(value)

    def whole(self) -> dict[str, Any]:
        return {name: _joined(name, pieces) for name, pieces in self._pieces.items()}


def _joined(name: str, pieces: list[Any]) -> Any:
    """Put a field's pieces together: texts and lists end to end, objects field by field, of anything else the last."""
    if not pieces:
        return None
    if name in _FIRST_COUNTS:
        return next((piece for piece in pieces if piece), pieces[0])
    kinds = set(map(type, pieces))
    if kinds == {str}:
        return "".join(pieces)
    if kinds == {list}:
        return [item for piece in pieces for item in piece]
    if kinds == {dict}:
        whole = _Pieces()
        for piece in pieces:
            whole.add(piece)
        return whole.whole()
    return pieces[-1]


def _keep(top: dict[str, Any], chunk: dict[str, Any]) -> None:
    """Keep a chunk's other fields: of the answer's identity the first not empty, of all else the last not null."""
    for name, value in chunk.items():
        if (name in _FIRST_COUNTS and top.get(name)) or (value is None and name in top):
            continue
        top[name] = value


def _objects(value: Any, name: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedChunk(f"'{name}' in the stream is no array")
    return [_object(item, name) for item in value]


def _object(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedChunk(f"'{name}' in the stream holds something that is no object")
    return value
