"""The generic adapter: any API that speaks OpenAI's dialect. The relay calls it once per attempt on an upstream.

The body goes out as the client sent it, model already renamed. The path is complete: it begins with
``account.origin.prefix``.
"""

from __future__ import annotations

from collections.abc import Mapping

from overspill import __version__
from overspill.core.types import Surface
from overspill.pools.upstreams.classify import classify
from overspill.pools.upstreams.protocol import Account, Failure
from overspill.wire.contract import NO_CONTRACT, Contract
from overspill.wire.dialect import AnswerReader
from overspill.wire.form import ChatForm
from overspill.wire.http import Headers, HttpCall, Origin

PATHS = {
    Surface.CHAT: b"/chat/completions",
    Surface.COMPLETIONS: b"/completions",
    Surface.EMBEDDINGS: b"/embeddings",
}
_DEFAULT_PORTS = {"http": 80, "https": 443}
FIXED_HEADERS: Headers = (
    (b"content-type", b"application/json"),
    (b"accept", b"application/json, text/event-stream"),
    # Chunks are passed on as they come; compression would have to be undone to read usage and finish reasons.
    (b"accept-encoding", b"identity"),
    (b"user-agent", b"overspill/" + __version__.encode()),
)


class OpenAICompatible:
    """OpenAI's dialect, with the key in whichever header the host reads it from."""

    kind = "openai_compatible"
    surfaces: tuple[Surface, ...] = (Surface.CHAT, Surface.COMPLETIONS, Surface.EMBEDDINGS)
    unsupported: Mapping[str, str] = {}
    form: ChatForm = ChatForm()
    contract: Contract = (
        NO_CONTRACT  # servers of this dialect differ: some take a last message of the assistant as done
    )
    native: tuple[str, ...] = ()

    def call(self, surface: Surface, body: bytes, account: Account) -> HttpCall:
        """Build ``POST <prefix>/chat/completions`` (or the surface's path) with the account's key."""
        return post(account, account.origin.prefix + PATHS[surface], body)

    def call_native(self, surface: str, body: bytes, account: Account) -> HttpCall:  # noqa: ARG002 - see ``Upstream``
        """Refuse: it is asked for chat only."""
        raise ValueError(f"{self.kind} is not asked for {surface}")

    def reader(self, surface: Surface) -> AnswerReader | None:  # noqa: ARG002 - see ``Upstream``
        """Say that answers come in the normal form."""
        return None

    def classify(self, status: int, headers: Headers, body: bytes) -> Failure:
        """Say what an error answer means, by the rules common to all hosts."""
        return classify(status, headers, body)


def post(account: Account, path: bytes, body: bytes) -> HttpCall:
    """Build a POST of JSON with the account's key. ``content-length`` is the sender's business."""
    headers: Headers = ((b"host", host_header(account.origin)), *FIXED_HEADERS, *key_headers(account))
    return HttpCall(method=b"POST", path=path, headers=(*headers, *account.extra_headers), body=body)


def key_headers(account: Account) -> Headers:
    """Return the header that carries the account's key; none if it has none."""
    if not account.api_key:
        return ()
    key = account.api_key.encode("ascii")
    return ((b"authorization", b"Bearer " + key),) if account.auth == "bearer" else ((account.auth.encode(), key),)


def host_header(origin: Origin) -> bytes:
    """Return the ``host`` header's value: the port only where it is not the scheme's own, IPv6 in brackets."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    shown = host if _DEFAULT_PORTS.get(origin.scheme) == origin.port else f"{host}:{origin.port}"
    return shown.encode("ascii")
