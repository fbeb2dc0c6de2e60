"""Serving without a file: what a newcomer gets for what was found, and how it is explained."""

from __future__ import annotations

import datetime as dt

from overspill.catalog.load import Catalog, shipped
from overspill.catalog.merge import overridden
from overspill.config.compile import compile_config
from overspill.config.discover import Discovery, FoundServer, key_names, zero_config
from overspill.config.explain import explain
from overspill.config.load import load_text, with_overrides
from overspill.config.schema import Config, EnginePool
from overspill.core.routing import RouteTable
from overspill.core.types import Route
from overspill.pools.facts import KnownFacts, load_facts
from overspill.wire.effort import RETIRED

FACTS = load_facts()
OLLAMA = FoundServer("ollama", "http://127.0.0.1:11434", ("deepseek-r1:8b", "llama3:8b"))
VLLM = FoundServer("vllm", "http://127.0.0.1:8000", ("deepseek-ai/DeepSeek-V4.1-Flash",))
ALL_KEYS = tuple(p.key_env for p in FACTS.providers if p.is_used_unasked and p.key_env is not None)


def route(config: Config, model: str) -> Route | None:
    return RouteTable(compile_config(config, FACTS).policy.routes).find(model)


def flow(config: Config, model: str) -> list[list[tuple[str, str]]]:
    """The route of a model as rows of (pool, model sent)."""
    found = route(config, model)
    return [] if found is None else [[(t.target_id.split("/")[0], t.model) for t in tier] for tier in found.tiers]


def test_nothing_found_serves_nothing_and_says_what_to_do() -> None:
    config = zero_config(Discovery(), FACTS)
    assert config == Config()
    assert "DEEPSEEK_API_KEY" in "\n".join(explain(config, FACTS))


def test_only_the_built_in_model_answers_every_name_and_says_why() -> None:
    config = zero_config(Discovery(builtin_model="builtin", builtin_context_tokens=2048), FACTS)
    assert flow(config, "overspill-tiny") == flow(config, "gpt-4o") == [[("local", "overspill-tiny")]]
    assert all(found.local_only for found in config.routes)
    pool = config.pools["local"]
    assert isinstance(pool, EnginePool)
    assert pool.context_tokens == 2048
    assert "note: nothing else was found, so the small built-in model answers whatever is asked for" in "\n".join(
        explain(config, FACTS)
    ).replace("  note", "note")


def test_a_key_takes_the_star_away_from_the_built_in_model() -> None:
    config = zero_config(Discovery(builtin_model="builtin", key_names=("DEEPSEEK_API_KEY",)), FACTS)
    assert flow(config, "overspill-tiny") == [[("local", "overspill-tiny")]]
    assert flow(config, "something-else") == []


def test_a_local_server_takes_the_star_away_from_the_built_in_model() -> None:
    config = zero_config(Discovery(builtin_model="builtin", servers=(OLLAMA,)), FACTS)
    assert flow(config, "llama3:8b") == [[("ollama", "llama3:8b")]]
    assert flow(config, "something-else") == []


def test_deepseek_chat_with_a_deepseek_key_goes_to_deepseek_under_its_own_name() -> None:
    config = zero_config(Discovery(key_names=("DEEPSEEK_API_KEY",)), FACTS)
    assert flow(config, "deepseek-chat") == [[("deepseek", "deepseek-chat")]]
    assert flow(config, "deepseek-flash") == [[("deepseek", "deepseek-flash")]]
    assert flow(config, "deepseek-v5-pro") == [[("deepseek", "")]]


def test_other_hosts_are_where_deepseek_spills_to_newest_version_first() -> None:
    keys = ("DEEPSEEK_API_KEY", "OPENROUTER_API_KEY", "SILICONFLOW_API_KEY")
    config = zero_config(Discovery(key_names=keys), FACTS)
    assert flow(config, "deepseek-chat") == [
        [("deepseek", "deepseek-chat")],
        [("openrouter", "deepseek/deepseek-v4.1-flash")],
        [("siliconflow", "deepseek-ai/DeepSeek-V4-Flash")],
    ]
    assert "note: a name of 2025, kept alive" in [line.strip() for line in explain(config, FACTS)]


