"""Whatever is written is a configuration or a ``ConfigError``; whatever a target answers has a meaning."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from overspill.config.check import _covers
from overspill.config.compile import compile_config
from overspill.config.discover import Discovery, FoundServer, zero_config
from overspill.config.explain import explain
from overspill.config.load import load_text
from overspill.core.routing import RouteTable
from overspill.core.types import FailureKind
from overspill.errors import ConfigError
from overspill.pools.facts import load_facts
from overspill.pools.upstreams.classify import classify

FACTS = load_facts()
EXAMPLE = Path("examples/overspill.yaml").read_text(encoding="utf-8").splitlines()
KEYS = tuple(p.key_env for p in FACTS.providers if p.is_used_unasked and p.key_env is not None)
YAML_BITS = st.sampled_from(
    ["server:", "  port: 1", "pools:", "  a:", "    upstream: deepseek", "- x", "{", "&a", "*a", "\t", "? ", "|"]
)


def _said(text: str) -> str | None:
    """What the reader complains of; ``None`` if it takes the text."""
    try:
        load_text(text, FACTS, file="o.yaml")
    except ConfigError as error:
        return str(error)
    return None


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(YAML_BITS, max_size=8).map("\n".join)))
def test_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    assert _said(text) != ""


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(EXAMPLE) - 1), st.text(max_size=12))
def test_any_line_of_the_example_replaced_is_read_or_refused_with_a_sentence(index: int, line: str) -> None:
    text = "\n".join([*EXAMPLE[:index], line, *EXAMPLE[index + 1 :]])
    said = _said(text)
    assert said is None or said.startswith("o.yaml:")


GLOBS = st.text(alphabet="ab*?", min_size=1, max_size=5)


@settings(max_examples=400, deadline=None)
@given(GLOBS, GLOBS, st.text(alphabet="ab", max_size=5))
def test_a_glob_said_to_cover_another_matches_all_that_it_matches(first: str, second: str, name: str) -> None:
    def matches(glob: str) -> bool:
        return re.fullmatch(glob.replace("*", ".*").replace("?", "."), name) is not None

    if _covers(first, second) and matches(second):
        assert matches(first)


SERVERS = st.builds(
    FoundServer,
    kind=st.sampled_from(["vllm", "ollama", "llamacpp"]),
    url=st.just("http://127.0.0.1:1"),
    models=st.lists(
        st.sampled_from(
            ["deepseek-ai/DeepSeek-V4.1-Flash", "deepseek-v4-pro", "deepseek-chat", "m", "a/b", "overspill-tiny"]
        ),
        max_size=4,
        unique=True,
    ).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(SERVERS, max_size=3).map(tuple),
    st.lists(st.sampled_from(KEYS), unique=True).map(tuple),
    st.sampled_from([None, "builtin"]),
)
def test_whatever_is_found_makes_a_sound_configuration_in_which_local_models_run_locally_first(
    servers: tuple[FoundServer, ...], keys: tuple[str, ...], builtin: str | None
) -> None:
    config = zero_config(Discovery(servers=servers, key_names=keys, builtin_model=builtin), FACTS)
    policy = compile_config(config, FACTS).policy
    assert explain(config, FACTS)
    local = {target.target_id for target in policy.targets if target.is_local}
    table = RouteTable(policy.routes)
    for server in servers:
        for model in server.models:
            found = table.find(model)
            assert found is not None
            assert all(place.target_id in local for place in found.tiers[0])


@settings(max_examples=300, deadline=None)
@given(
    st.integers(100, 599),
    st.lists(
        st.tuples(st.sampled_from([b"retry-after", b"date", b"retry-after-ms"]), st.binary(max_size=40)), max_size=3
    ),
    st.one_of(st.binary(max_size=60), st.sampled_from([b'{"error":', b'[{"error":null}]', b'{"error":{"code":[1]}}'])),
)
def test_any_answer_gets_a_meaning(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    failure = classify(status, tuple(headers), body)
    assert isinstance(failure.kind, FailureKind)
    assert failure.retry_after_s is None or 0 <= failure.retry_after_s <= 3600
