"""Looks for LLM servers that already run on this machine, by asking the ports where they usually listen."""

from __future__ import annotations

import asyncio

from overspill.config.discover import FoundServer
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.fetch import fetch
from overspill.pools.engines.protocol import AttachedEngine
from overspill.pools.engines.registry import discoverable
from overspill.wire.http import HttpCall, Origin

_TIMEOUT_S = 1.0


async def find_servers(
    client: HttpClient, *, host: str = "127.0.0.1", skip_port: int | None = None
) -> list[FoundServer]:
    """Probe the usual ports, all at once, and return the servers that answer as expected and have a model.

    ``skip_port`` is our own. Two kinds may share a port: the first that recognises the answer has it.
    """
    engines = [e for e in discoverable() if e.probe is not None and e.probe.port != skip_port]
    found = await asyncio.gather(*(_look(client, host, engine) for engine in engines))
    servers: dict[str, FoundServer] = {}
    for server in found:
        if server is not None:
            servers.setdefault(server.url, server)
    return list(servers.values())


async def _look(client: HttpClient, host: str, engine: AttachedEngine) -> FoundServer | None:
    probe = engine.probe
    assert probe is not None  # filtered by the caller
    origin = Origin(host=host, port=probe.port)
    answer = await _get(client, origin, probe.path)
    if answer is None or not engine.recognises(*answer):
        return None
    listing = await _get(client, origin, engine.models_path)
    if listing is None:
        return None
    try:
        models = engine.parse_models(listing[1])
    except ValueError:
        return None
    if not models:
        return None
    contexts = {model.context_tokens for model in models}
    return FoundServer(
        kind=engine.kind,
        url=f"http://{host}:{probe.port}",
        models=tuple(model.model_id for model in models),
        context_tokens=contexts.pop() if len(contexts) == 1 else None,
    )


async def _get(client: HttpClient, origin: Origin, path: bytes) -> tuple[int, bytes] | None:
    answer = await fetch(client, origin, HttpCall(b"GET", path, (), b""), timeout_s=_TIMEOUT_S, reuse=False)
    return None if isinstance(answer, TransportFault) else (answer.status, answer.body)
