"""Makes a configuration out of what was found, for ``overspill serve`` without a file. Looks for nothing itself.

The rules, in the order in which a newcomer would ask:

1. A model that a server on this machine has runs there. Where the same model is sold by a provider whose key was found,
   it spills there.
2. A model that only providers have runs at its maker if the maker's key was found, and spills to other hosts of it.
3. A name without a version (``deepseek-flash``) may be served by any version, newest first; a name with one only by it.
4. The retired names ``deepseek-chat`` and ``deepseek-reasoner`` work as in 2025: whether the model thinks is said
   wherever it is known how.
5. No model stands in for another, with one exception: if nothing else was found, the built-in model answers every
   name, so that a first try works.

A broad pattern (``*/*``) is not used beside a local server: a mistyped local name must not leave the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from overspill.config.facts import Facts, ModelFacts, Offer, ProviderFacts
from overspill.config.schema import AttachPool, Config, EnginePool, Pool, RouteConfig, TierTarget, UpstreamPool
from overspill.core.types import Surface
from overspill.wire.form import ThinkingForm

BUILTIN_POOL = "local"
BUILTIN_MODEL = "overspill-tiny"


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server that answered a probe."""

    kind: str
    """The name of its adapter."""
    url: str
    models: tuple[str, ...]
    context_tokens: int | None = None
    surfaces: tuple[Surface, ...] | None = None


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found on this machine."""

    servers: tuple[FoundServer, ...] = ()
    key_names: tuple[str, ...] = ()
    """Environment variables with a provider's key in them. Names only: a key itself goes no further than its use."""
    builtin_model: str | None = None
    """What to write as ``model`` for the built-in engine; ``None`` if it cannot run here."""
    builtin_name: str = BUILTIN_MODEL
    """The name it is served under."""
    builtin_context_tokens: int = 4096


def key_names(environ: Mapping[str, str], facts: Facts) -> tuple[str, ...]:
    """Return the variables of ``environ`` that hold a key of a provider that may be used unasked."""
    names = (provider.key_env for provider in facts.providers if provider.is_used_unasked)
    return tuple(name for name in names if name is not None and environ.get(name, "").strip())


def zero_config(found: Discovery, facts: Facts) -> Config:
    """Make the configuration for what was found. The same facts give the same configuration."""
    return _Plan(found, facts).config()


