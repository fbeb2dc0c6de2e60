"""No argument list, however odd, may end in a traceback."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from unittest import mock

import click
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.cli.calling import overspill
from tests.unit.cli.test_cli_main import commands

HARMLESS = {
    words: command for words, command in commands() if words not in ("serve", "rehearse", "doctor", "config explain")
}
"""The others listen, start processes or look around the machine when their arguments happen to be right."""
WORDS = st.text(max_size=12).filter(lambda text: "\x00" not in text) | st.sampled_from(
    ["-h", "--", "-", "nan", "inf", "-1", "1e999", "0", "", "a=b", "server.port=x", "[", "/", ".", "~", "\udcff"]
)


@st.composite
def argument_lists(draw: st.DrawFn) -> list[str]:
    """Draw a command with some of its own options, each with any value, and loose words between them."""
    words, command = draw(st.sampled_from(sorted(HARMLESS.items())))
    options = [name for p in command.params if isinstance(p, click.Option) for name in p.opts]
    option = st.sampled_from([*options, "--nope"]) if options else st.just("--nope")
    rest = draw(st.lists(st.tuples(option, WORDS).map(list) | WORDS.map(lambda word: [word]), max_size=4))
    return [*words.split(), *(word for part in rest for word in part)]


@settings(max_examples=250, deadline=None)
@given(argument_lists(), st.binary(max_size=60))
def test_any_arguments_end_with_an_exit_code(arguments: list[str], content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_bytes(content)
        named = [str(file) if word in (".", "/") else word for word in arguments]
        # No ledger, so nothing is exported; and what is written under an odd name is written in the folder.
        with mock.patch.dict(os.environ, XDG_STATE_HOME=folder), contextlib.chdir(folder):
            called = overspill(*named)
        assert called.code in (0, 1, 2, 3)
        assert (called.code in (2, 3)) <= bool(called.err)


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS, max_size=3))
def test_any_words_in_place_of_a_command_end_with_an_exit_code(arguments: list[str]) -> None:
    assert overspill(*arguments).code in (0, 2)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80) | st.text(alphabet="{}[]:,- \n'\"#&*!|>%@`apolsruten0\t", max_size=60))
def test_any_file_in_place_of_a_configuration_ends_with_0_or_2(content: bytes | str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert overspill("config", "check", str(file)).code in (0, 2)