def test_it_is_said_where_nobody_knows_how_to_switch_thinking() -> None:
    offer = {"id": "ds-flash", "model": "deepseek-v4.1-flash"}
    row = {
        "name": "ours",
        "title": "Ours",
        "base_url": "https://x.example.com",
        "key_env": "OUR_KEY",
        "models": [offer],
    }
    rows = overridden(shipped(), {"providers": [row]}, "providers.yaml", dt.date(2026, 11, 27))
    facts = KnownFacts(Catalog(rows, "f"))
    keys = ("DEEPSEEK_API_KEY", "OUR_KEY")
    server = FoundServer("openai", "http://127.0.0.1:8000", ("deepseek-v4.1-flash",))
    said = "\n".join(explain(zero_config(Discovery(servers=(server,), key_names=keys), facts), facts))
    assert "note: a name of 2025, kept alive; at openai, ours whether the model thinks first is that host's" in said


def test_the_catalogue_and_the_translation_agree_on_what_retired_names_meant() -> None:
    assert {name: thought for model in FACTS.models for name, thought in model.retired.items()} == RETIRED


def test_a_name_with_a_version_is_never_served_by_another_version() -> None:
    config = zero_config(Discovery(key_names=ALL_KEYS), FACTS)
    for tier in flow(config, "deepseek-v4-flash-0731"):
        for pool, model in tier:
            provider = FACTS.provider(pool)
            assert provider is not None
            offer = provider.offer(model)
            assert offer is not None
            assert offer.model == "deepseek-v4-flash-0731"


def test_a_host_is_asked_once_and_for_its_newest() -> None:
    config = zero_config(Discovery(key_names=ALL_KEYS), FACTS)
    pools = [pool for tier in flow(config, "deepseek-flash") for pool, _ in tier]
    assert len(pools) == len(set(pools))


def test_a_local_server_that_has_the_model_is_home_and_the_providers_are_the_spill() -> None:
    config = zero_config(Discovery(servers=(VLLM, OLLAMA), key_names=("DEEPSEEK_API_KEY",)), FACTS)
    assert flow(config, "deepseek-flash") == [
        [("vllm", "deepseek-ai/DeepSeek-V4.1-Flash")],
        [("deepseek", "deepseek-flash")],
    ]
    assert flow(config, "deepseek-ai/DeepSeek-V4.1-Flash") == flow(config, "deepseek-flash")


def test_a_local_model_under_a_retired_name_is_home_for_it() -> None:
    server = FoundServer("vllm", "http://127.0.0.1:8000", ("deepseek-chat", "overspill-tiny"))
    config = zero_config(Discovery(servers=(server,), key_names=("DEEPSEEK_API_KEY",), builtin_model="builtin"), FACTS)
    assert flow(config, "deepseek-chat") == [[("vllm", "deepseek-chat")], [("deepseek", "deepseek-chat")]]
    assert flow(config, "overspill-tiny") == [[("local", "overspill-tiny")]]


def test_a_local_model_that_no_provider_is_known_to_have_stays_local() -> None:
    config = zero_config(Discovery(servers=(VLLM, OLLAMA), key_names=ALL_KEYS), FACTS)
    assert flow(config, "deepseek-r1:8b") == [[("ollama", "deepseek-r1:8b")]]


def test_a_mistyped_local_name_does_not_leave_the_machine() -> None:
    config = zero_config(Discovery(servers=(OLLAMA,), key_names=ALL_KEYS), FACTS)
    for name in ("deepseek-r1:14b", "deepseek-v3.1:671b", "Qwen/Qwen3-8B", "gpt-oss:20b", "llama3"):
        assert flow(config, name) == [], name
    alone = zero_config(Discovery(key_names=ALL_KEYS), FACTS)
    assert flow(alone, "qwen/qwen3-8b") == [[("openrouter", "")]]


