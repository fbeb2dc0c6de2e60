"""The fault lab: each fault in each form of a request, through a real gateway, watched by a wary client.

A cell has a gateway of its own, so that no cell's breakers tell another's. First the healthy scenario runs in each
form; what the faults add to its time to first token is measured against it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from overspill.cli.rehearsal.lab_child import pause
from overspill.cli.rehearsal.lab_stage import LabOptions, LabStage, build_lab_stage, lab_call
from overspill.core.types import Surface
from overspill.errors import OverspillError
from overspill.gateway.http.client import HttpClient
from overspill.gateway.rehearsal.scenarios import (
    HEALTHY,
    OUTPUT_TOKENS,
    REASONING_TOKENS,
    SCENARIOS,
    Backup,
    Must,
    Scenario,
    Shape,
    Surroundings,
)
from overspill.gateway.rehearsal.speech import TOOL_NAME
from overspill.gateway.rehearsal.verdict import Verdict, complaint, judge, lateness
from overspill.gateway.rehearsal.witness import Sight, ask

_PAUSED_AFTER_S = 1.02
"""Just after the gateway's first look at its streams, so that its next one finds nothing new."""
_TOOL = {"type": "function", "function": {"name": TOOL_NAME, "parameters": {"type": "object"}}}


class Form(msgspec.Struct, frozen=True):
    """A form of a request, and of the faulty target's answer."""

    surface: Surface
    is_stream: bool
    in_one_piece: bool = False

    @property
    def words(self) -> str:
        """Name it."""
        how = "stream" if self.is_stream else "in one piece" if self.in_one_piece else "whole"
        return f"{self.surface.value} {how}"

    def fits(self, scenario: Scenario) -> bool:
        """Tell whether a scenario has this form."""
        return self.surface in scenario.surfaces and (scenario.has_pieces or not self.in_one_piece)


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One fault in one form of a request, and what came of it. Times are seconds."""

    scenario: str
    surface: Surface
    is_stream: bool
    requests: int
    in_one_piece: bool
    """Whether the faulty target could not stream; an answer that a client wants whole is asked for as a stream else."""
    must: Must
    verdict: Verdict
    """Of several requests, the worst."""
    target: str | None
    """Who answered, or ended the answer; ``None`` if nobody did."""
    attempts: int
    """The most that one request needed."""
    ttft_s: float | None
    """Of several requests, the longest, as is the next."""
    total_s: float
    added_ttft_s: float | None
    """Time to the first token beyond what it takes without a fault."""
    complaint: str
    """What is wrong with it; empty if it is what must come of this fault."""
    lateness: str
    """By how much it was too late, where that is bounded; empty if it was not."""

    @property
    def form(self) -> Form:
        """The form that was tried."""
        return Form(self.surface, self.is_stream, self.in_one_piece)

    @property
    def is_right(self) -> bool:
        """Whether it is what must come of this fault, and in time."""
        return not self.complaint and not self.lateness


FORMS = tuple(
    Form(surface, is_stream, in_one_piece)
    for surface in (Surface.CHAT, Surface.COMPLETIONS)
    for is_stream, in_one_piece in ((True, False), (False, False), (False, True))
)


async def run_lab(
    scenarios: Iterable[Scenario], options: LabOptions, on_cell: Callable[[Cell], None] | None = None
) -> list[Cell]:
    """Run every scenario in every form that it has, and return the cells in that order, the healthy ones first."""
    with tempfile.TemporaryDirectory(prefix="overspill-lab-") as folder:
        lab = _Lab(options, Path(folder), on_cell)
        healthy = [await lab.cell(HEALTHY, form, None) for form in FORMS]
        lab.base_s = {cell.form: cell.ttft_s for cell in healthy}
        others = [one for one in scenarios if one is not HEALTHY]
        asked = [(one, form) for one in others for form in FORMS if form.fits(one)]
        return healthy + await lab.cells(asked)


def scenarios_named(names: Sequence[str]) -> list[Scenario]:
    """Return the scenarios of these names, all of them for no name; raise ``KeyError`` for one that there is not."""
    table = {scenario.name: scenario for scenario in SCENARIOS}
    return [table[name] for name in names or table]


class _Lab:
    def __init__(self, options: LabOptions, folder: Path, on_cell: Callable[[Cell], None] | None) -> None:
        self.base_s: Mapping[Form, float | None] = {}
        self._options = options
        self._folder = folder
        self._on_cell = on_cell
        self._room = asyncio.Semaphore(max(1, options.parallel // options.requests))
        self._number = 0

    async def cells(self, asked: Iterable[tuple[Scenario, Form]]) -> list[Cell]:
        """Run cells beside each other; raise ``OverspillError`` if a stage cannot be set."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.cell(scenario, form, self.base_s[form])) for scenario, form in asked]
        except* OverspillError as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def cell(self, scenario: Scenario, form: Form, base_s: float | None) -> Cell:
        async with self._room:
            self._number += 1
            folder = self._folder / str(self._number)
            folder.mkdir()
            async with build_lab_stage(scenario, self._options, folder, in_one_piece=form.in_one_piece) as stage:
                sights = await self._ask(stage, scenario, form)
        cell = _cell(scenario, form, stage, sights, base_s, self._options)
        if self._on_cell is not None:
            self._on_cell(cell)
        return cell

    async def _ask(self, stage: LabStage, scenario: Scenario, form: Form) -> list[Sight]:
        call = lab_call(form.surface.value, _fields(scenario, form))
        patience_s = self._options.patience_s
        client = HttpClient()
        asking = [
            ask(client, stage.origin, call, is_stream=form.is_stream, patience_s=patience_s)
            for _ in range(max(scenario.requests, self._options.requests))
        ]
        try:
            if scenario.surroundings is Surroundings.PAUSE and stage.pid is not None:
                sights, _ = await asyncio.gather(asyncio.gather(*asking), pause(stage.pid, _PAUSED_AFTER_S))
                return sights
            return await asyncio.gather(*asking)
        finally:
            await client.close()


