"""Adapters that other packages offer, named in a configuration: installed for the test as pip would."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.gateways import address_of, chat, serving, text_of, upstream
from tests.support.loops import run
from tests.support.packages import install
from tests.support.raw_client import ask
from tests.support.scripted_upstream import scripted

from overspill.config.compile import Wiring, compile_config
from overspill.config.load import load_text
from overspill.core.types import Surface
from overspill.errors import ConfigError
from overspill.pools.facts import load_facts

ACME = """
    from overspill.core.types import Surface
    from overspill.pools.engines.fake import FakeEngine
    from overspill.pools.engines.openai_server import AttachedServer
    from overspill.pools.upstreams.openai_compat import OpenAICompatible

    class Turbine(FakeEngine):
        kind = "turbine"

    class Box(AttachedServer):
        kind = "box"
        default_slots = 6
        surfaces = (Surface.EMBEDDINGS,)

    class Cloud(OpenAICompatible):
        kind = "acme"
        surfaces = (Surface.CHAT,)

    class Old:
        kind = "old"

    class Torn:
        def __init__(self):
            raise ZeroDivisionError("no licence")
"""
POINTS = {
    "overspill.engines": {"turbine": "acme_llm:Turbine", "llamacpp": "acme_llm:Turbine", "torn": "acme_llm:Torn"},
    "overspill.attached_engines": {"box": "acme_llm:Box", "old": "acme_llm:Old"},
    "overspill.upstreams": {"acme": "acme_llm:Cloud", "gone": "acme_no_such_module:Cloud"},
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site-packages"
    install(folder, "acme_llm", ACME, POINTS)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "acme_llm", raising=False)
    return folder


def wired(pool: str) -> Wiring:
    facts = load_facts()
    return compile_config(load_text(f"pools: {{x: {{{pool}}}}}\nroutes: [{{model: m, tiers: [[x]]}}]\n", facts), facts)


def complaint(pool: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_text(f"pools:\n  x: {{{pool}}}\nroutes: [{{model: m, tiers: [[x]]}}]\n", load_facts(), file="o.yaml")
    return str(caught.value)


def test_each_role_of_a_pool_takes_an_installed_adapter(installed: Path) -> None:
    engine = wired("engine: turbine, model: builtin")
    assert (engine.targets[0].kind, engine.policy.targets[0].slots) == ("turbine", 32)
    box = wired("attach: box, url: 'http://127.0.0.1:1'")
    assert (box.targets[0].kind, box.policy.targets[0].slots) == ("box", 6)
    assert box.policy.targets[0].surfaces == (Surface.EMBEDDINGS,)
    cloud = wired("upstream: acme, base_url: 'https://a.example', accounts: [{name: a, api_key: 'env:K'}]")
    assert (cloud.targets[0].kind, cloud.policy.targets[0].surfaces) == ("acme", (Surface.CHAT,))
    assert installed.is_dir()


@pytest.mark.usefixtures("installed")
def test_an_installed_adapter_cannot_take_a_name_of_ours() -> None:
    assert type(load_facts().engine("llamacpp")).__name__ == "EmbeddedLlamaCpp"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ("engine: turbin, model: m", "o.yaml:2: pools.x.engine: unknown engine 'turbin' (did you mean 'turbine'?)"),
        ("engine: lamacpp, model: m", "(did you mean 'llamacpp'?); known: fake, llamacpp, torn, turbine"),
        ("attach: vlm, url: 'http://h:1'", "o.yaml:2: pools.x.attach: unknown kind of server to attach 'vlm' (did you"),
        ("upstream: acmee", "o.yaml:2: pools.x.upstream: no provider 'acmee' (did you mean 'acme'?)"),
        ("upstream: acme", "o.yaml:2: pools.x: acme needs base_url, for example https://api.example.com/v1"),
    ],
)
def test_a_name_that_nobody_offers_is_answered_with_the_nearest_of_all_that_are_there(pool: str, message: str) -> None:
    assert message in complaint(pool)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (
            "engine: torn, model: m",
            "the engine 'torn' of acme_llm cannot be loaded: ZeroDivisionError('no licence'); update or remove that",
        ),
        (
            "upstream: gone, base_url: 'https://a.example'",
            "o.yaml:2: pools.x.upstream: the upstream 'gone' of acme_llm cannot be loaded: ModuleNotFoundError(",
        ),
        (
            "attach: old, url: 'http://h:1'",
            "the kind of server to attach 'old' of acme_llm lacks cancels_only_streams, ",
        ),
    ],
)
def test_a_package_whose_adapter_does_not_work_is_named_with_the_reason(pool: str, message: str) -> None:
    assert message in complaint(pool)


def _modules_after(folder: Path, pool: str) -> list[str]:
    """Load a configuration in a new process and say which of the package's modules that took."""
    code = (
        "import sys, json\n"
        "from overspill.config.load import load_text\n"
        "from overspill.pools.facts import load_facts\n"
        f"load_text('pools: {{x: {{{pool}}}}}\\nroutes: [{{model: m, tiers: [[x]]}}]', load_facts())\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('acme')]))"
    )
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    return list(json.loads(done.stdout))


def test_a_package_is_imported_only_when_a_pool_names_it(installed: Path) -> None:
    assert _modules_after(installed, "attach: vllm, url: http://h:1") == []
    assert _modules_after(installed, "attach: box, url: http://h:1") == ["acme_llm"]


@pytest.mark.usefixtures("installed")
def test_a_request_runs_on_an_upstream_of_another_package() -> None:
    async def main() -> None:
        async with scripted() as there:
            pool = {**upstream(there.url), "upstream": "acme", "local": True}
            async with serving(text_of({"x": pool})) as gateway:
                asked = asyncio.create_task(ask(address_of(gateway), chat()))
                call = await there.call()
                assert call.json()["model"] == "m"
                assert "authorization: bearer sk-cloud" in call.head.lower()
                call.reply(200, {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})
                assert (await asked).status == 200

    run(main())
