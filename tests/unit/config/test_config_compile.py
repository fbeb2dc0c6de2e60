"""From configuration to policy and wiring: what becomes a target, under which id, with which limits and price."""

from __future__ import annotations

import pytest

from overspill.config.compile import Wiring, compile_config
from overspill.config.discover import Discovery, FoundServer, zero_config
from overspill.config.explain import explain
from overspill.config.load import load_text
from overspill.config.schema import Config, RouteConfig
from overspill.core.types import (
    Budget,
    Client,
    LatencyPrior,
    Limits,
    Price,
    RouteTarget,
    Shared,
    Slo,
    Surface,
    TargetSpec,
    Window,
)
from overspill.errors import ConfigError
from overspill.pools.facts import load_facts
from overspill.units import MIB
from overspill.wire.http import Origin

FACTS = load_facts()


def wired(text: str) -> Wiring:
    return compile_config(load_text(text, FACTS), FACTS)


def spec(wiring: Wiring, target_id: str) -> TargetSpec:
    return next(target for target in wiring.policy.targets if target.target_id == target_id)


def test_an_engines_replicas_are_targets_that_must_first_report_ready() -> None:
    wiring = wired(
        "pools: {e: {engine: llamacpp, model: m.gguf, replicas: 2, max_batch_size: 8, cache_ram: 1GiB,\n"
        "  options: {a: 1}}}\n"
        "routes: [{model: x, tiers: [[e]]}]"
    )
    assert [t.target_id for t in wiring.policy.targets] == [t.target_id for t in wiring.targets] == ["e/0", "e/1"]
    first = spec(wiring, "e/0")
    assert (first.slots, first.context_tokens, first.is_local, first.ready_at_start) == (8, 4096, True, False)
    options = wiring.targets[1].engine
    assert options is not None
    assert (options.name, options.served_name, options.cache_ram_mib, options.extra) == ("e-1", "e", 1024, {"a": 1})
    assert wiring.policy.routes[0].tiers == (
        tuple(RouteTarget(target_id=f"e/{n}", model="e", weights="m.gguf#") for n in range(2)),
    )
    assert [target.verifies for target in wiring.targets] == [("e",), ("e",)]


def test_what_is_made_of_the_same_weights_has_the_same_name_for_them() -> None:
    wiring = wired(
        "pools:\n"
        "  a: {engine: llamacpp, model: m.gguf}\n"
        "  b: {engine: llamacpp, model: m.gguf, context_tokens: 8192}\n"
        "  c: {engine: llamacpp, model: n.gguf, verify_continuation: false}\n"
        "  d: {attach: vllm, url: ['http://h:1', 'http://h:2']}\n"
        "  e: {attach: vllm, url: 'http://h:3', weights: n, verify_continuation: true}\n"
        "  f: {upstream: openai_compatible, base_url: 'http://h:4', accounts: [{name: z, api_key: 'env:Z'}]}\n"
        "  g: {upstream: deepseek, weights: n, verify_continuation: true}\n"
        "routes:\n"
        "  - {model: x, tiers: [[a, b], [c], [d, e], [f, g]]}\n"
        "  - {model: y, tiers: [[e]], rescue: 'off', rescue_wait: 5s}\n"
        "  - {model: 'z*', tiers: [[e]]}"
    )
    places = {place.target_id: place.weights for tier in wiring.policy.routes[0].tiers for place in tier}
    assert places == {
        "a/0": "m.gguf#",
        "b/0": "m.gguf#",
        "c/0": "n.gguf#",
        "d/0": "d:x",
        "d/1": "d:x",
        "e/0": "n",
        "f/z/x": "",
        "g/default/x": "n",
    }
    verifies = {target.target_id: target.verifies for target in wiring.targets if target.verifies}
    assert verifies == {"a/0": ("a",), "b/0": ("b",), "e/0": ("x",), "g/default/x": ("x",)}
    policies = [(route.rescue.value, route.rescue_wait_s) for route in wiring.policy.routes]
    assert policies == [("same_weights", 30.0), ("off", 5.0), ("same_weights", 30.0)]


