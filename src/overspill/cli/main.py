"""``overspill``: finds the command, runs it, and turns an expected error into one line and an exit code.

Exit codes: 0 it worked; 1 it ran and found something wrong (``doctor``, ``replay``, ``rehearse --faults``); 2 the call
or the configuration is wrong; 3 something needed is missing or broken (an engine, a model file, the ledger); 130
interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from overspill import __version__
from overspill.cli.lazy import lazy_group
from overspill.errors import ConfigError, OverspillError, UnknownName

COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("overspill.cli.serve:serve", "Serve the endpoint."),
    "doctor": ("overspill.cli.doctor:doctor", "Say what is wrong here and what to do."),
    "keys": ("overspill.cli.keys:keys", "Make, list, replace and revoke the keys that clients use."),
    "config": ("overspill.cli.config:config", "Check, explain and describe the configuration."),
    "providers": ("overspill.cli.providers:providers", "Show, check and renew what is known of providers and prices."),
    "eval": ("overspill.cli.eval:evaluate", "Score a target on the held-out test set."),
    "rehearse": ("overspill.cli.rehearse:rehearse", "Play a trace through a real gateway and measure."),
    "simulate": ("overspill.cli.simulate:simulate_command", "Play a trace through the controller in virtual time."),
    "plan": ("overspill.cli.plan.group:plan", "Say what to own, rent, reserve or buy by the token."),
    "replay": ("overspill.cli.replay:replay", "Check a recording: same events, same commands."),
    "ledger": ("overspill.cli.ledger:ledger", "Summarise and export what was served."),
    "completion": ("overspill.cli.completion:completion", "Print the completion script of a shell."),
}
EXIT_WRONG_CALL = 2
EXIT_MISSING = 3


@click.group(
    cls=lazy_group(COMMANDS), context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, message="overspill %(version)s")
def cli() -> None:
    """One LLM endpoint, local first, that never answers "server busy"."""


def main() -> None:
    """Run the command line and exit."""
    try:
        cli.main(prog_name="overspill", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (ConfigError, UnknownName) as error:
        _fail(error, EXIT_WRONG_CALL)
    except OverspillError as error:
        _fail(error, EXIT_MISSING)


def _fail(error: OverspillError, code: int) -> None:
    click.echo(f"error: {error}", err=True)
    sys.exit(code)
