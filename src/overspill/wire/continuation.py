"""The request that makes another target go on with an answer that broke off, and what its answer must begin with.

Text can be continued exactly only where the model's tokens end. So the continuation begins a little earlier than the
client's text ends, where one of the pieces that came begins and a word does too; what is generated of the client's text
a second time (the *overlap*) must come character for character as the client has it, or the rescue is given up. That is
the check that the target really goes on and does not repeat, restart or change what it was given: so the overlap must
also differ from how the answer itself begins.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.wire.chat import rewrite
from overspill.wire.contract import Contract, Mode, Part
from overspill.wire.request import Request
from overspill.wire.transcript import Transcript

_WINDOW = 160
"""Characters that a continuation may begin before the end, in search of a word's beginning."""
_GRAMMARS = frozenset(
    {
        "grammar",
        "json_schema",
        "guided_json",
        "guided_regex",
        "guided_choice",
        "guided_grammar",
        "structured_outputs",
        "regex",
        "ebnf",
        "structural_tag",
    }
)
"""Fields of OpenAI, llama.cpp, vLLM and SGLang that bind the output to a grammar, which would begin anew."""
_PREFILLS = frozenset({"continue_final_message", "add_generation_prompt", "prefix"})
_MOST = ("max_tokens", "max_completion_tokens")
_LIMITS = (*_MOST, "min_tokens")
_OFF = (b"null", b"false", b"0", b"[]", b"{}", b'""')
_PLAIN_FORMAT = {"type": "text"}
_FREE_CHOICES = (b'"auto"', b'"none"')

_decode_list = msgspec.json.Decoder(list[Any]).decode
_decode_any = msgspec.json.Decoder().decode


class CannotContinue(Exception):  # noqa: N818 - reads as the state it reports
    """This answer cannot be continued; ``reason`` is the value of a ``core.RescueRefusal``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Seam(msgspec.Struct, frozen=True, kw_only=True):
    """Where the second target begins to write, and what of that the client already has."""

    overlap: tuple[tuple[Part, str], ...]
    """Must be generated first, in this order."""
    tokens: int
    """Generated for what is not generated again: the pieces of it, and the marks around a thought.

    A piece may be more than one token, where those made one character; else this is exact.
    """
    reasoning_tokens: int
    """Those of them that the client sees as thoughts."""
    echoed: tuple[tuple[Part, str], ...] = ()
    """What the target repeats before it generates anything."""
    carry: str = ""
    """The end of what stands before the overlap in the same part: a stop string may have begun there."""
    stops: tuple[str, ...] = ()
    characters: int = 0
    """All that the client has."""


class Continuation(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, and how to join what comes."""

    body: bytes
    seam: Seam


def check_request(request: Request) -> None:
    """Raise ``CannotContinue`` for what a client asked that no continuation can keep."""
    fields = request.fields
    if request.n > 1 or (_is_on(fields, "best_of") and bytes(fields["best_of"]) != b"1"):
        raise CannotContinue("several_choices")
    if _is_on(fields, "logprobs") or _is_on(fields, "top_logprobs"):
        raise CannotContinue("logprobs")
    if _is_bound(fields):
        raise CannotContinue("grammar")
    if _is_on(fields, "seed") and not _is_greedy(fields):
        raise CannotContinue("seed")
    if any(name in fields for name in _PREFILLS) or _is_on(fields, "echo") or _is_on(fields, "suffix"):
        raise CannotContinue("prefilled")


def check_transcript(transcript: Transcript) -> None:
    """Raise ``CannotContinue`` for an answer in a state from which nothing goes on."""
    if transcript.has_tool_call:
        raise CannotContinue("tool_call")
    if transcript.has_logprobs:
        raise CannotContinue("logprobs")
    if transcript.is_too_long:
        raise CannotContinue("answer_too_long")
    if transcript.is_odd:
        raise CannotContinue("not_understood")


