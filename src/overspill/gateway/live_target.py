"""A target as the relay calls it: an adapter, where it listens, and its key.

The controller knows a target's specification and the adapter its dialect; this joins them to an address. An embedded
engine gets a new address and key each time it starts, so those two change in place.
"""

from __future__ import annotations

import logging

import msgspec

from overspill.core.types import FailureKind, Surface
from overspill.gateway.key_file import KeyFile
from overspill.pools.engines.protocol import Engine
from overspill.pools.upstreams.allowed import only_allowed
from overspill.pools.upstreams.protocol import Account, Failure, Upstream
from overspill.wire.contract import Contract
from overspill.wire.dialect import AnswerReader
from overspill.wire.form import ChatForm, History, ReasoningForm, rule_for
from overspill.wire.http import Headers, HttpCall, Origin
from overspill.wire.reasoning import reasoning_reader

_MOST_RULES = 1024

log = logging.getLogger("overspill.targets")

_TOLD = 64
"""Fields that the log tells of at one target, at most: a client may make names up."""


class LiveTarget:
    """What the relay needs of a target; each request reads some of it, so it is no protocol, which costs look-ups."""

    __slots__ = (
        "contracts",
        "declared",
        "form",
        "is_auto",
        "kind",
        "native",
        "origin",
        "reuses_connections",
        "rules",
        "streams_whole",
        "target_id",
    )

    def __init__(
        self,
        target_id: str,
        adapter: Engine | Upstream,
        origin: Origin,
        *,
        form: ChatForm | None,
        streams_whole: bool,
        reuses_connections: bool,
        native: tuple[str, ...],
    ) -> None:
        self.target_id = target_id
        self.kind = adapter.kind
        self.origin = origin
        self.reuses_connections = reuses_connections
        self.streams_whole = streams_whole
        """If true, a call for a client that wants one whole body is still made as a stream."""
        self.declared = adapter.contract
        """How its adapter says that it goes on with an answer that has begun."""
        self.contracts: dict[str, Contract] = {}
        """Model → how it was seen to."""
        self.form = adapter.form if form is None else form
        """In which form of chat it is asked, and answers."""
        self.rules: dict[str, History] = {}
        """Model → what becomes of the thoughts of earlier turns, where that is known by its name or was learned."""
        self.native = native
        """Surfaces that it speaks itself, so that their requests and answers need no translation."""
        self.is_auto = adapter.reader(Surface.CHAT) is None and self.form.reasoning is ReasoningForm.AUTO
        """True if nothing is known of the form of its thoughts, so that each answer is looked at."""

    def call(self, surface: Surface, body: bytes) -> HttpCall:
        """Turn a request body in OpenAI's form into this target's call."""
        raise NotImplementedError

    def call_native(self, surface: str, body: bytes) -> HttpCall:
        """Turn a request body of one of its ``native`` surfaces into its call."""
        raise NotImplementedError

    def reader(self, surface: Surface, choices: int) -> AnswerReader | None:
        """Return what brings one answer into the normal form; ``None`` if it comes in it."""
        raise NotImplementedError

    def classify(self, status: int, headers: Headers, body: bytes) -> Failure:
        """Say what an error answer means."""
        raise NotImplementedError

    def history_of(self, model: str) -> History:
        """Return what becomes of the thoughts of earlier turns in a request for ``model``."""
        rule = self.rules.get(model)
        return _rule(self.form, self.rules, model) if rule is None else rule


