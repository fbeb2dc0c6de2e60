"""What the schema cannot say: names that must exist, routes that must be reachable, addresses that must be safe."""

from __future__ import annotations

import pytest

from overspill.config.addresses import is_loopback, is_own, parse_origin
from overspill.config.compile import compile_config
from overspill.config.explain import describe_pool
from overspill.config.load import load_text
from overspill.errors import ConfigError
from overspill.pools.facts import load_facts
from overspill.wire.http import Origin

FACTS = load_facts()
POOLS = """\
pools:
  local: {engine: llamacpp, model: m.gguf}
  gpu: {attach: vllm, url: "http://10.0.0.5:8000", models: [big]}
  ds: {upstream: deepseek}
"""


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_text(text, FACTS, file="o.yaml")
    return str(caught.value)


def pool(fields: str) -> str:
    return complaint(f"pools:\n  x: {{{fields}}}\nroutes:\n  - {{model: m, tiers: [[x]]}}\n")


def routes(*rows: str) -> str:
    return complaint(POOLS + "routes:\n" + "".join(f"  - {{{row}}}\n" for row in rows))


def fine(*rows: str) -> None:
    load_text(POOLS + "routes:\n" + "".join(f"  - {{{row}}}\n" for row in rows), FACTS)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.com"])
def test_a_public_address_without_keys_is_refused(host: str) -> None:
    assert f"{host} can be reached from other machines" in complaint(f"server:\n  host: '{host}'\n")
    load_text(f"server:\n  host: '{host}'\n  api_keys: [env:K]\n", FACTS)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    load_text(f"server:\n  host: '{host}'\n", FACTS)


def test_an_allowed_host_is_a_name_or_an_address() -> None:
    load_text("server: {allowed_hosts: [a.example, 10.0.0.1, 'fd00::7']}", FACTS)
    assert "allowed_hosts[0]: 'a:80' must be a name or an address, without a port" in complaint(
        "server: {allowed_hosts: ['a:80']}"
    )
    assert "server.allowed_hosts[0]: expected text matching" in complaint("server: {allowed_hosts: ['http://a']}")


def test_certificate_and_key_belong_together() -> None:
    assert "tls_cert and tls_key belong together" in complaint("server: {tls_cert: a.pem}")
    load_text("server: {tls_cert: a.pem, tls_key: k.pem}", FACTS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            "upstream: deepsek",
            "no provider 'deepsek' (did you mean 'deepseek'?); known: openai_compatible, aliyun_bailian",
        ),
        ("engine: llamacpp", "o.yaml:2: pools.x: the key 'model' is missing: llamacpp needs a GGUF file's path"),
        ("upstream: openai_compatible", "openai_compatible needs base_url"),
        ("upstream: openai_compatible, base_url: 'https://'", "has no host"),
        ("upstream: openai_compatible, base_url: 'https://a.com'", "it has no accounts"),
        ("upstream: tencent_tokenhub", "it has no accounts, and no customary variable"),
        ("upstream: deepseek, local: true", "local: true would let local_only requests leave"),
        ("upstream: deepseek, base_url: 'http://a.com'", "would send your key and prompts unencrypted; use https://"),
        ("upstream: deepseek, base_url: 'ftp://a.com'", "must begin with http:// or https://"),
        (
            "upstream: deepseek, accounts: [{name: a, api_key: 'env:A'}, {name: a, api_key: 'env:B'}]",
            "the account 'a' stands twice",
        ),
        ("attach: vllm, url: []", "the list is empty"),
        ("attach: vllm, url: ['http://a:1', 'http://a:1']", "an address stands twice"),
        ("attach: vllm, url: 'a:1'", "must begin with http"),
        ("attach: vllm, url: 'http://u:p@a'", "must not carry a user name or password"),
        ("attach: vllm, url: 'http://a/?k=v'", "must not have a query"),
        ("attach: vllm, url: 'http://'", "has no host"),
        ("attach: vllm, url: 'http://a b'", "signs that a URL cannot have"),
        ("attach: vllm, url: 'http://a:x'", "o.yaml:2: pools.x.url"),
        ("upstream: deepseek, price: {input: 0, output: 1}", "expected a number > 0"),
    ],
)
def test_a_pool_that_cannot_work_or_leaks_is_refused(fields: str, message: str) -> None:
    assert message in pool(fields)


@pytest.mark.parametrize("fields", ["engine: fake", "engine: fake, model: whatever"])
def test_the_fake_engine_wants_no_model_and_looks_for_none(fields: str) -> None:
    config = load_text(f"pools: {{x: {{{fields}}}}}\nroutes: [{{model: m, tiers: [[x]]}}]\n", FACTS)
    options = compile_config(config, FACTS).targets[0].engine
    assert options is not None
    assert options.model is None


def test_a_pool_without_a_model_is_described_without_one() -> None:
    config = load_text("pools: {x: {engine: fake, max_batch_size: 4}}\nroutes: [{model: m, tiers: [[x]]}]\n", FACTS)
    assert describe_pool("x", config.pools["x"], FACTS) == "x: fake, 4 requests at once, local"


