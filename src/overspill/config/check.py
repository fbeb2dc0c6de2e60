"""Checks what the schema cannot say: that names exist, that routes can be reached, that nothing leaks.

``problems`` gives each with its path, so that whoever read the file can name the line.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

from overspill.config.addresses import is_address, is_loopback, is_own, parse_origin
from overspill.config.base_urls import base_url, base_url_problems
from overspill.config.decode import Invalid
from overspill.config.equivalence import equivalence_problems
from overspill.config.facts import Facts
from overspill.config.keys import key_problems, limit_problems, patterns_of
from overspill.config.schema import AttachPool, Config, EnginePool, Pool, RouteConfig, TierTarget, UpstreamPool
from overspill.config.screening import screening_problems, unknown_detectors
from overspill.config.yaml_source import Path
from overspill.core.names import is_glob
from overspill.errors import OverspillError, did_you_mean

GENERIC_UPSTREAM = "openai_compatible"
Problem = tuple[Path, str]


def require_sound(config: Config, facts: Facts) -> None:
    """Raise ``Invalid`` for the first thing that is wrong with ``config``."""
    first = next(problems(config, facts), None)
    if first is not None:
        raise Invalid(*first)


def problems(config: Config, facts: Facts) -> Iterator[Problem]:
    """Give everything that is wrong with ``config``, in the order of the file's sections."""
    yield from _server(config)
    yield from key_problems(config)
    for name, pool in config.pools.items():
        yield from ((("pools", name, *path), message) for path, message in _pool(pool, facts))
    if config.pools and not config.routes:
        yield ("routes",), "there are pools but no routes, so no model would be served; add at least one route"
    for index, route in enumerate(config.routes):
        unsound = [(("routes", index, *path), message) for path, message in _route(route, config)]
        yield from unsound
        if not unsound:
            yield from ((("routes", index, *path), said) for path, said in equivalence_problems(route, config, facts))
    yield from _unreachable(config.routes)
    yield from limit_problems(config)
    yield from screening_problems(config.screening, facts)


def is_local(pool: Pool) -> bool:
    """Say whether a request that runs in this pool stays in its owner's hands. In doubt it does not."""
    if isinstance(pool, EnginePool):
        return True
    if isinstance(pool, UpstreamPool):
        return pool.local
    return all(is_own(parse_origin(url).host) for url in urls_of(pool)) if pool.local is None else pool.local


def urls_of(pool: AttachPool) -> tuple[str, ...]:
    """Return the addresses of an attached pool."""
    return (pool.url,) if isinstance(pool.url, str) else pool.url


def _server(config: Config) -> Iterator[Problem]:
    server = config.server
    if not is_loopback(server.host) and not server.api_keys and server.keys_file is None:
        yield (
            ("server", "host"),
            (
                f"{server.host} can be reached from other machines, where anybody could spend your money; "
                "make a key with 'overspill keys create' or set server.api_keys, or bind to 127.0.0.1"
            ),
        )
    for index, name in enumerate(server.allowed_hosts):
        if ":" in name and not is_address(name):
            yield ("server", "allowed_hosts", index), f"{name!r} must be a name or an address, without a port"
    if "*" in server.cors_origins and not server.api_keys and server.keys_file is None:
        yield (
            ("server", "cors_origins", server.cors_origins.index("*")),
            "any web page that is open in a browser here could spend your money; set keys, or name the pages' origins",
        )
    for index, network in enumerate(server.trusted_proxies):
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            yield (
                ("server", "trusted_proxies", index),
                f"{network!r} is neither an address nor a network such as 10.0.0.0/8",
            )
    if (server.tls_cert is None) != (server.tls_key is None):
        yield ("server",), "tls_cert and tls_key belong together; set both or none"
    if server.tls_client_ca is not None and server.tls_cert is None:
        yield ("server", "tls_client_ca"), "clients show certificates only over TLS; set tls_cert and tls_key as well"


def _pool(pool: Pool, facts: Facts) -> Iterator[Problem]:
    if isinstance(pool, AttachPool):
        yield from _adapter("attach", facts.attached, pool.attach)
        yield from _attach(pool)
    elif isinstance(pool, UpstreamPool):
        yield from _upstream(pool, facts)
    else:
        yield from _engine(pool, facts)


def _adapter(key: str, find: Callable[[str], object], kind: str) -> Iterator[Problem]:
    """Load an adapter, which may be another package's: it must exist and work."""
    try:
        find(kind)
    except OverspillError as error:
        yield (key,), str(error)


def _engine(pool: EnginePool, facts: Facts) -> Iterator[Problem]:
    unusable = list(_adapter("engine", facts.engine, pool.engine))
    yield from unusable
    if not unusable and pool.model is None and facts.engine(pool.engine).needs_model:
        yield (
            (),
            f"the key 'model' is missing: {pool.engine} needs a GGUF file's path, hf:REPO:FILE, or builtin",
        )


def _attach(pool: AttachPool) -> Iterator[Problem]:
    urls = urls_of(pool)
    if not urls:
        yield ("url",), "the list is empty"
    for url in urls:
        try:
            parse_origin(url)
        except ValueError as error:
            yield ("url",), str(error)
    if len(set(urls)) != len(urls):
        yield ("url",), "an address stands twice"


