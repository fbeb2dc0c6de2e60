"""What a rehearsal engine answers to a request for embeddings: vectors that depend on the input and on nothing else."""

from __future__ import annotations

import base64
import math
import struct
from typing import Annotated, Any
from zlib import crc32

import msgspec

from overspill.errors import WireError
from overspill.wire.request import Request

DIMENSIONS = 8
_MAX_DIMENSIONS = 65_536
_Width = Annotated[int, msgspec.Meta(ge=1, le=_MAX_DIMENSIONS)]


def embeddings_of(request: Request) -> dict[str, Any]:
    """Return the whole answer; ``WireError`` if the request asks for what there is not."""
    inputs = _decoded(request, "input", list[str | int | list[int]] | str, "")
    each = inputs if isinstance(inputs, list) and not isinstance(inputs[0], int) else [inputs]
    width = _decoded(request, "dimensions", _Width | None, None) or DIMENSIONS
    form = _decoded(request, "encoding_format", str | None, None) or "float"
    if form not in ("float", "base64"):
        raise WireError(f"'encoding_format' is {form!r}; it must be 'float' or 'base64'", param="encoding_format")
    vectors = [vector_of(one, width) for one in each]
    data = [
        {"object": "embedding", "index": index, "embedding": vector if form == "float" else _packed(vector)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": request.prompt_tokens, "total_tokens": request.prompt_tokens}
    return {"object": "list", "data": data, "model": request.model, "usage": usage}


def vector_of(one: object, width: int = DIMENSIONS) -> list[float]:
    """Return the vector of one input, of length 1."""
    raw = msgspec.json.encode(one)
    numbers = [crc32(raw, index) / 2**31 - 1 for index in range(width)]
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return [number / length for number in numbers]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _decoded(request: Request, name: str, kind: Any, default: Any) -> Any:
    raw = request.fields.get(name)
    if raw is None:
        return default
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise WireError(f"{name!r} cannot be read: {error}", param=name) from None