def test_a_password_in_a_url_is_not_repeated() -> None:
    assert "hunter2" not in pool("attach: vllm, url: 'http://u:hunter2@a'")


def test_pools_without_routes_are_refused() -> None:
    assert "there are pools but no routes" in complaint(POOLS)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "model: m, tiers: [[lokal]]",
            "o.yaml:6: routes[0].tiers[0][0]: there is no pool 'lokal' (did you mean 'local'?)",
        ),
        ("model: m, tiers: []", "it has no tiers"),
        ("model: m, tiers: [[]]", "it has no tiers"),
        ("model: m, tiers: [[local], []]", "this tier is empty"),
        ("model: m, tiers: [[local], [local]]", "'local' stands twice in this route"),
        ("model: [], tiers: [[local]]", "it names no model"),
        ("model: '', tiers: [[local]]", "it names no model"),
        ("model: m, tiers: [[ds]], local_only: true", "no tier of this route has a local pool"),
        (
            "model: m, tiers: [[gpu]]",
            "'gpu' does not list the model 'm'; write {pool: gpu, model: NAME} with one of big",
        ),
        ("model: m, tiers: [[{pool: gpu, model: bog}]]", "'gpu' does not list the model 'bog' (did you mean 'big'?)"),
    ],
)
def test_a_route_that_leads_nowhere_is_refused(row: str, message: str) -> None:
    assert message in routes(row)


def test_an_attached_pools_own_names_globs_and_renames_are_fine() -> None:
    fine("model: big, tiers: [[gpu]]", "model: 'x*', tiers: [[gpu]]", "model: y, tiers: [[{pool: gpu, model: big}]]")


def test_one_pool_may_stand_in_a_route_under_two_models() -> None:
    fine("model: m, tiers: [[{pool: ds, model: deepseek-v4-pro}], [{pool: ds, model: deepseek-flash}]]")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("m", "m"),
        ("*", "a*"),
        ("a*", "a*"),
        ("a*", "ab*"),
        ("a?c", "a?c"),
        ("a*c", "a?c"),
        ("*/*", "a/b*"),
        ("[*", "[a*"),
    ],
)
def test_a_route_that_an_earlier_one_shadows_is_refused(first: str, second: str) -> None:
    said = routes(f"model: '{first}', tiers: [[local]]", f"model: '{second}', tiers: [[local]]")
    assert f"routes[1].model: {second!r} is never reached: {first!r} of routes[0] comes first" in said


@pytest.mark.parametrize(
    ("first", "second"), [("*", "m"), ("a*", "*"), ("a?", "a*"), ("a*b", "a*"), ("ab*", "a*"), ("a.c*", "abc*")]
)
def test_routes_that_take_different_names_are_fine(first: str, second: str) -> None:
    fine(f"model: '{first}', tiers: [[local]]", f"model: '{second}', tiers: [[local]]")


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("192.168.0.9", True),
        ("fd00::1", True),
        ("fe80::1", True),
        ("gpu-box", True),
        ("gpu.lan", True),
        ("localhost", True),
        ("8.8.8.8", False),
        ("0.0.0.0", False),
        ("api.deepseek.com", False),
        ("lan.example.com", False),
        ("2606:4700::1", False),
    ],
)
def test_an_address_is_ones_own_only_if_that_is_sure(host: str, own: bool) -> None:
    assert is_own(host) is own


def test_a_url_is_read_into_its_parts() -> None:
    assert parse_origin("https://a.com/v1/") == Origin(scheme="https", host="a.com", port=443, prefix=b"/v1")
    assert parse_origin("http://[::1]:8000") == Origin(scheme="http", host="::1", port=8000)
    assert is_loopback("[::1]")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limits: {teams: {red: {concurrency: 1}}}", "limits.teams.red: no key is of the team 'red'; teams: none"),
        (
            "server: {api_keys: [{key: env:A, team: reds}]}\nlimits: {teams: {red: {concurrency: 1}}}",
            "no key is of the team 'red' (did you mean 'reds'?)",
        ),
        ("limits: {models: {mm: {concurrency: 1}}}", "limits.models.mm: no route is for 'mm'"),
        (
            "server: {api_keys: [{key: env:A, models: [n, 'big*', 'x*']}]}",
            "server.api_keys[0].models: no route serves 'n'; routes: big*, m",
        ),
    ],
)
def test_a_limit_that_nothing_is_held_to_is_a_slip(text: str, said: str) -> None:
    routes_of = "routes:\n  - {model: ['big*', m], tiers: [[local]]}\n"
    assert said in complaint(f"{text}\n{POOLS}{routes_of}")


def test_keys_may_name_what_routes_serve() -> None:
    keys = "server: {api_keys: [{key: env:A, models: [bigger, 'b*']}]}\n"
    load_text(keys + POOLS + "routes:\n  - {model: 'big*', tiers: [[local]]}\n", FACTS)


def test_the_requests_in_flight_of_a_provider_are_named_once() -> None:
    assert "it is the same as the pool's max_concurrency; write one of the two" in pool(
        "upstream: deepseek, max_concurrency: 3, limits: {concurrency: 4}"
    )