class LiveEngine(LiveTarget):
    """A replica of an engine on this machine or network, started by us or found running."""

    __slots__ = ("api_key", "engine")

    def __init__(
        self,
        target_id: str,
        engine: Engine,
        origin: Origin,
        api_key: str,
        *,
        streams_whole: bool = True,
        form: ChatForm | None = None,
    ) -> None:
        super().__init__(
            target_id,
            engine,
            origin,
            form=form,
            streams_whole=streams_whole or engine.cancels_only_streams,
            reuses_connections=engine.reuses_connections,
            native=(),
        )
        self.engine = engine
        self.api_key = api_key

    def call(self, surface: Surface, body: bytes) -> HttpCall:
        """See ``LiveTarget``."""
        call = self.engine.translate(surface, body, self.api_key)
        prefix = self.origin.prefix
        return msgspec.structs.replace(call, path=prefix + call.path) if prefix else call

    def call_native(self, surface: str, body: bytes) -> HttpCall:  # noqa: ARG002 - see ``LiveTarget``
        """Refuse: engines are asked for chat, which can be continued elsewhere if it breaks off."""
        raise ValueError(f"{self.target_id} is not asked for {surface}")

    def reader(self, surface: Surface, choices: int) -> AnswerReader | None:
        """See ``LiveTarget``."""
        own = self.engine.reader(surface)
        if own is not None or surface is not Surface.CHAT:
            return own
        return reasoning_reader(self.form.reasoning, choices)

    def classify(self, status: int, headers: Headers, body: bytes) -> Failure:
        """See ``LiveTarget``."""
        return self.engine.classify(status, headers, body)


class LiveUpstream(LiveTarget):
    """One account at one provider."""

    __slots__ = ("_allowed", "_key_expires", "_key_file", "_told", "account", "upstream")

    def __init__(
        self,
        target_id: str,
        upstream: Upstream,
        account: Account,
        *,
        streams_whole: bool = True,
        key_file: KeyFile | None = None,
        key_expires: bool = False,
        form: ChatForm | None = None,
    ) -> None:
        super().__init__(
            target_id,
            upstream,
            account.origin,
            form=form,
            streams_whole=streams_whole,
            reuses_connections=True,
            native=upstream.native,
        )
        self.upstream = upstream
        self.account = account
        self._allowed = account.allowed_fields
        self._told: set[str] = set()
        """The fields that the log has told of."""
        self._key_file = key_file
        self._key_expires = key_expires

    def call(self, surface: Surface, body: bytes) -> HttpCall:
        """See ``LiveTarget``."""
        if self._key_expires:
            self._renew_key()
        if self._allowed:
            body = self._allowed_of(body)
        return self.upstream.call(surface, body, self.account)

    def call_native(self, surface: str, body: bytes) -> HttpCall:
        """See ``LiveTarget``."""
        if self._key_expires:
            self._renew_key()
        return self.upstream.call_native(surface, body, self.account)

    def reader(self, surface: Surface, choices: int) -> AnswerReader | None:
        """See ``LiveTarget``."""
        own = self.upstream.reader(surface)
        if own is not None or surface is not Surface.CHAT:
            return own
        return reasoning_reader(self.form.reasoning, choices)

    def classify(self, status: int, headers: Headers, body: bytes) -> Failure:
        """See ``LiveTarget``. A refused key that has been renewed meanwhile says nothing of the account."""
        failure = self.upstream.classify(status, headers, body)
        if failure.kind is FailureKind.BAD_KEY and self._renew_key():
            message = f"{failure.message}; its file has another key by now, which is used from now on"
            return msgspec.structs.replace(failure, kind=FailureKind.SERVER_ERROR, message=message)
        return failure

    def _renew_key(self) -> bool:
        file = self._key_file
        if file is None or not file.reread():
            return False
        self.account = msgspec.structs.replace(self.account, api_key=file.key)
        return True

    def _allowed_of(self, body: bytes) -> bytes:
        body, dropped = only_allowed(body, self._allowed)
        fresh = [name for name in dropped if name not in self._told and len(self._told) < _TOLD]
        if fresh:
            self._told.update(fresh)
            log.warning("%s refuses fields that it does not know; left out: %s", self.target_id, ", ".join(fresh))
        return body


def _rule(form: ChatForm, rules: dict[str, History], model: str) -> History:
    """Find and remember a model's rule; names that clients make up must not fill the memory."""
    rule = rule_for(model) if form.history is History.AUTO else form.history
    if len(rules) < _MOST_RULES:
        rules[model] = rule
    return rule
