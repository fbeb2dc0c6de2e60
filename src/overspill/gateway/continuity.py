"""Looks whether a target really goes on where an answer ends, as its adapter says that it does.

An adapter's contract is a claim about a server; chat templates, options and versions decide whether it holds. So
nothing is continued on a target before this has seen it: where a server shows what a prompt comes to, that must end
exactly with the text to go on from (in mid-word, after white space, with a syllable said twice, in a thought); and an
answer that is cut must come out the same as whole. Where prompts are not shown, it is cut in several places. The
controller is told what was seen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import msgspec

from overspill.core.events import AnyEvent, TargetVerified
from overspill.core.types import Continues, Surface
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.fetch import fetch
from overspill.gateway.live_target import LiveEngine, LiveTarget
from overspill.wire.answers import MalformedChunk
from overspill.wire.chat import parse_request
from overspill.wire.chunks import is_done
from overspill.wire.continuation import CannotContinue, continue_answer
from overspill.wire.contract import Contract, Mode, Part
from overspill.wire.splice import Diverged, Splicer
from overspill.wire.sse import SseDecoder, SseTooLong
from overspill.wire.transcript import Transcript

log = logging.getLogger("overspill.continuity")

_TIMEOUT_S = 60.0
_MAX_BYTES = 4 * 1024 * 1024
_ANSWER_TOKENS = 48
_CUT = (0.5,)
_CUTS = (0.25, 0.5, 0.75)
"""Where the answer is cut, as shares of it; once is enough where prompts were looked at too."""
_BEGINNINGS = ("The answer is wor", "Well, yes: \n\n", "One \u2014 two ", "ha haha", "\u4f60\u597d\uff0c\u4e16")
"""In mid-word, after line ends, after a space, a syllable said twice, and Chinese."""
_QUESTION = "Count from one to twelve in words."


class Seen(NamedTuple):
    """What came out."""

    contract: Contract | None
    continues: Continues
    why_not: str = ""


_NOTHING = Continues.NOTHING


class Continuity:
    """Verifies targets, one task for each, and remembers what was seen of the same engine before."""

    def __init__(self, client: HttpClient, feed: Callable[[AnyEvent], None]) -> None:
        self._client = client
        self._feed = feed
        self._seen: dict[Hashable, Seen] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def verify(self, live: LiveTarget, model: str, version: Hashable | None) -> None:
        """See how a target that has come up goes on; ``version`` is what it was seen for, or ``None`` if unknown.

        What was seen of the same version and model is not looked at again.
        """
        if live.declared.mode is Mode.NONE:
            return
        known = None if version is None else self._seen.get((version, model))
        if known is not None:
            self._tell(live, model, known)
            return
        key = (live.target_id, model)
        old = self._tasks.get(key)
        if old is not None:
            old.cancel()
        task = asyncio.get_running_loop().create_task(self._look(live, model, version))
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._forget(key, done))

    def _forget(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]

    async def close(self) -> None:
        """Stop looking."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, live: LiveTarget, model: str, version: Hashable | None) -> None:
        look = _Look(self._client, live, model, live.declared)
        try:
            seen = await look.run()
        except _NoAnswerError as error:  # it may be gone; when it comes back it is looked at again
            log.info("%s could not be asked how it continues an answer: %s", live.target_id, error)
            return
        if version is not None:
            self._seen[version, model] = seen
        if seen.continues is Continues.REASONING:
            log.debug("%s continues answers exactly", live.target_id)
        else:
            log.info("%s continues %s of an answer that broke off: %s", live.target_id, seen.continues, seen.why_not)
        self._tell(live, model, seen)

    def _tell(self, live: LiveTarget, model: str, seen: Seen) -> None:
        if seen.contract is None:
            live.contracts.pop(model, None)
        else:
            live.contracts[model] = seen.contract
        self._feed(TargetVerified(target_id=live.target_id, model=model, continues=seen.continues))


class _NoAnswerError(Exception):
    """The target did not answer, or with an error."""