def test_one_replica_keeps_its_pools_name() -> None:
    wiring = wired("pools: {e: {engine: llamacpp, model: m, served_name: s}}\nroutes: [{model: x, tiers: [[e]]}]")
    assert wiring.targets[0].engine is not None
    assert wiring.targets[0].engine.name == "e"
    assert wiring.policy.routes[0].tiers[0][0].model == "s"


@pytest.mark.parametrize(
    ("kind", "slots"), [("vllm", 256), ("sglang", 256), ("openai", 32), ("lmstudio", 4), ("ollama", 1), ("llamacpp", 1)]
)
def test_an_attached_server_gets_the_slots_that_are_usual_for_it(kind: str, slots: int) -> None:
    wiring = wired(f"pools: {{a: {{attach: {kind}, url: 'http://h:1/v1'}}}}\nroutes: [{{model: x, tiers: [[a]]}}]")
    assert spec(wiring, "a/0").slots == slots
    assert wiring.targets[0].origin == Origin(host="h", port=1, prefix=b"")
    assert wiring.targets[0].kind == kind
    assert wiring.targets[0].asks_for_slots


def test_a_server_that_was_found_gets_the_slots_of_one_in_a_file() -> None:
    found = Discovery(servers=(FoundServer("vllm", "http://127.0.0.1:8000", ("m",)),))
    wiring = compile_config(zero_config(found, FACTS), FACTS)
    written = wired(
        "pools: {vllm: {attach: vllm, url: 'http://127.0.0.1:8000'}}\nroutes: [{model: m, tiers: [[vllm]]}]"
    )
    assert wiring.targets == written.targets
    assert spec(wiring, "vllm/0").slots == spec(written, "vllm/0").slots


def test_a_server_is_not_asked_for_what_the_file_says() -> None:
    wiring = wired("pools: {a: {attach: vllm, url: 'http://h:1', slots: 5}}\nroutes: [{model: x, tiers: [[a]]}]")
    assert spec(wiring, "a/0").slots == 5
    assert not wiring.targets[0].asks_for_slots


def test_an_attached_pools_addresses_share_its_settings() -> None:
    wiring = wired(
        "pools: {a: {attach: vllm, url: ['http://10.0.0.1:1', 'http://10.0.0.2:1'], slots: 3, api_key: 'env:K',\n"
        "  context_tokens: 9, surfaces: [embeddings], prior: {ttft_base: 1s, prefill_per_token: 1ms}}}\n"
        "routes: [{model: 'x*', tiers: [[a]]}]"
    )
    assert [t.target_id for t in wiring.targets] == ["a/0", "a/1"]
    assert [t.key for t in wiring.targets] == ["env:K", "env:K"]
    second = spec(wiring, "a/1")
    assert second.surfaces == (Surface.EMBEDDINGS,)
    assert second.prior == LatencyPrior(ttft_base_s=1.0, prefill_s_per_token=0.001)
    assert (second.slots, second.context_tokens) == (3, 9)


@pytest.mark.parametrize(
    ("fields", "is_local"),
    [
        ("url: 'http://127.0.0.1:1'", True),
        ("url: 'http://8.8.8.8:1'", False),
        ("url: ['http://127.0.0.1:1', 'http://8.8.8.8:1']", False),
        ("url: 'http://8.8.8.8:1', local: true", True),
        ("url: 'http://127.0.0.1:1', local: false", False),
    ],
)
def test_an_attached_server_is_local_by_its_address_unless_said_otherwise(fields: str, is_local: bool) -> None:
    wiring = wired(f"pools: {{a: {{attach: vllm, {fields}}}}}\nroutes: [{{model: x, tiers: [[a]]}}]")
    assert spec(wiring, "a/0").is_local is is_local


UPSTREAM = """\
pools:
  ds:
    upstream: deepseek
    accounts: [{name: a, api_key: "env:A"}, {name: b, api_key: "file:/k"}]
routes:
  - {model: deepseek-flash, tiers: [[ds]]}
  - {model: deepseek-chat, tiers: [[ds]]}
  - {model: pro, tiers: [[{pool: ds, model: deepseek-v4-pro}]]}
  - {model: "deepseek-*", tiers: [[ds]]}
"""


