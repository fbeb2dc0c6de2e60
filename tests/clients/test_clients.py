"""What users of real clients see: chats, streams, tools, cut streams and busy providers, through one gateway."""

from __future__ import annotations

import msgspec
import pytest
from tests.clients.clients import EACH, EACH_WITH_TOOLS
from tests.clients.said import Driver, Said
from tests.clients.stage import ANSWER, FINDING, PLAIN, QUESTION, THOUGHT, WEATHER, WITH_TOOL, staged

from overspill.gateway.rehearsal.faults import CutAfterTokens, ErrorStatus, KeepaliveOnly
from overspill.gateway.rehearsal.speech import Script


def thought(client: Driver) -> str:
    return THOUGHT if client.shows_reasoning else ""


@EACH
def test_a_chat_comes_with_its_thought(client: Driver) -> None:
    with staged() as stage:
        assert client.whole(stage.url, QUESTION) == Said(ANSWER, thought(client))
        assert stage.outcomes() == {"completed": 1}


@EACH
def test_a_stream_comes_with_its_thought(client: Driver) -> None:
    with staged() as stage:
        assert client.stream(stage.url, QUESTION) == Said(ANSWER, thought(client))
        assert stage.outcomes() == {"completed": 1}


@EACH_WITH_TOOLS
def test_a_tool_is_called_and_its_result_comes_back(client: Driver) -> None:
    with staged(WITH_TOOL) as stage:
        assert client.with_tool(stage.url, QUESTION).text == FINDING.replace("{result}", WEATHER)
        assert stage.outcomes() == {"completed": 2}


@EACH_WITH_TOOLS
def test_thoughts_that_a_client_leaves_out_of_its_history_are_put_back(client: Driver) -> None:
    with staged(msgspec.structs.replace(WITH_TOOL, demands_reasoning=True)) as stage:
        assert client.with_tool(stage.url, QUESTION).text == FINDING.replace("{result}", WEATHER)
        assert stage.outcomes() == {"completed": 2}


@EACH
@pytest.mark.parametrize("tokens", [5, 20], ids=["in its thought", "in its answer"])
def test_a_stream_that_is_cut_comes_whole_and_once(client: Driver, tokens: int) -> None:
    with staged(PLAIN, CutAfterTokens(every=1, tokens=tokens), rescued_by="llamacpp") as stage:
        assert client.stream(stage.url, QUESTION) == Said(ANSWER, thought(client))
        assert stage.outcomes() == {"completed": 1}
        assert stage.home.received == stage.backup.received == 1


@EACH
def test_deepseeks_api_goes_on_with_an_answer_without_a_thought(client: Driver) -> None:
    with staged(Script(answer=ANSWER), CutAfterTokens(every=1, tokens=10), rescued_by="deepseek") as stage:
        assert client.stream(stage.url, QUESTION) == Said(ANSWER)
        assert stage.outcomes() == {"completed": 1}


STORM = ErrorStatus(every=1, status=503)
SHORT_STORM = ErrorStatus(requests=(1,), status=503)


@EACH
def test_a_busy_provider_costs_one_request_where_another_one_has_room(client: Driver) -> None:
    with staged(PLAIN, STORM) as stage:
        for count, ask in enumerate((client.whole, client.stream), 1):
            assert ask(stage.url, QUESTION) == Said(ANSWER, thought(client))
            assert stage.outcomes() == {"completed": count}
        assert stage.home.received >= 1


@EACH
def test_a_storm_over_all_providers_costs_one_request_if_it_passes(client: Driver) -> None:
    with staged(PLAIN, SHORT_STORM, backup=(SHORT_STORM,)) as stage:
        assert client.stream(stage.url, QUESTION) == Said(ANSWER, thought(client))
        assert stage.outcomes() == {"completed": 1}
        assert stage.home.received + stage.backup.received >= 3


@EACH
def test_keepalives_instead_of_an_answer_cost_one_request(client: Driver) -> None:
    with staged(PLAIN, KeepaliveOnly(every=1, period_s=0.05), slo={"ttft": "300ms"}) as stage:
        assert client.stream(stage.url, QUESTION) == Said(ANSWER, thought(client))
        assert client.whole(stage.url, QUESTION) == Said(ANSWER, thought(client))
        assert stage.outcomes() == {"completed": 2}
        assert stage.home.received >= 1


@EACH
def test_a_client_that_is_told_no_says_so(client: Driver) -> None:
    with staged(PLAIN, STORM, backup=(STORM,), deadline="500ms") as stage:
        said = client.whole(stage.url, QUESTION)
        assert (said.text, said.reasoning) == ("", "")
        assert "503" in said.error or "busy" in said.error
        assert sum(stage.outcomes().values()) <= 3


@EACH
def test_a_stream_that_nobody_can_go_on_with_never_looks_whole(client: Driver) -> None:
    with staged(PLAIN, CutAfterTokens(every=1, tokens=20), rescue="off") as stage:
        said = client.stream(stage.url, QUESTION)
        assert said.error
        assert ANSWER.startswith(said.text)
        assert stage.outcomes() == {"broken": 1}
