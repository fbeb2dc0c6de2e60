"""One short request to a freshly loaded engine, over the socket that the gateway will use.

Damaged weights load and answer HTTP 200 (NaN weights say "99999999"), so an answer alone proves nothing. The
probabilities do: NaN or infinite weights give log-probabilities that are no numbers, zeroed output weights make every
word equally likely. Flipped bits that leave all numbers finite are found only where an answer is known, as for the
model that ships: then that is asked too, and must come word for word. For other models the SHA-256 finds them.
Imports only the standard library: the worker must start fast.
"""

from __future__ import annotations

import http.client
import json
import math
import socket
from collections.abc import Sequence
from typing import Any

from overspill.pools.engines.llamacpp_config import WorkerConfig

_TOKENS = 8
_CHOICES = 5
_KNOWN_TOKENS = 256
_TIMEOUT_S = 600.0  # the supervisor's load timeout comes first; this only bounds a worker that nobody watches


class CanaryFailed(Exception):  # noqa: N818 - reads as the state it reports
    """The engine's first answer shows that it must not serve."""


def run_canary(config: WorkerConfig) -> tuple[int, int]:
    """Ask for a little of all that it is to make, and check it; return its own (slots, context tokens of each).

    Raises ``CanaryFailed``.
    """
    socket_path, api_key = config.socket_path, config.api_key
    if config.text:
        _check_text(socket_path, api_key, config.checkable_answer())
    if config.embeddings:
        status, answer = _call(socket_path, api_key, "POST", "/v1/embeddings", {"input": "The"})
        complaint = complaint_about_embedding(status, answer)
        if complaint is not None:
            raise CanaryFailed(complaint)
    status, props = _call(socket_path, api_key, "GET", "/props", None)
    try:
        return int(props["total_slots"]), int(props["default_generation_settings"]["n_ctx"])
    except (KeyError, TypeError, ValueError):
        raise CanaryFailed(f"the engine does not say how many slots it has (HTTP {status} from /props)") from None


def _check_text(socket_path: str, api_key: str, known_answer: Sequence[str] | None) -> None:
    """Ask for a few tokens, and the question whose answer is known; ``known_answer`` is that and what must come."""
    request = {
        "prompt": "The",
        "max_tokens": _TOKENS,
        "temperature": 0,
        "logprobs": _CHOICES,
        "ignore_eos": True,
        "cache_prompt": False,
    }
    status, answer = _call(socket_path, api_key, "POST", "/v1/completions", request)
    complaint = complaint_about(status, answer)
    if complaint is not None:
        raise CanaryFailed(complaint)
    if known_answer is not None:
        _check_known_answer(socket_path, api_key, *known_answer)


def _check_known_answer(socket_path: str, api_key: str, question: str, expected: str) -> None:
    request = {
        "messages": [{"role": "user", "content": question}],
        "max_tokens": _KNOWN_TOKENS,
        "temperature": 0,
        "cache_prompt": False,
    }
    status, answer = _call(socket_path, api_key, "POST", "/v1/chat/completions", request)
    complaint = complaint_about_known(status, answer, question, expected)
    if complaint is not None:
        raise CanaryFailed(complaint)


def complaint_about_embedding(status: int, answer: Any) -> str | None:
    """Say what is wrong with the embedding of one word; ``None`` if nothing is."""
    if status != 200:
        return (
            f"the first embedding was answered with HTTP {status}: {json.dumps(answer)[:300]}; a model without a "
            "pooling of its own needs one: options.pooling_type, such as mean"
        )
    try:
        vector = answer["data"][0]["embedding"]
    except (KeyError, IndexError, TypeError):
        return f"the first embedding is none: {json.dumps(answer)[:300]}"
    if not vector or not all(isinstance(x, int | float) and math.isfinite(x) for x in vector) or not any(vector):
        return "the model computes no numbers for an embedding: its weights are damaged"
    return None


def complaint_about_known(status: int, answer: Any, question: str, expected: str) -> str | None:
    """Say what is wrong with a chat completion whose content is known beforehand; ``None`` if nothing is."""
    if status != 200:
        return f"the question with a known answer was answered with HTTP {status}: {json.dumps(answer)[:300]}"
    try:
        said = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return f"the question with a known answer was not answered: {json.dumps(answer)[:300]}"
    if said == expected:
        return None
    return f"the model answers {question!r} with {str(said)[:100]!r} and not with {expected!r}: its weights are damaged"


def complaint_about(status: int, answer: Any) -> str | None:
    """Say what is wrong with a completion that was asked for with log-probabilities; ``None`` if nothing is."""
    if status != 200:
        return f"the first request was answered with HTTP {status}: {json.dumps(answer)[:300]}"
    try:
        tokens = answer["choices"][0]["logprobs"]["content"]
        chances = [token["logprob"] for token in tokens]
        rivals = [[top["logprob"] for top in token["top_logprobs"]] for token in tokens]
    except (KeyError, IndexError, TypeError):
        return f"the first answer has no log-probabilities: {json.dumps(answer)[:300]}"
    if not chances:
        return "the first answer has no tokens"
    if not all(_is_logprob(chance) for position in ([*chances], *rivals) for chance in position):
        return "the model computes no numbers (its log-probabilities are not finite): its weights are damaged"
    if all(len(position) > 1 and max(position) - min(position) < 1e-6 for position in rivals):
        return "the model finds every word equally likely: its weights are damaged"
    return None


def _is_logprob(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value < 1e-3


class _UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, socket_path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._socket_path = socket_path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)


def _call(socket_path: str, api_key: str, method: str, path: str, body: object) -> tuple[int, Any]:
    connection = _UnixConnection(socket_path)
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CanaryFailed(f"the first request got no answer: {error!r}") from None
    finally:
        connection.close()
