"""Records for the ledger's tests, made from what differs."""

from __future__ import annotations

from typing import Any

from overspill.core.types import Outcome, Spill, Surface
from overspill.ledger.records import AttemptOutcome, AttemptRecord, BodyRecord, RequestRecord


def a_request(number: int = 0, **changes: Any) -> RequestRecord:
    """A completed request that arrived ``number`` seconds after 1000."""
    fields: dict[str, Any] = {
        "request_id": f"req_{number}",
        "arrived_at": 1000.0 + number,
        "model": "deepseek-chat",
        "route": "deepseek-*",
        "surface": Surface.CHAT,
        "key_id": "key-1",
        "stream": True,
        "priority": 1,
        "local_only": False,
        "prompt_tokens": 810,
        "prompt_tokens_reported": 820,
        "cached_tokens": 512,
        "output_tokens": 128,
        "reasoning_tokens": None,
        "max_tokens": None,
        "outcome": Outcome.COMPLETED,
        "reason": None,
        "spill": None,
        "target_id": "local-0",
        "attempts": 1,
        "queue_wait_s": 0.01,
        "ttft_s": 0.3,
        "tpot_s": 0.02,
        "e2e_s": 2.9,
        "cost_usd": 0.0,
        "finish_reason": "stop",
        "client_status": 200,
    }
    return RequestRecord(**{**fields, **changes})


def an_attempt(number: int = 0, **changes: Any) -> AttemptRecord:
    """The attempt that answered ``a_request(number)``."""
    fields: dict[str, Any] = {
        "request_id": f"req_{number}",
        "attempt_id": number,
        "target_id": "local-0",
        "model": "deepseek-v3",
        "started_at": 1000.0 + number,
        "spill": None,
        "predicted_ttft_s": 0.28,
        "ttft_s": 0.29,
        "tpot_s": 0.02,
        "duration_s": 2.8,
        "outcome": AttemptOutcome.FINISHED,
        "failure": None,
        "status": 200,
        "prompt_tokens": 820,
        "cached_tokens": 512,
        "output_tokens": 128,
        "cost_usd": 0.0,
    }
    return AttemptRecord(**{**fields, **changes})


def a_body(number: int = 0, **changes: Any) -> BodyRecord:
    """The texts of ``a_request(number)``."""
    fields: dict[str, Any] = {"request_id": f"req_{number}", "prompt": b'{"messages":[]}', "answer": "你好".encode()}
    return BodyRecord(**{**fields, **changes})


SPILLED: dict[str, Any] = {"spill": Spill.LOCAL_FULL, "target_id": "deepseek-1", "cost_usd": 0.002}