def test_servers_that_have_the_same_model_are_one_tier() -> None:
    twin = FoundServer("vllm", "http://127.0.0.1:8001", ("llama3:8b",), context_tokens=99)
    config = zero_config(Discovery(servers=(VLLM, twin, OLLAMA)), FACTS)
    assert flow(config, "llama3:8b") == [[("vllm-2", "llama3:8b"), ("ollama", "llama3:8b")]]
    target = next(t for t in compile_config(config, FACTS).policy.targets if t.pool == "vllm-2")
    assert (target.slots, target.context_tokens) == (256, 99)


def test_a_server_without_models_is_left_out() -> None:
    assert zero_config(Discovery(servers=(FoundServer("ollama", "http://127.0.0.1:11434", ()),)), FACTS) == Config()


def test_only_the_names_of_keys_that_mean_it_are_picked_up() -> None:
    environ = {"DEEPSEEK_API_KEY": "sk-1", "OPENAI_API_KEY": " ", "HF_TOKEN": "hf", "GROQ_API_KEY": "g", "OTHER": "x"}
    assert key_names(environ, FACTS) == ("DEEPSEEK_API_KEY",)


def test_what_was_made_is_sound_and_stays_the_same_through_overrides() -> None:
    found = Discovery(servers=(VLLM, OLLAMA), key_names=ALL_KEYS, builtin_model="builtin")
    config = zero_config(found, FACTS)
    assert zero_config(found, FACTS) == config
    assert with_overrides(config, FACTS) == config


def test_an_explanation_says_where_a_request_runs_where_it_spills_and_when() -> None:
    config = load_text(
        "pools:\n"
        "  gpu: {attach: vllm, url: ['http://10.0.0.1:1', 'http://10.0.0.2:1']}\n"
        "  e: {engine: llamacpp, model: m.gguf, replicas: 2}\n"
        "  ds: {upstream: deepseek, accounts: [{name: a, api_key: 'env:A'}, {name: b, api_key: 'env:B'}]}\n"
        "  own: {upstream: openai_compatible, base_url: 'https://a.com/v1', accounts: [{name: a, api_key: 'env:C'}]}\n"
        "routes:\n"
        "  - {model: m, tiers: [[gpu, e], [{pool: ds, model: deepseek-flash}], [own]], slo: {ttft: 1.5}, note: why}\n"
        "  - {model: n, tiers: [[{pool: gpu, model: n}]], local_only: true}\n",
        FACTS,
    )
    assert explain(config, FACTS) == (
        "model m",
        "  runs on   gpu: vllm at http://10.0.0.1:1, http://10.0.0.2:1, local",
        "  or        e: 2 replicas of llamacpp with m.gguf, 32 requests at once, local",
        "  spills to ds: DeepSeek, 2 accounts, leaves this network, as deepseek-flash",
        "  then to   own: https://a.com/v1, leaves this network",
        (
            "  it spills when the first token would take longer than 1.5s, no slot frees soon enough, or the target "
            "fails before its first token"
        ),
        "  note: why",
        "model n",
        "  runs on   gpu: vllm at http://10.0.0.1:1, http://10.0.0.2:1, local",
        "  local only: it never leaves local pools",
    )


def test_the_explanation_names_the_pace_that_a_route_promises() -> None:
    config = load_text(
        "pools: {e: {engine: fake}, f: {engine: fake}}\n"
        "routes: [{model: m, tiers: [[e], [f]], slo: {ttft: 2s, tpot: 50ms}}]\n",
        FACTS,
    )
    (line,) = [line for line in explain(config, FACTS) if "it spills when" in line]
    assert "longer than 2s, others would come more than 50ms apart, no slot frees soon enough, or" in line
