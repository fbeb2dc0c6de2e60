"""The batch's runs of equal steps against an engine that takes every step by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from overspill.perf.batching import Batch
from overspill.perf.engine_model import BatchEvent, EngineModel

TICK_S = 1 / 1024  # times are sums of powers of two, so both ways of adding them up are exact


@dataclass
class Job:
    at_s: float
    request_id: int
    prompt: int
    output: int
    cancel_at_s: float | None = None
    prompt_left: int = 0
    made: int = 0


@dataclass
class StepByStep:
    """The rules of the module's docstring, one step at a time and nothing clever."""

    model: EngineModel
    jobs: list[Job]
    events: list[BatchEvent] = field(default_factory=list)

    def run(self) -> list[BatchEvent]:
        todo = sorted(self.jobs, key=lambda job: (job.at_s, job.request_id))
        waiting: list[Job] = []
        seated: list[Job] = []
        now_s = 0.0
        while todo or waiting or seated:
            while todo and todo[0].at_s <= now_s:
                job = todo.pop(0)
                job.prompt_left = job.prompt
                waiting.append(job)
            waiting = [job for job in waiting if not self.is_gone(job, now_s)]
            seated = [job for job in seated if not self.is_gone(job, now_s)]
            while waiting and len(seated) < self.model.slots and self.fits(seated, waiting[0]):
                seated.append(waiting.pop(0))
            if not seated:
                now_s = todo[0].at_s if todo else now_s
                continue
            now_s += self.step(seated, now_s)
            seated = [job for job in seated if job.made < job.output]
        return self.events

    def is_gone(self, job: Job, now_s: float) -> bool:
        return job.cancel_at_s is not None and job.cancel_at_s <= now_s

    def fits(self, seated: list[Job], job: Job) -> bool:
        capacity = self.model.kv_capacity_tokens
        return capacity is None or sum(one.prompt + one.output for one in [*seated, job]) <= capacity

    def step(self, seated: list[Job], now_s: float) -> float:
        budget = self.model.prefill_chunk_tokens
        decoding = [job for job in seated if job.made]
        made = list(decoding)
        for job in seated:
            share = min(budget, job.prompt_left)
            budget -= share
            job.prompt_left -= share
            if share and not job.prompt_left:
                made.append(job)
        prefilled = self.model.prefill_chunk_tokens - budget
        duration_s = (
            self.model.step_base_s
            + self.model.step_s_per_running * len(decoding)
            + self.model.prefill_s_per_token * prefilled
        )
        for job in made:
            job.made += 1
            if self.is_gone(job, now_s + duration_s) and job.cancel_at_s < now_s + duration_s:
                continue
            if job.made == 1:
                self.events.append(BatchEvent(now_s + duration_s, job.request_id, False))
            if job.made == job.output:
                self.events.append(BatchEvent(now_s + duration_s, job.request_id, True))
        return duration_s


def in_order(events: list[BatchEvent]) -> list[tuple[float, int, bool]]:
    return sorted((event.at_s, event.request_id, event.is_last) for event in events)


def play(
    model: EngineModel, jobs: list[Job], *, pause_s: float | None = None, advance_last: bool = False
) -> list[BatchEvent]:
    """Drive a batch as a simulator does: to the next wake-up, arrival or cancellation, or in pauses of one length."""
    batch = Batch(model)
    actions = [(job.at_s, 0, job) for job in jobs]
    actions += [(job.cancel_at_s, 1, job) for job in jobs if job.cancel_at_s is not None]
    actions.sort(key=lambda action: (action[0], action[1], action[2].request_id))
    events: list[BatchEvent] = []
    now_s = 0.0
    for at_s, kind, job in actions:
        while (wakeup_s := batch.next_wakeup_s()) is not None and (
            wakeup_s < at_s or (wakeup_s == at_s and not advance_last)
        ):
            now_s = wakeup_s if pause_s is None else min(now_s + pause_s, at_s)
            if advance_last and now_s == at_s:
                break
            events += batch.advance(now_s)
            if now_s == at_s:
                break
        if not advance_last:
            events += batch.advance(at_s)
        now_s = at_s
        if kind == 0:
            batch.admit(job.request_id, job.prompt, job.output, at_s)
        else:
            batch.cancel(job.request_id, at_s)
    while (wakeup_s := batch.next_wakeup_s()) is not None:
        assert wakeup_s > now_s or advance_last, "a wake-up in the past would spin"
        now_s = wakeup_s if pause_s is None else now_s + pause_s
        events += batch.advance(now_s)
    assert (batch.running, batch.waiting, batch.kv_tokens) == (0, 0, 0)
    return events


