"""Which model a target of a route serves, and how far the models of one route are from each other.

Names do not tell: the same weights are called otherwise at each host, and one name may be served by several versions.
What is told apart: the same weights, versions of one family, and anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from overspill.config.facts import Facts
from overspill.config.keys import patterns_of
from overspill.config.schema import Config, EnginePool, Pool, RouteConfig, TierTarget, UpstreamPool
from overspill.core.names import is_glob


class Served(NamedTuple):
    """The model of one target; a field is ``None`` where that is not known."""

    sent: str
    """The name to call it by; empty for the client's own."""
    model: str | None
    family: str | None
    quantization: str | None


def served_by(pool: Pool, sent: str, facts: Facts) -> Served:
    """Return which model a pool serves under the name that it is sent."""
    if isinstance(pool, EnginePool):
        file = "" if pool.model is None else PurePosixPath(pool.model.rpartition(":")[2]).name
        found = facts.identify(None, file)
    else:
        found = facts.identify(pool.upstream if isinstance(pool, UpstreamPool) else None, sent)
    quantization = found.quantization if pool.quantization is None else pool.quantization.lower()
    return Served(sent, found.model, found.family, quantization)


def distance(first: Served, second: Served) -> str:
    """Return ``weights``, ``family`` or ``any``: the narrowest class that holds both."""
    if first.model is None and second.model is None:
        return "weights" if first.sent == second.sent else "any"
    if first.model == second.model:
        return "weights"
    return "family" if first.family is not None and first.family == second.family else "any"


def equivalence_problems(
    route: RouteConfig, config: Config, facts: Facts
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Give the targets that are further from the route's first one than ``equivalence`` allows."""
    if route.equivalence == "any":
        return
    allowed = ("weights",) if route.equivalence == "weights" else ("weights", "family")
    for pattern in patterns_of(route):
        home: Served | None = None
        for tier_index, tier in enumerate(route.tiers):
            for index, item in enumerate(tier):
                target = TierTarget(pool=item) if isinstance(item, str) else item
                sent = target.model or ("" if is_glob(pattern) else pattern)
                served = served_by(config.pools[target.pool], sent, facts)
                home = served if home is None else home
                found = distance(home, served)
                if found not in allowed:
                    yield ("tiers", tier_index, index), _too_far(route, target.pool, served, home, found)


def _too_far(route: RouteConfig, pool: str, served: Served, home: Served, found: str) -> str:
    wider = "family" if found == "family" else "any"
    return (
        f"this route asks for equivalence: {route.equivalence}, but {pool!r} serves {_shown(served)} and the first "
        f"target {_shown(home)}; take it out, or write equivalence: {wider}"
    )


def _shown(served: Served) -> str:
    name = served.sent or "the name that is asked for"
    return name if served.model in {None, served.sent} else f"{name} ({served.model})"