def _upstream(pool: UpstreamPool, facts: Facts) -> Iterator[Problem]:
    known = facts.provider(pool.upstream)
    if known is None and pool.upstream not in facts.upstream_names():
        names = [*facts.upstream_names(), *(provider.name for provider in facts.providers)]
        names = [GENERIC_UPSTREAM, *sorted({*names} - {GENERIC_UPSTREAM})]
        yield (
            ("upstream",),
            f"no provider {pool.upstream!r}{did_you_mean(pool.upstream, names)}; known: {', '.join(names)}",
        )
        return
    if known is None:
        yield from _adapter("upstream", facts.upstream, pool.upstream)
    if known is None and pool.base_url is None:
        yield (), f"{pool.upstream} needs base_url, for example https://api.example.com/v1"
        return
    if known is not None and pool.local:
        yield (
            ("local",),
            f"{known.title} is somebody else's API; local: true would let local_only requests leave. Remove it",
        )
    if pool.max_concurrency is not None and pool.limits is not None and pool.limits.concurrency is not None:
        yield ("limits", "concurrency"), "it is the same as the pool's max_concurrency; write one of the two"
    yield from _base_url(pool, facts)
    yield from _accounts(pool, key_env=known.key_env if known else None)
    if known is not None and known.key_expires:
        yield from _expiring_keys(pool, known.title)


def _base_url(pool: UpstreamPool, facts: Facts) -> Iterator[Problem]:
    unusable = list(base_url_problems(pool, facts))
    yield from unusable
    if unusable:
        return
    url = base_url(pool, facts)
    try:
        origin = parse_origin(url)
    except ValueError as error:
        yield ("base_url",), str(error)
        return
    if origin.scheme == "http" and not is_own(origin.host):
        yield ("base_url",), f"{url} would send your key and prompts unencrypted; use https://"


def _expiring_keys(pool: UpstreamPool, title: str) -> Iterator[Problem]:
    for index, account in enumerate(pool.accounts):
        if not account.api_key.startswith("file:"):
            yield (
                ("accounts", index, "api_key"),
                (
                    f"{title} takes a token that expires, and {account.api_key} is read only at the start; have the "
                    "token written to a file now and then, and write file:PATH, which is read again when it changes"
                ),
            )


def _accounts(pool: UpstreamPool, *, key_env: str | None) -> Iterator[Problem]:
    if not pool.accounts and key_env is None and not pool.local:
        yield (
            (),
            (
                "it has no accounts, and no customary variable for its key is known; "
                "add accounts: [{name: main, api_key: env:NAME}]"
            ),
        )
    names = [account.name for account in pool.accounts]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("accounts", index, "name"), f"the account {name!r} stands twice"


def _route(route: RouteConfig, config: Config) -> Iterator[Problem]:
    if not patterns_of(route) or not all(patterns_of(route)):
        yield ("model",), "it names no model"
    if not any(route.tiers):
        yield ("tiers",), "it has no tiers, so no request could run; write for example tiers: [[local]]"
        return
    used: set[tuple[str, str | None]] = set()
    for tier_index, tier in enumerate(route.tiers):
        if not tier:
            yield ("tiers", tier_index), "this tier is empty; remove it"
        for index, item in enumerate(tier):
            path: Path = ("tiers", tier_index, index)
            target = as_target(item)
            if (target.pool, target.model) in used:
                yield path, f"the pool {target.pool!r} stands twice in this route"
            used.add((target.pool, target.model))
            pool = config.pools.get(target.pool)
            if pool is None:
                names = sorted(config.pools)
                near = did_you_mean(target.pool, names)
                yield path, f"there is no pool {target.pool!r}{near}; the pools are {', '.join(names) or 'none'}"
            elif isinstance(pool, AttachPool):
                yield from ((path, message) for message in _not_served(route, target, pool))
    for message in unknown_detectors(config.screening, route.screening.detectors or ()):
        yield ("screening", "detectors"), message
    if route.local_only and not any(_is_local_item(item, config) for tier in route.tiers for item in tier):
        yield ("local_only",), "no tier of this route has a local pool, so each of its requests would be refused"


def as_target(item: str | TierTarget) -> TierTarget:
    """Return an entry of a tier in its long form."""
    return TierTarget(pool=item) if isinstance(item, str) else item


def _is_local_item(item: str | TierTarget, config: Config) -> bool:
    pool = config.pools.get(as_target(item).pool)
    return pool is None or is_local(pool)  # an unknown pool is reported as such, once


def _not_served(route: RouteConfig, target: TierTarget, pool: AttachPool) -> Iterator[str]:
    if not pool.models:
        return
    asked = [target.model] if target.model else [p for p in patterns_of(route) if not is_glob(p)]
    for model in asked:
        if model not in pool.models:
            yield (
                f"the pool {target.pool!r} does not list the model {model!r}{did_you_mean(model, pool.models)}; write "
                f"{{pool: {target.pool}, model: NAME}} with one of {', '.join(pool.models)}"
            )


def _unreachable(routes: tuple[RouteConfig, ...]) -> Iterator[Problem]:
    earlier: list[tuple[str, int]] = []
    for index, route in enumerate(routes):
        for pattern in patterns_of(route):
            shadow = next((seen for seen in earlier if _covers(seen[0], pattern)), None)
            if shadow is not None:
                yield (
                    ("routes", index, "model"),
                    (
                        f"{pattern!r} is never reached: {shadow[0]!r} of routes[{shadow[1]}] comes first and takes the "
                        "same names; remove it or put it earlier"
                    ),
                )
            earlier.append((pattern, index))


def _covers(first: str, second: str) -> bool:
    """Say whether ``first`` takes every name of ``second``; exact names win over globs wherever they stand."""
    if first == second:
        return True
    if not (is_glob(first) and is_glob(second)):
        return False
    # A star may swallow anything, the other's wildcards too; a question mark anything but a star.
    signs = {"*": ".*", "?": r"[^*]"}
    return re.fullmatch("".join(signs.get(c) or re.escape(c) for c in first), second, re.DOTALL) is not None
