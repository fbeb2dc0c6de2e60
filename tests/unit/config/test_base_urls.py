"""The address of a provider's pool: the catalogue's, another of its, or one of one's own, with every blank filled."""

from __future__ import annotations

import json
from typing import Any

import pytest

from overspill.config.compile import CompiledTarget, compile_config
from overspill.config.load import load_text
from overspill.errors import ConfigError
from overspill.pools.facts import load_facts
from overspill.wire.form import ThinkingForm

FACTS = load_facts()
ACCOUNTS = [{"name": "a", "api_key": "env:K"}]


def compiled(upstream: str, **pool: Any) -> CompiledTarget:
    pools = {"p": {"upstream": upstream, "accounts": ACCOUNTS} | pool}
    text = json.dumps({"pools": pools, "routes": [{"model": "m", "tiers": [["p"]]}]})
    (target,) = compile_config(load_text(text, FACTS, file="o.yaml"), FACTS).targets
    return target


def address(upstream: str, **pool: Any) -> str:
    origin = compiled(upstream, **pool).origin
    assert origin is not None
    return f"{origin.scheme}://{origin.host}{origin.prefix.decode()}"


@pytest.mark.parametrize(
    ("upstream", "pool", "url"),
    [
        ("deepseek", {}, "https://api.deepseek.com"),
        ("siliconflow", {"base_url": "intl"}, "https://api.siliconflow.com/v1"),
        ("tencent_tokenhub", {"base_url": "backup_cn"}, "https://tokenhub.tencentcloudmaas.tech/v1"),
        ("deepseek", {"base_url": "https://proxy.example.com/ds"}, "https://proxy.example.com/ds"),
        (
            "azure_foundry",
            {"variables": {"resource": "mine"}},
            "https://mine.services.ai.azure.com/openai/v1",
        ),
        (
            "aws_bedrock",
            {"base_url": "mantle", "variables": {"region": "us-east-1"}},
            "https://bedrock-mantle.us-east-1.api.aws/v1",
        ),
        (
            "aliyun_bailian",
            {"base_url": "workspace_sg", "variables": {"WorkspaceId": "ws1"}},
            "https://ws1.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1",
        ),
        (
            "openai_compatible",
            {"base_url": "https://{region}.example.com/v1", "variables": {"region": "eu"}},
            "https://eu.example.com/v1",
        ),
    ],
)
def test_the_address_is_the_one_that_is_meant(upstream: str, pool: dict[str, Any], url: str) -> None:
    assert address(upstream, **pool) == url


@pytest.mark.parametrize(
    ("upstream", "pool", "message"),
    [
        ("azure_foundry", {}, r"Azure AI Foundry is https://\{resource\}.*write variables: \{resource: ...\}"),
        ("azure_foundry", {"variables": {"resorce": "x", "resource": "x"}}, r"'resorce' fills nothing.*'resource'"),
        ("deepseek", {"variables": {"region": "x"}}, "the address https://api.deepseek.com has no placeholders"),
        ("azure_foundry", {"variables": {"resource": "x/y"}}, "'x/y' cannot stand in an address"),
        ("siliconflow", {"base_url": "int"}, r"'int' must begin with .*did you mean 'intl'.*also has ap, intl"),
        ("deepseek", {"base_url": "proxy"}, "'proxy' must begin with http:// or https://$"),
        ("aws_bedrock", {"base_url": "http://x.example.com"}, "would send your key and prompts unencrypted"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(upstream: str, pool: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        address(upstream, **pool)


def test_how_a_host_differs_goes_to_its_targets() -> None:
    azure = compiled("azure_foundry", variables={"resource": "x"}).dialect
    assert (azure.auth, azure.allowed_fields, azure.key_expires) == ("api-key", frozenset(), False)
    huawei = compiled("huawei_maas").dialect
    assert "messages" in huawei.allowed_fields
    assert "user" not in huawei.allowed_fields
    assert compiled("huawei_maas").form.thinking is ThinkingForm.DEEPSEEK
    assert compiled("openai_compatible", base_url="https://x.example.com").dialect.auth == "bearer"


def test_a_token_that_expires_must_come_from_a_file() -> None:
    place = {"project": "p", "region": "us-central1"}
    with pytest.raises(ConfigError, match="takes a token that expires, and env:K is read only at the start"):
        compiled("google_vertex", variables=place)
    accounts = [{"name": "a", "api_key": "file:/run/token"}]
    target = compiled("google_vertex", variables=place, accounts=accounts)
    assert target.dialect.key_expires
