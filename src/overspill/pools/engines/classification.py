"""What an engine's error answer means: rules for servers that run here, before those common to every API.

Collected from the engines' sources and issue trackers (2025-2026). "Busy" needs no rule: all of them say 503.
"""

from __future__ import annotations

from overspill.core.types import FailureKind
from overspill.pools.upstreams.classify import classify as classify_any
from overspill.pools.upstreams.protocol import Failure
from overspill.wire.http import Headers

_TOO_LONG = (
    b"exceed_context_size_error",  # llama.cpp, 400
    b"longer than the model's context length",  # SGLang, 400
    b"maximum context length",  # vLLM, 400
    b"maximum model length",  # vLLM, 400, multimodal prompts
    b"when context the overflows",  # LM Studio until 0.3, 400
    b"is greater than the context length",  # LM Studio from 0.3, 400
    b"cannot truncate prompt with n_keep",  # LM Studio 0.4, 400
    b"exceeds the context length",  # Ollama, 400
    b"increase the physical batch size",  # llama.cpp, 500: an input for an embedding must fit one step
)
_NOT_OFFERED = (
    b"image input is not supported",  # llama.cpp without a projector says 500: the request's fault, not the engine's
    b"audio input is not supported",
    b"not_supported_error",  # llama.cpp, 501: embeddings from a server that was not started for them
)
_MALFORMED = (
    b"failed to parse tools",  # llama.cpp, 500, as are the next: messages or tools are not of the form that it reads
    b"failed to parse messages",
    b"[json.exception.",
    b"while executing ",  # its template engine's words: the chat template refuses the conversation
)
_READ_BYTES = 4096


def classify(status: int, headers: Headers, body: bytes) -> Failure:
    """Say what an engine's error means; ``status`` is 200 for an error found inside a stream.

    Texts of a 4xx may quote the client, but only "too long" is read from them, and a client that writes so about
    itself gets a bigger context window elsewhere: nothing is learned against the engine.
    """
    text = body[:_READ_BYTES].lower()
    failure = classify_any(status, headers, body)
    if status in (200, 400, 413, 422, 500) and any(phrase in text for phrase in _TOO_LONG):
        return Failure(kind=FailureKind.CONTEXT_TOO_LONG, message=failure.message)
    if status >= 500 and any(phrase in text for phrase in (*_NOT_OFFERED, *_MALFORMED)):
        return Failure(kind=FailureKind.BAD_REQUEST, message=failure.message)
    return failure
