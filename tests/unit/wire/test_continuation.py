"""What is sent to the target that goes on, where it begins, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.continuing import PREFILL

from overspill.wire.chat import parse_request
from overspill.wire.continuation import CannotContinue, Continuation, continue_answer
from overspill.wire.contract import NO_CONTRACT, Contract, Mode, Part
from overspill.wire.request import Request
from overspill.wire.transcript import Transcript

TOKENS = Contract(mode=Mode.TOKEN_IDS, continues_reasoning=True)


def asked(**more: Any) -> Request:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "q"}], **more}
    return parse_request("chat", json.dumps(body).encode())


def completion(prompt: Any = "Once", **more: Any) -> Request:
    return parse_request("completions", json.dumps({"model": "m", "prompt": prompt, **more}).encode())


def written(*content: str, reasoning: tuple[str, ...] = (), is_chat: bool = True) -> Transcript:
    transcript = Transcript(is_chat=is_chat)
    transcript.add_texts("reasoning_content", list(reasoning))
    transcript.add_texts("content", list(content))
    return transcript


def go_on(request: Request, transcript: Transcript, contract: Contract = PREFILL) -> Continuation:
    return continue_answer(request, transcript, contract, model="n", is_chat=transcript.is_chat)


def refused(request: Request, transcript: Transcript, contract: Contract = PREFILL) -> str:
    with pytest.raises(CannotContinue) as caught:
        go_on(request, transcript, contract)
    return caught.value.reason


def test_content_is_continued_from_the_last_words_beginning_without_its_space() -> None:
    continuation = go_on(asked(temperature=0), written("The", " ans", "wer", " is", " for", "ty"))
    body = json.loads(continuation.body)
    assert body["messages"] == [{"role": "user", "content": "q"}, {"role": "assistant", "content": "The answer is"}]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert (body["model"], body["stream"], body["stream_options"]) == ("n", True, {"include_usage": True})
    assert body["temperature"] == 0
    seam = continuation.seam
    assert seam.overlap == ((Part.CONTENT, " forty"),)
    assert (seam.tokens, seam.reasoning_tokens, seam.characters) == (4, 0, 19)


def test_a_thought_is_continued_as_one() -> None:
    contract = Contract(
        mode=Mode.TEXT, continues_reasoning=True, reasoning_field="reasoning", message_fields={"prefix": True}
    )
    continuation = go_on(asked(), written(reasoning=("Let", " me", " see")), contract)
    message = json.loads(continuation.body)["messages"][-1]
    assert message == {"role": "assistant", "prefix": True, "content": "", "reasoning": "Let me"}
    assert continuation.seam.overlap == ((Part.REASONING, " see"),)
    assert (continuation.seam.tokens, continuation.seam.reasoning_tokens) == (3, 2)
    assert (
        json.loads(go_on(asked(), written(reasoning=("Let", " me", " see"))).body)["continue_final_message"]
        == "reasoning_content"
    )


def test_a_finished_thought_travels_with_the_content() -> None:
    continuation = go_on(asked(), written("It", " is", " so", reasoning=("Hm", ".")))
    message = json.loads(continuation.body)["messages"][-1]
    assert message == {"role": "assistant", "content": "It is", "reasoning_content": "Hm."}
    assert (continuation.seam.tokens, continuation.seam.reasoning_tokens) == (6, 2)


def test_content_too_short_to_go_on_from_is_written_again_from_within_the_thought() -> None:
    continuation = go_on(asked(), written("I", reasoning=("So", " be", " it")))
    assert json.loads(continuation.body)["messages"][-1]["reasoning_content"] == "So be"
    assert continuation.seam.overlap == ((Part.REASONING, " it"), (Part.CONTENT, "I"))


def test_an_answer_too_short_to_go_on_from_is_asked_for_again() -> None:
    request = asked(max_tokens=9)
    continuation = go_on(request, written("I", reasoning=("So",)))
    body = json.loads(continuation.body)
    assert (len(body["messages"]), body["max_tokens"]) == (1, 9)
    assert "continue_final_message" not in body
    assert continuation.seam.overlap == ((Part.REASONING, "So"), (Part.CONTENT, "I"))
    assert continuation.seam.tokens == 0


def test_a_continuation_never_begins_after_white_space() -> None:
    continuation = go_on(asked(), written("One", ":", "\n", "\n", "two", " ", " "))
    assert json.loads(continuation.body)["messages"][-1]["content"] == "One:\n\ntwo"
    continuation = go_on(asked(), written("One", ":", "\n", "\n", "two"))
    assert json.loads(continuation.body)["messages"][-1]["content"] == "One:"


def test_a_continuation_begins_where_a_restart_would_be_noticed() -> None:
    """A target that begins anew would write "ha", and so would one that goes on after "Ha ha": that is no place."""
    continuation = go_on(asked(), written("ha", "?", " ha", "?", "ha"))
    assert continuation.seam.overlap == ((Part.CONTENT, "?ha"),)
    assert json.loads(go_on(asked(), written("ha", "ha", "ha")).body)["messages"][-1]["role"] == "user"


def test_text_without_words_is_continued_at_a_pieces_beginning() -> None:
    continuation = go_on(asked(), written("小溪", "和大", "河", "里"))
    assert continuation.seam.overlap == ((Part.CONTENT, "里"),)
    long = ["小"] + ["溪" + "水" * 9] * 40
    assert go_on(asked(), written(*long)).seam.overlap == ((Part.CONTENT, "溪" + "水" * 9),)
    late = ["ab ", "c" * 30, "d" * 200, "e" * 30]
    assert go_on(asked(), written(*late)).seam.overlap == ((Part.CONTENT, "e" * 30),)


def test_a_numbers_beginning_is_a_words() -> None:
    assert go_on(asked(), written("x", "=", "4", "2", "0")).seam.overlap == ((Part.CONTENT, "420"),)


def test_only_the_last_pieces_are_looked_at() -> None:
    body = json.loads(go_on(asked(), written("a", *(" " for _ in range(3000)))).body)
    assert len(body["messages"]) == 1


def test_limits_are_lowered_by_what_is_not_written_again() -> None:
    request = asked(max_tokens=10, max_completion_tokens=4, min_tokens=2, temperature=0)
    body = json.loads(go_on(request, written("a", " b", " c", " d")).body)
    assert (body["max_tokens"], body["max_completion_tokens"], body["min_tokens"]) == (7, 1, 0)
    assert refused(asked(max_tokens=3), written("a", " b", " c", " d")) == "no_tokens_left"
    assert json.loads(go_on(asked(max_tokens=None), written("a", " b")).body)["max_tokens"] is None
    assert json.loads(go_on(asked(min_tokens="x"), written("a", " b")).body)["min_tokens"] == "x"


def test_what_a_target_repeats_is_expected() -> None:
    contract = Contract(mode=Mode.TEXT, echo=True)
    assert go_on(asked(), written("a", " b", " c"), contract).seam.echoed == ((Part.CONTENT, "a b"),)


def test_stop_strings_are_carried_to_the_seam() -> None:
    seam = go_on(asked(stop=["\n\n", "END", 5]), written("a", " b", " c")).seam
    assert (seam.stops, seam.carry) == (("\n\n", "END"), " b")
    assert go_on(asked(stop="x"), written("a", " b", " c")).seam.stops == ("x",)
    assert go_on(asked(stop=None), written("a", " b", " c")).seam.stops == ()
    assert go_on(asked(stop="END"), written(reasoning=("a", " b"))).seam.carry == ""


def test_a_prompt_is_continued_as_text() -> None:
    transcript = written(" upon", " a", " time", is_chat=False)
    for prompt in ("Once", ["Once"]):
        assert json.loads(go_on(completion(prompt), transcript).body)["prompt"] == "Once upon a"
    assert refused(completion([1, 2]), transcript) == "token_prompt"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"n": 2}, "several_choices"),
        ({"best_of": 2}, "several_choices"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "grammar"),
        ({"grammar": "root ::= x"}, "grammar"),
        ({"tool_choice": "required"}, "grammar"),
        ({"tool_choice": {"type": "function"}}, "grammar"),
        ({"seed": 7}, "seed"),
        ({"seed": 7, "temperature": 0.5}, "seed"),
        ({"continue_final_message": True}, "prefilled"),
        ({"echo": True}, "prefilled"),
        ({"messages": [{"role": "user"}, {"role": "assistant", "content": "So"}]}, "prefilled"),
    ],
)
def test_what_no_continuation_keeps_is_refused(fields: dict[str, Any], reason: str) -> None:
    assert refused(asked(**fields), written("a", " b")) == reason


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 7, "temperature": 0},
        {"response_format": {"type": "text"}, "tool_choice": "auto"},
        {"best_of": 1, "logprobs": False, "echo": False, "grammar": ""},
    ],
)
def test_what_only_looks_like_it_is_not(fields: dict[str, Any]) -> None:
    assert go_on(asked(**fields), written("a", " b"))


def test_an_answer_in_a_state_that_nothing_goes_on_from_is_refused() -> None:
    transcript = written("a", " b")
    transcript.has_tool_call = True
    assert refused(asked(), transcript) == "tool_call"
    transcript = written("a", " b")
    transcript.has_logprobs = True
    assert refused(asked(), transcript) == "logprobs"
    transcript = written("a", " b")
    transcript.is_odd = True
    assert refused(asked(), transcript) == "not_understood"
    assert refused(asked(), written("a" * 5_000_000)) == "answer_too_long"


def test_a_contract_that_does_not_cover_it_is_no_contract() -> None:
    assert refused(asked(), written("a", " b"), NO_CONTRACT) == "unverified"
    thought = written("a", " b", reasoning=("c",))
    assert refused(asked(), thought, Contract(mode=Mode.TEXT)) == "reasoning"


def test_tokens_are_continued_as_tokens() -> None:
    transcript = Transcript(is_chat=False)
    for text, ids in ((" up", [3]), ("on", [4])):
        transcript.add(json.dumps({"choices": [{"index": 0, "text": text, "token_ids": ids}]}).encode())
    continuation = go_on(completion([1, 2], max_tokens=5, stop="END"), transcript, TOKENS)
    body = json.loads(continuation.body)
    assert (body["prompt"], body["max_tokens"]) == ([1, 2, 3, 4], 3)
    assert (continuation.seam.overlap, continuation.seam.tokens, continuation.seam.carry) == ((), 2, "on")
    assert json.loads(go_on(completion([[1, 2]]), transcript, TOKENS).body)["prompt"] == [1, 2, 3, 4]
    assert refused(completion([1, 2], max_tokens=2), transcript, TOKENS) == "no_tokens_left"
    assert refused(completion("Once"), transcript, TOKENS) == "no_token_ids"
    transcript.prompt_token_ids = [9]
    assert json.loads(go_on(completion("Once"), transcript, TOKENS).body)["prompt"] == [9, 3, 4]
    transcript.token_ids = None
    assert refused(completion("Once"), transcript, TOKENS) == "no_token_ids"


def test_a_chat_on_a_target_that_goes_on_by_tokens_goes_on_by_text() -> None:
    assert go_on(asked(), written("a", " b"), TOKENS).seam.overlap == ((Part.CONTENT, " b"),)
