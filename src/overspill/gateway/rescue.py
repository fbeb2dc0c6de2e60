"""What a relay needs to begin an answer, to break off so that another can go on, and to go on itself."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from overspill.core.commands import StartAttempt
from overspill.core.events import Cut
from overspill.core.types import RescueRefusal, Surface
from overspill.gateway.kept import Kept
from overspill.gateway.live_target import LiveTarget
from overspill.wire.answers import Usage
from overspill.wire.continuation import CannotContinue, Continuation, check_request, check_transcript, continue_answer
from overspill.wire.contract import NO_CONTRACT
from overspill.wire.request import Request as WireRequest
from overspill.wire.splice import Splicer

DONE = b"data: [DONE]\n\n"


class Resumption(NamedTuple):
    """How one attempt goes on with an answer."""

    continuation: Continuation
    splicer: Splicer
    broken_on: str
    """The target whose stream broke."""

    @property
    def label(self) -> bytes:
        """What a client sees at the seam, without its end: a comment, which every client of such streams skips."""
        return b": overspill rescued at=%d from=%b" % (self.continuation.seam.characters, self.broken_on.encode())


def resume(
    command: StartAttempt, kept: Kept | None, request: WireRequest, surface: Surface, target: LiveTarget, broken_on: str
) -> Resumption:
    """Prepare to go on; raise ``CannotContinue`` if that cannot be done on this target."""
    if kept is None:  # it was not kept; the controller does not ask for this
        raise CannotContinue(RescueRefusal.UNVERIFIED)
    model = command.model or request.model
    transcript = kept.transcript()
    contract = target.contracts.get(model, NO_CONTRACT)
    is_chat = surface is Surface.CHAT
    continuation = continue_answer(request, transcript, contract, model=model, is_chat=is_chat)
    return Resumption(continuation, Splicer(continuation.seam, transcript), broken_on)


def cut_of(kept: Kept, request: WireRequest) -> Cut:
    """Say what the client has of an answer that broke off, and whether anybody could go on with it."""
    transcript = kept.transcript()
    refusal: RescueRefusal | None = None
    try:
        check_request(request)
        check_transcript(transcript)
    except CannotContinue as error:
        refusal = RescueRefusal(error.reason)
    return Cut(output_tokens=transcript.pieces, has_reasoning=transcript.reasoning.characters > 0, refusal=refusal)


def whole_usage(usage: Usage | None, resumption: Resumption | None) -> Usage | None:
    """Return the usage of a whole answer, of which the last target counted a part as its prompt."""
    if usage is None or resumption is None:
        return usage
    seam = resumption.continuation.seam
    prompt, output, reasoning = usage.prompt_tokens, usage.output_tokens, usage.reasoning_tokens
    return msgspec.structs.replace(
        usage,
        prompt_tokens=None if prompt is None else max(0, prompt - seam.tokens),
        output_tokens=None if output is None else output + seam.tokens,
        reasoning_tokens=None if reasoning is None else reasoning + seam.reasoning_tokens,
    )
