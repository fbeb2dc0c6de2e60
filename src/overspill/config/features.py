"""The part of the schema that says what a pool's model can do and in which form of chat it wants to be asked.

Adapters and the catalogue know most of it; what stands in a file goes before both. ``compile`` turns it into the core's
``Lack`` and the wire's ``ChatForm``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from overspill.config.scalars import Size
from overspill.config.section import Section, size
from overspill.core.types import Lack
from overspill.features import Feature
from overspill.units import MIB
from overspill.wire.form import ChatForm, History, ReasoningForm, ThinkingForm

_SAID = "the configuration says so"


class Features(Section, frozen=True, kw_only=True):
    """What its model can do, where that is otherwise than known: true or false. A request never goes where it lacks."""

    tools: Annotated[bool | None, Meta(description="Call tools.")] = None
    tool_choice: Annotated[bool | None, Meta(description="Be made to call a tool, any or a named one.")] = None
    json_object: Annotated[bool | None, Meta(description="Be held to answer in JSON.")] = None
    json_schema: Annotated[bool | None, Meta(description="Be held to a JSON schema.")] = None
    grammar: Annotated[
        bool | None, Meta(description="Be held to a grammar, a regular expression or a choice of texts.")
    ] = None
    images: Annotated[bool | None, Meta(description="See pictures.")] = None
    audio: Annotated[bool | None, Meta(description="Hear or make sound.")] = None
    video: Annotated[bool | None, Meta(description="See films.")] = None
    files: Annotated[bool | None, Meta(description="Read documents that stand in a prompt as files.")] = None
    logprobs: Annotated[bool | None, Meta(description="Tell the tokens' log-probabilities.")] = None
    choices: Annotated[bool | None, Meta(description="Give several answers at once.")] = None
    prompts: Annotated[bool | None, Meta(description="Complete several prompts of one request.")] = None


class ChatOptions(Section, frozen=True, kw_only=True):
    """How a pool's targets speak chat, where that is otherwise than known."""

    features: Annotated[
        Features | None,
        Meta(description="What its model can do, where that is otherwise than known: `{images: true, tools: false}`."),
    ] = None
    reasoning: Annotated[
        ReasoningForm | None,
        Meta(
            description="Where its answers have their thoughts: auto looks at the beginning of each; think is between "
            "<think> tags in the text, think_open likewise where the prompt has the first tag. The adapter's if left "
            "out."
        ),
    ] = None
    history: Annotated[
        History | None,
        Meta(
            description="What becomes of the thoughts of earlier turns: keep_with_tools puts back what a client has "
            "dropped and is never without where a tool was called; strip takes all out; auto goes by the model's name. "
            "The adapter's if left out."
        ),
    ] = None
    thinking: Annotated[
        ThinkingForm | None,
        Meta(
            description="By which fields it is told how much to think; none passes on what the client wrote. The "
            "adapter's if left out."
        ),
    ] = None


class ReasoningConfig(Section, frozen=True, kw_only=True):
    """Thoughts that led to calls of tools, remembered so that they can be put back where a client drops them."""

    remember: Annotated[Size, Meta(description="Memory for all of them; 0 remembers none.")] = size(32 * MIB)


def lacks_of(options: ChatOptions, *known: Mapping[str, str] | Mapping[Feature, str]) -> tuple[Lack, ...]:
    """Return what a target lacks: as ``known``, feature to reason, unless the configuration says otherwise."""
    lacks: dict[Feature, str] = {}
    for reasons in known:
        lacks.update({Feature(name): why for name, why in reasons.items() if name in set(Feature)})
    for name in () if options.features is None else Features.__struct_fields__:
        said = getattr(options.features, name)
        if said is False:
            lacks[Feature(name)] = _SAID
        elif said:
            lacks.pop(Feature(name), None)
    return tuple(Lack(feature=feature, why=lacks[feature]) for feature in Feature if feature in lacks)


def form_of(options: ChatOptions, known: ChatForm) -> ChatForm:
    """Return the form of a target: as ``known``, unless the configuration says otherwise."""
    said = {name: getattr(options, name) for name in ("reasoning", "history", "thinking")}
    return msgspec.structs.replace(known, **{name: value for name, value in said.items() if value is not None})
