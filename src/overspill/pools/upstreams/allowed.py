"""Cuts a body down to the fields that a host takes, where it refuses whole requests for one it does not know."""

from __future__ import annotations

import msgspec


def only_allowed(body: bytes, allowed: frozenset[str]) -> tuple[bytes, tuple[str, ...]]:
    """Return the body without fields that are not ``allowed``, and the names of those that were taken out.

    ``max_completion_tokens`` goes as ``max_tokens`` where only that is known: it is a limit of what may be spent.
    """
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    dropped = [name for name in fields if name not in allowed]
    if not dropped:
        return body, ()
    limit = fields.get("max_completion_tokens")
    if limit is not None and "max_tokens" in allowed and "max_completion_tokens" in dropped:
        fields.setdefault("max_tokens", limit)
        dropped.remove("max_completion_tokens")
    kept = {name: value for name, value in fields.items() if name in allowed}
    return msgspec.json.encode(kept), tuple(dropped)