class _Plan:
    def __init__(self, found: Discovery, facts: Facts) -> None:
        self.found = found
        self.facts = facts
        self.providers = [p for p in facts.providers if p.is_used_unasked and p.key_env in found.key_names]
        self.servers = _named(found.servers)
        self.taken: set[str] = set()

    def config(self) -> Config:
        routes = [route for model in self.facts.models for route in self._known_model(model)]
        routes += self._builtin()
        routes += self._local_models()
        routes += self._patterns()
        return Config(pools=self._pools(), routes=tuple(routes))

    def _pools(self) -> dict[str, Pool]:
        pools: dict[str, Pool] = {}
        if self.found.builtin_model is not None:
            pools[BUILTIN_POOL] = EnginePool(
                engine="llamacpp",
                model=self.found.builtin_model,
                served_name=self.found.builtin_name,
                context_tokens=self.found.builtin_context_tokens,
                surfaces=(Surface.CHAT, Surface.COMPLETIONS, Surface.EMBEDDINGS),
            )
        for name, server in self.servers.items():
            pools[name] = AttachPool(
                attach=server.kind,
                url=server.url,
                models=server.models,
                context_tokens=server.context_tokens,
                surfaces=server.surfaces,
            )
        for provider in self.providers:
            pools[provider.name] = UpstreamPool(upstream=provider.name)
        return pools

    def _known_model(self, model: ModelFacts) -> list[RouteConfig]:
        versions = [self.facts.model(name) for name in model.versions] if model.versions else [model]
        accepted = {model.name, *model.names, *(n for v in versions if v for n in (v.name, *v.names))}
        local = self._having(accepted)
        offers = self._offers([*model.versions, model.name])
        if not local and not offers:
            return []
        # An id of a host pins a version, so it is not a spelling of the unversioned name.
        ids = [] if model.versions else [offer.id for _, offer in offers]
        own_names = [item.model for item in local if item.model] if not model.versions else []
        names = self._free([model.name, *model.names, *ids, *own_names])
        routes = [_route(names, [local, *self._ranked(offers, None)])] if names else []
        for name in self._free(tuple(model.retired)):
            home = [*local, *self._having({name})]
            routes.append(_route([name], [home, *self._ranked(offers, name)], self._retired_note(home, offers, name)))
        return routes

    def _retired_note(
        self, local: Sequence[TierTarget], offers: Sequence[tuple[ProviderFacts, Offer]], retired: str
    ) -> str:
        """Say at which hosts of a retired name it cannot be said whether the model is to think."""
        facts = self.facts
        forms = {place.pool: facts.attached(self.servers[place.pool].kind).form for place in local}
        forms |= {
            provider.name: provider.form(facts.upstream(provider.adapter).form)
            for provider, offer in offers
            if retired not in offer.aliases
        }
        others = [pool for pool, form in forms.items() if form.thinking is ThinkingForm.NONE]
        note = "a name of 2025, kept alive"
        if others:
            note += f"; at {', '.join(sorted(others))} whether the model thinks first is that host's default"
        return note

    def _having(self, names: AbstractSet[str]) -> list[TierTarget]:
        """Return the local places where a model of one of these names runs."""
        places = ((pool, own) for pool, server in self.servers.items() for own in server.models if own in names)
        return [TierTarget(pool=pool, model=own) for pool, own in places]

    def _offers(self, models: Sequence[str]) -> list[tuple[ProviderFacts, Offer]]:
        """Every offer of these models, in the order of ``models``, makers first."""
        return [
            (provider, offer)
            for is_maker in (True, False)
            for model in models
            for provider in self.providers
            for offer in provider.models
            if offer.model == model and (model in provider.makes) is is_maker and offer.confidence != "recall"
        ]

    def _ranked(self, offers: Sequence[tuple[ProviderFacts, Offer]], retired: str | None) -> list[list[TierTarget]]:
        """One tier for the maker, then one for each version's other hosts."""
        tiers: dict[tuple[bool, str], list[TierTarget]] = {}
        used: set[str] = set()
        for provider, offer in offers:
            if provider.name in used:
                continue  # its newest is enough: an older one there would be just as busy
            used.add(provider.name)
            sent = retired if retired is not None and retired in offer.aliases else offer.id
            tier = tiers.setdefault((offer.model in provider.makes, offer.model), [])
            tier.append(TierTarget(pool=provider.name, model=sent))
        return list(tiers.values())

    def _local_models(self) -> list[RouteConfig]:
        homes: dict[str, list[str]] = {}
        for name, server in self.servers.items():
            for model in server.models:
                if model not in self.taken:
                    homes.setdefault(model, []).append(name)
        together: dict[tuple[str, ...], list[str]] = {}
        for model, pools in homes.items():
            together.setdefault(tuple(pools), []).append(model)
        note = "only there: no provider whose key was found is known to have these models"
        return [
            _route(self._free(models), [[TierTarget(pool=pool) for pool in pools]], note)
            for pools, models in together.items()
        ]

    def _builtin(self) -> list[RouteConfig]:
        if self.found.builtin_model is None:
            return []
        home = [[TierTarget(pool=BUILTIN_POOL)]]
        self._free([self.found.builtin_name])  # another Overspill on this machine may serve the same name
        routes = [
            _route([self.found.builtin_name], home, "the built-in model; it never leaves this machine", local_only=True)
        ]
        if not self.servers and not self.providers:
            note = "nothing else was found, so the small built-in model answers whatever is asked for"
            routes.append(_route(["*"], home, note, local_only=True))
        return routes

    def _patterns(self) -> list[RouteConfig]:
        routes = []
        for provider in self.providers:
            patterns = [p for p in provider.patterns if not (p.startswith("*") and self.servers)]
            free = self._free(patterns)
            if free:
                note = f"other names in the style of {provider.title}'s"
                routes.append(_route(free, [[TierTarget(pool=provider.name)]], note))
        return routes

    def _free(self, names: Sequence[str]) -> list[str]:
        """Return the names that no route has yet, once each, and take them."""
        free = [name for name in dict.fromkeys(names) if name not in self.taken]
        self.taken.update(free)
        return free


def _named(servers: Sequence[FoundServer]) -> dict[str, FoundServer]:
    named: dict[str, FoundServer] = {}
    for server in servers:
        if not server.models:
            continue  # it runs, but there is nothing to ask it for
        count = sum(1 for other in named.values() if other.kind == server.kind)
        named[server.kind if count == 0 else f"{server.kind}-{count + 1}"] = server
    return named


def _route(
    names: Sequence[str], tiers: Sequence[Sequence[TierTarget]], note: str = "", *, local_only: bool = False
) -> RouteConfig:
    written = tuple(
        tuple(item.pool if item.model in {None, *(names if len(names) == 1 else ())} else item for item in tier)
        for tier in tiers
        if tier
    )
    model = names[0] if len(names) == 1 else tuple(names)
    return RouteConfig(model=model, tiers=written, note=note, local_only=local_only)
