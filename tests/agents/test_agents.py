"""Agents ask a gateway: a prompt, a tool and its result, a stream cut in the middle, a busy provider."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.agents.agents import AGENTS, NOTE, Agent
from tests.clients import page
from tests.clients.stage import ANSWER, THOUGHT, staged, storming

from overspill.gateway.rehearsal.faults import CutAfterTokens, ErrorStatus
from overspill.gateway.rehearsal.speech import Script, ScriptedCall

PROMPT = f"What does {NOTE} say? Do not change it."
SECRET = "the key is under the mat"
PLAIN = Script(answer=ANSWER, reasoning=THOUGHT)
STORM = ErrorStatus(every=1, status=503)
PATIENCE_S = 45.0
"""How long one that goes on asking a busy provider is watched."""

EACH = pytest.mark.parametrize(
    "agent",
    [
        pytest.param(one, id=one.name, marks=pytest.mark.skipif(not one.is_installed(), reason="it is not installed"))
        for one in AGENTS
    ],
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / NOTE).write_text(f"{SECRET}\n")
    return tmp_path


def reading(agent: Agent, folder: Path) -> Script:
    """Return a script that reads the note with a tool of this agent's and says what it read."""
    note = str(folder / NOTE)
    calls = [
        ScriptedCall(name=name, arguments={key: value.replace("{note}", note) for key, value in arguments.items()})
        for name, arguments in agent.reads.items()
    ]
    return Script(answer="The note says: {result}", reasoning=THOUGHT, calls=tuple(calls))


@EACH
def test_a_prompt_is_answered(agent: Agent, folder: Path) -> None:
    with staged(PLAIN) as stage:
        ended = agent.ask(stage.url, folder, PROMPT)
        assert ended.code == 0, ended
        assert ended.out.count(ANSWER) == 1, ended
        assert stage.outcomes() == {"completed": 1}


@EACH
def test_a_tool_reads_a_file_and_the_answer_has_its_text(agent: Agent, folder: Path) -> None:
    if not agent.reads:
        pytest.skip("it has no tools: it edits files that the answer has")
    with staged(reading(agent, folder)) as stage:
        ended = agent.ask(stage.url, folder, PROMPT)
        assert ended.code == 0, ended
        assert "The note says:" in ended.out
        assert SECRET in ended.out.partition("The note says:")[2], ended
        assert stage.outcomes() == {"completed": 2}


def test_aider_writes_the_file_that_the_answer_has(folder: Path) -> None:
    (aider,) = [agent for agent in AGENTS if not agent.reads]
    if not aider.is_installed():
        pytest.skip("it is not installed")
    with staged(Script(answer=f"{NOTE}\n```\nthe key is gone\n```\n", reasoning=THOUGHT)) as stage:
        ended = aider.ask(stage.url, folder, "Say that the key is gone.")
        assert ended.code == 0, ended
        assert (folder / NOTE).read_text() == "the key is gone\n"
        assert stage.outcomes() == {"completed": 1}


@EACH
def test_a_stream_that_is_cut_comes_whole_and_once(agent: Agent, folder: Path) -> None:
    with staged(PLAIN, CutAfterTokens(every=1, tokens=20), rescued_by="llamacpp") as stage:
        ended = agent.ask(stage.url, folder, PROMPT)
        assert ended.code == 0, ended
        assert ended.out.count(ANSWER) == 1, ended
        assert stage.outcomes() == {"completed": 1}
        assert stage.home.received == stage.backup.received == 1


def alone(agent: Agent, folder: Path) -> str:
    """Count what a busy provider gets from one prompt."""
    with storming() as provider:
        ended = agent.ask(provider.url, folder, PROMPT, longest_s=PATIENCE_S)
        return f"{provider.received}{'' if ended.code is not None else ' and more'}"


def through_the_gateway(agent: Agent, folder: Path) -> int:
    with staged(PLAIN, STORM) as stage:
        ended = agent.ask(stage.url, folder, PROMPT)
        assert ended.out.count(ANSWER) == 1, ended
        return sum(stage.outcomes().values())


@EACH
def test_a_busy_provider_costs_one_request_where_another_one_has_room(agent: Agent, folder: Path) -> None:
    assert through_the_gateway(agent, folder) == 1


@pytest.mark.skipif(not all(agent.is_installed() for agent in AGENTS), reason="not all of them are installed")
def test_the_page_says_what_a_prompt_costs_with_each_agent(tmp_path: Path) -> None:
    rows = []
    for agent in AGENTS:
        folders = [tmp_path / agent.name / way for way in ("without", "with")]
        for folder in folders:
            folder.mkdir(parents=True)
            (folder / NOTE).write_text(f"{SECRET}\n")
        rows.append((agent.name, agent.version(), alone(agent, folders[0]), through_the_gateway(agent, folders[1])))
    page.check("agents", ("agent", "version", "requests without", "requests with"), rows, varying="requests without")
