"""What the llama.cpp worker is told on its standard input: written by the adapter, read by the worker.

It stands alone so that the gateway can import the adapter without coming near the engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MAX_SLOTS = 256  # LLAMA_MAX_SEQ: above it, llama.cpp refuses to make a context
MIN_CONTEXT_TOKENS = 64
MAX_TOTAL_CONTEXT_TOKENS = 2**31 - 1
MIN_BATCH = 32  # n_batch=1 aborts the process
_CHECKABLE_CONTEXT_TOKENS = 512
_CHECKABLE_CACHES = ("f32", "f16", "bf16", "q8_0")
MAX_SOCKET_PATH = 107  # sun_path without its terminating zero

OWNED = {
    "api_keys": "a random key is made at each start",
    "hostnames": "the worker listens on a private socket",
    "model": "use `model`",
    "n_ctx": "use `context_tokens` (per request)",
    "n_parallel": "use `max_batch_size`",
    "port": "the worker listens on a private socket",
}
"""llama.cpp parameters that ``extra`` may not set, and what to use instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """One engine process: the model it loads and how many requests of which length it runs at once."""

    model: str
    socket_path: str
    api_key: str = field(repr=False)
    served_name: str
    slots: int
    context_tokens: int
    threads: int | None = None
    cache_ram_mib: int = 256
    kv_cache_type: str = "f16"
    gpu_layers: int | None = None
    sha256: str | None = None
    known_answer: Sequence[str] | None = None
    """A question and the answer that must come."""
    embeddings: bool = False
    text: bool = True
    """What is asked of it; either or both."""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the one JSON document that the worker reads."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, document: bytes) -> WorkerConfig:
        """Read what ``encode`` wrote; raise ``ValueError`` if it is something else."""
        try:
            return cls(**json.loads(document))
        except (TypeError, ValueError) as error:
            raise ValueError(f"the worker's configuration on standard input cannot be read: {error}") from None

    def checkable_answer(self) -> Sequence[str] | None:
        """Return the known answer, unless this configuration may spoil it: a context too short, a coarse cache."""
        is_fair = self.context_tokens >= _CHECKABLE_CONTEXT_TOKENS and self.kv_cache_type in _CHECKABLE_CACHES
        return self.known_answer if is_fair else None

    def problem(self) -> str | None:
        """Say what would make the engine hang, abort or fail without a reason; ``None`` if nothing would."""
        if not 1 <= self.slots <= MAX_SLOTS:
            return (
                f"max_batch_size is {self.slots}; llama.cpp runs 1 to {MAX_SLOTS} requests at once:"
                " set it in that range, and add replicas for more"
            )
        if self.context_tokens < MIN_CONTEXT_TOKENS:
            return f"context_tokens is {self.context_tokens}; set at least {MIN_CONTEXT_TOKENS}"
        if self.slots * self.context_tokens > MAX_TOTAL_CONTEXT_TOKENS:
            return (
                f"max_batch_size × context_tokens is {self.slots * self.context_tokens}, more than llama.cpp can count"
                f" ({MAX_TOTAL_CONTEXT_TOKENS}); lower one of them"
            )
        if self.threads is not None and self.threads < 1:
            return f"threads is {self.threads}; set at least 1, or leave it out"
        if len(self.socket_path.encode()) > MAX_SOCKET_PATH:
            return f"the socket path {self.socket_path!r} has more than {MAX_SOCKET_PATH} bytes; set a shorter TMPDIR"
        return self._problem_in_extra()

    def _problem_in_extra(self) -> str | None:
        for name, instead in OWNED.items():
            if name in self.extra:
                return f"options.{name} cannot be set: {instead}"
        for name in ("n_batch", "n_ubatch"):
            value = self.extra.get(name, MIN_BATCH)
            if not isinstance(value, int) or value < MIN_BATCH:
                return f"options.{name} is {value!r}; llama.cpp aborts on tiny batches: set at least {MIN_BATCH}"
        return None
