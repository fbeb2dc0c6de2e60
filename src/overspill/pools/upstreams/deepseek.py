"""DeepSeek's own API. Its errors are in the common table; what differs is model names, thinking, and the beta path.

The names of 2025, ``deepseek-chat`` and ``deepseek-reasoner``, were switched off on 2026-07-24. Applications still
send them, so they are kept alive here: both become ``deepseek-flash``, with thinking set explicitly, because thinking
is on by default there and a bare rename would silently multiply tokens and latency. Source: api-docs.deepseek.com,
pricing and thinking-mode pages, read 2026-11-23.

Busy answers do not look like errors: HTTP 200 with blank lines or ``: keep-alive`` comments, and streams that end with
``finish_reason: insufficient_system_resource``. The relay sees those, not ``classify``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from overspill.core.types import Surface
from overspill.pools.upstreams.classify import classify
from overspill.pools.upstreams.openai_compat import PATHS, OpenAICompatible, post
from overspill.pools.upstreams.protocol import Account, Failure
from overspill.wire.contract import Contract, Mode
from overspill.wire.form import ChatForm, History, ReasoningForm, ThinkingForm
from overspill.wire.http import Headers, HttpCall

MODEL = b'"deepseek-flash"'
LEGACY_THINKING = {
    b'"deepseek-chat"': b'{"type":"disabled"}',
    b'"deepseek-reasoner"': b'{"type":"enabled"}',
}
"""Retired model name (as JSON) → the value of ``thinking`` that keeps its behaviour."""


class _Model(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw(b"")


class _Message(msgspec.Struct):
    prefix: Any = None


class _Chat(msgspec.Struct):
    messages: list[_Message] = []


class DeepSeek(OpenAICompatible):
    """``api.deepseek.com``."""

    kind = "deepseek"
    surfaces: tuple[Surface, ...] = (Surface.CHAT, Surface.COMPLETIONS)
    unsupported: Mapping[str, str] = {
        "embeddings": "DeepSeek's API has no embeddings",
        "completions with thinking": "its completions (fill in the middle) run on the beta path and never think",
        "json_schema": "its API holds an answer to JSON (json_object, and the prompt must say JSON), not to a schema",
        "grammar": "its API has no such field",
    }
    # api-docs.deepseek.com, guides/thinking_mode and quick_start/rate_limit, read 2026-11-23.
    form: ChatForm = ChatForm(
        reasoning=ReasoningForm.REASONING_CONTENT,
        history=History.KEEP_WITH_TOOLS,
        thinking=ThinkingForm.DEEPSEEK,
        user_field="user_id",
    )
    # api-docs.deepseek.com, chat prefix completion (beta): content only; a thought is not continued.
    contract: Contract = Contract(
        mode=Mode.TEXT, message_fields={"prefix": True}, trial_fields={"thinking": {"type": "disabled"}}
    )

    def call(self, surface: Surface, body: bytes, account: Account) -> HttpCall:
        """Build the call; a retired model name is replaced and its thinking mode set, unless the client set one."""
        path = PATHS[surface]
        if surface is Surface.COMPLETIONS:
            return post(account, _beta(account) + path, _modern(body, with_thinking=False))
        prefix = _beta(account) if _has_prefix(body) else account.origin.prefix
        return post(account, prefix + path, _modern(body, with_thinking=True))

    def classify(self, status: int, headers: Headers, body: bytes) -> Failure:
        """Say what an error answer means. 402 is an empty balance, 429 too many requests at once on this account."""
        return classify(status, headers, body)


def _beta(account: Account) -> bytes:
    """Return the beta path, which stands beside /v1, not below it."""
    return account.origin.prefix.removesuffix(b"/beta").removesuffix(b"/v1") + b"/beta"


def _has_prefix(body: bytes) -> bool:
    """Tell whether the last message is to be continued, which only the beta path does."""
    if b'"prefix"' not in body:
        return False
    messages = msgspec.json.decode(body, type=_Chat).messages
    return bool(messages) and messages[-1].prefix is True


def _modern(body: bytes, *, with_thinking: bool) -> bytes:
    named = bytes(msgspec.json.decode(body, type=_Model).model)
    thinking = LEGACY_THINKING.get(named)
    if thinking is None:
        return body
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    fields["model"] = msgspec.Raw(MODEL)
    if with_thinking:
        fields.setdefault("thinking", msgspec.Raw(thinking))
    return msgspec.json.encode(fields)