def continue_answer(
    request: Request, transcript: Transcript, contract: Contract, *, model: str, is_chat: bool
) -> Continuation:
    """Write the continuation; raise ``CannotContinue`` if there is none that is sure to join."""
    check_request(request)
    check_transcript(transcript)
    if contract.mode is Mode.NONE:
        raise CannotContinue("unverified")
    if transcript.reasoning.characters and not contract.continues_reasoning:
        raise CannotContinue("reasoning")
    stops = _stops(request)
    if contract.mode is Mode.TOKEN_IDS and not is_chat:
        return _by_tokens(request, transcript, model, stops)
    part = Part.CONTENT if transcript.content.characters else Part.REASONING
    cut = _cut(transcript, part)
    if cut is None and part is Part.CONTENT and transcript.reasoning.characters:
        part = Part.REASONING
        cut = _cut(transcript, part)
    if cut is None:
        return _from_the_start(request, transcript, model, stops)
    if is_chat:
        extra = _chat_fields(request, transcript, contract, part, cut[0])
    else:
        extra = _prompt_fields(request, transcript, cut[0])
    return _continuation(request, transcript, contract, model, part, cut, extra, stops)


def _continuation(
    request: Request,
    transcript: Transcript,
    contract: Contract,
    model: str,
    part: Part,
    cut: tuple[int, int],
    extra: dict[str, Any],
    stops: tuple[str, ...],
) -> Continuation:
    offset, pieces = cut
    text = transcript.text(part)
    overlap = [(part, text[offset:])]
    if part is Part.REASONING:
        if transcript.content.characters:
            overlap.append((Part.CONTENT, transcript.content.text()))
        reasoning_pieces = pieces
    else:
        reasoning_pieces = transcript.reasoning.pieces
        pieces += reasoning_pieces
    tokens = pieces + _marks(transcript, part)
    seam = Seam(
        overlap=tuple(overlap),
        tokens=tokens,
        reasoning_tokens=reasoning_pieces,
        echoed=((part, text[:offset]),) if contract.echo else (),
        carry=_carry(text, offset, stops) if part is Part.CONTENT else "",
        stops=stops,
        characters=transcript.characters,
    )
    extra.update(_limits(request, tokens))
    return Continuation(body=rewrite(request, model=model, stream=True, include_usage=True, extra=extra), seam=seam)


def _from_the_start(request: Request, transcript: Transcript, model: str, stops: tuple[str, ...]) -> Continuation:
    """Ask the same again: so little has come that there is nothing to go on from, and all of it must come again."""
    parts = ((Part.REASONING, transcript.reasoning.text()), (Part.CONTENT, transcript.content.text()))
    seam = Seam(
        overlap=tuple((part, text) for part, text in parts if text),
        tokens=0,
        reasoning_tokens=0,
        stops=stops,
        characters=transcript.characters,
    )
    return Continuation(body=rewrite(request, model=model, stream=True, include_usage=True), seam=seam)


def _by_tokens(request: Request, transcript: Transcript, model: str, stops: tuple[str, ...]) -> Continuation:
    """Go on after the very tokens that were generated: there is no overlap, since nothing is ambiguous."""
    prompt, ids = transcript.prompt_token_ids, transcript.token_ids
    if prompt is None:
        prompt = _decoded_ids(request)
    if prompt is None or not ids:
        raise CannotContinue("no_token_ids")
    left = _limits(request, len(ids))
    text = transcript.content.text()
    seam = Seam(
        overlap=(),
        tokens=len(ids),
        reasoning_tokens=0,
        carry=_carry(text, len(text), stops),
        stops=stops,
        characters=transcript.characters,
    )
    extra = {"prompt": [*prompt, *ids], **left}
    return Continuation(body=rewrite(request, model=model, stream=True, include_usage=True, extra=extra), seam=seam)


# -- where to begin


def _cut(transcript: Transcript, part: Part) -> tuple[int, int] | None:
    """Return the offset in ``part`` at which to go on, and the pieces before it; ``None`` if no place is good.

    A place is good if a piece begins there, if no white space stands before it (templates strip that), and if the text
    after it is not how the answer itself begins: a target that repeats or restarts must be told from one that goes on.
    Of those the last that begins a word; else the last.
    """
    written = transcript.reasoning if part is Part.REASONING else transcript.content
    text = written.text()
    is_last = part is Part.CONTENT or not transcript.content.characters
    least = len(text) - _WINDOW
    second: tuple[int, int] | None = None
    for offset, pieces in written.starts():
        if offset <= 0 or (offset < least and second is not None):
            break
        if text[offset - 1].isspace() or (is_last and text.startswith(text[offset:])):
            continue
        if _kind(text[offset - 1]) != _kind(text[offset]):
            return offset, pieces
        second = second or (offset, pieces)
    return second


