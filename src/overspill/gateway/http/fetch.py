"""One whole response as a value, for pollers and probes; the request path does not use it."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.client_call import ClientCall
from overspill.gateway.http.fault import FaultKind, TransportFault
from overspill.wire.http import HttpCall, Origin


class Fetched(NamedTuple):
    """A whole response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class _Collector:
    """Gathers a response up to a size."""

    def __init__(self, max_bytes: int) -> None:
        self.outcome: asyncio.Future[Fetched | TransportFault] = asyncio.get_running_loop().create_future()
        self.call: ClientCall | None = None
        self._max_bytes = max_bytes
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status, self._headers = status, headers

    def on_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._max_bytes and self.call is not None:
            self.call.cancel()
            message = f"the response is over {self._max_bytes} bytes"
            self.on_fault(TransportFault(FaultKind.MALFORMED, message, bytes_received=True, is_before_response=False))

    def on_end(self) -> None:
        self._settle(Fetched(self._status, self._headers, bytes(self._body)))

    def on_fault(self, fault: TransportFault) -> None:
        self._settle(fault)

    def _settle(self, outcome: Fetched | TransportFault) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


async def fetch(
    client: HttpClient,
    origin: Origin,
    call: HttpCall,
    *,
    timeout_s: float,
    max_bytes: int = 1024 * 1024,
    reuse: bool = True,
) -> Fetched | TransportFault:
    """Make a call and wait for its whole response; what went wrong, too slow and too large included, is a value."""
    collector = _Collector(max_bytes)
    collector.call = client.request(origin, call, collector, reuse=reuse, connect_timeout_s=timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            return await collector.outcome
    except TimeoutError:
        return TransportFault(FaultKind.IDLE_TIMEOUT, f"no whole response within {timeout_s:g} s")
    finally:
        collector.call.cancel()
