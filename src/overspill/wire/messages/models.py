"""The list of models in Anthropic's form, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from overspill.errors import WireError

_UNKNOWN_DATE = "1970-01-01T00:00:00Z"
"""Anthropic's own word for a release date that is not known."""
_DEFAULT_LIMIT = 20
_MAX_LIMIT = 1000


def _model(model_id: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model_id,
        "display_name": model_id,
        "created_at": _UNKNOWN_DATE,
        "lifecycle": "active",
    }


def model_body(model_id: str) -> bytes:
    """Write the answer to ``GET /v1/models/{id}``."""
    return msgspec.json.encode(_model(model_id))


def models_body(model_ids: Sequence[str], *, limit: str | None, after: str | None, before: str | None) -> bytes:
    """Write a page of the answer to ``GET /v1/models``; raise ``WireError`` for a size that it cannot have.

    ``after`` and ``before`` are ids: the page begins behind the one and ends before the other. Beyond an id that is no
    longer there is nothing, so that who goes through the pages comes to an end.
    """
    size = _size(limit)
    ids = list(model_ids)
    start = ids.index(after) + 1 if after in ids else len(ids) if after else 0
    end = ids.index(before) if before in ids else 0 if before else len(ids)
    found = ids[start:end]
    page = found[-size:] if before and not after else found[:size]
    has_more = len(found) > size
    return msgspec.json.encode(
        {
            "data": [_model(model_id) for model_id in page],
            "has_more": has_more,
            "first_id": page[0] if page else None,
            "last_id": page[-1] if page else None,
        }
    )


def _size(limit: str | None) -> int:
    if not limit:
        return _DEFAULT_LIMIT
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= _MAX_LIMIT):
        raise WireError(f"limit: Input should be an integer from 1 to {_MAX_LIMIT}, not {limit[:20]!r}", param="limit")
    return int(limit)
