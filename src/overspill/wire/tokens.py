"""How many tokens a prompt will be, guessed from its JSON before any tokenizer has seen it.

The core needs a number on arrival, to predict the time to the first token and to see whether the prompt fits a context
window. It need not be exact: the controller learns each target's ratio from the counts that come back.
"""

from __future__ import annotations

import re
from typing import Final

# Sources: OpenAI's help page "What are tokens and how to count them" (1 token is about 4 characters of English, 0.25 a
# byte) and DeepSeek's API page "Token & Token Usage" (a Chinese character is about 0.6 token; older vocabularies need
# up to 0.7, so 0.65 is taken). A CJK character has 3 bytes of UTF-8: 0.65 / 3 = 0.217 a byte, which also gives 0.43 for
# a two-byte letter (Cyrillic, Greek, Arabic) and 0.87 for an emoji.
_ASCII_BYTES_PER_TOKEN: Final = 4
_TOKENS_PER_WIDE_CHARACTER: Final = 0.65
_BYTES_PER_WIDE_CHARACTER: Final = 3
_ESCAPE_BYTES: Final = 6
_TOKENS_PER_ATTACHMENT: Final = 1000
"""An image or a clip in the prompt. Vision models differ (a 1024² picture is 765 tokens for GPT-4o's, about 1,300 for
Qwen2-VL's); what matters is that a megabyte of base64 is not taken for 250,000 tokens of text."""
_ATTACHMENT_MIN_BYTES: Final = 4 * _TOKENS_PER_ATTACHMENT
_BACKSLASH: Final = 92  # as a number: ``bytes in bytes`` is slower

_ASCII: Final = bytes(range(128))
_TOKEN_IDS: Final = re.compile(rb"\[[\[\s]*-?[0-9]")
_BASE64: Final = re.compile(rb'(?:;base64,|"data"\s*:\s*")[A-Za-z0-9+/=\\]{64,}')


def estimate_tokens(raw: bytes) -> int:
    r"""Estimate the prompt's tokens from the raw JSON of ``messages``, ``prompt`` or ``input``.

    Arrays of token ids are counted, not estimated. A character written as ``\uXXXX`` counts as the one character it is,
    base64 attachments as a fixed amount. 1 to 2 ms for 1 MB of text.
    """
    if raw[:2] != b"[{" and _TOKEN_IDS.match(raw):  # nearly always a list of messages
        return raw.count(b",") + 1
    attachments = 0
    if len(raw) > _ATTACHMENT_MIN_BYTES and (b";base64," in raw or b'"input_audio"' in raw):
        raw, attachments = _BASE64.subn(b"", raw)
    wide = 0 if raw.isascii() else len(raw.translate(None, _ASCII))
    escapes = raw.count(b"\\u") if _BACKSLASH in raw else 0
    ascii_bytes = max(0, len(raw) - wide - _ESCAPE_BYTES * escapes)
    characters = wide / _BYTES_PER_WIDE_CHARACTER + escapes
    estimate = ascii_bytes / _ASCII_BYTES_PER_TOKEN + characters * _TOKENS_PER_WIDE_CHARACTER
    return max(1, round(estimate)) + attachments * _TOKENS_PER_ATTACHMENT
