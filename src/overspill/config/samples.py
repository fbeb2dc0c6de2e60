"""The values of the annotated example. Plain values, so that the example goes through the reader like any file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SAMPLE: Mapping[str, Any] = {
    "server": {
        "host": "127.0.0.1",
        "port": 8788,
        "api_keys": [
            {"key": "env:OVERSPILL_API_KEY", "name": "alice", "team": "research", "weight": 2.0},
            {"key": "file:/etc/overspill/batch.key", "name": "batch", "team": "research", "local_only": True},
        ],
    },
    "pools": {
        "local": {"engine": "llamacpp", "model": "builtin", "served_name": "overspill-tiny", "max_batch_size": 32},
        "gpu": {
            "attach": "vllm",
            "url": "http://127.0.0.1:8000",
            "models": ["deepseek-ai/DeepSeek-V4.1-Flash"],
            "slots": 64,
            "context_tokens": 131072,
        },
        "deepseek": {
            "upstream": "deepseek",
            "accounts": [
                {"name": "main", "api_key": "env:DEEPSEEK_API_KEY"},
                {"name": "team", "api_key": "env:DEEPSEEK_API_KEY_TEAM"},
            ],
        },
        "another": {
            "upstream": "openai_compatible",
            "base_url": "https://api.example.com/v1",
            "accounts": [{"name": "main", "api_key": "env:ANOTHER_API_KEY"}],
            "max_concurrency": 64,
            "limits": {"requests_per_minute": 600, "tokens_per_minute": 400_000},
            "budget": {"month": 200.0},
            "price": {"input": 0.30, "output": 1.20, "cached_input": 0.03},
            "prior": {"ttft_base": "800ms"},
            "features": {"images": False},
        },
    },
    "routes": [
        {
            "model": ["deepseek-flash", "deepseek-chat"],
            "tiers": [
                [{"pool": "gpu", "model": "deepseek-ai/DeepSeek-V4.1-Flash"}],
                ["deepseek"],
                [{"pool": "another", "model": "deepseek-v4.1-flash"}],
            ],
            "slo": {"ttft": "2s", "tpot": "100ms"},
            "note": "the GPU first, rented tokens when it cannot keep the promise",
        },
        {"model": "overspill-tiny", "tiers": [["local"]], "local_only": True},
        {"model": "deepseek-v4-*", "tiers": [["deepseek"]]},
    ],
    "screening": {
        "detectors": {
            "numbers": {"detector": "patterns", "options": {"known": ["bank_card", "cn_id_card", "cn_mobile"]}},
            "ours": {
                "detector": "patterns",
                "options": {"keywords": ["confidential", "机密"], "patterns": {"case": "CASE-[0-9]{4,}"}},
            },
        },
    },
    "limits": {
        "each_key": {"requests_per_minute": 120, "concurrency": 16},
        "teams": {"research": {"tokens_per_minute": 500_000}},
        "models": {"deepseek-v4-*": {"requests_per_minute": 60}},
    },
}
