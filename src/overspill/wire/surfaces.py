"""Which module reads and writes which surface: the one place that knows all of them."""

from __future__ import annotations

from overspill.wire.chat import parse_request
from overspill.wire.dialect import AnswerWriter, NativeReader
from overspill.wire.messages.ends import error_body as messages_error
from overspill.wire.messages.native import NativeMessages
from overspill.wire.messages.request import read_messages
from overspill.wire.messages.writer import MessagesWriter
from overspill.wire.reply import error_body
from overspill.wire.request import Request, SurfaceName
from overspill.wire.responses.compaction import CompactionWriter, read_compaction
from overspill.wire.responses.native import NativeResponses
from overspill.wire.responses.reading import read_responses
from overspill.wire.responses.writer import ResponsesWriter


def read_request(surface: SurfaceName, body: bytes) -> Request:
    """Check a request body and read it into a chat request; raise ``WireError`` (400) for what cannot be served."""
    if surface == "messages":
        return read_messages(body)
    if surface == "responses":
        return read_responses(body)
    if surface == "compaction":
        return read_compaction(body)
    return parse_request(surface, body)


def answer_writer(request: Request, request_id: str, created_s: int) -> AnswerWriter | None:
    """Return what writes the answer for a client of this surface; ``None`` where it goes out as it comes in.

    ``created_s`` is seconds since 1970; ids of the answer are made of ``request_id``.
    """
    if request.surface == "messages":
        return MessagesWriter(request, request_id)
    if request.surface == "responses" and request.native is not None:
        return ResponsesWriter(request.native, request_id=request_id, created_s=created_s)
    if request.surface == "compaction":
        return CompactionWriter(request_id=request_id, created_s=created_s)
    return None


def native_reader(surface: SurfaceName) -> NativeReader:
    """Return what reads the answers of a target that speaks this surface itself."""
    if surface == "messages":
        return NativeMessages()
    if surface == "responses":
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
        return messages_error(message, kind=kind, status=status, code=code, param=param, request_id=request_id)
    return error_body(message, kind=kind, code=code, param=param)
