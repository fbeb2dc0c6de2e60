"""Writes each request as its target wants it, just before it goes there: thinking, history, bounds, users.

In the path of a request this stands between the driver and the relay; a continuation is made of what it writes too. A
request that has none of the fields that differ between targets, and no thoughts in its history, is not touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from overspill.core.types import Surface
from overspill.gateway.live_target import LiveTarget
from overspill.gateway.pseudonyms import Pseudonyms
from overspill.gateway.rescue import Resumption
from overspill.gateway.thoughts import Thoughts
from overspill.wire import bounds, effort
from overspill.wire.chat import rewrite
from overspill.wire.folding import fold_system
from overspill.wire.form import ChatForm, History, ThinkingForm
from overspill.wire.history import may_need_repair, thought_of_answer, write_history
from overspill.wire.request import Request as WireRequest

if TYPE_CHECKING:
    from overspill.gateway.relay import Relay

_USERS = ("user_id", "safety_identifier", "user")
DIFFERING: Final = effort.FIELDS | bounds.FIELDS | {*_USERS, "metadata"}
_RETIRED: Final = effort.RETIRED
_AS_IS: Final = History.AS_IS
_EMBEDDINGS: Final = Surface.EMBEDDINGS

_decode = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Asking:
    """The translations of one gateway, and the thoughts that it remembers."""

    __slots__ = ("pseudonyms", "thoughts")

    def __init__(self, thoughts: Thoughts, pseudonyms: Pseudonyms) -> None:
        self.thoughts = thoughts
        self.pseudonyms = pseudonyms

    def write(self, request: WireRequest, target: LiveTarget, model: str, key_id: str, is_outside: bool) -> WireRequest:
        """Return a chat request as ``target`` wants it under the name ``model``; the same object if it is right."""
        is_usual = request.is_usual and request.model not in _RETIRED
        rule = target.history_of(model)
        if is_usual and rule is _AS_IS and request.native is None:
            return request  # nearly all
        said: dict[str, Any] = {}
        gone: list[str] = []
        fields = request.fields
        if not is_usual and (request.model in _RETIRED or not DIFFERING.isdisjoint(fields)):
            self._options(request, target.form, model, key_id, is_outside, said, gone)
        if rule is not _AS_IS:
            messages = bytes(fields["messages"])
            if may_need_repair(messages):
                recall = self.thoughts.recall(key_id, is_outside=is_outside)
                written = write_history(messages, rule, target.form, recall)
                if written is not None:
                    said["messages"] = msgspec.Raw(written)
        if request.native is not None and target.form.system_first:
            folded = fold_system(bytes(said.get("messages", fields["messages"])))
            if folded is not None:
                said["messages"] = msgspec.Raw(folded)
        return _changed(request, said, gone) if said or gone else request

    def has_recalled(self, request: WireRequest, asked: WireRequest, target: LiveTarget, model: str) -> bool:
        """Tell whether what ``write`` made of ``request`` may have thoughts in it that its client did not send."""
        is_other = asked.fields["messages"] is not request.fields["messages"]
        return is_other and target.history_of(model) is not History.STRIP

    def write_native(self, request: WireRequest, key_id: str, is_outside: bool) -> WireRequest:
        """Return a request for a target that speaks its surface itself: as the client wrote it, but for its users."""
        native = request.native
        if native is None or not is_outside:
            return request
        changed: dict[str, Any] = {
            name: self.pseudonyms.of(user, key_id) for name in _USERS if (user := _text_in(native, name))
        }
        metadata = _object(native["metadata"]) if "metadata" in native else {}
        user = _text_in(metadata, "user_id")
        if user:
            changed["metadata"] = {**metadata, "user_id": self.pseudonyms.of(user, key_id)}
        if not changed:
            return request
        written = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in changed.items()}
        return request.saying(native={**native, **written})

    def learn(self, relay: Relay, key_id: str, *, is_bound: bool) -> None:
        """Remember the thought of a whole answer that calls tools."""
        if relay.surface is not Surface.CHAT or relay.is_native:
            return
        if relay.request.stream:
            thought = None if relay.kept is None else relay.kept.thought()
        else:
            body = relay.body()
            thought = thought_of_answer(body) if b'"tool_calls"' in body else None
        if thought is not None:
            self.thoughts.remember(key_id, thought, is_bound=is_bound)

    def _options(
        self,
        request: WireRequest,
        form: ChatForm,
        model: str,
        key_id: str,
        is_outside: bool,
        said: dict[str, Any],
        gone: list[str],
    ) -> None:
        fields = request.fields
        if form.thinking is not ThinkingForm.NONE:
            # Of a host with models of all kinds it is not known that this one thinks at all.
            is_known = form.thinking is not ThinkingForm.REASONING_EFFORT or "deepseek" in model.lower()
            thinking = effort.read_thinking(fields, request.model if is_known else "")
            if thinking is not None:
                says, goes = effort.write_thinking(thinking, form.thinking, fields)
                said.update(says)
                gone += goes
        if not bounds.FIELDS.isdisjoint(fields):
            says, goes = bounds.write_bounds(fields, form)
            said.update(says)
            gone += goes
        if is_outside:
            self._user(fields, form.user_field, key_id, said, gone)

    def _user(
        self, fields: dict[str, msgspec.Raw], field: str | None, key_id: str, said: dict[str, Any], gone: list[str]
    ) -> None:
        """Put a pseudonym where the target reads a user's id, and take what the client wrote out of the rest."""
        values = [_text(fields[name]) for name in _USERS if name in fields]
        metadata = _object(fields["metadata"]) if "metadata" in fields else {}
        if "user_id" in metadata:
            values.append(_text(metadata.pop("user_id")))
            if metadata:
                said["metadata"] = metadata
            else:
                gone.append("metadata")
        gone += [name for name in _USERS if name in fields and name != field]
        user = next((value for value in values if value), None)
        if field is None:
            return
        if user is not None:
            said[field] = self.pseudonyms.of(user, key_id)
        elif field in fields:
            gone.append(field)


def body_of(
    request: WireRequest, surface: Surface, model: str, *, is_stream: bool, resumption: Resumption | None
) -> bytes:
    """Return what to send a target. A stream always asks for usage: the ledger needs it even if the client does not."""
    if resumption is not None:
        return resumption.continuation.body
    if is_stream and surface is not _EMBEDDINGS:
        return rewrite(request, model=model, stream=True, include_usage=True)
    return rewrite(request, model=model)


def _changed(request: WireRequest, said: dict[str, Any], gone: list[str]) -> WireRequest:
    fields = {name: value for name, value in request.fields.items() if name not in gone}
    for name, value in said.items():
        fields[name] = value if isinstance(value, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(value))
    return request.saying(fields=fields)


def _text_in(fields: dict[str, msgspec.Raw], name: str) -> str | None:
    return _text(fields[name]) if name in fields else None


def _text(raw: msgspec.Raw) -> str | None:
    """Return a user's id as text, whatever it is; ``None`` for an empty one."""
    try:
        value = _decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, str) else None if value is None else bytes(raw).decode()


def _object(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _decode_fields(raw)
    except (msgspec.DecodeError, RecursionError):
        return {}
