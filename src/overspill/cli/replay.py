"""``overspill replay``: the audit and the regression test of decisions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import msgspec

from overspill.cli.setup import Asked, run, set_up
from overspill.config.compile import compile_config
from overspill.core.recording import decode_lines
from overspill.core.types import Policy
from overspill.errors import TraceError
from overspill.planner.replay import ReplayReport
from overspill.planner.replay import replay as replay_recording

EXIT_DIFFERENT = 1


@click.command()
@click.argument("recording", type=click.Path(dir_okay=False))
@click.option(
    "--config", "-c", "config_path", type=click.Path(dir_okay=False), help="Replay under this policy instead."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def replay(recording: str, config_path: str | None, as_json: bool) -> None:
    """Feed the events of RECORDING (from `serve --record`) to a new controller and compare its commands.

    Under the recorded policy every command must be the same. Under another one the comparison ends at the first that
    differs: from there on the recording's events are no longer what would have happened. Exit code 1 if any differs.
    """
    try:
        with Path(recording).open("rb") as lines:
            recorded = decode_lines(lines)
    except OSError as error:
        raise TraceError(f"the recording {recording} cannot be read: {error.strerror}") from error
    report = replay_recording(recorded, None if config_path is None else _policy(config_path))
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(report, enc_hook=str)))
    else:
        click.echo(_words(report))
    if report.first_difference is not None:
        sys.exit(EXIT_DIFFERENT)


def _policy(config_path: str) -> Policy:
    setup = run(set_up(Asked(config_path=config_path, looks_around=False)))
    return compile_config(setup.config, setup.facts).policy


def _words(report: ReplayReport) -> str:
    if report.first_difference is None:
        return f"{report.steps} steps replayed, every command is the same"
    return f"{report.steps} steps replayed, {report.differing} differ; the first:\n{report.first_difference}"
