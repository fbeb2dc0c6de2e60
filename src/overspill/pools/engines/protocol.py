"""What an engine adapter is: it translates and never acts.

The supervisor launches, the poller polls and the relay calls; an adapter says with which arguments. That keeps an
adapter at 100-200 lines and lets a golden file be its contract test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from overspill.core.types import Surface
from overspill.pools.upstreams.protocol import Failure
from overspill.wire.contract import Contract
from overspill.wire.dialect import AnswerReader
from overspill.wire.form import ChatForm
from overspill.wire.http import Headers, HttpCall, Origin


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wants of an engine, in the engine-neutral words of the configuration."""

    name: str
    """The pool's name; also names the worker's socket and log lines."""
    model: str
    """A path, ``hf:REPO:FILE`` or ``builtin``; ``model_source.resolve`` turns it into a path before ``launch``.

    Empty for an engine that needs none.
    """
    served_name: str
    max_batch_size: int = 32
    context_tokens: int = 4096
    """Per request."""
    threads: int | None = None
    cache_ram_mib: int = 256
    kv_cache_type: str = "f16"
    gpu_layers: int | None = None
    sha256: str | None = None
    """Expected digest of the model file, hex; ``None`` skips the check."""
    known_answer: tuple[str, str] | None = None
    """A question, and what the model must answer to it before it serves; ``None`` where no answer is known."""
    default_temperature: float | None = None
    """For requests that name none; ``None`` leaves it to the engine."""
    load_timeout_s: float = 120.0
    surfaces: tuple[Surface, ...] = (Surface.CHAT, Surface.COMPLETIONS)
    """What it is to serve."""
    extra: Mapping[str, Any] = {}
    """Options passed to the engine under its own names."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """How to start an engine process. Nothing here has been done yet."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    """Added to the gateway's environment."""
    stdin: bytes
    """Written to the process and closed: the worker's configuration, never in argv where ``ps`` shows it."""
    origin: Origin
    api_key: str
    load_timeout_s: float


class EngineStats(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine says of itself. ``None`` is "not reported", never 0."""

    running: int | None = None
    waiting: int | None = None
    kv_usage: float | None = None


class Engine(Protocol):
    """One kind of inference server."""

    kind: str
    stats_path: bytes | None
    """GET this for ``parse_stats``; ``None`` if the engine publishes nothing."""
    reuses_connections: bool
    """False where the server closes sockets after a stream without saying so."""
    cancels_only_streams: bool
    """True if a non-streamed call keeps running after its client has gone; such calls are made as streams."""
    unsupported: Mapping[str, str]
    """What it does not do → why not, in words. A name of ``features`` keeps requests away that need it."""
    form: ChatForm
    """In which form of chat it is asked, and answers."""
    surfaces: tuple[Surface, ...]
    contract: Contract
    """How it goes on with an answer that has begun, as declared; it is verified before it is relied on."""
    render_path: bytes | None
    """POST a chat request here for ``parse_rendered``; ``None`` if the server does not show prompts."""
    count_path: bytes | None
    """POST a chat request here for ``{"input_tokens"}`` of its prompt; ``None`` if the server does not count."""

    def parse_rendered(self, body: bytes) -> str:
        """Read the prompt that a chat request comes to; raise ``ValueError`` if it is none."""
        ...

    def parse_stats(self, body: bytes) -> EngineStats:
        """Read the answer to ``stats_path``; raise ``ValueError`` if it is none."""
        ...

    def translate(self, surface: Surface, body: bytes, api_key: str) -> HttpCall:
        """Turn a request body in OpenAI's form (model already renamed) into the engine's call."""
        ...

    def reader(self, surface: Surface) -> AnswerReader | None:
        """Return what brings one answer into the normal form of chat; ``None`` if it comes in it."""
        ...

    def classify(self, status: int, headers: Headers, body: bytes) -> Failure:
        """Say what an error answer means."""
        ...


class ManagedEngine(Engine, Protocol):
    """An engine that Overspill can start."""

    needs_model: bool
    """False if it has no model: none is asked for in the configuration, and none is looked for."""

    def lacks(self, model: str | None, options: Mapping[str, Any]) -> Mapping[str, str]:
        """Return what it does not do with this ``EngineSpec.model`` and ``extra``; at least as ``unsupported`` says."""
        ...

    def launch(self, spec: EngineSpec, *, run_dir: str, api_key: str) -> Launch:
        """Say how to start it; the supervisor does."""
        ...


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model that a running server offers."""

    model_id: str
    """The name to send as ``model``."""
    context_tokens: int | None = None
    """Per request; ``None`` if the server does not say."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """Where a kind of server listens unless told otherwise, and what to GET to recognise it."""

    port: int
    path: bytes


class AttachedEngine(Engine, Protocol):
    """A server that already runs and that somebody else started."""

    probe: Probe | None
    """``None`` if it is not looked for."""
    models_path: bytes
    """GET this for ``parse_models``."""
    slots_path: bytes | None
    """GET this for ``parse_slots``; ``None`` if the server does not tell."""
    default_slots: int | None
    """Requests it runs at once where neither the configuration nor the server tells; ``None`` is unbounded.

    The only place where this number stands: a pool in a file and a server that was found get the same.
    """

    def recognises(self, status: int, body: bytes) -> bool:
        """Say whether this answer to ``probe.path`` comes from this kind of server."""
        ...

    def parse_models(self, body: bytes) -> tuple[ServedModel, ...]:
        """Read the answer to ``models_path``: what can generate text; raise ``ValueError`` if it is none."""
        ...

    def parse_slots(self, body: bytes) -> int | None:
        """Read the answer to ``slots_path``; ``None`` if it does not say."""
        ...
