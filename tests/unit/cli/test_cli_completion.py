from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.unit.cli.calling import overspill

from overspill.cli.main import COMMANDS


def completed(words: str, count: int) -> list[str]:
    """Return what bash would offer for the word number ``count`` of ``words``."""
    environ = {**os.environ, "_OVERSPILL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    done = subprocess.run(
        [sys.executable, "-m", "overspill"], env=environ, capture_output=True, text=True, timeout=30, check=True
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_overspill_for_its_words(shell: str) -> None:
    called = overspill("completion", shell)
    assert called.code == 0
    assert f"_OVERSPILL_COMPLETE={shell}_complete" in called.out
    assert "_overspill_completion" in called.out


def test_another_shell_is_refused_with_those_that_are_known() -> None:
    called = overspill("completion", "tcsh")
    assert called.code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in called.err


def test_every_command_is_offered() -> None:
    assert completed("overspill ", 1) == list(COMMANDS)


def test_options_and_choices_of_a_command_are_offered() -> None:
    assert "--port" in completed("overspill serve --", 2)
    assert completed("overspill rehearse --engine ", 3) == ["llamacpp", "fake"]
    assert completed("overspill config ", 2) == ["check", "explain", "schema"]
