"""Calls the command line in this process, with everything that ``overspill`` itself does around a command."""

from __future__ import annotations

import contextlib
import io
from typing import NamedTuple
from unittest import mock

from overspill.cli.main import main


class Called(NamedTuple):
    """What a call left behind."""

    code: int
    out: str
    err: str


def overspill(*arguments: str) -> Called:
    """Run ``overspill`` with these arguments; an exception that would be a traceback is raised."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        mock.patch("sys.argv", ["overspill", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
    return Called(code, out.getvalue(), err.getvalue())


def one_line(called: Called) -> str:
    """Return the error, which must be one line on standard error and nothing else."""
    (line,) = called.err.splitlines()
    assert line.startswith("error: ")
    assert called.out == ""
    return line
