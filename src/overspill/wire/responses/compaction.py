"""``POST /v1/responses/compact``: a long conversation made short by its own model, so that it can go on.

The conversation goes to the model as a chat that ends with the wish for a summary; what it says is packed into one
``compaction`` item. The client sends that instead of the conversation, and it is read as the summary that it is.
"""

from __future__ import annotations

import msgspec

from overspill.wire.answers import MalformedChunk, Usage, WholeHead
from overspill.wire.chunks import read_usage
from overspill.wire.reply import error_body
from overspill.wire.request import Request
from overspill.wire.responses.ids import item_id, response_id
from overspill.wire.responses.packed import Packed, pack
from overspill.wire.responses.reading import read_conversation
from overspill.wire.responses.usage import shown_usage

_WISH = (
    "Summarise this conversation for somebody who has to go on with it and has not read it. Say what was asked for, "
    "what was decided and done, what was found out (names, paths, numbers and wordings exactly), what is still open "
    "and what comes next. Answer with the summary only."
)
_NO_USAGE = Usage()


_decode = msgspec.json.Decoder(WholeHead).decode


def read_compaction(body: bytes) -> Request:
    """Check a request and read it into a chat that asks for the summary; raise ``WireError`` (400) if it is none."""
    return read_conversation(body, {"role": "user", "content": _WISH})


class CompactionWriter:
    """Writes the summary as a compacted conversation; see ``AnswerWriter``. It is never streamed."""

    def __init__(self, *, request_id: str, created_s: int) -> None:
        self._request_id = request_id
        self._created_s = created_s

    def feed(self, events: bytes) -> bytes:
        """See ``AnswerWriter``."""
        raise NotImplementedError(f"a compaction is not streamed: {len(events)} bytes")

    def heartbeat(self) -> bytes:
        """See ``AnswerWriter``. White space before a body is none of its text."""
        return b"\n"

    def whole(self, body: bytes) -> bytes:
        """See ``AnswerWriter``."""
        try:
            answer = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedChunk(f"{len(body)} bytes that are no summary: {error}") from None
        item = {
            "id": item_id(self._request_id, "compaction", 0),
            "type": "compaction",
            "encrypted_content": pack(Packed.SUMMARY, _summary(answer)),
        }
        return msgspec.json.encode(
            {
                "id": response_id(self._request_id),
                "object": "response.compaction",
                "created_at": self._created_s,
                "output": [item],
                "usage": shown_usage(read_usage(answer.usage) or _NO_USAGE),
            }
        )

    def broken(self, message: str, *, kind: str, code: str | None = None) -> bytes:
        """See ``AnswerWriter``."""
        return error_body(message, kind=kind, code=code)

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


def _summary(answer: WholeHead) -> str:
    """Return what the model wrote: in its answer, or where it came no further, in its thought."""
    message = answer.choices[0].message if answer.choices else None
    if message is None:
        raise MalformedChunk("an answer without a message")
    said = (message.content, message.refusal, message.reasoning_content, message.reasoning, message.thinking)
    return next((text for text in said if text and isinstance(text, str)), "")
