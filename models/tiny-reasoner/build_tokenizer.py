"""Train the tokenizer: a byte-level BPE with DeepSeek-V3's own pre-tokenizer, so that llama.cpp knows it by name.

Digits are never merged (none are in the text that merges are learnt from), so a number is a row of digits to the model.

    python build_tokenizer.py weights
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

from lessons.mixture import draw_example
from lessons.rendering import BEGIN, CONTROL, END, MARKS, prompt_of, reply_of
from lessons.split import TRAIN

VOCABULARY = 2048
EXAMPLES = 40_000
SEED = 20261126
LONGEST_TOKEN = 12
"""In bytes: four Chinese characters. Longer ones would be whole sentences of the templates, which teach nothing."""
_WORDS = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = (r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", _WORDS)
"""As in DeepSeek-V3's tokenizer.json; ``tokenizer.ggml.pre = deepseek-v3`` in a GGUF."""


def learning_text() -> Iterator[str]:
    """Yield training examples without digits and without the template's own tokens."""
    marks = re.compile("|".join([r"\d+", *(re.escape(token) for token in (*CONTROL, *MARKS))]))
    for index in range(EXAMPLES):
        example = draw_example(SEED, TRAIN, index)
        yield from filter(None, marks.split(prompt_of(example) + reply_of(example)))


def build() -> Tokenizer:
    """Train it; the same on every machine."""
    tokenizer = Tokenizer(BPE())
    pre = [Split(Regex(pattern), "isolated") for pattern in _SPLITS]
    tokenizer.pre_tokenizer = Sequence([*pre, ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY - len(CONTROL) - len(MARKS),
        initial_alphabet=ByteLevel.alphabet(),
        max_token_length=LONGEST_TOKEN,
        show_progress=False,
    )
    tokenizer.train_from_iterator(learning_text(), trainer)
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in MARKS])
    return tokenizer


def write(folder: Path) -> None:
    """Write ``tokenizer.json``, its configuration and the chat template, as transformers reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build()
    tokenizer.save(str(folder / "tokenizer.json"))
    template = (Path(__file__).parent / "template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "pad_token": END,
        "model_max_length": 4096,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    print(f"{tokenizer.get_vocab_size()} tokens in {folder / 'tokenizer.json'}")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