class _Look:
    """One target being looked at."""

    def __init__(self, client: HttpClient, live: LiveTarget, model: str, contract: Contract) -> None:
        self._client = client
        self._live = live
        self._model = model
        self._contract = contract

    async def run(self) -> Seen:
        """Look at prompts where they are shown, then at an answer."""
        contract = self._contract
        problem = await self._rendered_wrongly(Part.CONTENT)
        if problem:
            return Seen(None, _NOTHING, problem)
        if contract.continues_reasoning:
            problem = await self._rendered_wrongly(Part.REASONING)
            if problem:
                contract = msgspec.structs.replace(contract, continues_reasoning=False)
        broken = await self._answered_wrongly(contract)
        if broken:
            return Seen(None, _NOTHING, broken)
        return Seen(contract, Continues.REASONING if contract.continues_reasoning else Continues.CONTENT, problem)

    # -- what a prompt comes to

    @property
    def _shows_prompts(self) -> bool:
        return isinstance(self._live, LiveEngine) and self._live.engine.render_path is not None

    async def _rendered_wrongly(self, part: Part) -> str:
        """Say what is wrong with a prompt that is to be continued; empty if nothing is, or it is not shown."""
        live = self._live
        if not isinstance(live, LiveEngine) or live.engine.render_path is None:
            return ""
        for beginning in _BEGINNINGS:
            call = live.call(Surface.CHAT, self._beginning(part, beginning))
            call = msgspec.structs.replace(call, path=live.origin.prefix + live.engine.render_path)
            try:
                prompt = live.engine.parse_rendered(await self._ask(call))
            except ValueError as error:
                return str(error)
            if not prompt.endswith(beginning):
                return f"its prompt does not end with the {part} {beginning!r}, but with {prompt[-40:]!r}"
        return ""

    def _beginning(self, part: Part, text: str) -> bytes:
        contract = self._contract
        message: dict[str, Any] = {"role": "assistant", "content": text, **contract.message_fields}
        fields = contract.body_fields
        if part is Part.REASONING:
            message |= {"content": "", contract.reasoning_field: text}
            fields = contract.reasoning_body_fields
        messages = [{"role": "user", "content": _QUESTION}, message]
        return msgspec.json.encode({"model": self._model, "messages": messages, **fields})

    # -- what an answer comes to

    async def _answered_wrongly(self, contract: Contract) -> str:
        """Cut an answer and go on with it; say how it differs, empty if it does not."""
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": _QUESTION}],
            "max_tokens": _ANSWER_TOKENS,
            "temperature": 0,
            "stream": True,
            **contract.trial_fields,
        }
        question = msgspec.json.encode(body)
        events = await self._stream(question)
        try:
            whole = _written(events)
            if whole.is_empty:
                return "it gave no answer to try it with"
            if whole.reasoning.characters and not contract.continues_reasoning:
                return "" if self._shows_prompts else "it thought first, so that nothing was seen of its content"
            for share in _CUT if self._shows_prompts else _CUTS:
                begun = _written(events[: max(1, int(share * len(events)))])
                if not begun.is_empty:
                    await self._go_on(question, contract, begun)
                    _compare(begun, whole)
        except (CannotContinue, Diverged, MalformedChunk) as error:
            return f"an answer that was cut could not be continued: {error}"
        return ""

    async def _go_on(self, question: bytes, contract: Contract, begun: Transcript) -> None:
        """Have an answer that has begun brought to its end, and add that to it."""
        request = parse_request("chat", question)
        continuation = continue_answer(request, begun, contract, model=self._model, is_chat=True)
        splicer = Splicer(continuation.seam, begun)
        pieces = [splicer.feed(data) for data in await self._stream(continuation.body)]
        if not splicer.is_aligned:
            raise Diverged("it ended before the cut")
        for piece in pieces:  # only now: the splicer reads of ``begun`` what its client has
            if piece is not None:
                begun.add(piece)

    async def _stream(self, body: bytes) -> list[bytes]:
        answer = await self._ask(self._live.call(Surface.CHAT, body))
        try:
            events = SseDecoder().feed(answer)
        except SseTooLong as error:
            raise _NoAnswerError(str(error)) from None
        return [event.data for event in events if event.data and not is_done(event.data)]

    async def _ask(self, call: Any) -> bytes:
        live = self._live
        answer = await fetch(
            self._client, live.origin, call, timeout_s=_TIMEOUT_S, max_bytes=_MAX_BYTES, reuse=live.reuses_connections
        )
        if isinstance(answer, TransportFault):
            raise _NoAnswerError(answer.message)
        if answer.status >= 400:
            raise _NoAnswerError(f"HTTP {answer.status}")
        return answer.body


def _written(events: list[bytes]) -> Transcript:
    transcript = Transcript(is_chat=True)
    for data in events:
        transcript.add(data)
    return transcript


def _compare(joined: Transcript, whole: Transcript) -> None:
    """Raise ``Diverged`` unless both say the same; one may have been given a token or two more than the other."""
    for one, other in (
        (joined.reasoning.text(), whole.reasoning.text()),
        (joined.content.text(), whole.content.text()),
    ):
        if not (one.startswith(other) or other.startswith(one)):
            raise Diverged("it came out different from the answer in one piece")
