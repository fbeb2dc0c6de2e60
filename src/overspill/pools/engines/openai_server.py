"""What local servers that speak OpenAI's dialect have in common: the base of every engine adapter.

A subclass is data (ports, paths, names of metrics) and the few readers that differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from overspill.core.types import Surface
from overspill.pools.engines.classification import classify
from overspill.pools.engines.protocol import EngineStats, Probe, ServedModel
from overspill.pools.upstreams.protocol import Failure
from overspill.wire.contract import NO_CONTRACT, Contract
from overspill.wire.dialect import AnswerReader
from overspill.wire.form import ChatForm
from overspill.wire.http import Headers, HttpCall

PATHS = {
    Surface.CHAT: b"/v1/chat/completions",
    Surface.COMPLETIONS: b"/v1/completions",
    Surface.EMBEDDINGS: b"/v1/embeddings",
}
_JSON: Headers = ((b"content-type", b"application/json"), (b"accept-encoding", b"identity"))


class OpenAIServer:
    """A server with ``/v1/chat/completions`` and its siblings."""

    kind: ClassVar[str]
    stats_path: bytes | None = None
    reuses_connections: bool = True
    cancels_only_streams: bool = False
    unsupported: Mapping[str, str] = {}
    surfaces: tuple[Surface, ...] = (Surface.CHAT, Surface.COMPLETIONS)
    form: ChatForm = ChatForm(system_first=True)
    contract: Contract = NO_CONTRACT
    render_path: bytes | None = None
    count_path: bytes | None = None

    def lacks(self, model: str | None, options: Mapping[str, Any]) -> Mapping[str, str]:  # noqa: ARG002 - see ``ManagedEngine``
        """Return what it does not do; neither model nor option changes that."""
        return self.unsupported

    def translate(self, surface: Surface, body: bytes, api_key: str) -> HttpCall:
        """Build the POST. The sender writes ``host`` and ``content-length``; ``api_key`` may be empty."""
        headers = _JSON
        if api_key:
            headers = (*headers, (b"authorization", b"Bearer " + api_key.encode("ascii")))
        return HttpCall(method=b"POST", path=PATHS[surface], headers=headers, body=body)

    def reader(self, surface: Surface) -> AnswerReader | None:  # noqa: ARG002 - the protocol's signature
        """Say that answers come in the normal form."""
        return None

    def classify(self, status: int, headers: Headers, body: bytes) -> Failure:
        """Say what an error answer means."""
        return classify(status, headers, body)

    def parse_stats(self, body: bytes) -> EngineStats:  # noqa: ARG002 - the protocol's signature
        """Refuse: a server without ``stats_path`` publishes nothing."""
        raise ValueError(f"{self.kind} publishes no statistics")

    def parse_rendered(self, body: bytes) -> str:  # noqa: ARG002 - the protocol's signature
        """Refuse: a server without ``render_path`` shows no prompts."""
        raise ValueError(f"{self.kind} does not show what a prompt comes to")


class AttachedServer(OpenAIServer):
    """Any server that somebody else started; kinds that are looked for have a ``probe`` and an ``owner``."""

    kind = "openai"
    owner: ClassVar[str] = ""
    """``owned_by`` in ``/v1/models``."""
    probe: Probe | None = None
    models_path: bytes = b"/v1/models"
    slots_path: bytes | None = None
    default_slots: int | None = 32  # a batching server takes many, and nothing more is known of this one

    def recognises(self, status: int, body: bytes) -> bool:
        """Say whether this is a model list with our ``owned_by``."""
        if status != 200:
            return False
        try:
            return any(entry.get("owned_by") == self.owner for entry in list_entries(body))
        except ValueError:
            return False

    def parse_models(self, body: bytes) -> tuple[ServedModel, ...]:
        """Read ``{"data": [{"id", "max_model_len"}]}``."""
        return tuple(
            ServedModel(model_id=entry["id"], context_tokens=self.context_of(entry)) for entry in list_entries(body)
        )

    def context_of(self, entry: Mapping[str, Any]) -> int | None:
        """Read one model's context window."""
        return positive(entry.get("max_model_len"))

    def parse_slots(self, body: bytes) -> int | None:  # noqa: ARG002 - the protocol's signature
        """Say nothing: this server does not tell."""
        return None


def list_entries(body: bytes) -> list[dict[str, Any]]:
    """Return the entries of an OpenAI list that have an ``id``; raise ``ValueError`` if it is no such list."""
    value = read_object(body)
    entries = value.get("data")
    if entries is None and value.get("object") == "list":
        return []  # Ollama without a model says null
    if not isinstance(entries, list):
        raise ValueError("the answer is no list of models")  # noqa: TRY004 - one error for "not what was asked for"
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def read_object(body: bytes) -> dict[str, Any]:
    """Decode a JSON object; raise ``ValueError`` for anything else."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the answer is no JSON object: {error}") from None


def positive(value: object) -> int | None:
    """Return a positive integer, or ``None``: servers write 0 or null for "not known"."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
