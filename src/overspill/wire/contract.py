"""What a target does with the beginning of an answer that it is to go on with: adapters declare it, others verify it.

A continuation can only be joined without a lost or repeated character if it is known whether the target repeats what it
was given, what it does to white space at its end, and whether it can go on in the middle of a thought.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""Where servers put a model's thinking, in a delta and in a message."""


class Mode(enum.StrEnum):
    """How a target can be made to go on."""

    NONE = "none"  # it cannot, or nobody has looked
    TEXT = "text"  # with the answer's text as the beginning of its message
    TOKEN_IDS = "token_ids"  # with the answer's very tokens, where the first target told them


class Part(enum.StrEnum):
    """What a piece of an answer's text is."""

    REASONING = "reasoning"
    CONTENT = "content"


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """How one (engine, model) goes on with an answer that has begun."""

    mode: Mode = Mode.NONE
    echo: bool = False
    """Its stream begins with the text that it was given."""
    strips_whitespace: bool = False
    """White space at the end of the given text is lost, and comes again as the first of what is generated."""
    continues_reasoning: bool = False
    """It can go on in the middle of a thought, and takes a finished thought as part of its message."""
    reasoning_field: str = "reasoning_content"
    """The field of a message that it reads a thought from."""
    message_fields: Mapping[str, Any] = {}
    """Set in the message that is to be continued."""
    body_fields: Mapping[str, Any] = {}
    """Set in the request where content is to be continued."""
    reasoning_body_fields: Mapping[str, Any] = {}
    """Set in the request where a thought is to be continued."""
    trial_fields: Mapping[str, Any] = {}
    """Set in the question by which it is tried, so that its answer shows what can be continued."""


NO_CONTRACT = Contract()
