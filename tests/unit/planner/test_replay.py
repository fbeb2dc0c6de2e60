from __future__ import annotations

import msgspec
from tests.replay.scenarios import POLICY, ROUTE, SCENARIOS

from overspill.core.commands import Reject, StartAttempt
from overspill.core.events import Arrived, PolicyChanged, Tick
from overspill.core.recording import Recording, Step, decode_lines
from overspill.core.types import Outcome, Policy, RejectReason
from overspill.planner.replay import replay


def recorded(name: str = "burst") -> Recording:
    return decode_lines(SCENARIOS[name]().run().splitlines())


def with_route(**changes: object) -> Policy:
    return msgspec.structs.replace(POLICY, routes=(msgspec.structs.replace(ROUTE, **changes),))


def test_the_same_policy_gives_the_same_commands() -> None:
    recording = recorded()
    report = replay(recording)
    assert report.steps == len(recording.steps)
    assert report.commands == sum(len(step.commands) for step in recording.steps) > 50
    assert (report.differing, report.first_difference) == (0, None)


def test_a_recording_that_was_changed_is_found_out_where_it_was_changed() -> None:
    recording = recorded()
    number, step = next((n, s) for n, s in enumerate(recording.steps) if len(s.commands) == 1)
    forged = Reject(request_id="r0", reason=RejectReason.NO_TARGET, outcome=Outcome.REJECTED)
    steps = list(recording.steps)
    steps[number] = msgspec.structs.replace(step, commands=(forged,))
    report = replay(Recording(recording.policy, tuple(steps)))
    assert report.differing == 1
    difference = report.first_difference
    assert difference is not None
    assert (difference.step, difference.now, difference.event) == (number, step.now, step.event)
    assert (difference.expected, difference.actual) == ((forged,), step.commands)


def test_every_differing_step_is_counted_and_the_first_is_shown() -> None:
    recording = recorded()
    silent = tuple(msgspec.structs.replace(step, commands=()) for step in recording.steps)
    report = replay(Recording(recording.policy, silent))
    assert report.differing == sum(1 for step in recording.steps if step.commands)
    assert report.commands == 0
    assert report.first_difference is not None
    assert report.first_difference.step == 0


def test_another_policy_that_decides_alike_is_compared_to_the_end() -> None:
    recording = recorded()
    report = replay(recording, with_route(max_attempts=3))
    assert (report.steps, report.differing, report.first_difference) == (len(recording.steps), 0, None)


def test_another_policy_is_followed_to_its_first_other_decision_and_no_further() -> None:
    recording = recorded()
    report = replay(recording, with_route(local_only=True))
    first_spill = next(n for n, s in enumerate(recording.steps) if any(_is_spill(c) for c in s.commands))
    assert report.first_difference is not None
    assert report.differing == 1
    assert report.first_difference.step <= first_spill
    assert report.steps == report.first_difference.step + 1


def _is_spill(command: object) -> bool:
    return isinstance(command, StartAttempt) and command.spill is not None


def test_a_wake_up_that_only_the_other_policy_asks_for_is_found() -> None:
    quiet = Recording(
        with_route(deadline_s=60.0, tiers=()),
        tuple(Step(now=float(n), event=Tick()) for n in range(3)),
    )
    assert replay(quiet, with_route()).first_difference is None
    gpu = msgspec.structs.replace(POLICY.targets[0], ready_at_start=False)
    only_gpu = msgspec.structs.replace(ROUTE, tiers=ROUTE.tiers[:1], deadline_s=60.0)
    policy = Policy(targets=(gpu,), routes=(only_gpu,))
    waits = Recording(
        policy,
        (
            Step(now=0.0, event=Arrived(request_id="r", model="m")),
            Step(now=30.0, event=Tick()),
            Step(now=59.0, event=Tick()),
        ),
    )
    assert replay(waits).first_difference is None
    hasty = msgspec.structs.replace(policy, routes=(msgspec.structs.replace(only_gpu, deadline_s=5.0),))
    difference = replay(waits, hasty).first_difference
    assert difference is not None
    assert (difference.step, difference.now, difference.event, difference.expected) == (1, 5.0, Tick(), ())
    assert [type(c) for c in difference.actual] == [Reject]


def test_a_wake_up_that_changes_nothing_is_no_difference() -> None:
    recording = recorded("narrow")
    steps = tuple(step for step in recording.steps if not isinstance(step.event, Tick) or step.commands)
    assert len(steps) < len(recording.steps)
    assert replay(Recording(recording.policy, steps), recording.policy).first_difference is None


def test_a_recorded_change_of_policy_does_not_bring_the_old_one_back() -> None:
    recording = recorded("reload")
    changes = [step for step in recording.steps if isinstance(step.event, PolicyChanged)]
    assert len(changes) == 3
    assert replay(recording).differing == 0
    report = replay(recording, recording.policy)
    assert report.first_difference is not None
    assert recording.steps.index(changes[0]) < report.first_difference.step
