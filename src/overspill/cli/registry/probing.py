"""Asks a provider for its list of models and compares it with the catalogue. No key is ever put into what is said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from overspill.catalog.load import Catalog
from overspill.catalog.rows import OfferedModel, Provider
from overspill.config.addresses import parse_origin
from overspill.core.types import FailureKind
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.fetch import Fetched, fetch
from overspill.pools.upstreams import registry as upstreams
from overspill.pools.upstreams.openai_compat import host_header, key_headers
from overspill.pools.upstreams.protocol import Account
from overspill.wire.http import Headers, HttpCall

_TIMEOUT_S = 20.0
_MAX_BYTES = 32 * 1024 * 1024
_AT_ONCE = 8
_NEW_SHOWN = 20
_NONE: Mapping[str, str] = MappingProxyType({})
_WORDS = {
    FailureKind.BAD_KEY: "it refuses the key",
    FailureKind.NO_MONEY: "the account has no money",
    FailureKind.RATE_LIMITED: "it limits our rate; try again later",
    FailureKind.OVERLOADED: "it is overloaded; try again later",
    FailureKind.NO_MODEL: "it has no list of models at this address",
    FailureKind.SERVER_ERROR: "it has an error of its own",
    FailureKind.TIMEOUT: "it did not answer in time",
}


class Asked(NamedTuple):
    """One address to ask, with one key."""

    provider: Provider
    url: str
    where_key: str
    """Where the key is, in words."""
    key: str
    problem: str | None = None
    """Why it cannot be asked at all."""


class Checked(NamedTuple):
    """What came of asking one address."""

    provider: str
    url: str
    key: str
    """Where it is; never the key itself."""
    is_fine: bool
    detail: str
    listed: int = 0
    """Models in its list."""
    gone: tuple[str, ...] = ()
    renamed: Mapping[str, str] = _NONE
    """An id of the catalogue that is gone → one in the list that stands for the same model."""
    new: tuple[str, ...] = ()
    """Ids in the list of models that the catalogue knows, though not at this provider."""
    retiring: Mapping[str, str] = _NONE
    """An id → when the provider has announced to take it down."""

    def plain(self) -> dict[str, Any]:
        """Return it in plain values, for JSON."""
        return self._asdict() | {"renamed": dict(self.renamed), "retiring": dict(self.retiring)}


async def check_all(asked: Sequence[Asked], catalog: Catalog) -> list[Checked]:
    """Ask all addresses, a few at once, in any order; the answers are in theirs."""
    gate = asyncio.Semaphore(_AT_ONCE)
    client = HttpClient()

    async def one(place: Asked) -> Checked:
        async with gate:
            return await _check(client, place, catalog)

    try:
        return list(await asyncio.gather(*(one(place) for place in asked)))
    finally:
        await client.close()


async def _check(client: HttpClient, asked: Asked, catalog: Catalog) -> Checked:
    if asked.problem is not None:
        return _said(asked, asked.problem)
    provider = asked.provider
    if provider.models_path is None:
        return _said(asked, "it has no list of models to compare with", is_fine=True)
    origin = parse_origin(asked.url)
    extra: Headers = tuple((name.lower().encode(), value.encode()) for name, value in provider.headers.items())
    account = Account(account_id="check", origin=origin, api_key=asked.key, auth=provider.auth, extra_headers=extra)
    headers = (
        (b"host", host_header(origin)),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"identity"),
        *key_headers(account),
        *extra,
    )
    call = HttpCall(b"GET", origin.prefix + provider.models_path.encode(), headers, b"")
    answer = await fetch(client, origin, call, timeout_s=_TIMEOUT_S, max_bytes=_MAX_BYTES)
    if isinstance(answer, TransportFault):
        return _said(asked, answer.message)
    if answer.status != 200:
        return _said(asked, _failure(provider, answer, asked.key))
    ids = _ids(answer.body)
    if ids is None:
        return _said(
            asked, f"what it answers with at {provider.models_path} is no list of models; is the address right?"
        )
    return _compared(asked, ids, catalog)


def _said(asked: Asked, detail: str, *, is_fine: bool = False) -> Checked:
    return Checked(asked.provider.name, asked.url, asked.where_key, is_fine, detail)


def _failure(provider: Provider, answer: Fetched, key: str) -> str:
    if 300 <= answer.status < 400:
        place = next((value for name, value in answer.headers if name.lower() == b"location"), b"another address")
        return f"it redirects to {place.decode('latin-1')}; use that address, keys are not sent along redirects"
    failure = upstreams.create(provider.adapter).classify(answer.status, tuple(answer.headers), answer.body)
    words = _WORDS.get(failure.kind, "it answers with an error")
    return f"{words} (HTTP {answer.status}: {_without(key, failure.message)})"


def _without(key: str, message: str) -> str:
    """Take the key out of a message, and what a provider shows of it."""
    if not key:
        return message
    shown = message.replace(key, "…")
    return " ".join("…" if key[:6] in word else word for word in shown.split(" "))


def _ids(body: bytes) -> list[str] | None:
    """Read the ids of a list of models; some providers write it without OpenAI's wrapping."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    entries = value.get("data") if isinstance(value, dict) else value
    if not isinstance(entries, list):
        return None
    return [entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def _compared(asked: Asked, ids: list[str], catalog: Catalog) -> Checked:
    provider, listed = asked.provider, set(ids)
    known = {name for offer in provider.models for name in (offer.id, *offer.aliases)}
    missing = [offer for offer in provider.models if not listed & {offer.id, *offer.aliases}]
    fresh = {name: catalog.identify(None, name).model for name in ids if name not in known}
    renamed = {offer.id: name for offer in missing if (name := _successor(offer, fresh)) is not None}
    gone = tuple(offer.id for offer in missing if offer.id not in renamed)
    new = tuple(name for name, model in fresh.items() if model is not None and name not in renamed.values())
    retiring = {offer.id: str(offer.retires) for offer in provider.models if offer.retires is not None}
    counts = [
        f"{len(listed)} models in its list",
        f"{len(provider.models) - len(missing)} of the {len(provider.models)} of the catalogue",
    ]
    return Checked(
        provider.name,
        asked.url,
        asked.where_key,
        not missing,
        ", ".join(counts),
        listed=len(listed),
        gone=gone,
        renamed=renamed,
        new=new[:_NEW_SHOWN],
        retiring=retiring,
    )


def _successor(offer: OfferedModel, fresh: dict[str, str | None]) -> str | None:
    return next((name for name, model in fresh.items() if model == offer.model), None)
