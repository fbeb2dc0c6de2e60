from __future__ import annotations

import math

import pytest

from overspill.pools.engines.llamacpp_canary import (
    complaint_about,
    complaint_about_embedding,
    complaint_about_known,
)


def answer(*positions: list[float | None]) -> dict[str, object]:
    tokens = [{"logprob": tops[0], "top_logprobs": [{"logprob": top} for top in tops]} for tops in positions]
    return {"choices": [{"logprobs": {"content": tokens}}]}


def test_a_sane_answer_passes() -> None:
    assert complaint_about(200, answer([-0.5, -1.5, -3.0], [-0.1, -4.0, -5.0])) is None


def test_a_certain_answer_passes() -> None:
    assert complaint_about(200, answer([0.0, -40.0], [0.0, -35.0])) is None


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf, 0.5, "0"])
def test_a_log_probability_that_is_none_means_damaged_weights(bad: float | None) -> None:
    complaint = complaint_about(200, answer([-0.5, -1.0], [bad, -1.0]))
    assert complaint is not None
    assert "damaged" in complaint


def test_every_word_equally_likely_means_damaged_weights() -> None:
    complaint = complaint_about(200, answer([-7.2, -7.2, -7.2], [-7.2, -7.2, -7.2]))
    assert complaint is not None
    assert "equally likely" in complaint


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (500, {"error": {"message": "boom"}}, "HTTP 500"),
        (200, {"choices": []}, "no log-probabilities"),
        (200, [], "no log-probabilities"),
        (200, answer(), "no tokens"),
    ],
)
def test_anything_but_a_completion_is_refused(status: int, body: object, complaint: str) -> None:
    assert complaint in (complaint_about(status, body) or "")


def chat(content: object) -> dict[str, object]:
    return {"choices": [{"message": {"role": "assistant", "content": content}}]}


def test_the_known_answer_passes_word_for_word_only() -> None:
    assert complaint_about_known(200, chat("1 + 1 = 2"), "1+1", "1 + 1 = 2") is None
    for said in ("1 + 1 = 3", "1 + 1 = 2 ", "", None):
        complaint = complaint_about_known(200, chat(said), "1+1", "1 + 1 = 2")
        assert complaint is not None
        assert "damaged" in complaint


@pytest.mark.parametrize(("status", "body"), [(500, {"error": {}}), (200, {"choices": []}), (200, None)])
def test_no_answer_to_the_known_question_is_refused(status: int, body: object) -> None:
    assert "known answer" in (complaint_about_known(status, body, "1+1", "2") or "")


def vector(*numbers: object) -> dict[str, object]:
    return {"data": [{"embedding": list(numbers)}]}


def test_a_vector_of_numbers_is_an_embedding() -> None:
    assert complaint_about_embedding(200, vector(0.5, 0.0, -1)) is None


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (400, {"error": {"message": "Pooling type 'none' is not OAI compatible"}}, "options.pooling_type"),
        (200, {"data": []}, "is none"),
        (200, [], "is none"),
        (200, vector(), "damaged"),
        (200, vector(0.0, 0.0), "damaged"),
        (200, vector(0.1, None), "damaged"),
        (200, vector(0.1, math.nan), "damaged"),
    ],
)
def test_anything_but_an_embedding_is_refused(status: int, body: object, complaint: str) -> None:
    assert complaint in (complaint_about_embedding(status, body) or "")
