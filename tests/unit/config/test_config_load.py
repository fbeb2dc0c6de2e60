"""Reading a configuration: sources, order, and errors that say where and what instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from overspill.config.decode import plain
from overspill.config.keys import keys_of
from overspill.config.load import load_file, load_text, with_overrides
from overspill.config.schema import AttachPool, Config, EnginePool, ServerConfig, UpstreamPool
from overspill.errors import ConfigError
from overspill.pools.facts import load_facts

FACTS = load_facts()
POOL = "pools:\n  local:\n    engine: llamacpp\n    model: m.gguf\n"
ROUTE = "routes:\n  - model: m\n    tiers: [[local]]\n"


def read(text: str, *settings: str, **environ: str) -> Config:
    return load_text(text, FACTS, file="o.yaml", settings=settings, environ=environ)


def complaint(text: str, *settings: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, *settings, **environ)
    return str(caught.value)


def test_an_empty_file_gives_the_defaults() -> None:
    assert read("") == read("# nothing\n") == Config()
    assert Config().server.host == "127.0.0.1"
    assert Config().server.port == 8788


def test_a_section_whose_lines_are_all_comments_gives_its_defaults() -> None:
    assert read("server:\n  limits:\n    # max_body: 1MiB\nledger:\n") == Config()


def test_each_kind_of_pool_is_told_by_its_key() -> None:
    config = read(
        "pools:\n  a: {engine: llamacpp, model: m}\n  b: {attach: ollama, url: 'http://localhost:11434'}\n"
        "  c: {upstream: deepseek}\nroutes: [{model: m, tiers: [[a], [b, {pool: c, model: deepseek-flash}]]}]\n"
    )
    assert [type(pool) for pool in config.pools.values()] == [EnginePool, AttachPool, UpstreamPool]


def test_durations_and_sizes_are_read_as_people_write_them() -> None:
    config = read("server: {drain_timeout: 500ms, limits: {max_body: 8MiB, idle_timeout: 90}}\nbreaker: {open: 1.5m}")
    assert config.server.drain_timeout == 0.5
    assert config.server.limits.max_body == 8 * 1024**2
    assert config.server.limits.idle_timeout == 90.0
    assert config.breaker.open == 90.0


def test_later_sources_win_over_earlier_ones() -> None:
    text = "server: {host: localhost, port: 1}"
    assert read(text).server.port == 1
    assert read(text, OVERSPILL_PORT="2").server.port == 2
    assert read(text, "server.port=3", OVERSPILL_PORT="2").server.port == 3
    assert read(text, "server.port=3", "server.port=4").server.port == 4
    assert read(text, OVERSPILL_HOST="::1", OVERSPILL_PORT="").server.host == "::1"


def test_set_reaches_lists_and_makes_missing_sections() -> None:
    config = read(POOL + ROUTE, "routes.0.slo.ttft=250ms", "routes.0.local_only=true", "ledger.store_bodies=true")
    assert config.routes[0].slo.ttft == 0.25
    assert config.routes[0].local_only
    assert config.ledger.store_bodies
    added = read("", "pools.x={attach: vllm, url: 'http://localhost:1'}", "routes=[{model: m, tiers: [[x]]}]")
    assert list(added.pools) == ["x"]
    assert read("", "ledger.path=").ledger.path == ""


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("server.port", "write it as key.key=value"),
        ("=3", "write it as key.key=value"),
        ("server..port=3", "empty part"),
        ("server.port=abc", "--set server.port: server.port: expected a whole number, got text"),
        ("server.prot=3", "--set server.prot: server.prot: unknown key 'prot' (did you mean 'port'?)"),
        ("routes.1.slo.ttft=1s", "there is no entry 1; the list has 1"),
        ("routes.x=1", "routes is a list"),
        ("pools.local.model.x=1", "pools.local.model is a single value"),
        ("server.port=[", "--set server.port:1: not YAML"),
        ("server.host=0.0.0.0", "--set server.host: server.host: 0.0.0.0 can be reached from other machines"),
    ],
)
def test_a_wrong_set_is_named_as_such(setting: str, message: str) -> None:
    assert message in complaint(POOL + ROUTE, setting)


def test_a_wrong_variable_is_named_as_such() -> None:
    assert complaint("", OVERSPILL_PORT="many").startswith("OVERSPILL_PORT: server.port: expected a whole number")
    assert "OVERSPILL_HOST: server.host: 0.0.0.0 can be reached" in complaint("", OVERSPILL_HOST="0.0.0.0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "server:\n  prot: 1\n",
            "o.yaml:2: server.prot: unknown key 'prot' (did you mean 'port'?); known here: allowed_",
        ),
        ("sever: {}\n", "o.yaml:1: sever: unknown key 'sever' (did you mean 'server'?)"),
        ("server:\n  port: x\n", "o.yaml:2: server.port: expected a whole number, got text"),
        ("server:\n  port: 70000\n", "o.yaml:2: server.port: expected a whole number <= 65535"),
        ("server: []\n", "o.yaml:1: server: expected a mapping, got a list"),
        (
            "log:\n  level: inf\n",
            "o.yaml:2: log.level: 'inf' is not possible here (did you mean 'info'?); choose debug",
        ),
        ("server:\n  drain_timeout: 0s\n", "o.yaml:2: server.drain_timeout: expected a duration above zero, got 0s"),
        ("server:\n  drain_timeout: [1]\n", "o.yaml:2: server.drain_timeout: expected a duration such as 250ms"),
        ("server:\n  limits:\n    max_body: 1XB\n", "o.yaml:3: server.limits.max_body: '1XB' is not a size"),
        (f"{POOL}routes:\n  - tiers: [[local]]\n", "o.yaml:6: routes[0]: the key 'model' is missing"),
        (
            f"{POOL}routes:\n  - model: m\n    tiers:\n      - - {{pol: local}}\n",
            "unknown key 'pol' (did you mean 'pool'?)",
        ),
        (
            "pools:\n  x:\n    attach: vlm\n    url: u\n",
            "o.yaml:3: pools.x.attach: unknown kind of server to attach 'vlm' (did you mean 'vllm'?); known: ",
        ),
        ("pools:\n  x:\n    attach: vllm\n", "o.yaml:2: pools.x: the key 'url' is missing"),
        ("pools:\n  x:\n    upstream: deepseek\n    surfaces: [chatt]\n", "'chatt' is not possible here (did you mean"),
        ("pools:\n  x:\n    engin: llamacpp\n", "o.yaml:2: pools.x: a pool has exactly one of the keys engine"),
        ("pools:\n  x:\n    engin: llamacpp\n", "this one has none (did you mean 'engine'?)"),
        ("pools:\n  x: {attach: vllm, upstream: deepseek}\n", "this one has attach and upstream"),
        ("pools:\n  x: {engine: llamacpp, model: m, role: engine}\n", "pools.x.role: unknown key 'role'"),
        ("pools:\n  x: 3\n", "o.yaml:2: pools.x: expected a mapping with one of the keys"),
        ("pools:\n  a/b: {upstream: deepseek}\n", "'a/b' is no name for a pool"),
        ("pools: [x]\n", "o.yaml:1: pools: expected a mapping from a pool's name"),
        ("- server\n", "o.yaml:1: the configuration must be a mapping"),
    ],
)
def test_an_error_names_file_line_and_what_to_write_instead(text: str, message: str) -> None:
    assert message in complaint(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\n", "o.yaml:2: not YAML"),
        ("a: 'x\n", "not YAML"),
        ("a: \x01\n", "o.yaml: not YAML"),
        ("a: 1\nb: 2\na: 3\n", "o.yaml:3: the key 'a' stands twice, first on line 1; remove one"),
        ("server:\n  port: 1\n  port: 2\n", "o.yaml:3: the key 'port' stands twice, first on line 2"),
        ("? [a]\n: 1\n", "a key must be text"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "merging with << is not supported"),
        ("a: &x [*x]\n", "nested too deeply"),
        ("a: !!python/object/apply:os.system [ls]\n", "unknown key"),
        ("a: !!python/name:os.system x\n", "not YAML"),
        ("--- {}\n--- {}\n", "not YAML"),
        ("server: {port: 2026-99-99}\n", "not YAML"),
    ],
)
def test_text_that_is_not_plain_yaml_is_refused(text: str, message: str) -> None:
    assert message in complaint(text)


def test_many_aliases_cannot_blow_up_memory() -> None:
    text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True):
        text += f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    assert "too large" in complaint(text)


@pytest.mark.parametrize(
    "line",
    ["accounts: [{name: a, api_key: sk-live-123}]", "accounts: [{name: a, api_key: 'env:'}]"],
)
def test_a_key_in_the_file_is_refused_and_never_repeated(line: str) -> None:
    said = complaint(f"pools:\n  d:\n    upstream: deepseek\n    {line}\n")
    assert "o.yaml:4: pools.d.accounts[0].api_key: a key must not stand in the configuration" in said
    assert "env:NAME or file:PATH" in said
    assert "sk-live" not in said


def test_a_client_key_in_the_file_is_refused_and_never_repeated() -> None:
    said = complaint("server:\n  api_keys: [sk-live-123]\n")
    assert "server.api_keys[0]: a key must not stand in the configuration" in said
    assert "sk-live" not in said


def test_client_keys_may_be_named_or_hashed() -> None:
    keys = ["env:A", "file:/run/key", "sha256:" + "0" * 64]
    assert list(read(f"server: {{host: 0.0.0.0, api_keys: {keys}}}").server.api_keys) == keys


def test_a_client_key_may_be_an_entry_that_says_more() -> None:
    text = "server: {api_keys: [env:A, {key: env:B, local_only: true}, {key: env:C, name: carol, team: red}]}"
    keys = keys_of(read(text))
    assert [key_id for key_id, _ in keys] == ["key-1", "key-2", "carol"]
    assert [entry.local_only for _, entry in keys] == [False, True, False]
    assert [str(entry.key) for _, entry in keys] == ["env:A", "env:B", "env:C"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("{key: sk-live-123}", "server.api_keys[0].key: a key must not stand in the configuration"),
        ("{name: a}", "server.api_keys[0]: the key 'key' is missing"),
        ("{key: env:A, wieght: 2}", "server.api_keys[0].wieght: unknown key 'wieght' (did you mean 'weight'?)"),
        ("{key: env:A, weight: 0}", "server.api_keys[0].weight: expected a number > 0"),
        ("7", "server.api_keys[0]: expected text or a mapping, got a whole number"),
        ("{key: env:A, name: key-3}", "server.api_keys[0].name: 'key-3' is what a key without a name is called"),
        ("{key: env:A, name: a}, {key: env:B, name: a}", "server.api_keys[1].name: the name 'a' stands twice"),
    ],
)
def test_an_entry_for_a_key_is_checked(keys: str, said: str) -> None:
    text = f"server: {{api_keys: [{keys}]}}"
    assert said in complaint(text)
    assert "sk-live" not in complaint(text)


def test_a_mapping_of_sections_names_the_keys_that_its_entries_have() -> None:
    said = complaint("limits: {teams: {red: {requests_per_minite: 1}}}")
    assert "unknown key 'requests_per_minite' (did you mean 'requests_per_minute'?)" in said


def test_what_was_read_can_be_written_and_read_again() -> None:
    text = Path("examples/overspill.yaml").read_text(encoding="utf-8")
    config = read(text)
    assert with_overrides(config, FACTS) == config
    assert plain(Config()) == {}
    assert plain(config)["routes"][0]["slo"] == {"tpot": "100ms"}


def test_overrides_reach_a_configuration_that_no_file_gave() -> None:
    config = with_overrides(Config(), FACTS, settings=["server.port=5"], environ={"OVERSPILL_HOST": "::1"})
    assert (config.server.host, config.server.port) == ("::1", 5)


def test_an_error_that_no_override_caused_is_not_blamed_on_one() -> None:
    assert complaint("log: {level: x}", "server.port=3").startswith("o.yaml:1: log.level")
    with pytest.raises(ConfigError, match=r"^server\.host: 0\.0\.0\.0 can be reached"):
        with_overrides(Config(server=ServerConfig(host="0.0.0.0")), FACTS, settings=["server.port=3"])


def test_a_file_is_read_with_its_name_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "o.yaml"
    path.write_bytes(b"\xef\xbb\xbfserver: {port: 4}\n")
    assert load_file(path, FACTS).server.port == 4
    path.write_bytes(b"server: {port: no}\n")
    with pytest.raises(ConfigError, match=r"o\.yaml:1: server\.port: expected a whole number"):
        load_file(path, FACTS)


def test_a_file_that_cannot_be_a_configuration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "o.yaml"
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_file(path, FACTS)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_file(path, FACTS)
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="too large"):
        load_file(path, FACTS)
