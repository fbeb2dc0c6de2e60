from __future__ import annotations

import pytest

from overspill.wire.messages.claude import ModelRules, rules_of

OLDER = ModelRules()
EFFORT = ModelRules(has_effort=True, efforts=("low", "medium", "high", "max"))
STRICT = ModelRules(has_effort=True, has_sampling=False)
UNASKED = ModelRules(has_effort=True, has_sampling=False, thinks_unasked=True)
ALWAYS = ModelRules(has_effort=True, has_sampling=False, thinks_unasked=True, thinks_always=True)


@pytest.mark.parametrize(
    ("model", "rules"),
    [
        ("claude-3-haiku-20240307", ModelRules(max_tokens=4096)),
        ("claude-3-5-sonnet-20241022", ModelRules(max_tokens=8192)),
        ("claude-3-7-sonnet-latest", ModelRules(max_tokens=8192)),
        ("claude-sonnet-4-20250514", OLDER),
        ("claude-opus-4-1-20250805", OLDER),
        ("claude-sonnet-4-5-20250929", OLDER),
        ("claude-haiku-4-5", OLDER),
        ("claude-opus-4-5", OLDER),
        ("claude-opus-4-6", EFFORT),
        ("anthropic/claude-opus-4.6", EFFORT),
        ("anthropic.claude-sonnet-4-6-v1:0", EFFORT),
        ("claude-opus-4-7-20260416", STRICT),
        ("claude-opus-4-8", STRICT),
        ("claude-sonnet-5", UNASKED),
        ("claude-opus-5", UNASKED),
        ("claude-opus-5-5", ALWAYS),
        ("claude-haiku-5-5", ALWAYS),
        ("claude-fable-5", ALWAYS),
        ("claude-mythos-preview", ALWAYS),
        ("claude-opus-7", ALWAYS),
        ("deepseek-flash", OLDER),
    ],
)
def test_a_models_name_tells_how_it_is_asked(model: str, rules: ModelRules) -> None:
    assert rules_of(model) == rules
