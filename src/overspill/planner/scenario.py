"""A configuration in a world: a policy, how fast its targets are, what it promises and what its machines cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from overspill.core.controller import Controller
from overspill.core.types import Policy, TargetSpec
from overspill.errors import ConfigError, UnknownName
from overspill.perf.engine_model import EngineModel
from overspill.planner.bills import Bills
from overspill.planner.figures import Promise
from overspill.planner.simulated import SimulatedRequest, TargetModel
from overspill.planner.simulator import Simulator
from overspill.planner.tally import Tally
from overspill.planner.workload import TraceRequest

_UNBOUNDED_SLOTS = 4096
_LEAST_STEP_S = 1e-6
Seen = Callable[[SimulatedRequest, float | None], object]
"""Is told each request that has its answer, and what it cost."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What a trace is played against."""

    name: str
    policy: Policy
    models: Mapping[str, TargetModel]
    model: str
    """The name that every request asks for."""
    promise: Promise
    units_usd_per_hour: float = 0.0
    """Of all machines that are paid by the hour, busy or not."""

    def play(
        self,
        requests: Iterable[TraceRequest],
        seen: Seen,
        *,
        starts_at_unix_s: float | None = None,
        tells_lengths: bool = False,
    ) -> int:
        """Play requests to their end and return how many there were; see ``Simulator.play``."""
        bills = Bills(self.policy, starts_at_unix_s)

        def ended(row: SimulatedRequest) -> None:
            seen(row, bills.usd(row))

        simulator = Simulator(self.policy, self.models, starts_at_unix_s=starts_at_unix_s)
        return simulator.play(requests, self.model, ended, tells_lengths=tells_lengths)

    def tally(self, window_s: float) -> Tally:
        """Return what adds up requests that are held to this scenario's promise."""
        return Tally(self.promise, window_s, self.units_usd_per_hour)


def awake(policy: Policy) -> Policy:
    """Return the policy with every engine ready: nothing starts or fails in a simulation."""
    targets = tuple(msgspec.structs.replace(spec, ready_at_start=True) for spec in policy.targets)
    return msgspec.structs.replace(policy, targets=targets)


def model_of_prior(spec: TargetSpec) -> TargetModel:
    """Return a target that is as fast as its configuration believes."""
    prior = spec.prior
    engine = EngineModel(
        slots=spec.slots or _UNBOUNDED_SLOTS,
        step_base_s=max(prior.tpot_base_s, _LEAST_STEP_S),
        step_s_per_running=prior.tpot_s_per_running,
        prefill_s_per_token=prior.prefill_s_per_token,
    )
    return TargetModel(engine=engine, delay_s=max(0.0, prior.ttft_base_s - engine.step_base_s))


def scenario(
    name: str,
    policy: Policy,
    model: str,
    *,
    models: Mapping[str, TargetModel] | None = None,
    slo_ttft_s: float | None = None,
    usd_per_hour: Mapping[str, float] | None = None,
) -> Scenario:
    """Make a scenario; ``models`` are targets whose speed is known better than by their prior.

    ``usd_per_hour`` is by pool, for each of its replicas. Raise ``ConfigError`` if no route serves the model.
    """
    policy = awake(policy)
    route = Controller(policy).find_route(model)
    if route is None:
        patterns = ", ".join(route.pattern for route in policy.routes) or "none"
        raise ConfigError(f"{name}: no route serves the model {model!r}; its routes are {patterns}")
    pools = [spec.pool for spec in policy.targets]
    prices = usd_per_hour or {}
    for pool in prices:
        if pool not in pools:
            raise UnknownName(f"pool of {name}", pool, pools)
    known = {spec.target_id: model_of_prior(spec) for spec in policy.targets}
    found = {target_id: one for target_id, one in (models or {}).items() if target_id in known}
    return Scenario(
        name=name,
        policy=policy,
        models={**known, **found},
        model=model,
        promise=Promise(ttft_s=slo_ttft_s or route.slo.ttft_s, tpot_s=route.slo.tpot_s),
        units_usd_per_hour=sum(prices.get(pool, 0.0) for pool in pools),
    )


def told(requests: Iterable[TraceRequest], progress: Callable[[int, float], object]) -> Iterator[TraceRequest]:
    """Yield requests and tell now and then how many there were and which time it is, in seconds from their start."""
    for count, request in enumerate(requests):
        if count % 2048 == 0:
            progress(count, request.at_s)
        yield request


def shaped(
    requests: Iterable[TraceRequest], *, seconds: float | None = None, speed_up: float = 1.0, token_factor: float = 1.0
) -> Iterator[TraceRequest]:
    """Yield the first ``seconds`` of a trace, its times squeezed and its lengths multiplied; one at a time."""
    is_same = speed_up == 1.0 and token_factor == 1.0
    for request in requests:
        if seconds is not None and request.at_s >= seconds:
            return
        if is_same:
            yield request
            continue
        prompt = max(1, round(request.prompt_tokens * token_factor))
        yield TraceRequest(
            request.at_s / speed_up,
            prompt,
            max(1, round(request.output_tokens * token_factor)),
            request.key_id,
            min(prompt, round(request.cached_tokens * token_factor)),
        )