def _fields(scenario: Scenario, form: Form) -> dict[str, Any]:
    fields: dict[str, Any] = {"stream": form.is_stream, "x_output_tokens": OUTPUT_TOKENS}
    if scenario.shape is Shape.REASONING:
        fields["x_reasoning_tokens"] = REASONING_TOKENS
    if scenario.shape is Shape.TOOL_CALL:
        fields["tools"] = [_TOOL]
    return fields


def _cell(
    scenario: Scenario,
    form: Form,
    stage: LabStage,
    sights: Sequence[Sight],
    base_s: float | None,
    options: LabOptions,
) -> Cell:
    complaints = [_complaint(scenario, sight, len(sights)) for sight in sights]
    worst, wrong = next((pair for pair in zip(sights, complaints, strict=True) if pair[1]), (sights[0], ""))
    first_s = max((sight.ttft_s for sight in sights if sight.ttft_s is not None), default=None)
    added_s = None if first_s is None or base_s is None else first_s - base_s
    return Cell(
        scenario=scenario.name,
        surface=form.surface,
        is_stream=form.is_stream,
        in_one_piece=form.in_one_piece,
        requests=len(sights),
        must=scenario.must_be(is_stream=form.is_stream),
        verdict=judge(worst, scenario.shape),
        target=_who(stage, worst),
        attempts=_attempts(stage, sights),
        ttft_s=first_s,
        total_s=max(sight.total_s for sight in sights),
        added_ttft_s=added_s,
        complaint=wrong,
        lateness="" if added_s is None else _lateness(scenario, form, added_s, options),
    )


def _complaint(scenario: Scenario, sight: Sight, count: int) -> str:
    """Judge one of ``count`` answers; once some are broken, others may go to the healthy target from the start."""
    if count > 1 and scenario.backup is not Backup.NONE and judge(sight, scenario.shape) is Verdict.WHOLE:
        return ""
    return complaint(scenario, sight)


def _lateness(scenario: Scenario, form: Form, added_s: float, options: LabOptions) -> str:
    return lateness(scenario, added_s, options.slo_ttft_s, in_one_piece=form.in_one_piece)


def _who(stage: LabStage, sight: Sight) -> str | None:
    if stage.watch is None:
        return sight.headers.get("x-overspill-target")
    return ", ".join(sorted(stage.watch.answered)) or None


def _attempts(stage: LabStage, sights: Sequence[Sight]) -> int:
    if stage.watch is not None:
        return stage.watch.attempts
    return max(int(sight.headers.get("x-overspill-attempts", "0")) for sight in sights)
