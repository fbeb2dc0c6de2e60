"""The gateway's own certificate: loaded with errors that say what is wrong, loaded anew when its files change.

A renewed certificate is for connections from then on; those that stand keep theirs. Files that do not fit together,
as in the moment between the writing of one and of the other, change nothing.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, NoReturn

from overspill.config.schema import Config
from overspill.errors import ConfigError

log = logging.getLogger("overspill.tls")

_POLL_S = 2.0
EXPIRES_SOON_DAYS = 14
_PEM_BEGIN, _PEM_END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SEQUENCE, _EXPLICIT_0, _UTC_TIME = 0x30, 0xA0, 0x17
Signature = tuple[tuple[int, int, int] | None, ...]


class Files(NamedTuple):
    """Where the parts of it are."""

    cert: str
    key: str
    client_ca: str | None = None
    """Who signs the certificates that clients must show; ``None`` if they need none."""


def files_of(config: Config) -> Files | None:
    """Return the files that a configuration names; ``None`` if it serves plain HTTP."""
    server = config.server
    if server.tls_cert is None or server.tls_key is None:
        return None
    ca = server.tls_client_ca
    return Files(_path(server.tls_cert), _path(server.tls_key), None if ca is None else _path(ca))


def _path(text: str) -> str:
    return str(Path(text).expanduser())


class Certificate:
    """The context that connections are made with."""

    def __init__(self, files: Files) -> None:
        """Load it; raise ``ConfigError``."""
        self.files = files
        self._signature = signature_of(files)
        self.context = _context(files)
        _warn_of_end(files)

    def refresh(self) -> bool:
        """Load the files anew if they have changed, and say whether they had; raise ``ConfigError``."""
        signature = signature_of(self.files)
        if signature == self._signature:
            return False
        self._signature = signature  # what is wrong with it is said once
        _context(self.files)  # what is wrong with them is found here, before the old ones are let go
        try:
            self.context.load_cert_chain(self.files.cert, self.files.key, password=_refuse_password)
        except (OSError, ssl.SSLError) as error:  # changed once more meanwhile
            raise ConfigError(f"the certificate {self.files.cert} cannot be loaded anew: {error}") from error
        _warn_of_end(self.files)
        return True

    async def run(self) -> None:
        """Look after the files until cancelled."""
        while True:
            await asyncio.sleep(_POLL_S)
            if await asyncio.to_thread(signature_of, self.files) == self._signature:
                continue
            try:
                if self.refresh():
                    log.info("the certificate %s was loaded anew", self.files.cert)
            except ConfigError as error:
                log.error("the certificate stays what it was: %s", error)  # noqa: TRY400 - the text is it


def signature_of(files: Files) -> Signature:
    """Return what changes when one of the two files that are loaded anew does."""
    found: list[tuple[int, int, int] | None] = []
    for name in (files.cert, files.key):
        try:
            seen = Path(name).stat()
            found.append((seen.st_mtime_ns, seen.st_size, seen.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)


def _context(files: Files) -> ssl.SSLContext:
    for name in filter(None, files):
        _read(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.cert, files.key, password=_refuse_password)
    except ssl.SSLError as error:
        raise ConfigError(_words(error, files)) from error
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError as error:
            raise ConfigError(f"server.tls_client_ca: {files.client_ca} has no certificate in PEM form") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _read(name: str) -> str:
    try:
        return Path(name).read_text(encoding="latin-1")
    except OSError as error:
        raise ConfigError(f"the TLS file {name} cannot be read: {error.strerror}") from error


def _refuse_password() -> NoReturn:
    # Without this OpenSSL would ask on the terminal, in the middle of serving.
    raise ConfigError(
        "server.tls_key: the key is encrypted, and nobody is there to be asked for its password; "
        "decrypt it with 'openssl pkey -in KEY -out PLAIN' and protect the file"
    )


def _words(error: ssl.SSLError, files: Files) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"server.tls_key: {files.key} is not the key of the certificate {files.cert}"
    if _PEM_BEGIN not in _read(files.cert):
        return f"server.tls_cert: {files.cert} has no certificate in PEM form (it begins with {_PEM_BEGIN})"
    if "PRIVATE KEY-----" not in _read(files.key):
        return f"server.tls_key: {files.key} has no private key in PEM form"
    return f"the TLS certificate {files.cert} with the key {files.key} cannot be used: {error.reason or error}"


class Validity(NamedTuple):
    """From when until when a certificate is good."""

    begins: datetime
    ends: datetime

    def days_left(self, now: datetime) -> float:
        """Return the days until its end; negative after it."""
        return (self.ends - now).total_seconds() / 86400


def validity(path: str) -> Validity:
    """Read the dates of the first certificate in a PEM file; raise ``ConfigError``.

    The standard library shows them of a peer's certificate only, so the few fields before them are walked here
    (RFC 5280 §4.1): version, serial number, algorithm, issuer, validity.
    """
    text = _read(path)
    first = text[text.find(_PEM_BEGIN) :].partition(_PEM_END)
    try:
        der = ssl.PEM_cert_to_DER_cert(first[0].strip() + first[1])
        at = _enter(der, _enter(der, 0))  # Certificate, TBSCertificate
        if der[at] == _EXPLICIT_0:
            at = _skip(der, at)
        for _ in range(3):
            at = _skip(der, at)
        begins = _enter(der, at)
        return Validity(_time(der, begins), _time(der, _skip(der, begins)))
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{path} has no certificate that can be read") from error


def _header(der: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the value at ``at`` begins and ends."""
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, begin = int.from_bytes(der[begin : begin + count]), begin + count
    return begin, begin + length


def _enter(der: bytes, at: int) -> int:
    if der[at] != _SEQUENCE:
        raise ValueError
    return _header(der, at)[0]


def _skip(der: bytes, at: int) -> int:
    return _header(der, at)[1]


def _time(der: bytes, at: int) -> datetime:
    begin, end = _header(der, at)
    text = der[begin:end].decode("ascii")
    if der[at] == _UTC_TIME:  # two digits of the year, until 2049 (RFC 5280 §4.1.2.5.1)
        text = ("20" if text[:2] < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _warn_of_end(files: Files) -> None:
    days = validity(files.cert).days_left(datetime.now(UTC))
    if days < EXPIRES_SOON_DAYS:
        log.warning("the certificate %s %s", files.cert, end_in_words(days))


def end_in_words(days: float) -> str:
    """Say when a certificate ends."""
    return f"expired {-days:.0f} days ago" if days < 0 else f"expires in {days:.0f} days"
