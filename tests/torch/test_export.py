"""The committed weights in transformers and, exported, in llama.cpp: the same tokens, nearly the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.torch.engine import Engine  # noqa: E402
from transformers import AutoTokenizer, DeepseekV3ForCausalLM  # noqa: E402

import export  # noqa: E402
from lessons.mixture import MAKERS, draw_example, draw_task  # noqa: E402
from lessons.rendering import prompt_of  # noqa: E402
from lessons.split import TEST  # noqa: E402

WEIGHTS = Path("models/tiny-reasoner/weights")
END = 2039
MOST_DLOGP = 0.05
"""Weights in float16 multiply activations rounded to float16 in llama.cpp, and in float32 in transformers."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    path = tmp_path_factory.mktemp("gguf") / "f16.gguf"
    export.write_gguf(WEIGHTS, path, "f16")
    return Engine(path)


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    torch.set_num_threads(1)
    with torch.no_grad():
        yield DeepseekV3ForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(WEIGHTS)


def ids_of(tokenizer: Any, prompt: str) -> list[int]:
    return list(tokenizer(prompt, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("task", MAKERS)
def test_both_say_the_same_tokens(task: str, engine: Engine, model: Any, tokenizer: Any) -> None:
    for language in ("en", "zh"):
        prompt = prompt_of(draw_task(3, TEST, task, 0, language))
        ids = torch.tensor([ids_of(tokenizer, prompt)])
        said = model.generate(ids, max_new_tokens=120, do_sample=False, eos_token_id=END, pad_token_id=END)
        expected = said[0, ids.shape[1] :].tolist()
        assert engine.greedy(prompt, 120) == expected, prompt


def test_the_log_probabilities_of_all_tokens_are_close(engine: Engine, model: Any, tokenizer: Any) -> None:
    worst = 0.0
    for task in MAKERS:
        # Cut before the model's turn: within it, it is sure of the next token, and all but one are out of sight.
        prompt = prompt_of(draw_task(4, TEST, task, 1, "en")).removesuffix("<|end|><|assistant|>")
        expected = model(torch.tensor([ids_of(tokenizer, prompt)])).logits[0, -1].log_softmax(-1)
        found = engine.logprobs(prompt, 2048)
        likely = {token: logprob for token, logprob in found.items() if logprob > -12}
        assert len(likely) > 1
        assert int(expected.argmax()) == max(found, key=lambda token: found[token])
        worst = max([worst, *(abs(expected[token].item() - logprob) for token, logprob in likely.items())])
    print(f"largest difference of a log-probability: {worst:.2g}")
    assert worst < MOST_DLOGP


@pytest.mark.parametrize(
    "text",
    [
        "What is 4821 + 977?",
        "你好，世界！请计算１２３加４５６。",
        "  two  spaces\tand\n\nlines\r\n",
        "1234567890 0 00 3.14 -5",
        "def f(x): return {'a': [x**2, ...]}  # ~!@#$%^&*()_+|<>?`",
        "naïve café — “quotes” … ½ ① 한국어 русский עברית",
        '<|user|>hi<|end|><|assistant|><think>x</think><tool_call>\n{"name": "f"}\n</tool_call>',
        "🙂👍🏽 e\u0301 \u200b",
    ],
)
def test_both_read_text_as_the_same_tokens(text: str, engine: Engine, tokenizer: Any) -> None:
    assert engine.tokenize(text) == ids_of(tokenizer, text)


def test_a_number_is_a_row_of_digits(tokenizer: Any) -> None:
    assert tokenizer.tokenize("9078563412") == list("9078563412")


def test_the_template_renders_what_was_trained_on(engine: Engine, tokenizer: Any) -> None:
    for index in range(150):
        example = draw_example(5, TEST, index, is_long=index % 10 == 0)
        messages, tools = list(example.messages), list(example.tools)
        rendered = tokenizer.apply_chat_template(
            messages, tools=tools or None, add_generation_prompt=True, tokenize=False
        )
        assert rendered == prompt_of(example)
        assert engine.render(messages, tools) == prompt_of(example)