def test_each_model_of_each_account_is_a_target_with_its_own_limit_and_price() -> None:
    wiring = wired(UPSTREAM)
    assert [t.target_id for t in wiring.policy.targets] == [
        "ds/a/deepseek-flash",
        "ds/b/deepseek-flash",
        "ds/a/deepseek-v4-pro",
        "ds/b/deepseek-v4-pro",
        "ds/a",
        "ds/b",
    ]
    flash, pro, rest = (spec(wiring, name) for name in ("ds/a/deepseek-flash", "ds/a/deepseek-v4-pro", "ds/a"))
    assert (flash.slots, pro.slots, rest.slots) == (2500, 500, None)
    assert flash.price == Price(input_usd_per_mtok=0.3, output_usd_per_mtok=1.2, cached_input_usd_per_mtok=0.006)
    assert rest.price is None
    assert (flash.context_tokens, rest.context_tokens) == (1_000_000, None)
    assert not flash.is_local
    assert flash.ready_at_start


def test_a_retired_name_is_sent_as_it_is_to_the_target_of_its_model() -> None:
    chat = wired(UPSTREAM).policy.routes[1]
    assert chat.tiers[0][0] == RouteTarget(target_id="ds/a/deepseek-flash", model="deepseek-chat")


def test_a_glob_sends_the_clients_own_name() -> None:
    assert wired(UPSTREAM).policy.routes[3].tiers[0][0] == RouteTarget(target_id="ds/a", model="")


def test_an_upstreams_wiring_says_where_its_key_is_and_never_holds_it() -> None:
    targets = {target.target_id: target for target in wired(UPSTREAM).targets}
    second = targets["ds/b/deepseek-flash"]
    assert (second.kind, second.account, second.key) == ("deepseek", "b", "file:/k")
    assert second.origin == Origin(scheme="https", host="api.deepseek.com", port=443)


def test_without_accounts_the_customary_variable_is_used() -> None:
    wiring = wired("pools: {o: {upstream: openai}}\nroutes: [{model: gpt-5, tiers: [[o]]}]")
    target = wiring.targets[0]
    assert (target.target_id, target.account, target.key) == ("o/default/gpt-5", "default", "env:OPENAI_API_KEY")
    assert Surface.EMBEDDINGS in wiring.policy.targets[0].surfaces


def test_ones_own_openai_compatible_server_needs_no_account() -> None:
    wiring = wired(
        "pools: {o: {upstream: openai_compatible, base_url: 'http://10.0.0.9:1/v1', local: true, max_concurrency: 4}}\n"
        "routes: [{model: m, tiers: [[o]], local_only: true}]"
    )
    assert wiring.targets[0].key is None
    assert wiring.targets[0].kind == "openai_compatible"
    assert (wiring.policy.targets[0].is_local, wiring.policy.targets[0].slots) == (True, 4)
    assert wiring.targets[0].origin == Origin(host="10.0.0.9", port=1, prefix=b"/v1")


@pytest.mark.parametrize(
    ("fields", "price"),
    [
        ("price: {input: 1, output: 2}", 1.0),
        ("price: {input: 1, output: 2}, prices: {deepseek-flash: {input: 3, output: 4}}", 3.0),
        ("prices: {deepseek-chat: {input: 5, output: 6}}", 5.0),
        ("prices: {other: {input: 5, output: 6}}", 0.3),
    ],
)
def test_the_files_price_wins_over_the_catalogues(fields: str, price: float) -> None:
    wiring = wired(f"pools: {{d: {{upstream: deepseek, {fields}}}}}\nroutes: [{{model: deepseek-flash, tiers: [[d]]}}]")
    found = wiring.policy.targets[0].price
    assert found is not None
    assert found.input_usd_per_mtok == price


def test_a_price_of_a_local_pool_is_kept() -> None:
    wiring = wired(
        "pools: {e: {engine: llamacpp, model: m, price: {input: 1, output: 2}}}\nroutes: [{model: x, tiers: [[e]]}]"
    )
    assert wiring.policy.targets[0].price == Price(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0)


