"""Which model a name means, whoever writes it."""

from __future__ import annotations

import pytest

from overspill.catalog.identity import Identity, quantization_of
from overspill.catalog.load import load

CATALOG = load()


@pytest.mark.parametrize(
    ("name", "model", "quantization"),
    [
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-r1-0528", None),
        ("unsloth/DeepSeek-R1-0528-GGUF", "deepseek-r1-0528", None),
        ("deepseek-r1:7b", "deepseek-r1-distill-qwen-7b", None),
        ("DeepSeek-R1-Distill-Qwen-7B-Q4_K_M.gguf", "deepseek-r1-distill-qwen-7b", "q4_k_m"),
        ("deepseek-r1-distill-qwen-7b@8bit", "deepseek-r1-distill-qwen-7b", "8bit"),
        ("deepseek-chat", "deepseek-flash", None),
        ("deepseek-v4.1-flash:latest", "deepseek-v4.1-flash", None),
        ("nvidia/DeepSeek-R1-0528-NVFP4", "deepseek-r1-0528", "nvfp4"),
        ("qwen3-8b-fp8", None, "fp8"),
        ("somebody/DeepSeek-R1-0528-abliterated", None, None),
        ("gpt-4", None, None),
        ("", None, None),
    ],
)
def test_a_name_is_recognised_with_what_is_added_to_it(name: str, model: str | None, quantization: str | None) -> None:
    found = CATALOG.identify(None, name)
    assert (found.model, found.quantization) == (model, quantization)
    assert (found.family is None) == (model is None)


def test_a_provider_knows_its_own_ids() -> None:
    ark = CATALOG.identify("volcengine_ark", "deepseek-v4-flash-ga-260731")
    assert ark == Identity(model="deepseek-v4-flash-0731", family="deepseek-flash")
    # The bare name is the newest at its maker, and an unversioned one elsewhere.
    assert CATALOG.identify("deepseek", "deepseek-v4-flash").model == "deepseek-v4.1-flash"
    assert CATALOG.identify("huawei_maas", "deepseek-v4-flash").model == "deepseek-flash"
    assert CATALOG.identify("nobody", "deepseek-v3.2").model == "deepseek-v3.2"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("m-ud-q4_k_xl.gguf", "q4_k_xl"), ("a-IQ2_XXS", "iq2_xxs"), ("m-mxfp4", "mxfp4"), ("m-Q8_0", "q8_0"), ("m", None)],
)
def test_number_formats_are_read_from_the_end_of_a_name(name: str, expected: str | None) -> None:
    assert quantization_of(name) == expected
