"""A real client that talks to a real gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from tests.support.gateways import attach, fake_engine, serving, text_of, url_of
from tests.support.loops import run

from overspill.gateway.service import Gateway

Client = TypeVar("Client")


def let_talk(
    client_of: Callable[[Gateway], AbstractContextManager[Client]], talk: Callable[[Client], None], **engine: Any
) -> None:
    """Let a client talk to a gateway over the rehearsal engine."""

    def with_client(gateway: Gateway) -> None:
        with client_of(gateway) as client:
            talk(client)

    async def main() -> None:
        async with fake_engine(**engine) as target, serving(text_of({"local": attach(url_of(target))})) as gateway:
            await asyncio.to_thread(with_client, gateway)

    run(main())
