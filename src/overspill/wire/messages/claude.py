"""What each Claude model takes: newer ones refuse fields that older ones need.

Read from a model's name, so that one which comes out tomorrow is taken for what its number says. Source: litellm
1.110.2 (its table of models and its Anthropic adapter), the types of anthropic-sdk-python 2.14.0, 2026-11.
"""

from __future__ import annotations

import re

import msgspec

_NAME = re.compile(r"claude-(?:(\d)(?:[-.](\d))?-)?([a-z]+)(?:-(\d{1,2})(?:[-.](\d{1,2}))?)?(?![\d])")
_ALWAYS_THINK = ("fable", "mythos")


class ModelRules(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How one model is asked."""

    has_effort: bool = False
    """It takes ``output_config.effort`` and adaptive thinking; else a budget of tokens."""
    efforts: tuple[str, ...] = ("low", "medium", "high", "xhigh", "max")
    """The efforts that it knows."""
    has_sampling: bool = True
    """It takes ``temperature``, ``top_p`` and ``top_k``."""
    thinks_unasked: bool = False
    """It thinks unless it is told not to."""
    thinks_always: bool = False
    """It refuses to be told not to."""
    max_tokens: int = 32_000
    """What to set where a client sets no limit: Anthropic demands one. The model may write as much."""


def rules_of(model: str) -> ModelRules:
    """Return the rules for a model's name; of a model that is not Claude, those that the most servers share."""
    match = _NAME.search(model.lower())
    if match is None:
        return ModelRules()
    old_major, old_minor, family, major, minor = match.groups()
    version = (int(major or old_major or 0), int(minor or (0 if major else old_minor) or 0))
    if version < (4, 0) and family not in _ALWAYS_THINK:  # claude-3-5-sonnet and before
        return ModelRules(max_tokens=8192 if version >= (3, 5) else 4096)
    if version < (4, 6) and family not in _ALWAYS_THINK:
        return ModelRules()
    thinks_always = family in _ALWAYS_THINK or version >= (5, 5)
    is_new = version >= (4, 7) or family in _ALWAYS_THINK
    return ModelRules(
        has_effort=True,
        efforts=ModelRules().efforts if is_new else ("low", "medium", "high", "max"),
        has_sampling=not is_new,
        thinks_unasked=thinks_always or version >= (5, 0),
        thinks_always=thinks_always,
    )
