"""llama.cpp in this process, asked over its own HTTP server, for comparison with transformers."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import xllamacpp


class Engine:
    """A model loaded by llama.cpp; the KV cache is in float32, so that only the weights are compared."""

    def __init__(self, model: Path) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_parallel = 1
        params.n_ctx = 4096
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.cache_ram_mib = 0
        params.ui = False
        params.verbosity = 1
        self._server = xllamacpp.Server(params)
        self._address = self._server.listening_address

    def call(self, path: str, **body: Any) -> dict[str, Any]:
        request = urllib.request.Request(self._address + path, json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def greedy(self, prompt: str, most: int) -> list[int]:
        answer = self.call(
            "/completion", prompt=prompt, n_predict=most, temperature=0, return_tokens=True, cache_prompt=False
        )
        return list(answer["tokens"])

    def logprobs(self, prompt: str, count: int) -> dict[int, float]:
        answer = self.call("/completion", prompt=prompt, n_predict=1, temperature=0, n_probs=count, cache_prompt=False)
        return {top["id"]: top["logprob"] for top in answer["completion_probabilities"][0]["top_logprobs"]}

    def tokenize(self, text: str) -> list[int]:
        return list(self.call("/tokenize", content=text, add_special=False, parse_special=True)["tokens"])

    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> str:
        more = {"tools": tools} if tools else {}
        return str(self.call("/apply-template", messages=messages, **more)["prompt"])
