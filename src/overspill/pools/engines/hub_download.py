"""Fetches one file from the Hugging Face hub, resumes after a break, and checks it before it gets its name.

With the standard library: the hub's own client brings a dozen packages for what is one redirected GET.
A half-fetched file is kept beside its place under the name of its content, so a resumed one can never be a mixture.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

from overspill.errors import ModelUnusable
from overspill.pools.engines.hub_file import HubFile
from overspill.units import format_bytes

Progress = Callable[[str, int, int | None], None]
"""Called with (file name, bytes so far, bytes in all or ``None``)."""

_ENDPOINT = "https://huggingface.co"
_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1024 * 1024
_ATTEMPTS = 5
_SHA256 = re.compile(r"[0-9a-f]{64}")


class _Remote(msgspec.Struct, frozen=True):
    """What the hub says of a file."""

    url: str
    token: str
    etag: str
    size_bytes: int | None

    @property
    def sha256(self) -> str | None:
        """The content's digest, which is the ETag of large files; small ones have a git hash there."""
        return self.etag if _SHA256.fullmatch(self.etag) else None


def fetch(file: HubFile, cache_dir: Path, environ: Mapping[str, str], progress: Progress | None) -> Path:
    """Return where the file lies in the cache, fetching it first if it is not there; raise ``ModelUnusable``."""
    path = cache_dir / "hf" / file.repo / file.revision / file.file
    if path.exists():
        return path
    if environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise ModelUnusable(
            f"{file} is not in {cache_dir} and HF_HUB_OFFLINE is set; unset it once, or name a local file"
        )
    remote = _ask(file, environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{re.sub(r'[^0-9A-Za-z]', '', remote.etag)[:16]}.part")
    with part.open("ab") as out:
        _lock(out, file)
        if path.exists():  # another process finished it meanwhile
            part.unlink()
            return path
        _check_space(file, remote, part)
        _fill(file, remote, out, progress)
        _verify(file, remote, part)
        part.rename(path)
    return path


def _ask(file: HubFile, environ: Mapping[str, str]) -> _Remote:
    """Ask for the file's size and digest; the answer is a redirect, and its headers are what is wanted."""
    endpoint = environ.get("HF_ENDPOINT", _ENDPOINT).rstrip("/")
    url = f"{endpoint}/{file.repo}/resolve/{urllib.parse.quote(file.revision, safe='')}/{urllib.parse.quote(file.file)}"
    token = environ.get("HF_TOKEN", "").strip()
    opener = urllib.request.build_opener(_StayHere)
    try:
        with opener.open(_request(url, token, method="HEAD"), timeout=_TIMEOUT_S) as answer:
            headers = answer.headers
            size = headers.get("Content-Length") or ""
    except urllib.error.HTTPError as error:
        headers, size = error.headers, ""  # a redirect's length is its own, not the file's
        error.close()
        if not 300 <= error.code < 400:
            raise _refused(file, error.code, has_token=bool(token)) from None
    except (OSError, http.client.HTTPException) as error:
        raise ModelUnusable(
            f"{file} cannot be fetched from {endpoint}: {error}; check the network, or set HF_ENDPOINT"
        ) from None
    etag = headers.get("X-Linked-ETag") or headers.get("ETag") or ""
    size = headers.get("X-Linked-Size") or size
    return _Remote(url, token, etag.removeprefix("W/").strip('"').lower(), int(size) if size.isdigit() else None)


def _refused(file: HubFile, status: int, *, has_token: bool) -> ModelUnusable:
    if status in (401, 403):
        cure = "ask for access on its page" if has_token else "set HF_TOKEN to a token that may read it"
        return ModelUnusable(f"{file} is private, gated or does not exist (HTTP {status}); check the name, or {cure}")
    if status == 404:
        return ModelUnusable(f"{file} does not exist on the hub; look at the names on the page of {file.repo}")
    return ModelUnusable(f"{file} cannot be fetched: the hub answered HTTP {status}; try again later")


def _fill(file: HubFile, remote: _Remote, out: BinaryIO, progress: Progress | None) -> None:
    """Append what is missing, starting over at the same place when the connection breaks."""
    cause = ""
    for _ in range(_ATTEMPTS):
        try:
            if out.tell() == remote.size_bytes or _append(file, remote, out, progress):
                return
            cause = "the connection was closed early"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 416:
                raise _refused(file, error.code, has_token=bool(remote.token)) from None
            cause = "the hub would not resume it"
            out.truncate(0)
        except (OSError, http.client.HTTPException) as error:
            cause = str(error) or type(error).__name__
    raise ModelUnusable(f"{file} broke off {_ATTEMPTS} times ({cause}); start again to resume it")


def _append(file: HubFile, remote: _Remote, out: BinaryIO, progress: Progress | None) -> bool:
    """Read from where the file ends; say whether it is whole now."""
    start = out.seek(0, 2)
    request = _request(remote.url, remote.token)
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.build_opener(_ForgetToken).open(request, timeout=_TIMEOUT_S) as answer:
        if start and answer.status != 206:
            out.truncate(0)
        while piece := answer.read(_CHUNK_BYTES):
            out.write(piece)
            if progress is not None:
                progress(file.file, out.tell(), remote.size_bytes)
        is_whole = not answer.length  # what Content-Length still promises
    out.flush()
    return is_whole and out.tell() >= (remote.size_bytes or 0)


def _verify(file: HubFile, remote: _Remote, part: Path) -> None:
    """Compare size and digest with what the hub said; a wrong file is thrown away."""
    size = part.stat().st_size
    with part.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest() if remote.sha256 else None
    if size == (remote.size_bytes or size) and digest == remote.sha256:
        return
    part.unlink()
    raise ModelUnusable(
        f"{file} arrived damaged ({size} bytes, SHA-256 {digest}, expected {remote.sha256}); fetch it again"
    )


def _check_space(file: HubFile, remote: _Remote, part: Path) -> None:
    if remote.size_bytes is None:
        return
    needed, free = remote.size_bytes - part.stat().st_size, shutil.disk_usage(part.parent).free
    if needed > free:
        raise ModelUnusable(
            f"{file} needs {format_bytes(needed)} more in {part.parent}, where {format_bytes(free)} are free;"
            " free some space or choose another cache directory"
        )


def _lock(out: BinaryIO, file: HubFile) -> None:
    try:
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ModelUnusable(f"{file} is being fetched by another process; wait for it and start again") from None


def _request(url: str, token: str, method: str = "GET") -> urllib.request.Request:
    if not url.startswith(("https://", "http://")):
        raise ModelUnusable(f"HF_ENDPOINT gives {url!r}, which is no web address; write https://…")
    headers = {"User-Agent": "overspill", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - checked above
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return request


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, so that the hub's own headers are seen; but the hub moves renamed repositories on itself."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if (
            headers.get("X-Linked-ETag")
            or urllib.parse.urlsplit(newurl).netloc != urllib.parse.urlsplit(req.full_url).netloc
        ):
            return None
        moved = super().redirect_request(req, fp, code, msg, headers, newurl)
        return None if moved is None else _carry_token(req, moved, method="HEAD")


class _ForgetToken(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and gives the token to no other host than the hub."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        moved = super().redirect_request(req, fp, code, msg, headers, newurl)
        same = urllib.parse.urlsplit(newurl)[:2] == urllib.parse.urlsplit(req.full_url)[:2]
        return _carry_token(req, moved, method="GET") if moved is not None and same else moved


def _carry_token(old: urllib.request.Request, new: urllib.request.Request, *, method: str) -> urllib.request.Request:
    new.method = method
    token = old.unredirected_hdrs.get("Authorization")
    if token:
        new.add_unredirected_header("Authorization", token)
    return new
