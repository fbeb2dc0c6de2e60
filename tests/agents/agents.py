"""Agents that work in a folder, run without a terminal, as their documentation shows; updates and telemetry off.

``url`` is the base URL of OpenAI's API, with ``/v1``. Each run has an empty home of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.clients.drivers import processes
from tests.clients.drivers.processes import Ended
from tests.clients.stage import MODEL

BIN = Path("tests/agents/node_modules/.bin").resolve()
AIDER = Path(".venv-agents/bin/aider").resolve()
NOTE = "note.txt"
_KEY = "sk-test"


class Agent:
    """How one is installed and asked."""

    name: str
    package: str
    reads: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    """A tool of its that reads the note → arguments, where ``{note}`` is the note's path; empty if it has no tools."""

    def version(self) -> str:
        return str(json.loads((BIN.parent / self.package / "package.json").read_text())["version"])

    def is_installed(self) -> bool:
        return (BIN.parent / self.package).is_dir()

    def ask(self, url: str, folder: Path, prompt: str, longest_s: float = processes.LONGEST_S) -> Ended:
        raise NotImplementedError


class ClaudeCode(Agent):
    name = "Claude Code"
    package = "@anthropic-ai/claude-code"
    reads = MappingProxyType({"Read": {"file_path": "{note}"}})

    def ask(self, url: str, folder: Path, prompt: str, longest_s: float = processes.LONGEST_S) -> Ended:
        environ = {
            "ANTHROPIC_BASE_URL": url.removesuffix("/v1"),
            "ANTHROPIC_AUTH_TOKEN": _KEY,
            "ANTHROPIC_MODEL": MODEL,
            "ANTHROPIC_SMALL_FAST_MODEL": MODEL,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        command = (str(BIN / "claude"), "-p", prompt, "--allowedTools", "Read")
        return processes.run(command, folder, environ=environ, longest_s=longest_s)


class Codex(Agent):
    name = "Codex"
    package = "@openai/codex"
    reads = MappingProxyType({"exec_command": {"cmd": "cat {note}"}, "shell_command": {"command": "cat {note}"}})

    def ask(self, url: str, folder: Path, prompt: str, longest_s: float = processes.LONGEST_S) -> Ended:
        home = folder / ".codex"
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(
            f'model = "{MODEL}"\nmodel_provider = "overspill"\ncheck_for_update_on_startup = false\n'
            "[analytics]\nenabled = false\n"
            f'[model_providers.overspill]\nname = "Overspill"\nbase_url = "{url}"\nenv_key = "OVERSPILL_KEY"\n'
            'wire_api = "responses"\n'
        )
        command = (
            *(str(BIN / "codex"), "exec", "--skip-git-repo-check"),
            *("--dangerously-bypass-approvals-and-sandbox", prompt),
        )
        return processes.run(command, folder, environ={"OVERSPILL_KEY": _KEY}, longest_s=longest_s)


class QwenCode(Agent):
    name = "qwen-code"
    package = "@qwen-code/qwen-code"
    reads = MappingProxyType({"read_file": {"file_path": "{note}"}})

    def ask(self, url: str, folder: Path, prompt: str, longest_s: float = processes.LONGEST_S) -> Ended:
        environ = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": _KEY, "OPENAI_MODEL": MODEL}
        settings = folder / ".qwen" / "settings.json"
        settings.parent.mkdir(exist_ok=True)
        off = {"general": {"disableAutoUpdate": True}, "privacy": {"usageStatisticsEnabled": False}}
        # It would ask again by itself, to keep in mind what was said.
        memory = {"enableManagedAutoMemory": False, "enableManagedAutoDream": False}
        settings.write_text(json.dumps({**off, "telemetry": {"enabled": False}, "memory": memory}))
        command = (str(BIN / "qwen"), "--auth-type", "openai", "--approval-mode", "yolo", "-p", prompt)
        return processes.run(command, folder, environ=environ, longest_s=longest_s)


class Aider(Agent):
    name = "aider"
    package = "aider-chat"

    def version(self) -> str:
        return processes.run((str(AIDER), "--version"), Path("/tmp"), longest_s=60).out.split()[-1]

    def is_installed(self) -> bool:
        return AIDER.exists()

    def ask(self, url: str, folder: Path, prompt: str, longest_s: float = processes.LONGEST_S) -> Ended:
        prices = folder / ".aider" / "caches" / "model_prices_and_context_window.json"
        prices.parent.mkdir(parents=True, exist_ok=True)
        prices.write_text("{}")  # it looks there before it looks on the net
        environ = {"OPENAI_API_BASE": url, "OPENAI_API_KEY": _KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        command = (
            *(str(AIDER), "--model", f"openai/{MODEL}", "--message", prompt, "--yes-always", "--no-git"),
            *("--no-check-update", "--analytics-disable", "--no-show-model-warnings", "--no-show-release-notes"),
            *("--no-pretty", "--no-fancy-input", "--no-gitignore", NOTE),
        )
        return processes.run(command, folder, environ=environ, longest_s=longest_s)


AGENTS: tuple[Agent, ...] = (ClaudeCode(), Codex(), QwenCode(), Aider())
