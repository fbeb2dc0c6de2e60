"""Which module reads and writes which surface: the one place that knows all of them.

Each is imported when it is first asked for: a gateway whose clients speak chat only is smaller by that much.
"""

from __future__ import annotations

from overspill.wire.chat import parse_request
from overspill.wire.dialect import AnswerWriter, NativeReader
from overspill.wire.reply import error_body
from overspill.wire.request import Request, SurfaceName


def read_request(surface: SurfaceName, body: bytes) -> Request:
    """Check a request body and read it into a chat request; raise ``WireError`` (400) for what cannot be served."""
    if surface == "messages":
        from overspill.wire.messages.request import read_messages

        return read_messages(body)
    if surface == "responses":
        from overspill.wire.responses.reading import read_responses

        return read_responses(body)
    if surface == "compaction":
        from overspill.wire.responses.compaction import read_compaction

        return read_compaction(body)
    return parse_request(surface, body)


def answer_writer(request: Request, request_id: str, created_s: int) -> AnswerWriter | None:
    """Return what writes the answer for a client of this surface; ``None`` where it goes out as it comes in.

    ``created_s`` is seconds since 1970; ids of the answer are made of ``request_id``.
    """
    if request.surface == "messages":
        from overspill.wire.messages.writer import MessagesWriter

        return MessagesWriter(request, request_id)
    if request.surface == "responses" and request.native is not None:
        from overspill.wire.responses.writer import ResponsesWriter

        return ResponsesWriter(request.native, request_id=request_id, created_s=created_s)
    if request.surface == "compaction":
        from overspill.wire.responses.compaction import CompactionWriter

        return CompactionWriter(request_id=request_id, created_s=created_s)
    return None


def native_reader(surface: SurfaceName) -> NativeReader:
    """Return what reads the answers of a target that speaks this surface itself."""
    if surface == "messages":
        from overspill.wire.messages.native import NativeMessages

        return NativeMessages()
    if surface == "responses":
        from overspill.wire.responses.native import NativeResponses

        return NativeResponses()
    raise ValueError(f"no target speaks {surface} itself")


def write_error(
    surface: SurfaceName,
    status: int,
    message: str,
    *,
    kind: str,
    code: str | None = None,
    param: str | None = None,
    request_id: str | None = None,
) -> bytes:
    """Write an error for a client of this surface; the arguments are those of OpenAI's form."""
    if surface == "messages":
        from overspill.wire.messages.ends import error_body as messages_error

        return messages_error(message, kind=kind, status=status, code=code, param=param, request_id=request_id)
    return error_body(message, kind=kind, code=code, param=param)
