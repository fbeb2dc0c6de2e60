"""What is remembered of thoughts: for whom, where it may go, and how much of it."""

from __future__ import annotations

from overspill.gateway.thoughts import Thoughts
from overspill.wire.history import CallKey, Thought


def calls(*ids: str) -> tuple[CallKey, ...]:
    return tuple(CallKey(call_id, 7) for call_id in ids)


def test_a_thought_is_found_by_each_of_its_calls_and_only_with_its_key() -> None:
    thoughts = Thoughts()
    thoughts.remember("ann", Thought("hm", calls("a", "b")), is_bound=False)
    recall = thoughts.recall("ann", is_outside=True)
    assert [recall(call) for call in calls("a", "b", "c")] == ["hm", "hm", None]
    assert recall(CallKey("a", 8)) is None
    assert thoughts.recall("bob", is_outside=False)(calls("a")[0]) is None


def test_what_had_to_stay_local_is_found_only_for_what_stays_local() -> None:
    thoughts = Thoughts()
    thoughts.remember("ann", Thought("secret", calls("a")), is_bound=True)
    assert thoughts.recall("ann", is_outside=True)(calls("a")[0]) is None
    assert thoughts.recall("ann", is_outside=False)(calls("a")[0]) == "secret"


def test_what_was_not_used_for_longest_goes_first() -> None:
    thoughts = Thoughts(max_thoughts=2)
    for name in ("a", "b"):
        thoughts.remember("", Thought(name, calls(name)), is_bound=False)
    recall = thoughts.recall("", is_outside=True)
    assert recall(calls("a")[0]) == "a"
    thoughts.remember("", Thought("c", calls("c")), is_bound=False)
    assert [recall(call) for call in calls("a", "b", "c")] == ["a", None, "c"]


def test_bytes_are_bounded_and_counted_back() -> None:
    thoughts = Thoughts(max_bytes=2000)
    for name in "abc":
        thoughts.remember("", Thought(name * 500, calls(name)), is_bound=False)
    assert (len(thoughts), thoughts.size_bytes) == (2, 2 * 756)
    thoughts.remember("", Thought("x", calls("c")), is_bound=False)
    assert (len(thoughts), thoughts.size_bytes) == (2, 756 + 257)
    thoughts.remember("", Thought("x" * 3000, calls("d")), is_bound=False)
    assert len(thoughts) == 2
    thoughts.resize(0)
    assert (len(thoughts), thoughts.size_bytes) == (0, 0)
    thoughts.remember("", Thought("x", calls("d")), is_bound=False)
    assert len(thoughts) == 0
