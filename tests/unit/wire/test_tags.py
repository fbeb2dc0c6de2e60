"""Thoughts between tags: the same thought and text wherever the pieces are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overspill.wire.tags import TagReader, split_thought

CASES = [
    ("<think>hm</think>yes", "hm", "yes"),
    ("<think>\nhm\n\n</think>\n\nyes\n", "hm", "yes\n"),
    (" \n<think>hm</think>yes", "hm", "yes"),
    ("<think></think>yes", "", "yes"),
    ("<think>\n\n</think>\n\n", "", ""),
    ("<think>so a</th b </think> c", "so a</th b", "c"),
    ("<think>it never ends \n", "it never ends", ""),
    ("<think>cut </thi", "cut </thi", ""),
    ("<think>", "", ""),
    ("a <think>b</think>", None, "a <think>b</think>"),
    ("<thin air", None, "<thin air"),
    ("<thi", None, "<thi"),
    ("  \n", None, "  \n"),
    ("", None, ""),
    ("<think>a</think>b</think>c", "a", "b</think>c"),
]


def read(pieces: list[str], *, is_open: bool = False) -> tuple[str, str]:
    reader = TagReader(is_open=is_open)
    parts = [reader.feed(piece) for piece in pieces]
    parts.append(reader.close())
    return "".join(thought for thought, _ in parts), "".join(text for _, text in parts)


@pytest.mark.parametrize(("whole", "thought", "text"), CASES)
def test_a_thought_is_what_stands_between_the_tags_at_the_beginning(whole: str, thought: str | None, text: str) -> None:
    assert split_thought(whole) == (thought, text)
    assert read([whole]) == (thought or "", text)
    assert read(list(whole)) == (thought or "", text)


@pytest.mark.parametrize(
    ("whole", "thought", "text"),
    [
        ("hm\n</think>\n\nyes", "hm", "yes"),
        ("<think>\nhm</think>yes", "hm", "yes"),
        ("no end ", "no end", ""),
        (" <thi", "<thi", ""),
        ("</think>yes", "", "yes"),
        ("", "", ""),
    ],
)
def test_where_the_prompt_has_the_first_tag_all_is_thought_until_the_second(
    whole: str, thought: str, text: str
) -> None:
    assert split_thought(whole, is_open=True) == (thought, text)
    assert read([whole], is_open=True) == (thought, text)
    assert read(list(whole), is_open=True) == (thought, text)


texts = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "think", ">", "/", " ", "\n", "a", "é", "</", "thi"])
).map("".join)


@given(texts, st.lists(st.integers(1, 6)), st.booleans())
def test_the_pieces_of_a_text_give_what_the_whole_gives(whole: str, sizes: list[int], is_open: bool) -> None:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(whole[at : at + size])
        at += size
    pieces.append(whole[at:])
    thought, text = split_thought(whole, is_open=is_open)
    assert read(pieces, is_open=is_open) == (thought or "", text)


@given(texts)
def test_a_text_that_is_through_is_not_held_any_more(whole: str) -> None:
    reader = TagReader()
    for piece in whole:
        was_through = reader.is_through
        thought, text = reader.feed(piece)
        if was_through:
            assert (thought, text, reader.is_through) == ("", piece, True)