ticks = st.integers(1, 40).map(lambda count: count * TICK_S)
models = st.builds(
    EngineModel,
    slots=st.integers(1, 5),
    step_base_s=ticks,
    step_s_per_running=st.integers(0, 8).map(lambda count: count * TICK_S),
    prefill_s_per_token=st.integers(0, 4).map(lambda count: count * TICK_S / 4),
    prefill_chunk_tokens=st.integers(1, 64),
    kv_capacity_tokens=st.none() | st.integers(160, 400),
)


@st.composite
def traffic(draw: st.DrawFn, *, cancels: bool = True) -> list[Job]:
    jobs = []
    for request_id in range(draw(st.integers(1, 14))):
        at_s = draw(st.integers(0, 1500)) * TICK_S
        cancel_after = draw(st.none() | st.integers(1, 1500)) if cancels else None
        jobs.append(
            Job(
                at_s,
                request_id,
                draw(st.integers(1, 120)),
                draw(st.integers(1, 40)),
                None if cancel_after is None else at_s + cancel_after * TICK_S,
            )
        )
    return jobs


@settings(max_examples=400, deadline=None)
@given(models, traffic())
def test_runs_of_steps_give_the_same_times_as_single_steps(model: EngineModel, jobs: list[Job]) -> None:
    expected = in_order(StepByStep(model, jobs).run())
    assert in_order(play(model, jobs)) == expected


@settings(max_examples=200, deadline=None)
@given(models, traffic(), st.integers(1, 70))
def test_how_often_time_is_asked_changes_nothing(model: EngineModel, jobs: list[Job], pause: int) -> None:
    assert in_order(play(model, jobs, pause_s=pause * TICK_S)) == in_order(play(model, jobs))


@settings(max_examples=200, deadline=None)
@given(models, traffic(cancels=False))
def test_an_arrival_at_a_step_boundary_joins_whichever_is_told_first(model: EngineModel, jobs: list[Job]) -> None:
    assert in_order(play(model, jobs, advance_last=True)) == in_order(play(model, jobs))


@settings(max_examples=200, deadline=None)
@given(models, traffic(cancels=False), st.integers(1, 30))
def test_tokens_asked_for_at_every_step_add_up(model: EngineModel, jobs: list[Job], slack: int) -> None:
    """Follow every step as the rehearsal engine does: counts grow by at most one and end where the events say."""
    batch = Batch(model)
    todo = sorted(jobs, key=lambda job: (job.at_s, job.request_id))
    alive: dict[int, int] = {}
    ended: dict[int, int] = {}
    now_s = 0.0
    while todo or batch.running or batch.waiting:
        step_s = batch.next_step_s()
        now_s = min(at for at in (step_s, todo[0].at_s if todo else None) if at is not None)
        for event in batch.advance(now_s):
            assert event.at_s == now_s
            if event.is_last:
                ended[event.request_id] = alive.pop(event.request_id) + 1
            else:
                assert alive[event.request_id] == 0
        for request_id, before in alive.items():
            assert 0 <= batch.produced(request_id) - before <= 1
            alive[request_id] = batch.produced(request_id)
        while todo and todo[0].at_s <= now_s:
            job = todo.pop(0)
            batch.admit(job.request_id, job.prompt, job.output, now_s)
            alive[job.request_id] = 0
    assert ended == {job.request_id: job.output for job in jobs}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(1, 3000), st.integers(1, 300)), min_size=1, max_size=30),
    st.floats(1e-4, 0.1),
    st.floats(0, 0.01),
)
def test_any_float_times_end_and_answer_everything(
    jobs: list[tuple[float, int, int]], base_s: float, per_running_s: float
) -> None:
    model = EngineModel(slots=4, step_base_s=base_s, step_s_per_running=per_running_s, prefill_s_per_token=1e-4)
    events = play(model, [Job(at_s, number, prompt, output) for number, (at_s, prompt, output) in enumerate(jobs)])
    assert [event.at_s for event in events] == sorted(event.at_s for event in events)
    assert len(events) == 2 * len(jobs)
