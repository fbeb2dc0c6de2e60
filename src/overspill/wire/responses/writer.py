"""Writes a chat answer as a response, as a stream of events or in one piece.

Last step of an answer's path to a client of ``/v1/responses``. A chunk is at most a few events here: items begin and
end as the kind of what the model says changes. Calls stay open to the end of the answer, because a chat may go on with
any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from overspill.wire.answers import Usage
from overspill.wire.chunks import is_done, read_usage
from overspill.wire.plain import PlainShape, is_plain_text, learn_shape
from overspill.wire.reply import error_body
from overspill.wire.responses.echo import repeat
from overspill.wire.responses.events import Frame, Numbering, Said
from overspill.wire.responses.fields import Fields
from overspill.wire.responses.heard import Choice, hear, logprobs_of
from overspill.wire.responses.ids import call_id, item_id, response_id
from overspill.wire.responses.output import Call, Item, Message, Thought, new_call
from overspill.wire.responses.tools import Toolbox
from overspill.wire.responses.usage import shown_usage
from overspill.wire.sse import SseDecoder

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ERROR_CODES = frozenset({"server_error", "rate_limit_exceeded", "invalid_prompt"})
"""What the official types allow here, as far as it can be ours."""
_CODES_READ = frozenset({"context_length_exceeded", "insufficient_quota"})
"""Further codes that clients act on: they do not ask again."""
_CODE_OF_KIND = {"rate_limit_error": "rate_limit_exceeded", "invalid_request_error": "invalid_prompt"}

_LESSONS = 8
_WORTHWHILE = 16
"""A shape is learned anew only so often, unless the last ones served for as many events."""

_encode = msgspec.json.Encoder().encode


class ResponsesWriter:
    """Writes one answer; see ``AnswerWriter``."""

    def __init__(self, asked: Mapping[str, msgspec.Raw], *, request_id: str, created_s: int) -> None:
        """Prepare; ``asked`` are the client's own fields, checked, and all ids are made of ``request_id``."""
        self._asked = asked
        self._request_id = request_id
        self._created_s = created_s
        self._events = Numbering()
        self._decoder = SseDecoder()
        self._repeated: dict[str, Any] | None = None
        self._tools: Toolbox | None = None
        self._is_packed = b"reasoning.encrypted_content" in bytes(asked.get("include", msgspec.Raw(b"")))
        self._model: str | None = None
        self._items: list[tuple[Item, str]] = []
        """All items and their status."""
        self._text: Thought | Message | None = None
        """The item that text goes to."""
        self._calls: dict[int, tuple[int, Call]] = {}
        """The chat's index → place among the items, and the call."""
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._is_over = False
        self._shape: PlainShape | None = None
        self._frame: Frame | None = None
        """What an event of the open text looks like as it comes in and as it goes out."""
        self._lessons = _LESSONS
        self._passed = 0
        self._has_logprobs = False

    # -- streams

    def feed(self, events: bytes) -> bytes:
        """See ``AnswerWriter``."""
        written = []
        for event in self._decoder.feed(events):
            plain = self._plain_text(event.raw)
            if plain is not None:
                written.append(plain)
            elif event.data is None:
                written.append(self._comment(event.raw))
            elif is_done(event.data):
                written.append(self._finish())
            elif event.data:
                written.append(self._begun() + self._events.write(self._hear(event.data)))
                self._learn(event.raw)
        return b"".join(written)

    def _plain_text(self, raw: bytes) -> bytes | None:
        """Write an event that differs from the one before in its text only; ``None`` if it is another."""
        shape = self._shape
        if shape is None or self._text is None or self._frame is None:
            return None
        text = raw[len(shape.before) : -len(shape.behind)]
        if shape.before + text + shape.behind != raw or not is_plain_text(text):
            return None
        self._passed += 1
        self._text.keep(text.decode())
        return self._events.write_framed(self._frame, text)

    def _learn(self, raw: bytes) -> None:
        """Remember the form of an event that is nothing but more text: 7 µs where reading takes 29 (2026-11)."""
        self._shape = None
        if self._passed >= _WORTHWHILE:
            self._lessons, self._passed = _LESSONS, 0
        if self._text is None or self._lessons == 0 or self._has_logprobs:
            return
        self._lessons -= 1
        self._shape = learn_shape(raw)
        self._frame = None if self._shape is None else self._events.frame(self._text.delta(""))

    def heartbeat(self) -> bytes:
        """See ``AnswerWriter``. It is an event: some clients wait for one, and take no comment for a sign of life."""
        return self._begun() or self._events.write([("in_progress", self._response("in_progress"))])

    def broken(self, message: str, *, kind: str, code: str | None = None) -> bytes:
        """See ``AnswerWriter``."""
        if self._is_over:
            return b""
        begun = self._begun()
        self._is_over = True
        self._items = [(item, "incomplete" if status == "in_progress" else status) for item, status in self._items]
        return begun + self._events.write([("failed", self._failed(message, kind, code))])

    def _begun(self) -> bytes:
        """Write the beginning, unless that has been done."""
        if self._events.has_begun:
            return b""
        started = self._response("in_progress")
        return self._events.write([("created", started), ("in_progress", started)])

    def _comment(self, raw: bytes) -> bytes:
        """Pass on a comment that says something; any other is a target's sign of life."""
        if raw.startswith(b": overspill"):
            return raw
        return self.heartbeat() if raw.startswith(b":") and not self._is_over else b""

    def _finish(self) -> bytes:
        if self._is_over:
            return b""
        begun = self._begun()
        self._is_over = True
        return begun + self._events.write(self._end())

    # -- whole bodies

    def whole(self, body: bytes) -> bytes:
        """See ``AnswerWriter``."""
        self._hear(body)
        return _encode(self._end()[-1][1]["response"])

    def error(
        self,
        status: int,  # noqa: ARG002 - the form is the same for all
        message: str,
        *,
        kind: str,
        code: str | None = None,
        param: str | None = None,
    ) -> bytes:
        """See ``AnswerWriter``."""
        return error_body(message, kind=kind, code=code, param=param)

    # -- reading a chat

    def _hear(self, data: bytes) -> list[Said]:
        """Read a chunk, or a whole answer; raise ``MalformedChunk`` if it is none. One choice is all there can be."""
        heard = hear(data)
        if self._model is None:
            self._model = heard.named_model
        self._usage = read_usage(heard.usage) or self._usage
        return self._choose(heard.choices[0]) if heard.choices else []

    def _choose(self, choice: Choice) -> list[Said]:
        text, said = choice.said, list[Said]()
        thought = text.reasoning_content or text.reasoning or text.thinking
        if thought and isinstance(thought, str):
            said += self._think(thought)
        if text.content and isinstance(text.content, str):
            logprobs = logprobs_of(choice.logprobs)
            self._has_logprobs = self._has_logprobs or bool(logprobs)
            said += self._say(text.content, logprobs)
        if text.refusal and isinstance(text.refusal, str):
            said += self._refuse(text.refusal)
        for place, call in enumerate(text.tool_calls if isinstance(text.tool_calls, list) else ()):
            if isinstance(call, dict):
                said += self._call(call if choice.message is None else {**call, "index": place})
        if isinstance(text.function_call, dict):
            said += self._call({"index": 0, "function": text.function_call})
        self._finish_reason = self._finish_reason or choice.finish_reason or None
        self._usage = self._usage or read_usage(choice.usage)
        return said

    # -- items

    def _think(self, text: str) -> list[Said]:
        if isinstance(self._text, Thought):
            return self._text.add(text)
        said = self._end_text()
        thought = Thought(*self._new("reasoning"), is_packed=self._is_packed)
        self._open(thought)
        self._text = thought
        return [*said, *thought.begin(), *thought.add(text)]

    def _say(self, text: str, logprobs: list[dict[str, Any]]) -> list[Said]:
        said, message = self._message()
        return [*said, *message.add(text, logprobs)]

    def _refuse(self, text: str) -> list[Said]:
        said, message = self._message()
        return [*said, *message.refuse(text)]

    def _message(self) -> tuple[list[Said], Message]:
        if isinstance(self._text, Message):
            return [], self._text
        said = self._end_text()
        message = Message(*self._new("message"))
        self._open(message)
        self._text = message
        return [*said, *message.begin()], message

    def _call(self, fields: dict[str, Any]) -> list[Said]:
        """Take a piece of a call. Gemini counts no calls: one with an id is a new one, one without goes on."""
        index = fields.get("index")
        if not isinstance(index, int):
            index = max(self._calls, default=-1) + (1 if fields.get("id") or not self._calls else 0)
        function = fields.get("function")
        function = function if isinstance(function, dict) else {}
        said: list[Said] = []
        if index not in self._calls:
            said += self._end_text()
            call = self._new_call(fields.get("id"), function.get("name"))
            self._calls[index] = len(self._items), call
            self._open(call)
            said += call.begin()
        arguments = function.get("arguments")
        if arguments and isinstance(arguments, str):
            said += self._calls[index][1].add(arguments)
        return said

    def _new_call(self, given: Any, name: Any) -> Call:
        tool = self._toolbox().find(name if isinstance(name, str) else "")
        own_id = given if given and isinstance(given, str) else call_id(self._request_id, len(self._items))
        return new_call(*self._new(tool.kind.value), own_id, tool)

    def _toolbox(self) -> Toolbox:
        if self._tools is None:
            tools = msgspec.json.decode(self._asked.get("tools", b"null"))
            self._tools = Toolbox(Fields({"tools": tools}).objects("tools"))
        return self._tools

    def _new(self, kind: str) -> tuple[str, int]:
        """Return the id and the place of the next item."""
        index = len(self._items)
        return item_id(self._request_id, kind, index), index

    def _open(self, item: Item) -> None:
        self._items.append((item, "in_progress"))

    def _end_text(self) -> list[Said]:
        if self._text is None:
            return []
        text, self._text = self._text, None
        return self._end_item(text.index, "completed")

    def _end_item(self, index: int, status: str) -> list[Said]:
        item = self._items[index][0]
        self._items[index] = item, status
        return item.end(status)

    # -- ends

    def _end(self) -> list[Said]:
        """End all items, and the response."""
        reason = _INCOMPLETE.get(self._finish_reason or "")
        status = "completed" if reason is None else "incomplete"
        said: list[Said] = []
        for index, (_, item_status) in enumerate(self._items):
            if item_status == "in_progress":
                said += self._end_item(index, status)
        details = None if reason is None else {"reason": reason}
        said.append((status, self._response(status, incomplete_details=details, usage=shown_usage(self._usage))))
        return said

    def _failed(self, message: str, kind: str, code: str | None) -> dict[str, Any]:
        known = code if code in _ERROR_CODES or code in _CODES_READ else _CODE_OF_KIND.get(kind, "server_error")
        error = {"code": known, "message": message, "type": kind, "param": None}
        return self._response("failed", error=error, usage=shown_usage(self._usage))

    def _response(self, status: str, **fields: Any) -> dict[str, Any]:
        if self._repeated is None:
            self._repeated = repeat(self._asked)
        response = {
            "id": response_id(self._request_id),
            "object": "response",
            "created_at": self._created_s,
            "completed_at": None,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "usage": None,
            **self._repeated,
            "model": self._asked["model"] if self._model is None else self._model,
            "output": [item.shown(item_status) for item, item_status in self._items],
            **fields,
        }
        return {"response": response}
