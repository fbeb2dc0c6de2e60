"""The placeholder model's words: which tokens there are, and which kind of word may follow which.

The tokenizer is a byte-level BPE: 256 byte tokens, so that any text can be read, and whole words, so that answers are
readable. A word is reached by merges from its first character on (``" t"``, ``" th"``, ``" the"``), so its prefixes are
tokens too; they are never likely as output.
"""

from __future__ import annotations

from dataclasses import dataclass

from gguf import TokenType

SPACE = "Ġ"  # how a byte-level BPE writes a leading space
UNLIKELY = -30.0

WORDS = {
    "determiner": "the a this every one my our some",
    "adjective": """big blue bold brave bright broad calm clean clear cold common cool curious deep distant dry familiar
        fast fine free fresh gentle golden good grand great green happy hard heavy hidden high huge
        kind large late light little local long low modern narrow near new patient plain quick quiet
        rare red rich ripe round safe sharp short silent simple slow small smooth soft still strong
        sweet tall tiny true warm white wide wild wise young""",
    "noun": """baker bank bell bird boat book bottle box branch bread breeze bridge brother building candle captain
        castle chair child city clock cloud coast coin country day desert doctor door dream farm
        farmer father field fire fish fisherman flower forest fox friend garden gate glass grain
        guest harbour heart hill history home horse house king kitchen ladder lake lamp land leaf
        letter library lion map market meadow message mill mirror moon morning mother mountain
        nation neighbour night painter palace paper path people pilot place plan poem poet queen
        question railway rain reader reason river road rock room school sea season secret shadow
        ship shore singer sister sky snow song sound star station stone storm story stranger stream
        street student sun table teacher temple tower town traveller tree valley village visitor
        voice wall water wave wheel window winter wood word world writer""",
    "verb": """answers asks becomes brings builds buys calls carries catches changes chooses counts covers crosses
        draws drives feels fills finds follows gives grows guards guides hears helps hides holds
        joins keeps knows leads leaves lifts likes loves makes meets moves needs notices paints
        passes protects pulls pushes reaches reads remembers repairs saves sees sells sends serves
        shares shows sings starts studies takes teaches tells touches trusts turns visits wants
        warms watches welcomes writes""",
    "preposition": "above across behind beside beyond for from in near of on over past through to under with without",
    "conjunction": "and but while because when",
}
OPENERS = tuple(word.capitalize() for word in WORDS["determiner"].split())

# Of what kind the next token is, given the kind of this one. What is not named is (practically) impossible.
FOLLOWS: dict[str, dict[str, float]] = {
    "start": {"first": 1.0},
    "stop": {"opener": 0.955, "end": 0.045},
    "first": {"adjective": 0.45, "noun": 0.55},
    "opener": {"adjective": 0.45, "noun": 0.55},
    "determiner": {"adjective": 0.4, "noun": 0.6},
    "adjective": {"adjective": 0.1, "noun": 0.9},
    "noun": {"verb": 0.3, "preposition": 0.15, "conjunction": 0.05, "stop": 0.5},
    "verb": {"determiner": 0.85, "preposition": 0.15},
    "preposition": {"determiner": 1.0},
    "conjunction": {"determiner": 1.0},
    "other": {"determiner": 0.7, "stop": 0.3},
    "end": {"opener": 1.0},
}
KINDS = tuple(FOLLOWS)
CONTROL = {"<|begin|>": "other", "<|end|>": "end", "<|system|>": "other", "<|user|>": "other", "<|assistant|>": "start"}

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|' + (message['role'] if message['role'] in ['system', 'assistant'] else 'user') + '|>' }}"
    "{{ message['content'] or '' }}{{ '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens in the order of their ids; ``kinds`` says of what kind each is."""

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    kinds: tuple[str, ...]
    merges: tuple[str, ...]


def build_vocabulary() -> Vocabulary:
    """Lay out byte tokens, then words with their prefixes, then control tokens."""
    kinds = dict.fromkeys(byte_characters(), "other")
    kinds["."] = "stop"
    merges: list[str] = []
    for word, kind in all_words():
        for length in range(2, len(word) + 1):
            if word[:length] not in kinds:
                merges.append(f"{word[: length - 1]} {word[length - 1]}")
                kinds[word[:length]] = "other"
        kinds[word] = kind
    types = [int(TokenType.NORMAL)] * len(kinds) + [int(TokenType.CONTROL)] * len(CONTROL)
    kinds.update(CONTROL)
    return Vocabulary(tuple(kinds), tuple(types), tuple(kinds.values()), tuple(merges))


def all_words() -> list[tuple[str, str]]:
    """List every word token with its kind; words without a space last, so that their merges lose against a space's."""
    words = [(SPACE + word, kind) for kind, text in WORDS.items() for word in text.split()]
    words += [(SPACE + word, "opener") for word in OPENERS]
    words += [(word, "first") for word in OPENERS if len(word) > 1]
    return words


def byte_characters() -> list[str]:
    """List the 256 printable stand-ins of GPT-2's byte-level BPE, in the order of the bytes they stand for."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    shifted = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(shifted)) for byte in range(256)]
