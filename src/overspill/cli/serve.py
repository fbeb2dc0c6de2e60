"""``overspill serve``: the main job."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from overspill.cli.banner import show_banner
from overspill.cli.recording import Recording
from overspill.cli.setup import Asked, Setup, run, set_up
from overspill.errors import ConfigError, OverspillError
from overspill.gateway.places import keys_path
from overspill.gateway.service import Gateway
from overspill.telemetry.logs import LogFormat, configure

log = logging.getLogger("overspill.serve")


@click.command()
@click.option("--config", "-c", "config_path", type=click.Path(dir_okay=False), help="The configuration file.")
@click.option("--host", help="Address to bind (127.0.0.1).")
@click.option("--port", "-p", type=click.IntRange(0, 65535), help="Port to bind (8788, or OVERSPILL_PORT).")
@click.option("--model", "-m", help="Run this in the embedded engine: a GGUF file, hf:REPO:FILE, or builtin:q4.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override one key; may be repeated.")
@click.option("--no-discovery", is_flag=True, help="Look neither for running servers nor for provider keys.")
@click.option("--record", type=click.Path(dir_okay=False), help="Write every event and command here, for replay.")
@click.option("--address-file", type=click.Path(dir_okay=False), help="Write the bound address here, once it listens.")
@click.option("--quiet", "-q", is_flag=True, help="No banner.")
def serve(
    config_path: str | None,
    host: str | None,
    port: int | None,
    model: str | None,
    settings: tuple[str, ...],
    no_discovery: bool,
    record: str | None,
    address_file: str | None,
    quiet: bool,
) -> None:
    """Serve the endpoint: with --config as it says, without one with whatever is found on this machine.

    SIGHUP reads the configuration again, SIGTERM and Ctrl-C finish what runs and stop; a second one stops at once.
    """
    asked = Asked(config_path, settings, host, port, model, not no_discovery)
    cut = run(_serve(asked, _path(record), _path(address_file), quiet))
    if cut:
        click.echo(f"{cut} requests were cut off: they ran longer than server.drain_timeout", err=True)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


async def _serve(asked: Asked, record: Path | None, address_file: Path | None, quiet: bool) -> int:
    signals = _Signals(asyncio.get_running_loop())  # first of all: one that comes early must not kill us
    setup = await set_up(asked)
    config = setup.config
    configure(LogFormat(config.log.format), config.log.level, sys.stderr)
    recording = None if record is None else Recording(record)
    recorder = None if recording is None else recording.write
    gateway = Gateway(config, setup.facts, recorder=recorder, keys_file=keys_path(os.environ))
    if recording is not None:
        recording.begin(gateway.policy)
    try:
        await gateway.start()
        if address_file is not None:
            _write_address(address_file, gateway.addresses[0])
        _spare_the_collector()
        if not quiet:
            show_banner(setup, gateway.addresses)
        await _until_stopped(gateway, asked, signals)
        return await gateway.stop()
    finally:
        if recording is not None:
            recording.close()


def _write_address(file: Path, address: str) -> None:
    try:
        file.write_text(address + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the address file {file} cannot be written: {error.strerror}") from error


def _spare_the_collector() -> None:
    """Keep what was made at start out of every later garbage collection, and collect less often.

    A request leaves next to nothing in cycles, so a collection finds nothing; with the defaults it took 6 % of the CPU
    time under load (profiled 2026-11).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


class _Signals:
    """What the process was asked from outside."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.stopped = asyncio.Event()
        self.reloads: asyncio.Queue[None] = asyncio.Queue()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self.reloads.put_nowait, None)

    def _stop(self) -> None:
        if self.stopped.is_set():
            sys.exit(130)  # asked twice: the engines die with us
        self.stopped.set()


async def _until_stopped(gateway: Gateway, asked: Asked, signals: _Signals) -> None:
    """Wait for SIGTERM or SIGINT; reload at each SIGHUP."""
    reloading = asyncio.get_running_loop().create_task(_reload_forever(gateway, asked, signals.reloads))
    await signals.stopped.wait()
    reloading.cancel()
    log.info("stopping: no new requests, finishing %d", gateway.driver.open_sessions)


async def _reload_forever(gateway: Gateway, asked: Asked, reloads: asyncio.Queue[None]) -> None:
    while True:
        await reloads.get()
        try:
            setup: Setup = await set_up(asked)
            ignored = gateway.reload(setup.config, setup.facts)
        except OverspillError as error:
            log.error("the configuration was not reloaded, the old one stays: %s", error)  # noqa: TRY400 - the text is it
            continue
        log.info("configuration reloaded%s", "".join(_needs_restart(ignored)))


def _needs_restart(sections: list[str]) -> Iterator[str]:
    if sections:
        yield f"; changes of {', '.join(sections)} need a restart"
