"""``llm``, the command."""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.clients.drivers import processes
from tests.clients.said import Said
from tests.clients.stage import MODEL, TOOL, WEATHER

_FUNCTION = f"""def {TOOL}(city: str) -> str:
    "Get the weather of a city"
    assert city == "Chengdu"
    return {WEATHER!r}
"""


class LlmCommand:
    name = "llm"
    shows_reasoning = False
    api = "Chat Completions"

    def version(self) -> str:
        return version("llm")

    def whole(self, url: str, question: str) -> Said:
        return asked(url, "--no-stream", question)

    def stream(self, url: str, question: str) -> Said:
        return asked(url, question)

    def with_tool(self, url: str, question: str) -> Said:
        return asked(url, "--functions", _FUNCTION, question)


def asked(url: str, *arguments: str) -> Said:
    """Run it with a model of its ``extra-openai-models.yaml``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = {"model_id": "home", "model_name": MODEL, "api_base": url, "supports_tools": True}
        (folder / "extra-openai-models.yaml").write_text(json.dumps([model]))
        command = (str(Path(sys.executable).parent / "llm"), "prompt", "-m", "home", "--no-log", *arguments)
        done = processes.run(command, folder, environ={"LLM_USER_PATH": str(folder)})
    return Said(done.out.removesuffix("\n"), error=done.err if done.code else "")
