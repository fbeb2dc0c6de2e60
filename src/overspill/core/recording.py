"""A recording of what a controller was told and what it answered: JSON lines, for audit and regression.

The first line is a header with the policy that the controller was born with; every other line is one step: the time,
the event, and the commands that came out (left out where there were none). So a recording begins with the controller's
birth, and it holds no text of any prompt, since none enters the core::

    {"overspill_recording":1,"policy":{...}}
    {"now":0.25,"event":{"type":"Arrived",...},"commands":[{"type":"StartAttempt",...}]}

The live driver writes it line by line; ``planner.replay`` reads it. The last line may be torn by a crash and is then
left out; damage anywhere else is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from overspill.core.commands import AnyCommand
from overspill.core.events import AnyEvent
from overspill.core.types import Policy
from overspill.errors import TraceError

FORMAT = 1
"""Raised when a recording of the version before can no longer be read."""


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line."""

    overspill_recording: int
    policy: Policy


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One fact, when it came in, and what the controller said to it."""

    now: float
    event: AnyEvent
    commands: tuple[AnyCommand, ...] = ()


class Recording(msgspec.Struct, frozen=True):
    """A whole recording, read back."""

    policy: Policy
    steps: tuple[Step, ...]


def encode_header(policy: Policy) -> bytes:
    """Write the first line, with its line end."""
    return msgspec.json.encode(Header(overspill_recording=FORMAT, policy=policy)) + b"\n"


def encode_step(now: float, event: AnyEvent, commands: Sequence[AnyCommand]) -> bytes:
    """Write one line, with its line end."""
    return msgspec.json.encode(Step(now=now, event=event, commands=tuple(commands))) + b"\n"


def decode_lines(lines: Iterable[bytes]) -> Recording:
    """Read a recording from its lines, such as an open binary file; raise ``TraceError`` where it cannot be read."""
    source = iter(lines)
    header = _header(next(source, b""))
    decode = msgspec.json.Decoder(Step).decode
    steps: list[Step] = []
    damage: tuple[int, msgspec.DecodeError] | None = None
    for number, line in enumerate(source, start=2):
        if damage is not None:
            raise TraceError(f"line {damage[0]} of the recording cannot be read: {damage[1]}; record it again")
        try:
            steps.append(decode(line))
        except msgspec.DecodeError as error:
            damage = number, error
    return Recording(header.policy, tuple(steps))


def _header(line: bytes) -> Header:
    try:
        found = msgspec.json.decode(line, type=dict[str, Any]).get("overspill_recording")
        if found == FORMAT:
            return msgspec.json.decode(line, type=Header)
    except msgspec.DecodeError as error:
        raise TraceError(
            f"the first line is no header of a recording: {error}; give a file that the gateway recorded from its start"
        ) from error
    raise TraceError(
        f"the recording has format {found!r} and this version reads {FORMAT}; replay it with the version that wrote it"
    )
