"""Anthropic's own API: Messages, in its own form for who asks so, translated for who asks for a chat.

A client of Messages is passed on natively: its history, caching and tools are Anthropic's own. What is changed in it is
only what another model left there (``fit_history``). ``anthropic-beta`` comes with the client's fields, under the name
that Bedrock and Vertex have for it in a body. The same adapter serves others who took the API over: their base URL ends
before ``/v1/messages``.

Errors: docs of the API (errors, rate limits) and bodies in public issue threads; an empty account is a 400 there, known
by its words alone. They begin the message, so nothing that a client wrote can be taken for them.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping

import msgspec

from overspill.core.types import FailureKind, Surface
from overspill.pools.upstreams.classify import classify
from overspill.pools.upstreams.error_body import read_error
from overspill.pools.upstreams.openai_compat import FIXED_HEADERS, OpenAICompatible, host_header
from overspill.pools.upstreams.protocol import Account, Failure
from overspill.wire.dialect import AnswerReader
from overspill.wire.form import ChatForm, History
from overspill.wire.http import Headers, HttpCall
from overspill.wire.messages.native import BETAS, fit_history
from overspill.wire.messages.outgoing import to_messages
from overspill.wire.messages.reader import MessagesReader

VERSION = (b"anthropic-version", b"2023-06-01")
_LONGEST_RETRY_S = 3600.0
_TYPES = {
    "authentication_error": FailureKind.BAD_KEY,
    "permission_error": FailureKind.BAD_KEY,
    "billing_error": FailureKind.NO_MONEY,
    "not_found_error": FailureKind.NO_MODEL,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "overloaded_error": FailureKind.OVERLOADED,
    "timeout_error": FailureKind.TIMEOUT,
    "api_error": FailureKind.SERVER_ERROR,
}
_BEGINNINGS = {
    "your credit balance is too low": FailureKind.NO_MONEY,
    "you have reached your specified api usage limits": FailureKind.NO_MONEY,
    "output blocked by content filtering policy": FailureKind.MODERATION,
    "prompt is too long": FailureKind.CONTEXT_TOO_LONG,
    "input length and `max_tokens` exceed context limit": FailureKind.CONTEXT_TOO_LONG,
}
"""How the message of a 400 begins → what it means."""
_OAUTH = "sk-ant-oat"
"""How a token begins that stands for a login, and goes into another header than a key."""

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_betas = msgspec.json.Decoder(list[str]).decode


class Anthropic(OpenAICompatible):
    """``api.anthropic.com``."""

    kind = "anthropic"
    surfaces: tuple[Surface, ...] = (Surface.CHAT,)
    unsupported: Mapping[str, str] = {
        "completions": "Anthropic's API has no completions",
        "embeddings": "Anthropic's API has no embeddings",
        "logprobs": "Claude tells no log-probabilities",
        "choices": "Anthropic's API gives one answer to a request",
        "audio": "Claude takes no sound",
        "video": "Claude takes no films",
        "web_search": "its search is a tool of the Messages API, which a chat cannot name",
        "grammar": "Anthropic's API binds an answer to a JSON schema, and to nothing else",
    }
    form: ChatForm = ChatForm(history=History.AS_IS, takes_details=True)
    native: tuple[str, ...] = ("messages",)

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def call(self, surface: Surface, body: bytes, account: Account) -> HttpCall:  # noqa: ARG002 - chat is all there is
        """Build ``POST <prefix>/v1/messages`` from a chat; raise ``WireError`` for what Messages cannot say."""
        asked = to_messages(body)
        return msgspec.structs.replace(_post(account, asked.body), dropped=asked.dropped)

    def call_native(self, surface: str, body: bytes, account: Account) -> HttpCall:  # noqa: ARG002 - see ``native``
        """Build ``POST <prefix>/v1/messages`` from a client's own; its betas go into their header."""
        body = fit_history(body)
        if b'"%b"' % BETAS.encode() not in body:
            return _post(account, body)
        fields = _decode_fields(body)
        betas = fields.pop(BETAS, None)
        names = ",".join(_decode_betas(betas)) if betas is not None else ""
        return _post(account, msgspec.json.encode(fields), betas=names)

    def reader(self, surface: Surface) -> AnswerReader | None:  # noqa: ARG002 - chat is all there is
        """Read Anthropic's events into chat chunks."""
        return MessagesReader(int(self._clock()))

    def classify(self, status: int, headers: Headers, body: bytes) -> Failure:
        """Say what an error answer means. 529 is an overload of Anthropic's, 429 a limit of the account's own."""
        failure = classify(status, headers, body)
        kind = _kind(status, body) or failure.kind
        retry_after_s = failure.retry_after_s
        if kind is FailureKind.RATE_LIMITED and retry_after_s is None:
            retry_after_s = _reset_s(headers)
        return msgspec.structs.replace(failure, kind=kind, retry_after_s=retry_after_s)


def _post(account: Account, body: bytes, *, betas: str = "") -> HttpCall:
    """Build the call; a base URL may end in /v1 or before it."""
    path = account.origin.prefix.removesuffix(b"/v1") + b"/v1/messages" + (b"?beta=true" if betas else b"")
    headers: Headers = ((b"host", host_header(account.origin)), *FIXED_HEADERS)
    if not any(name == VERSION[0] for name, _ in account.extra_headers):
        headers = (*headers, VERSION)
    if account.api_key:
        key = account.api_key.encode("ascii")
        is_token = account.api_key.startswith(_OAUTH)
        headers = (*headers, (b"authorization", b"Bearer " + key) if is_token else (b"x-api-key", key))
    if betas:
        headers = (*headers, (b"anthropic-beta", betas.encode("ascii")))
    return HttpCall(method=b"POST", path=path, headers=(*headers, *account.extra_headers), body=body)


def _kind(status: int, body: bytes) -> FailureKind | None:
    """Return what the type or the words of an error mean; ``None`` if the common rules are to decide."""
    error = read_error(body)
    said = error.message.lower()
    if status in (200, 400, 413) and "invalid_request_error" in error.codes:
        found = (kind for beginning, kind in _BEGINNINGS.items() if said.startswith(beginning))
        return next(found, FailureKind.BAD_REQUEST)
    return next((_TYPES[code] for code in error.codes if code in _TYPES), None)


def _reset_s(headers: Headers) -> float | None:
    """Return when the limit that is used up is full again; ``None`` if that cannot be told.

    The headers give a time of the day, which is compared with the answer's own ``date``.
    """
    found = {name.lower(): value.decode("latin-1").strip() for name, value in headers}
    waits = []
    for limit in (b"requests", b"tokens", b"input-tokens", b"output-tokens"):
        if found.get(b"anthropic-ratelimit-%b-remaining" % limit) == "0":
            until = _timestamp(found.get(b"anthropic-ratelimit-%b-reset" % limit, ""))
            if until is not None:
                waits.append(until)
    sent = _http_date(found.get(b"date", ""))
    if not waits or sent is None:
        return None
    return min(max(max(waits) - sent, 0.0), _LONGEST_RETRY_S)


def _timestamp(text: str) -> float | None:
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _http_date(text: str) -> float | None:
    try:
        return dt.datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=dt.UTC).timestamp()
    except ValueError:
        return None
