"""Packages for Node.js, each driven by a script in ``tests/clients/node``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.clients.drivers import processes
from tests.clients.said import Said
from tests.clients.stage import MODEL, TOOL, WEATHER

FOLDER = Path("tests/clients").resolve()
NODE = shutil.which("node") if (FOLDER / "node_modules").is_dir() else None
MISSING = "Node.js or npm is missing: install Node.js 20 or newer, with npm, and run `make test-clients` again"


class NodeClient:
    """A package; its script reads one JSON document and writes one."""

    shows_reasoning = True

    def __init__(self, name: str, package: str, script: str, api: str) -> None:
        self.name = name
        self.api = api
        self._package = package
        self._script = script

    def version(self) -> str:
        return json.loads((FOLDER / "node_modules" / self._package / "package.json").read_text())["version"]

    def whole(self, url: str, question: str) -> Said:
        return self._run("whole", url, question)

    def stream(self, url: str, question: str) -> Said:
        return self._run("stream", url, question)

    def with_tool(self, url: str, question: str) -> Said:
        return self._run("tool", url, question)

    def _run(self, what: str, url: str, question: str) -> Said:
        assert NODE is not None
        order = {"what": what, "url": url, "model": MODEL, "question": question, "tool": TOOL, "result": WEATHER}
        done = processes.run((NODE, f"node/{self._script}", json.dumps(order)), FOLDER)
        assert done.code == 0, done.err
        return Said(**json.loads(done.out))


OPENAI = NodeClient("openai-node", "openai", "openai.mjs", "Chat Completions")
ANTHROPIC = NodeClient("anthropic-node", "@anthropic-ai/sdk", "anthropic.mjs", "Messages")