def test_a_route_of_several_names_becomes_one_route_each_with_its_promises() -> None:
    wiring = wired(
        "pools: {e: {engine: llamacpp, model: m}}\nscheduling: {priorities: 5, default_output_tokens: 9}\n"
        "breaker: {open: 1s, min_count: 2}\n"
        "routes: [{model: [a, b], tiers: [[e]], slo: {ttft: 1s, tpot: 50ms}, deadline: 5s, queue_limit: 0,"
        " max_attempts: 2, local_only: true}]"
    )
    assert [route.pattern for route in wiring.policy.routes] == ["a", "b"]
    route = wiring.policy.routes[1]
    assert route.slo == Slo(ttft_s=1.0, tpot_s=0.05)
    assert (route.deadline_s, route.queue_limit, route.max_attempts, route.local_only) == (5.0, 0, 2, True)
    assert (wiring.policy.priorities, wiring.policy.default_output_tokens) == (5, 9)
    assert (wiring.policy.breaker.open_s, wiring.policy.breaker.min_count) == (1.0, 2)


def test_the_defaults_of_schema_and_core_are_the_same() -> None:
    policy = compile_config(Config(), FACTS).policy
    assert policy == type(policy)(targets=(), routes=())
    compiled = wired("pools: {e: {engine: llamacpp, model: m}}\nroutes: [{model: a, tiers: [[e]]}]").policy.routes[0]
    assert compiled == type(compiled)(pattern="a", tiers=compiled.tiers)


def test_plain_numbers_reach_the_core() -> None:
    policy = wired(UPSTREAM).policy
    assert type(policy.routes[0].deadline_s) is float
    assert type(policy.breaker.window_s) is float
    assert type(MIB) is int


def test_an_unsound_configuration_made_in_code_is_refused_too() -> None:
    with pytest.raises(ConfigError, match="there is no pool 'x'"):
        compile_config(Config(routes=(RouteConfig(model="m", tiers=(("x",),)),)), FACTS)


KEYS = """\
server:
  api_keys:
    - env:A
    - {key: env:B, name: bob, team: red, weight: 2, models: [m], limits: {concurrency: 3}, budget: {day: 4}}
    - {key: env:C, name: carol, local_only: true, budget: {hour: 1}}
"""
TWO = "pools:\n  gpu: {attach: vllm, url: 'http://127.0.0.1:1'}\n  ds: {upstream: deepseek%s}\n"
M = "routes:\n  - {model: [m, deepseek-flash], tiers: [[gpu], [ds]]}\n"
PRICED = ", price: {input: 1, output: 2}"


def test_keys_become_clients_only_where_they_are_more_than_keys() -> None:
    policy = wired(KEYS + TWO % PRICED + M).policy
    assert policy.clients == (
        Client(
            key_id="bob",
            team="red",
            weight=2.0,
            models=("m",),
            limits=Limits(concurrency=3, budgets=(Budget(usd=4.0, window=Window.DAY),)),
        ),
        Client(key_id="carol", local_only=True, limits=Limits(budgets=(Budget(usd=1.0, window=Window.HOUR),))),
    )


def test_each_key_that_has_no_limits_of_its_own_gets_those_of_each_key() -> None:
    each = "limits: {each_key: {requests_per_minute: 60, burst: 5s, budget: {month: 9}}}\n"
    clients = {client.key_id: client for client in wired(KEYS + each + TWO % PRICED + M).policy.clients}
    month = (Budget(usd=9.0, window=Window.MONTH),)
    assert clients["key-1"].limits == Limits(requests_per_minute=60, burst_s=5.0, budgets=month)
    assert clients["bob"].limits == Limits(concurrency=3, budgets=(Budget(usd=4.0, window=Window.DAY),))
    assert clients["carol"].limits == Limits(
        requests_per_minute=60, burst_s=5.0, budgets=(Budget(usd=1.0, window=Window.HOUR),)
    )


def test_without_keys_everybody_is_one_client_if_that_is_limited() -> None:
    each = "limits: {each_key: {tokens_per_minute: 1000}}\n"
    assert wired(each + TWO % "" + M).policy.clients == (Client(key_id="", limits=Limits(tokens_per_minute=1000)),)
    assert wired("limits: {each_key: {}}\n" + TWO % "" + M).policy.clients == ()
    assert wired(TWO % "" + M).policy.clients == ()