def _kind(character: str) -> str:
    """Tell what a character is to a tokenizer: they cut between these kinds before they do anything else."""
    if character.isspace():
        return "space"
    if character.isdigit():
        return "digit"
    return "letter" if character.isalpha() else "other"


# -- the fields


def _chat_fields(
    request: Request, transcript: Transcript, contract: Contract, part: Part, offset: int
) -> dict[str, Any]:
    messages = bytes(request.fields["messages"])
    if _decode_list(messages)[-1].get("role") == "assistant":
        raise CannotContinue("prefilled")
    message: dict[str, Any] = {"role": "assistant", **contract.message_fields}
    if part is Part.REASONING:
        message["content"] = ""
        message[contract.reasoning_field] = transcript.reasoning.text()[:offset]
        fields = contract.reasoning_body_fields
    else:
        message["content"] = transcript.content.text()[:offset]
        if transcript.reasoning.characters:
            message[contract.reasoning_field] = transcript.reasoning.text()
        fields = contract.body_fields
    head = messages.rstrip().removesuffix(b"]")
    return {**fields, "messages": msgspec.Raw(head + b"," + msgspec.json.encode(message) + b"]")}


def _prompt_fields(request: Request, transcript: Transcript, offset: int) -> dict[str, Any]:
    prompt = _decode_any(request.fields["prompt"])
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise CannotContinue("token_prompt")
    return {"prompt": prompt + transcript.content.text()[:offset]}


def _marks(transcript: Transcript, part: Part) -> int:
    """Count the tokens around a thought that no client sees. Where the prompt has the first, a limit ends one early."""
    if not transcript.reasoning.characters:
        return 0
    return 1 if part is Part.REASONING else 2


def _limits(request: Request, tokens: int) -> dict[str, int]:
    """Return what is left of the client's limits."""
    left = {}
    for name in _LIMITS:
        limit = _decode_any(request.fields[name]) if _is_on(request.fields, name) else None
        if isinstance(limit, int):
            left[name] = max(0, limit - tokens)
    if any(left.get(name) == 0 for name in _MOST):
        raise CannotContinue("no_tokens_left")
    return left


def _carry(text: str, offset: int, stops: tuple[str, ...]) -> str:
    return text[max(0, offset - max(map(len, stops), default=1) + 1) : offset]


def _stops(request: Request) -> tuple[str, ...]:
    raw = request.fields.get("stop")
    value = None if raw is None else _decode_any(raw)
    if isinstance(value, str):
        value = [value]
    return tuple(stop for stop in value if isinstance(stop, str) and stop) if isinstance(value, list) else ()


def _decoded_ids(request: Request) -> list[int] | None:
    prompt = _decode_any(request.fields["prompt"])
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], list):
        prompt = prompt[0]
    return prompt if isinstance(prompt, list) and isinstance(prompt[0], int) else None


def _is_on(fields: dict[str, msgspec.Raw], name: str) -> bool:
    raw = fields.get(name)
    return raw is not None and bytes(raw) not in _OFF


def _is_bound(fields: dict[str, msgspec.Raw]) -> bool:
    """Tell whether the output must follow a grammar; a tool that must be called is one."""
    if _is_on(fields, "response_format") and _decode_any(fields["response_format"]) != _PLAIN_FORMAT:
        return True
    if _is_on(fields, "tool_choice") and bytes(fields["tool_choice"]) not in _FREE_CHOICES:
        return True
    return any(_is_on(fields, name) for name in _GRAMMARS)


def _is_greedy(fields: dict[str, msgspec.Raw]) -> bool:
    raw = fields.get("temperature")
    return raw is not None and _decode_any(raw) == 0
