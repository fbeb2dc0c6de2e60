"""Joins a second target's stream to what the client has: swallows what comes again, passes on the rest as one answer.

Nothing is guessed. What the contract and the seam say must come first is compared character by character, and anything
else ends the rescue (``Diverged``); until all of it has come, nothing is passed on.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.wire.answers import MalformedChunk
from overspill.wire.continuation import Seam
from overspill.wire.contract import REASONING_FIELDS, Part
from overspill.wire.transcript import Transcript

_TOKEN_IDS = ("token_ids", "prompt_token_ids")

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Diverged(Exception):  # noqa: N818 - reads as the state it reports
    """The second stream does not go on where the first one ended."""


class Splicer:
    """Reads the second stream's events, in order."""

    __slots__ = ("_expected", "_has_role", "_seam", "_stops", "_transcript", "is_stopped")

    def __init__(self, seam: Seam, transcript: Transcript) -> None:
        self._seam = seam
        self._transcript = transcript
        self._expected = [*seam.echoed, *seam.overlap]
        self._has_role = transcript.has_role
        self._stops = _SeamStops(seam)
        self.is_stopped = False
        """True once a stop string that had begun before the seam is complete: the answer is whole."""

    @property
    def is_aligned(self) -> bool:
        """Whether all that had to come first has come."""
        return not self._expected

    def feed(self, data: bytes) -> bytes | None:
        """Take one event's data, ``[DONE]`` left out; return what to pass on, as an event's data.

        Raise ``Diverged`` if the streams do not join, ``MalformedChunk`` if this is no chunk.
        """
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedChunk(f"{len(data)} bytes that are no chunk of an answer: {error}") from None
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            chunk["usage"] = merged_usage(usage, self._seam)
        self._rename(chunk)
        choices = chunk.get("choices")
        if not choices:
            return msgspec.json.encode(chunk)
        if not isinstance(choices, list) or len(choices) > 1 or not isinstance(choices[0], dict):
            raise MalformedChunk("a continuation with other than one choice")
        return msgspec.json.encode(chunk) if self._join(choices[0]) or isinstance(usage, dict) else None

    def _rename(self, chunk: dict[str, Any]) -> None:
        """Give the chunk the first answer's name; what that one did not say is left out."""
        first = self._transcript
        named = (
            ("id", first.identity),
            ("created", first.created),
            ("model", first.model),
            ("system_fingerprint", first.fingerprint),
        )
        for name, value in named:
            if value is not None:
                chunk[name] = value
            elif name in chunk:
                del chunk[name]
        for name in _TOKEN_IDS:
            chunk.pop(name, None)

    def _join(self, choice: dict[str, Any]) -> bool:
        """Take what is new of a choice, in place; return whether there is anything to pass on."""
        for name in _TOKEN_IDS:
            choice.pop(name, None)
        delta = choice.get("delta")
        has_more = self._join_delta(delta) if isinstance(delta, dict) else False
        if choice.get("text"):
            choice["text"] = self._new(Part.CONTENT, choice["text"])
            has_more = has_more or bool(choice["text"])
        if self.is_stopped:
            choice["finish_reason"] = "stop"
        elif choice.get("finish_reason"):
            if not self.is_aligned:
                raise Diverged("it ended within what the client already has")
            self._let_go(choice)
        return has_more or bool(choice.get("finish_reason"))

    def _join_delta(self, delta: dict[str, Any]) -> bool:
        has_more = False
        if delta.get("role"):
            has_more = not self._has_role
            if self._has_role:
                del delta["role"]
            self._has_role = True
        self._join_thought(delta)
        if delta.get("content"):
            delta["content"] = self._new(Part.CONTENT, delta["content"]) or None
        others = [name for name, value in delta.items() if value and name != "role"]
        if not self.is_aligned and (delta.get("tool_calls") or delta.get("function_call") or delta.get("refusal")):
            raise Diverged("it does something else than what the client already has")
        return has_more or bool(others)

    def _join_thought(self, delta: dict[str, Any]) -> None:
        """Take what is new of a thought, under the name by which the client knows them."""
        found = [name for name in REASONING_FIELDS if delta.get(name)]
        texts = [delta.pop(name) for name in found]
        if found:
            new = self._new(Part.REASONING, texts[0])
            if new:
                delta[self._transcript.reasoning_field or found[0]] = new

    def _new(self, part: Part, given: Any) -> str:
        """Swallow what must come first; return what is left of ``given`` for the client."""
        if not isinstance(given, str):
            raise MalformedChunk("a continuation whose text is none")
        text: str = given
        expected = self._expected
        while expected and text:
            wanted_part, wanted = expected[0]
            size = min(len(wanted), len(text))
            if part is not wanted_part or text[:size] != wanted[:size]:
                raise Diverged("it says something else than what the client already has")
            text = text[size:]
            if size == len(wanted):
                del expected[0]
            else:
                expected[0] = (wanted_part, wanted[size:])
        if not text or self.is_stopped:
            return ""
        if part is not Part.CONTENT:
            return text
        passed = self._stops.add(text)
        self.is_stopped = self._stops.is_hit
        return passed

    def _let_go(self, choice: dict[str, Any]) -> None:
        """Pass on with the end what was held for the sake of a stop string that did not come."""
        held = self._stops.rest()
        if not held:
            return
        if "text" in choice:
            choice["text"] = (choice["text"] or "") + held
        else:
            delta = choice.get("delta") or {}
            choice["delta"] = {**delta, "content": held + (delta.get("content") or "")}


class _SeamStops:
    """Finds stop strings that begin before the second target's first character and end after the client's last."""

    __slots__ = ("_before", "_held", "_seen", "_stops", "is_hit")

    def __init__(self, seam: Seam) -> None:
        self._before = len(seam.carry)
        self._seen = seam.carry + "".join(text for _, text in seam.overlap)
        self._stops = seam.stops if seam.carry else ()
        self._held = ""
        self.is_hit = False

    def add(self, text: str) -> str:
        """Take new characters of the content; return those that can be passed on now."""
        if not self._stops:
            return text
        known = len(self._seen)
        self._seen += text
        self._held += text
        may_come = False
        for start in range(self._before):
            tail = self._seen[start:]
            for stop in self._stops:
                if tail.startswith(stop) and start + len(stop) > known - (len(self._held) - len(text)):
                    self.is_hit = True
                    return ""
                may_come = may_come or stop.startswith(tail)
        return "" if may_come else self.rest()

    def rest(self) -> str:
        """Return what is held, and hold nothing any more."""
        held, self._held, self._stops = self._held, "", ()
        return held


def merged_usage(usage: dict[str, Any], seam: Seam) -> dict[str, Any]:
    """Return the usage that the client would have seen of one target: the prompt once, and all tokens of the answer.

    The second target counted the client's text as part of its prompt. How many tokens that was is counted in events of
    the first (see ``Seam``); the total is exact.
    """
    merged = dict(usage)
    prompt, output = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is not None:
        merged["prompt_tokens"] = max(0, prompt - seam.tokens)
    if output is not None:
        merged["completion_tokens"] = output + seam.tokens
    details = usage.get("completion_tokens_details")
    if isinstance(details, dict) and _count(details.get("reasoning_tokens")) is not None:
        reasoning = details["reasoning_tokens"] + seam.reasoning_tokens
        merged["completion_tokens_details"] = {**details, "reasoning_tokens": reasoning}
    return merged


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
