"""Compressed bodies: a client's are undone within a bound, ours are made for clients that accept them.

Only whole bodies are compressed. A compressor holds back what it is given until it has enough, so tokens of a stream
would wait; flushing it after each of them costs more CPU than the chunk itself and, at 200 bytes each, saves little.
"""

from __future__ import annotations

import gzip
import zlib

from overspill.gateway.http.refusal import Refusal

CODINGS = frozenset((b"gzip", b"x-gzip", b"deflate"))
_COMPRESS_TO_BYTES = 512 * 1024
"""Above it compressing would hold up everybody's streams for more than some 8 ms (measured on numbers, 2026-11)."""
_ACCEPTED = (b"accept-encoding", b"gzip, deflate")
_GZIP, _ZLIB, _RAW = 31, 15, -15
_VARY = b"vary: accept-encoding\r\n"


def coding_of(value: bytes) -> bytes | None:
    """Read ``Content-Encoding``: ``None`` for identity; raise the ``Refusal`` (415) of what cannot be undone."""
    coding = value.strip().lower()
    if coding in (b"", b"identity"):
        return None
    if coding not in CODINGS:
        shown = value.decode("latin-1")
        message = f"the body's Content-Encoding {shown!r} cannot be read; send gzip, deflate or no coding"
        headers = ((b"content-type", b"application/json"), _ACCEPTED)
        raise Refusal(415, "unsupported_content_encoding", message, headers=headers)
    return coding


def decoded(body: bytes, coding: bytes, max_bytes: int) -> bytes:
    """Undo a body's coding; raise the ``Refusal`` of one that is damaged (400) or would be over ``max_bytes`` (413)."""
    try:
        if coding != b"deflate":
            return _inflated(body, _GZIP, max_bytes)
        try:
            return _inflated(body, _ZLIB, max_bytes)
        except zlib.error:  # some send it without zlib's frame, and always have
            return _inflated(body, _RAW, max_bytes)
    except zlib.error as error:
        shown = coding.decode()
        raise Refusal(400, "invalid_content_encoding", f"the body is not what {shown} makes: {error}") from None


def _inflated(body: bytes, window: int, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:  # gzip may be several members, one behind the other
        stream = zlib.decompressobj(window)
        piece = stream.decompress(body, max_bytes + 1 - size)
        size += len(piece)
        if size > max_bytes:
            raise Refusal(413, "body_too_large", f"the request's body is over {max_bytes} bytes once decompressed")
        if not stream.eof:
            raise zlib.error("it ends too early")
        pieces.append(piece)
        body = stream.unused_data
        if not body:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def compressed(headers: list[tuple[bytes, bytes]], lines: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Compress an answer if its client accepts that; return its first lines and its body, either way."""
    if len(body) > _COMPRESS_TO_BYTES or b"\r\ncontent-encoding:" in lines:
        return lines, body
    if not accepts_gzip(headers):
        return lines + _VARY, body
    return lines + _VARY + b"content-encoding: gzip\r\n", gzip.compress(body, 1, mtime=0)


def accepts_gzip(headers: list[tuple[bytes, bytes]]) -> bool:
    """Say whether ``Accept-Encoding`` names gzip, or everything, with a weight above 0 (RFC 9110 §12.5.3)."""
    found: dict[bytes, bool] = {}
    for name, value in headers:
        if name == b"accept-encoding":
            for item in value.lower().replace(b" ", b"").split(b","):
                coding, _, weight = item.partition(b";q=")
                found[coding] = not weight or weight.strip(b"0.") != b""
    return found.get(b"gzip", found.get(b"*", False))
