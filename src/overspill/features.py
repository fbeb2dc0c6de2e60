"""What a request may need that not every target can do: one vocabulary for wire, core, adapters and configuration.

A request's needs and a target's lacks are sets of these as bits of an ``int``, since each decision compares them. Only
what is *known* to be lacking counts: a target that nobody said anything of is asked, and answers for itself.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping


class Feature(enum.StrEnum):
    """Something that decides which targets can run a request."""

    TOOLS = "tools"  # tools that the model may call
    TOOL_CHOICE = "tool_choice"  # a call that it must make: any, or a named one
    JSON_OBJECT = "json_object"  # an answer that is JSON
    JSON_SCHEMA = "json_schema"  # an answer that follows a schema
    GRAMMAR = "grammar"  # an answer bound in another way: a grammar, a regular expression, a choice of texts
    IMAGES = "images"  # pictures in the prompt
    AUDIO = "audio"  # sound in the prompt or the answer
    VIDEO = "video"  # films in the prompt
    FILES = "files"  # documents in the prompt
    LOGPROBS = "logprobs"  # the tokens' log-probabilities
    CHOICES = "choices"  # several answers at once
    NATIVE_MESSAGES = "native_messages"  # what only a target can do that speaks Anthropic's Messages itself
    NATIVE_RESPONSES = "native_responses"  # likewise OpenAI's Responses
    PROMPTS = "prompts"  # several prompts in one request


BITS: Mapping[Feature, int] = {feature: 1 << place for place, feature in enumerate(Feature)}

NATIVE: Mapping[str, Feature] = {"messages": Feature.NATIVE_MESSAGES, "responses": Feature.NATIVE_RESPONSES}
"""Surface → what a target has that speaks it itself. All others lack it: of these features that is known."""
NATIVE_WHY: Mapping[Feature, str] = {
    Feature.NATIVE_MESSAGES: "it does not speak Anthropic's Messages itself",
    Feature.NATIVE_RESPONSES: "it does not speak OpenAI's Responses itself",
}

PARAMS: Mapping[Feature, str] = {
    Feature.TOOLS: "tools",
    Feature.TOOL_CHOICE: "tool_choice",
    Feature.JSON_OBJECT: "response_format",
    Feature.JSON_SCHEMA: "response_format",
    Feature.GRAMMAR: "grammar",
    Feature.IMAGES: "messages",
    Feature.AUDIO: "messages",
    Feature.VIDEO: "messages",
    Feature.FILES: "messages",
    Feature.LOGPROBS: "logprobs",
    Feature.CHOICES: "n",
    Feature.PROMPTS: "prompt",
}
"""The field of a chat request by which each is asked for, where it is one."""


def mask(features: Iterable[Feature]) -> int:
    """Return features as bits."""
    bits = 0
    for feature in features:
        bits |= BITS[feature]
    return bits


def features_of(bits: int) -> tuple[Feature, ...]:
    """Return the features that ``mask`` put together."""
    return tuple(feature for feature, bit in BITS.items() if bits & bit)
