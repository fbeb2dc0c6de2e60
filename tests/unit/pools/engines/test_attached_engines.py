from __future__ import annotations

import pytest

from overspill.core.types import FailureKind, Surface
from overspill.pools.engines import registry
from overspill.pools.engines.protocol import EngineStats, ServedModel
from overspill.wire.form import ReasoningForm, ThinkingForm

# llama.cpp: recorded from b11549, cut. The others: from their documentation and sources.
LLAMACPP_MODELS = b"""{"models":[{"name":"m"}],"object":"list","data":[{"id":"m","aliases":["m"],"object":"model",
"created":1795476829,"owned_by":"llamacpp","meta":{"vocab_type":2,"n_vocab":1338,"n_ctx":4096,"n_ctx_train":32768}}]}"""
VLLM_MODELS = b"""{"object":"list","data":[{"id":"Qwen/Qwen3-8B","object":"model","created":1,"owned_by":"vllm",
"root":"Qwen/Qwen3-8B","parent":null,"max_model_len":40960,"permission":[]}]}"""
SGLANG_MODELS = b"""{"object":"list","data":[{"id":"deepseek-ai/DeepSeek-V3","object":"model","created":1,
"owned_by":"sglang","root":"deepseek-ai/DeepSeek-V3","max_model_len":163840}]}"""
OLLAMA_MODELS = b"""{"object":"list","data":[{"id":"qwen3:8b","object":"model","created":1,"owned_by":"library"}]}"""
LMSTUDIO_MODELS = b"""{"object":"list","data":[
{"id":"qwen2-vl-7b-instruct","object":"model","type":"vlm","state":"not-loaded","max_context_length":32768},
{"id":"qwen3-8b","object":"model","type":"llm","state":"loaded","max_context_length":131072,"loaded_context_length":8192},
{"id":"nomic-embed","object":"model","type":"embeddings","state":"not-loaded","max_context_length":2048}]}"""
# Written from the sources of 4.1.0 (restful_api.list_models, LLMFamilyV2.to_description), cut.
XINFERENCE_MODELS = b"""{"object":"list","data":[{"id":"deepseek-r1-distill-qwen","object":"model","created":0,
"owned_by":"xinference","model_type":"LLM","address":"0.0.0.0:43477","accelerators":["0"],
"model_name":"deepseek-r1-distill-qwen","model_lang":["en","zh"],"model_ability":["chat","reasoning"],
"model_format":"awq","model_size_in_billions":7,"quantization":"Int4","context_length":131072,"replica":2},
{"id":"bge-m3","object":"model","created":0,"owned_by":"xinference","model_type":"embedding","dimensions":1024}]}"""
# Written from the source of 2.3.0 (routes/openai.py), with and without what an engine tells of its model.
GPUSTACK_MODELS = b"""{"data":[{"id":"deepseek-r1","created":1795476829,"object":"model","owned_by":"gpustack",
"meta":{"n_ctx":8192,"n_params":7615616512}},{"id":"qwen3","created":1795476829,"object":"model",
"owned_by":"gpustack","meta":null}],"object":"list"}"""
ANSWERS = {
    "llamacpp": LLAMACPP_MODELS,
    "lmstudio": LMSTUDIO_MODELS,
    "ollama": b'{"version":"0.13.1"}',
    "sglang": SGLANG_MODELS,
    "vllm": VLLM_MODELS,
    "xinference": XINFERENCE_MODELS,
}
STRANGERS = (b"", b"<html>Jenkins</html>", b"[]", b'{"data":null}', b'{"data":[{"id":"x","owned_by":"acme"}]}', b"\xff")


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_server_is_recognised_by_its_own_answer_only(kind: str) -> None:
    engine = registry.create_attached(kind)
    assert engine.probe is not None
    assert engine.recognises(200, ANSWERS[kind])
    assert not engine.recognises(404, ANSWERS[kind])
    for other in ANSWERS.values():
        assert other is ANSWERS[kind] or not engine.recognises(200, other)


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_on_the_port_is_not_taken_for_an_engine(kind: str, stranger: bytes) -> None:
    assert not registry.create_attached(kind).recognises(200, stranger)


@pytest.mark.parametrize(
    ("kind", "body", "models"),
    [
        ("llamacpp", LLAMACPP_MODELS, [("m", 4096)]),
        ("vllm", VLLM_MODELS, [("Qwen/Qwen3-8B", 40960)]),
        ("sglang", SGLANG_MODELS, [("deepseek-ai/DeepSeek-V3", 163840)]),
        ("ollama", OLLAMA_MODELS, [("qwen3:8b", None)]),
        ("ollama", b'{"object":"list","data":null}', []),
        ("lmstudio", LMSTUDIO_MODELS, [("qwen2-vl-7b-instruct", None), ("qwen3-8b", 8192)]),
        ("openai", OLLAMA_MODELS, [("qwen3:8b", None)]),
        ("xinference", XINFERENCE_MODELS, [("deepseek-r1-distill-qwen", 131072)]),
        ("gpustack", GPUSTACK_MODELS, [("deepseek-r1", 8192), ("qwen3", None)]),
    ],
)
def test_models_are_listed_with_the_context_that_is_known(
    kind: str, body: bytes, models: list[tuple[str, int | None]]
) -> None:
    expected = tuple(ServedModel(model_id=name, context_tokens=tokens) for name, tokens in models)
    assert registry.create_attached(kind).parse_models(body) == expected


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"data":7}', b'{"error":"no"}'])
def test_what_is_no_list_of_models_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="the answer is no"):
        registry.create_attached("vllm").parse_models(body)


