"""The gateways that the suites run against: ``overspill serve``, once with the built-in model, once with a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.gateways import fake_engine, url_of
from tests.support.loops import run
from tests.support.processes import served

from overspill.gateway.rehearsal.speech import Script, ScriptedCall

PATIENCE_S = 900.0
_NAMES = ("gpt-6-astra", "*")
"""The models that the suites name: one is also looked up in the list, so it stands there by name."""
_SURFACES = ["chat", "completions", "embeddings"]
_CALL = ScriptedCall(name="get_weather", arguments={"location": "San Francisco, CA"})
_SCRIPT = Script(answer="The sky is blue.", reasoning="What colour is it?", calls=(_CALL,))


def _config(pool: dict[str, Any]) -> str:
    return json.dumps(
        {
            "server": {"port": 0},
            "pools": {"home": pool},
            "routes": [{"model": list(_NAMES), "tiers": [["home"]]}],
            "ledger": {"enabled": False},
        }
    )


def built_in(folder: Path, talk: Callable[[str], None]) -> None:
    """Serve the model that ships, on every surface, and run ``talk`` with the origin."""
    pool = {"engine": "llamacpp", "model": "builtin", "max_batch_size": 4, "threads": 1, "surfaces": _SURFACES}
    run(_serve(folder, _config(pool), talk), patience_s=PATIENCE_S)


def scripted(folder: Path, talk: Callable[[str], None]) -> None:
    """Serve an API in OpenAI's form that says what a script has it say."""

    async def main() -> None:
        async with fake_engine(script=_SCRIPT) as engine:
            pool = {
                "upstream": "openai_compatible",
                "base_url": f"{url_of(engine)}/v1",
                "accounts": [{"name": "main", "api_key": "env:CLOUD_KEY"}],
                "surfaces": _SURFACES,
            }
            await _serve(folder, _config(pool), talk)

    run(main(), patience_s=PATIENCE_S)


async def _serve(folder: Path, config: str, talk: Callable[[str], None]) -> None:
    async with served(folder, config=config, environ={"CLOUD_KEY": "sk-cloud"}) as gateway:
        await gateway.listening()
        await asyncio.to_thread(talk, f"http://{gateway.address}")


TARGETS: dict[str, Callable[[Path, Callable[[str], None]], None]] = {"built-in model": built_in, "script": scripted}