def test_teams_and_models_are_limited_by_name() -> None:
    limits = "limits:\n  teams: {red: {concurrency: 5}}\n  models: {m: {requests_per_minute: 6}}\n"
    policy = wired(KEYS + limits + TWO % PRICED + M).policy
    assert policy.teams == (Shared(name="red", limits=Limits(concurrency=5)),)
    assert [route.limits for route in policy.routes] == [Limits(requests_per_minute=6), None]
    assert wired(KEYS + "limits: {teams: {red: {}}}\n" + TWO % PRICED + M).policy.teams == ()


def test_a_providers_rates_slots_and_budget_reach_its_targets() -> None:
    fields = ", limits: {requests_per_minute: 60, concurrency: 7}, budget: {month: 50}"
    wiring = wired(TWO % (PRICED + fields) + M)
    target = spec(wiring, "ds/default/deepseek-flash")
    assert (target.slots, target.account, target.is_adaptive) == (7, "ds/default", False)
    assert target.limits == Limits(requests_per_minute=60, burst_s=10.0)
    month = Limits(budgets=(Budget(usd=50.0, window=Window.MONTH),))
    assert wiring.policy.accounts == (Shared(name="ds/default", limits=month),)
    assert spec(wired(TWO % ", limits: {concurrency: 7}" + M), "ds/default/deepseek-flash").limits is None


def test_hosts_that_move_their_limits_are_adaptive_unless_the_file_says_otherwise() -> None:
    text = "pools:\n  t: {upstream: %s%s}\nroutes:\n  - {model: m, tiers: [[t]]}\n"
    found = [
        wired(text % fill).policy.targets[0].is_adaptive
        for fill in (
            ("together", ""),
            ("fireworks", ""),
            ("deepseek", ""),
            ("together", ", limits: {adaptive: false}"),
            ("deepseek", ", limits: {adaptive: true}"),
        )
    ]
    assert found == [True, True, False, False, True]


def test_reserved_slots_reach_the_core() -> None:
    assert wired("scheduling: {reserved: [2, 1]}\n" + TWO % "" + M).policy.reserved == (2, 1)


@pytest.mark.parametrize(
    "limits",
    [
        "limits: {each_key: {budget: {day: 1}}}\n",
        "limits: {models: {m: {budget: {day: 1}}}}\n",
        "server: {api_keys: [{key: env:A, budget: {day: 1}}]}\n",
    ],
)
def test_a_budget_needs_the_price_of_every_target(limits: str) -> None:
    with pytest.raises(ConfigError, match="the price of ds/default/m is not known, so no budget could be kept"):
        wired(limits + TWO % "" + M)
    wired(limits + TWO % PRICED + M)


def test_a_budget_asks_for_the_prices_of_those_it_bears_on_only() -> None:
    other = "  - {model: other, tiers: [[ds]]}\n"
    wired(
        "limits: {models: {m: {budget: {day: 1}}}}\n" + TWO % "" + "routes:\n  - {model: m, tiers: [[gpu]]}\n" + other
    )
    pools = TWO % "" + "  ow: {upstream: openai_compatible, base_url: 'https://a.example', price: {input: 1, output: 2}"
    account = ", accounts: [{name: a, api_key: env:K}], budget: {day: 1}}\n"
    wired(pools + account + "routes:\n  - {model: m, tiers: [[ow], [ds]]}\n")


def test_it_is_explained_who_may_use_how_much() -> None:
    limits = (
        "limits:\n  each_key: {tokens_per_minute: 9, budget: {hour: 1, month: 2.5}}\n  models: {m: {concurrency: 4}}\n"
    )
    said = explain(load_text(limits + TWO % PRICED + M, FACTS), FACTS)
    assert "all clients together: 9 tokens per minute, $1 per hour, $2.5 per month" in said
    assert "  all requests as m together: 4 requests at once" in said
    said = explain(load_text(KEYS + "limits: {teams: {red: {}}}\n" + TWO % PRICED + M, FACTS), FACTS)
    assert "key bob: team red; weight 2; models m; 3 requests at once, $4 per day" in said
    assert "key carol: local pools only; $1 per hour" in said
    assert "team red: no limits" in said
    assert not any("key-1" in line for line in said)
