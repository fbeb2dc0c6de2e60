"""Which address a pool of a provider has: the file's, or the catalogue's with its placeholders filled."""

from __future__ import annotations

import re
from collections.abc import Iterator

from overspill.config.facts import Facts
from overspill.config.schema import UpstreamPool
from overspill.errors import did_you_mean

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def base_url(pool: UpstreamPool, facts: Facts) -> str:
    """Return the base URL of a pool that ``base_url_problems`` finds nothing wrong with."""
    return _PLACEHOLDER.sub(lambda match: pool.variables[match[1]], _written(pool, facts))


def base_url_problems(pool: UpstreamPool, facts: Facts) -> Iterator[tuple[tuple[str, ...], str]]:
    """Give what is wrong with the address, with its path: an unknown name, a placeholder that nothing fills."""
    known = facts.provider(pool.upstream)
    title = pool.upstream if known is None else known.title
    url = _written(pool, facts)
    if "://" not in url:
        names = sorted(known.other_urls) if known is not None else []
        hint = f"; {title} also has {', '.join(names)}" if names else ""
        yield ("base_url",), f"{url!r} must begin with http:// or https://{did_you_mean(url, names)}{hint}"
        return
    wanted = list(dict.fromkeys(_PLACEHOLDER.findall(url)))
    for name in wanted:
        if name not in pool.variables:
            yield (), f"the address of {title} is {url}; write variables: {{{name}: ...}} to fill {{{name}}}"
    for name, value in pool.variables.items():
        if name not in wanted:
            has = f"has {', '.join(f'{{{name}}}' for name in wanted)}" if wanted else "has no placeholders"
            yield ("variables", name), f"{name!r} fills nothing{did_you_mean(name, wanted)}: the address {url} {has}"
        elif not _VALUE.fullmatch(value):
            yield ("variables", name), f"{value!r} cannot stand in an address; write letters, digits, '.', '_' and '-'"


def _written(pool: UpstreamPool, facts: Facts) -> str:
    known = facts.provider(pool.upstream)
    if known is None:
        return pool.base_url or ""
    if pool.base_url is None:
        return known.base_url
    return known.other_urls.get(pool.base_url, pool.base_url)
