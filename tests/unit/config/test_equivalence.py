"""How far the models of one route may be from each other, and which model a target serves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from overspill.config.compile import Wiring, compile_config
from overspill.config.load import load_text
from overspill.errors import ConfigError
from overspill.pools.facts import load_facts

FACTS = load_facts()
POOLS = {
    "ds": {"upstream": "deepseek"},
    "tog": {"upstream": "together"},
    "ark": {"upstream": "volcengine_ark", "quantization": "FP8"},
    "ollama": {"attach": "ollama", "url": "http://127.0.0.1:11434"},
    "ours": {"attach": "vllm", "url": "http://127.0.0.1:8000"},
    "own": {"engine": "llamacpp", "model": "/models/DeepSeek-R1-Distill-Qwen-7B-Q4_K_M.gguf", "served_name": "r1"},
    "tiny": {"engine": "llamacpp", "model": "builtin", "served_name": "tiny"},
}


def wired(tiers: list[list[Any]], equivalence: str = "any", model: str = "deepseek-flash") -> Wiring:
    route = {"model": model, "tiers": tiers, "equivalence": equivalence}
    return compile_config(load_text(json.dumps({"pools": POOLS, "routes": [route]}), FACTS, file="o.yaml"), FACTS)


def at(pool: str, model: str) -> dict[str, str]:
    return {"pool": pool, "model": model}


SAME = [["ds"], [at("tog", "deepseek-ai/DeepSeek-V4.1-Flash-1017")]]
FAMILY = [["ds"], [at("ark", "deepseek-v4-flash-ga-260731")]]
OTHER = [["ds"], [at("tog", "deepseek-ai/DeepSeek-V4-Pro-0813")]]


@pytest.mark.parametrize(
    ("tiers", "equivalence"),
    [(SAME, "weights"), (SAME, "family"), (FAMILY, "family"), (FAMILY, "any"), (OTHER, "any")],
)
def test_what_is_near_enough_is_a_route(tiers: list[list[Any]], equivalence: str) -> None:
    assert len(wired(tiers, equivalence).policy.routes[0].tiers) == 2


@pytest.mark.parametrize(
    ("tiers", "equivalence", "message"),
    [
        (
            FAMILY,
            "weights",
            r"'ark' serves deepseek-v4-flash-ga-\d+ \(deepseek-v4-flash-0731\).*equivalence: family",
        ),
        (OTHER, "weights", "equivalence: weights, but 'tog' serves .*write equivalence: any"),
        (OTHER, "family", "equivalence: family, but 'tog' serves .*write equivalence: any"),
        ([["ds"], [at("tog", "acme/unknown")]], "family", "'tog' serves acme/unknown and the first"),
    ],
)
def test_a_target_that_is_further_away_is_an_error(tiers: list[list[Any]], equivalence: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        wired(tiers, equivalence)
    assert "routes[0].tiers[1][0]" in str(caught.value)


def test_models_that_nobody_knows_are_the_same_if_their_names_are() -> None:
    assert wired([["ollama"], ["ours"]], "weights", model="acme-7b").policy.routes
    assert wired([["ollama"], ["ours"]], "weights", model="*").policy.routes
    with pytest.raises(ConfigError, match="'ours' serves other-7b and the first target acme-7b"):
        wired([["ollama"], [at("ours", "other-7b")]], "weights", model="acme-7b")
    with pytest.raises(ConfigError, match="the first target the name that is asked for"):
        wired([["ollama"], [at("ours", "other-7b")]], "weights", model="acme-*")


def test_which_model_a_target_serves_is_known_by_target_and_name() -> None:
    tiers = [[at("ollama", "deepseek-r1:7b"), "own"], [at("ark", "deepseek-v4-flash-ga-260731")], ["tiny"]]
    served = wired(tiers, model="r1").served
    assert served["ollama/0", "deepseek-r1:7b"].model == "deepseek-r1-distill-qwen-7b"
    own = served["own/0", "r1"]
    assert (own.model, own.quantization) == ("deepseek-r1-distill-qwen-7b", "q4_k_m")
    ark = next(found for (target_id, _), found in served.items() if target_id.startswith("ark/"))
    assert (ark.model, ark.family, ark.quantization) == ("deepseek-v4-flash-0731", "deepseek-flash", "fp8")
    assert ("tiny/0", "tiny") not in served  # nothing is known of it


def test_the_same_weights_may_be_called_otherwise_at_home() -> None:
    assert wired([["own"], [at("ollama", "deepseek-r1:7b")]], "weights", model="r1").policy.routes
