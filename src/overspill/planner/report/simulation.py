"""Spill over the day as ``plan simulate --json`` has it: with the queues, slots and refusals that demand has not."""

from __future__ import annotations

from pathlib import Path

import msgspec

from overspill.errors import ConfigError

_HOURS = 24


class SimulatedHour(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of the day, over all days that were simulated."""

    hour: int
    requests: int
    spilled_share: float
    refused_share: float


class SimulatedDay(msgspec.Struct, frozen=True, kw_only=True):
    """Spill and refusals of a simulation by hour."""

    config: str
    """The configuration that was simulated."""
    hours: tuple[SimulatedHour, ...]
    """Those that the simulation has any request in."""


class _Window(msgspec.Struct, frozen=True):
    start_s: float
    length_s: float
    requests: int
    spilled: dict[str, int]
    refused: dict[str, int]


class _Answer(msgspec.Struct, frozen=True):
    config: str
    windows: list[_Window]


def read_simulation(path: Path, starts_at_unix_s: float | None, utc_offset_s: int) -> SimulatedDay:
    """Read an answer of ``plan simulate --json`` of a trace that began then; raise ``ConfigError`` if it is none."""
    try:
        answer = msgspec.json.decode(path.read_bytes(), type=_Answer)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"this is no answer of plan simulate --json: {error}", file=str(path)) from error
    if any(window.length_s > 3600 for window in answer.windows):
        raise ConfigError("its windows are longer than an hour; simulate with --window 1h or less", file=str(path))
    sums: dict[int, list[int]] = {}
    origin_s = 0.0 if starts_at_unix_s is None else starts_at_unix_s + utc_offset_s
    for window in answer.windows:
        cell = sums.setdefault(int((origin_s + window.start_s + window.length_s / 2) // 3600) % _HOURS, [0, 0, 0])
        cell[0] += window.requests
        cell[1] += sum(window.spilled.values())
        cell[2] += sum(window.refused.values())
    return SimulatedDay(
        config=answer.config,
        hours=tuple(
            SimulatedHour(hour=hour, requests=count, spilled_share=spilled / count, refused_share=refused / count)
            for hour, (count, spilled, refused) in sorted(sums.items())
            if count
        ),
    )
