"""How a call can fail below HTTP: a value that the relay turns into an outcome, never an exception."""

from __future__ import annotations

import errno
import socket
import ssl
from enum import Enum

import msgspec


class FaultKind(Enum):
    """What went wrong between us and the peer."""

    REFUSED = "refused"
    """Nobody listens there."""
    UNREACHABLE = "unreachable"
    """No way to the host, or the system denied the connection."""
    DNS = "dns"
    TLS = "tls"
    CONNECT_TIMEOUT = "connect_timeout"
    CUT = "cut"
    """The connection ended before the response did."""
    MALFORMED = "malformed"
    """What came is not an HTTP response that can be read in only one way."""
    IDLE_TIMEOUT = "idle_timeout"
    """The peer sent no byte for too long."""


class TransportFault(msgspec.Struct, frozen=True, gc=False):
    """Why a call has no (whole) response."""

    kind: FaultKind
    message: str
    bytes_received: bool = False
    """Whether anything of a response came, an interim one included."""
    is_before_response: bool = True
    """Whether it struck before ``on_head``."""


def connect_fault(error: OSError, where: str, timeout_s: float) -> TransportFault:
    """Say what a failed connection attempt means."""
    kind = _kind_of(error)
    if kind is FaultKind.CONNECT_TIMEOUT:
        return TransportFault(kind, f"no connection to {where} within {timeout_s:g} s")
    return TransportFault(kind, f"cannot connect to {where}: {error}")


def _kind_of(error: OSError) -> FaultKind:
    match error:
        case TimeoutError():
            return FaultKind.CONNECT_TIMEOUT
        case ssl.SSLError():
            return FaultKind.TLS
        case socket.gaierror():
            return FaultKind.DNS
        case ConnectionRefusedError() | FileNotFoundError():
            return FaultKind.REFUSED
        case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
            return FaultKind.TLS  # only a handshake can be cut after the connection stood
        case _:
            pass
    # asyncio joins the errors of several addresses into one text without a number.
    if f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return FaultKind.REFUSED
    return FaultKind.UNREACHABLE