def test_llamacpp_says_how_many_slots_it_has() -> None:
    engine = registry.create_attached("llamacpp")
    assert engine.slots_path == b"/props"
    assert engine.parse_slots(b'{"total_slots":4,"default_generation_settings":{"n_ctx":4096}}') == 4
    assert engine.parse_slots(b"{}") is None
    with pytest.raises(ValueError, match="no JSON object"):
        engine.parse_slots(b"nope")


def test_sglang_says_how_many_slots_its_ranks_have() -> None:
    engine = registry.create_attached("sglang")
    assert engine.slots_path == b"/get_server_info"
    # cut from the answer of 0.5.18 and made two ranks
    rank = '{"last_gen_throughput":129.3,"memory_usage":{"weight":0.98},"effective_max_running_requests_per_dp":128}'
    body = f'{{"model_path":"m","max_running_requests":null,"internal_states":[{rank},{rank}],"version":"0.5.18"}}'
    assert engine.parse_slots(body.encode()) == 256


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"internal_states":[]}',
        b'{"internal_states":[{}]}',
        b'{"internal_states":[7]}',
        b'{"internal_states":7}',
    ],
)
def test_an_sglang_that_does_not_say_its_slots_has_the_usual_ones(body: bytes) -> None:
    assert registry.create_attached("sglang").parse_slots(body) is None


def test_the_other_servers_slots_are_their_defaults() -> None:
    slots = {engine.kind: engine.default_slots for engine in registry.discoverable()}
    assert slots == {"llamacpp": 1, "lmstudio": 4, "ollama": 1, "sglang": 256, "vllm": 256, "xinference": 32}
    assert registry.create_attached("ollama").parse_slots(b"{}") is None


VLLM_METRICS = b"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m {x}"} 3.0
vllm:num_requests_running{engine="1",model_name="m {x}"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5 1795476829000
"""


def test_vllm_ranks_are_added_up_and_the_fullest_cache_counts() -> None:
    stats = registry.create_attached("vllm").parse_stats(VLLM_METRICS)
    assert stats == EngineStats(running=5, waiting=1, kv_usage=0.5)


def test_sglang_metrics_are_read_and_what_is_missing_stays_unknown() -> None:
    page = b'sglang:num_running_reqs{model_name="m"} 7.0\nsglang:token_usage{model_name="m"} 0.1\n'
    stats = registry.create_attached("sglang").parse_stats(page)
    assert stats == EngineStats(running=7, waiting=None, kv_usage=0.1)


@pytest.mark.parametrize("kind", ["ollama", "lmstudio", "openai", "xinference", "gpustack"])
def test_a_server_without_metrics_is_not_asked_for_them(kind: str) -> None:
    engine = registry.create_attached(kind)
    assert engine.stats_path is None
    with pytest.raises(ValueError, match="publishes no statistics"):
        engine.parse_stats(b"")


def test_thinking_is_found_where_each_server_puts_it() -> None:
    forms = {engine.kind: engine.form for engine in registry.discoverable()}
    assert forms["vllm"].reasoning_field == forms["ollama"].reasoning_field == "reasoning"
    assert forms["llamacpp"].reasoning_field == forms["sglang"].reasoning_field == "reasoning_content"
    assert forms["ollama"].reasoning is ReasoningForm.REASONING
    assert {forms[kind].reasoning for kind in ("llamacpp", "sglang", "vllm", "lmstudio")} == {ReasoningForm.AUTO}


def test_how_much_to_think_is_said_as_each_server_reads_it() -> None:
    forms = {engine.kind: engine.form.thinking for engine in registry.discoverable()}
    assert {forms[kind] for kind in ("llamacpp", "sglang", "vllm")} == {ThinkingForm.CHAT_TEMPLATE_KWARGS}
    assert {forms[kind] for kind in ("lmstudio", "ollama")} == {ThinkingForm.REASONING_EFFORT}


def test_a_server_that_asks_everybody_for_a_key_is_not_looked_for() -> None:
    engine = registry.create_attached("gpustack")
    assert engine.probe is None
    assert engine.recognises(200, GPUSTACK_MODELS)
    assert engine.default_slots == 32


def test_xinference_says_when_a_model_takes_no_more() -> None:
    said = b'{"detail":"[address=0.0.0.0:1, pid=7] Rate limit reached for the model. Request limit 2 for the model: m"}'
    assert registry.create_attached("xinference").classify(429, (), said).kind is FailureKind.RATE_LIMITED


def test_an_attached_server_without_a_key_gets_no_authorization() -> None:
    call = registry.create_attached("ollama").translate(Surface.EMBEDDINGS, b"{}", "")
    assert call.path == b"/v1/embeddings"
    assert b"authorization" not in dict(call.headers)


def test_a_server_that_shows_no_prompts_says_so() -> None:
    engine = registry.create_attached("openai")
    assert engine.render_path is None
    with pytest.raises(ValueError, match="openai does not show what a prompt comes to"):
        engine.parse_rendered(b"{}")
