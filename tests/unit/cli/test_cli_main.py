"""Finding commands, exit codes, help."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from tests.unit.cli.calling import one_line, overspill

from overspill import __version__
from overspill.cli.main import COMMANDS, cli
from overspill.errors import EngineError


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, by its words."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        if not isinstance(command, click.Group):
            yield name, command
            continue
        for inner, sub in command.commands.items():
            yield f"{name} {inner}", sub


def test_the_help_lists_every_command_with_its_text() -> None:
    called = overspill("--help")
    assert called.code == 0
    for name, (_, text) in COMMANDS.items():
        assert f"{name} " in called.out
        assert text in called.out


@pytest.mark.parametrize(("words", "command"), list(commands()))
def test_every_command_and_every_option_says_what_it_is(words: str, command: click.Command) -> None:
    assert (command.help or "").strip().endswith(".")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{words} {parameter.opts}"
    called = overspill(*words.split(), "-h")
    assert called.code == 0
    assert called.out.startswith(f"Usage: overspill {words} ")


def test_the_version_is_printed() -> None:
    assert overspill("--version") == (0, f"overspill {__version__}\n", "")


def test_without_a_command_the_help_is_shown_and_the_call_is_wrong() -> None:
    called = overspill()
    assert called.code == 2
    assert "Commands" in called.err


@pytest.mark.parametrize(("wrong", "right"), [("sevre", "serve"), ("docter", "doctor"), ("reherse", "rehearse")])
def test_a_wrong_command_is_answered_with_the_nearest(wrong: str, right: str) -> None:
    called = overspill(wrong)
    assert called.code == 2
    assert f"unknown command {wrong!r} (did you mean {right!r}?); known: completion, config" in called.err


def test_a_command_that_is_near_to_none_is_answered_with_all() -> None:
    called = overspill("zzz")
    assert called.code == 2
    assert "did you mean" not in called.err
    assert all(name in called.err for name in COMMANDS)
    assert cli.get_command(click.Context(cli), "zzz") is None


@pytest.mark.parametrize("arguments", [("--nope",), ("serve", "--nope"), ("config", "nope"), ("serve", "extra")])
def test_a_wrong_option_or_argument_is_a_wrong_call(arguments: tuple[str, ...]) -> None:
    called = overspill(*arguments)
    assert called.code == 2
    assert called.err.startswith("Usage: overspill")


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (EngineError("the engine is gone; start it"), 3, "error: the engine is gone; start it\n"),
        (click.Abort(), 130, ""),
        (KeyboardInterrupt(), 130, "\n"),  # the terminal shows ^C before it
    ],
)
def test_what_a_command_raises_becomes_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, line: str
) -> None:
    @click.command()
    def failing() -> None:
        raise raised

    monkeypatch.setattr("overspill.cli.completion.completion", failing)
    called = overspill("completion")
    assert (called.code, called.out, called.err) == (code, "", line)


def test_a_missing_file_is_one_line() -> None:
    called = overspill("replay", "nowhere.jsonl")
    assert called.code == 3
    assert one_line(called) == "error: the recording nowhere.jsonl cannot be read: No such file or directory"


def process(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "overspill", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--version",), 0), (("nope",), 2), (("config", "check", "nowhere.yaml"), 2), (("replay", "nowhere.jsonl"), 3)],
)
def test_the_process_ends_with_the_exit_code(arguments: tuple[str, ...], code: int) -> None:
    ended = process(*arguments)
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    assert bool(ended.stderr) == (code != 0)


def test_a_name_that_is_no_text_is_refused_like_any_other() -> None:
    ended = process("\udcff\udcfe", PYTHONUTF8="0", LC_ALL="C")
    assert ended.returncode == 2
    assert "unknown command" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "overspill", "config", "schema", "--format", "markdown"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        said = running.stderr.read()
    assert "Traceback" not in said
