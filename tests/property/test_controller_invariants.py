"""What holds for every life of a controller. The checks stand in ``controller_scripts.Life``.

``CONTROLLER_EXAMPLES=100000 pytest tests/property/test_controller_invariants.py -k one_answer`` looks longer than the
default, for a quarter of an hour or so.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.controller_scripts import live

from overspill.core.recording import decode_lines
from overspill.planner.replay import replay

EXAMPLES = int(os.environ.get("CONTROLLER_EXAMPLES", "500"))
scripts = st.integers(0, 3000).flatmap(lambda size: st.binary(min_size=size, max_size=size))

REPLAY = """
import sys
from overspill.core.recording import decode_lines
from overspill.planner.replay import replay
for block in sys.stdin.buffer.read().split(b"\\n\\n"):
    report = replay(decode_lines(block.splitlines()))
    print(report.steps, report.commands, report.differing)
"""


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts)
def test_every_request_gets_one_answer_and_nothing_is_left_over(source: bytes) -> None:
    live(source)


@settings(max_examples=max(50, EXAMPLES // 10), deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts)
def test_the_same_script_twice_gives_the_same_commands_and_so_does_its_recording(source: bytes) -> None:
    first, second = live(source), live(source)
    assert first.lines == second.lines
    # A life asks for the next wake-up after every event and a replay never does: asking must change nothing.
    report = replay(decode_lines(first.lines))
    assert (report.differing, report.first_difference) == (0, None)
    assert report.steps == len(first.lines) - 1


def test_another_process_with_another_hash_seed_decides_the_same() -> None:
    recordings = [live(random.Random(seed).randbytes(3000)).lines for seed in range(8)]
    expected = []
    for lines in recordings:
        recording = decode_lines(lines)
        commands = sum(len(step.commands) for step in recording.steps)
        assert commands > 100
        expected.append(f"{len(recording.steps)} {commands} 0")
    text = b"\n".join(b"".join(lines) for lines in recordings)
    for seed in ("1", "4242"):
        answer = subprocess.run(
            [sys.executable, "-c", REPLAY],
            input=text,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert answer.stdout.decode().splitlines() == expected
