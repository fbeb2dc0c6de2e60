from __future__ import annotations

import pytest

from overspill.core.types import FailureKind
from overspill.pools.engines.classification import classify

# Bodies as the engines send them, some cut: llama.cpp and vLLM recorded, the others from sources and issue trackers.
CASES = {
    "llama.cpp, loading": (
        503,
        b'{"error":{"message":"Loading model","type":"unavailable_error","code":503}}',
        FailureKind.OVERLOADED,
    ),
    "llama.cpp, too long": (
        400,
        (
            b'{"error":{"code":400,"message":"request (6005 tokens) exceeds the available context size (4096 tokens), '
            b'try increasing it","type":"exceed_context_size_error","n_prompt_tokens":6005,"n_ctx":4096}}'
        ),
        FailureKind.CONTEXT_TOO_LONG,
    ),
    "llama.cpp, image without projector": (
        500,
        (
            b'{"error":{"code":500,"message":"image input is not supported - hint: if this is unexpected, you may need '
            b'to provide the mmproj","type":"server_error"}}'
        ),
        FailureKind.BAD_REQUEST,
    ),
    "llama.cpp, embeddings not offered": (
        501,
        b'{"error":{"code":501,"message":"This server does not support embeddings.","type":"not_supported_error"}}',
        FailureKind.BAD_REQUEST,
    ),
    "llama.cpp, wrong key": (
        401,
        b'{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}',
        FailureKind.BAD_KEY,
    ),
    "Ollama, busy": (
        503,
        b'{"error":"server busy, please try again.  maximum pending requests exceeded"}',
        FailureKind.OVERLOADED,
    ),
    "Ollama, no such model": (
        404,
        b'{"error":{"message":"model \\"x\\" not found, try pulling it first","type":"api_error"}}',
        FailureKind.NO_MODEL,
    ),
    "vLLM, busy": (
        503,
        (
            b'{"error":{"message":"The engine is currently busy and cannot accept new requests",'
            b'"type":"ServiceUnavailableError","param":null,"code":503}}'
        ),
        FailureKind.OVERLOADED,
    ),
    "vLLM, too long": (
        400,
        (
            b'{"object":"error","message":"This model\'s maximum context length is 16384 tokens. However, you '
            b'requested 19591 tokens","type":"BadRequestError","param":null,"code":400}'
        ),
        FailureKind.CONTEXT_TOO_LONG,
    ),
    "SGLang, queue full": (
        503,
        b'{"object":"error","message":"The request queue is full.","type":"503","param":null,"code":503}',
        FailureKind.OVERLOADED,
    ),
    "SGLang, too long": (
        400,
        (
            b'{"object":"error","message":"The input (61709 tokens) is longer than the model\'s context length (40960 '
            b'tokens).","type":"BadRequestError","param":null,"code":400}'
        ),
        FailureKind.CONTEXT_TOO_LONG,
    ),
    "LM Studio, too long": (
        400,
        (
            b'{"error":"The number of tokens to keep from the initial prompt is greater than the context length. Try '
            b'to load the model with a larger context length, or provide a shorter input"}'
        ),
        FailureKind.CONTEXT_TOO_LONG,
    ),
    "LM Studio 0.4, too long, inside a stream": (
        200,
        b'{"error":{"message":"Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)"}}',
        FailureKind.CONTEXT_TOO_LONG,
    ),
    "bad JSON": (
        400,
        b'{"error":{"code":400,"message":"parse error","type":"invalid_request_error"}}',
        FailureKind.BAD_REQUEST,
    ),
    "llama.cpp, tools of another form": (
        500,
        (
            b'{"error":{"code":500,"message":"Failed to parse tools: Missing tool type: {}; tools = [\\n  {}\\n]",'
            b'"type":"server_error"}}'
        ),
        FailureKind.BAD_REQUEST,
    ),
    "llama.cpp, a part of a message without its text": (
        500,
        (
            b'{"error":{"code":500,"message":"Failed to parse messages: [json.exception.out_of_range.403] key \'text\' '
            b'not found","type":"server_error"}}'
        ),
        FailureKind.BAD_REQUEST,
    ),
    "crash": (500, b"Internal Server Error", FailureKind.SERVER_ERROR),
}


@pytest.mark.parametrize("case", CASES)
def test_an_engine_error_is_understood(case: str) -> None:
    status, body, kind = CASES[case]
    failure = classify(status, (), body)
    assert failure.kind is kind
    assert failure.message
