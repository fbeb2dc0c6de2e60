from __future__ import annotations

import io

import pytest
from tests.unit.core.making import World, arrived, cloud, local, policy, starts

from overspill.core.commands import AnyCommand
from overspill.core.controller import Controller
from overspill.core.events import AnyEvent, Tick
from overspill.core.recording import Step, decode_lines, encode_header, encode_step
from overspill.core.types import FailureKind
from overspill.errors import TraceError

POLICY = policy(local(), cloud())


def some_steps() -> list[tuple[float, AnyEvent, list[AnyCommand]]]:
    controller = Controller(POLICY)
    events: list[tuple[float, AnyEvent]] = [(0.1, arrived("a")), (0.30000000000000004, arrived("b")), (1.0, Tick())]
    return [(now, event, controller.handle(event, now)) for now, event in events]


def written() -> bytes:
    return encode_header(POLICY) + b"".join(encode_step(*step) for step in some_steps())


def test_what_is_written_is_read_back_to_the_last_digit() -> None:
    recording = decode_lines(io.BytesIO(written()))
    assert recording.policy == POLICY
    assert recording.steps == tuple(Step(now=n, event=e, commands=tuple(c)) for n, e, c in some_steps())


def test_each_step_is_one_line_and_silence_takes_no_space() -> None:
    line = encode_step(1.0, Tick(), [])
    assert line == b'{"now":1.0,"event":{"type":"Tick"}}\n'
    assert written().count(b"\n") == 4


def test_a_last_line_that_a_crash_has_torn_is_left_out() -> None:
    torn = written()[:-20]
    assert len(decode_lines(io.BytesIO(torn)).steps) == 2
    assert len(decode_lines(torn.splitlines()).steps) == 2


@pytest.mark.parametrize(
    "damaged",
    [b"{", b"{}", b'{"now":1.0,"event":{"type":"Nonsense"}}', b'{"now":1.0,"event":{"type":"Tick"},"x":1}', b"\xff"],
)
def test_damage_before_the_last_line_is_an_error_that_names_the_line(damaged: bytes) -> None:
    lines = written().splitlines()
    lines[2] = damaged
    with pytest.raises(TraceError, match=r"^line 3 of the recording cannot be read: .+; record it again$"):
        decode_lines(lines)


@pytest.mark.parametrize("first", [b"", b"\xff\n", b"[1]\n", b'{"overspill_recording":1,"policy":{}}\n', b"not json\n"])
def test_a_file_that_is_no_recording_is_refused(first: bytes) -> None:
    with pytest.raises(TraceError, match="header of a recording"):
        decode_lines([first])


@pytest.mark.parametrize("first", [b'{"overspill_recording":2,"policy":{}}\n', b"{}\n"])
def test_another_version_is_refused_by_its_number(first: bytes) -> None:
    with pytest.raises(TraceError, match="this version reads 1"):
        decode_lines([first])


def test_a_recording_holds_what_a_failure_was() -> None:
    world = World(local(), cloud())
    attempt = world.start().attempt_id
    out = world.fail(attempt, FailureKind.OVERLOADED, status=529, retry_after_s=1.5)
    (start,) = starts(out)
    assert b'"spill":"attempt_failed"' in encode_step(1.0, Tick(), [start])
