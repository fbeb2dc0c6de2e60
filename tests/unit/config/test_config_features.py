"""What targets are known to lack, and in which form of chat they are asked: adapter, catalogue, and last the file."""

from __future__ import annotations

import pytest

from overspill.config.compile import Wiring, compile_config
from overspill.config.features import Features
from overspill.config.load import load_text
from overspill.errors import ConfigError
from overspill.features import NATIVE, Feature
from overspill.pools.facts import load_facts
from overspill.wire.form import ChatForm, History, ReasoningForm, ThinkingForm

FACTS = load_facts()


def wired(pool: str, model: str = "m") -> Wiring:
    text = f"pools: {{p: {pool}}}\nroutes: [{{model: {model}, tiers: [[p]]}}]"
    return compile_config(load_text(text, FACTS), FACTS)


def lacks(pool: str, model: str = "m") -> dict[str, str]:
    (spec,) = wired(pool, model).policy.targets
    return {lack.feature.value: lack.why for lack in spec.lacks}


def form(pool: str, model: str = "m") -> ChatForm:
    (target,) = wired(pool, model).targets
    return target.form


def test_the_file_can_say_each_feature_but_those_of_surfaces() -> None:
    assert set(Features.__struct_fields__) == set(Feature) - set(NATIVE.values())


def test_of_a_server_that_is_attached_nothing_is_known_to_be_missing() -> None:
    for kind in ("vllm", "sglang", "ollama", "lmstudio", "openai"):
        assert lacks(f"{{attach: {kind}, url: 'http://h:1'}}") == {}


def test_one_thing_that_llama_cpp_does_not_do_is_known_of_every_server_of_it() -> None:
    assert set(lacks("{attach: llamacpp, url: 'http://h:1'}")) == {"prompts"}
    assert lacks("{attach: llamacpp, url: 'http://h:1', features: {prompts: true}}") == {}


def test_the_embedded_engine_sees_nothing_without_a_projector() -> None:
    assert set(lacks("{engine: llamacpp, model: m.gguf}")) >= {"images", "audio", "video", "files"}
    sees = lacks("{engine: llamacpp, model: m.gguf, options: {mmproj.path: p.gguf}}")
    assert not {"images", "audio", "video"} & set(sees)
    assert "files" in sees


@pytest.mark.parametrize(("model", "is_missing"), [("builtin", True), ("builtin:q4", True), ("m.gguf", False)])
def test_calls_are_not_enforced_in_the_form_of_the_built_in_model(model: str, is_missing: bool) -> None:
    assert ("tool_choice" in lacks(f"{{engine: llamacpp, model: '{model}'}}")) is is_missing


def test_provider_and_model_say_what_their_adapter_does_not() -> None:
    ark = lacks("{upstream: volcengine_ark}", "deepseek-v4-pro-ga-260813")
    assert "does not keep to it" in ark["json_schema"]
    assert ark["images"] == "it reads text only"
    assert "images" not in lacks("{upstream: deepseek}", "deepseek-flash")
    assert set(lacks("{upstream: deepseek}", "deepseek-v4-pro")) == {"json_schema", "grammar", "images"}


def test_the_file_has_the_last_word_both_ways() -> None:
    said = lacks("{upstream: deepseek, features: {json_schema: true, tools: false}}", "deepseek-flash")
    assert said == {"tools": "the configuration says so", "grammar": "its API has no such field"}


def test_a_feature_that_there_is_not_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'picture'.*known here: audio"):
        lacks("{attach: vllm, url: 'http://h:1', features: {picture: true}}")
    with pytest.raises(ConfigError, match="'keeps' is not possible here"):
        form("{attach: vllm, url: 'http://h:1', history: keeps}")


def test_what_only_some_speak_is_known_of_all() -> None:
    (spec,) = wired("{upstream: openai}", "gpt-5").policy.targets
    assert spec.native == (Feature.NATIVE_RESPONSES,)
    (spec,) = wired("{attach: vllm, url: 'http://h:1'}").policy.targets
    assert spec.native == ()


def test_the_form_is_the_adapters_the_providers_and_at_last_the_files() -> None:
    assert form("{upstream: deepseek}", "deepseek-flash") == ChatForm(
        reasoning=ReasoningForm.REASONING_CONTENT,
        history=History.KEEP_WITH_TOOLS,
        thinking=ThinkingForm.DEEPSEEK,
        user_field="user_id",
    )
    assert form("{upstream: siliconflow}", "deepseek-ai/DeepSeek-V3.2").thinking is ThinkingForm.ENABLE_THINKING
    assert form("{upstream: openai}", "gpt-5").user_field == "safety_identifier"
    router = form("{upstream: openrouter}", "deepseek/deepseek-v3.2")
    assert (router.thinking, router.reasoning_field, router.takes_details) == (
        ThinkingForm.OPENROUTER,
        "reasoning",
        True,
    )
    own = form("{attach: vllm, url: 'http://h:1', reasoning: think_open, history: strip, thinking: none}")
    assert (own.reasoning, own.history, own.thinking) == (
        ReasoningForm.THINK_OPEN,
        History.STRIP,
        ThinkingForm.NONE,
    )
    assert form("{engine: llamacpp, model: m.gguf, history: keep}").history is History.KEEP
