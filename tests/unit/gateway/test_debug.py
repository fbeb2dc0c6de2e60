"""The explanation of a decision: what would be done, and how each target looked."""

from __future__ import annotations

from overspill.core.controller import Controller
from overspill.core.events import Arrived, Failed, TargetChanged
from overspill.core.types import (
    Budget,
    Client,
    FailureKind,
    Health,
    LatencyPrior,
    Limits,
    Policy,
    Route,
    RouteTarget,
    Slo,
    TargetSpec,
    Window,
)
from overspill.gateway.debug import explain_route


def controller(
    *, slots: int = 1, context_tokens: int | None = None, ttft_s: float = 0.1, slo: Slo | None = None
) -> Controller:
    prior = LatencyPrior(ttft_base_s=ttft_s)
    specs = (
        TargetSpec(
            target_id="home/0", pool="home", is_local=True, slots=slots, context_tokens=context_tokens, prior=prior
        ),
        TargetSpec(target_id="away/a", pool="away", is_local=False, context_tokens=context_tokens),
    )
    tiers = ((RouteTarget(target_id="home/0", model="h"),), (RouteTarget(target_id="away/a", model="a"),))
    alone = Route(pattern="alone", tiers=tiers[:1], slo=Slo(ttft_s=1.0))
    both = Route(pattern="both", tiers=tiers, slo=slo or Slo())
    return Controller(Policy(targets=specs, routes=(both, alone)))


def test_a_start_names_its_target_and_the_model_to_send() -> None:
    page = explain_route(controller(), {"model": ["both"]}, 0.0)
    assert page["decision"] == {
        "do": "start",
        "target": "home/0",
        "model": "h",
        "predicted_ttft_s": 0.1,
        "spill": None,
    }
    assert [(t["target"], t["tier"], t["refusal"]) for t in page["targets"]] == [
        ("home/0", 0, None),
        ("away/a", 1, None),
    ]


def test_a_spill_says_why() -> None:
    full = controller()
    full.handle(Arrived(request_id="r", model="both"), 0.0)
    page = explain_route(full, {"model": ["both"], "max_tokens": ["5"]}, 0.0)
    assert (page["decision"]["target"], page["decision"]["spill"]) == ("away/a", "local_full")
    assert page["targets"][0]["refusal"] == "no_slot"
    assert page["targets"][0]["running"] == 1


def test_a_spill_for_a_promise_says_which_and_what_was_predicted() -> None:
    page = explain_route(controller(slo=Slo(tpot_s=0.01)), {"model": ["both"]}, 0.0)
    assert (page["slo_ttft_s"], page["slo_tpot_s"]) == (2.0, 0.01)
    assert [(t["at_risk"], t["predicted_tpot_s"]) for t in page["targets"]] == [("tpot_at_risk", 0.02)] * 2
    page = explain_route(controller(ttft_s=3.0), {"model": ["both"]}, 0.0)
    assert page["decision"]["spill"] == "slo_at_risk"
    assert [t["at_risk"] for t in page["targets"]] == ["slo_at_risk", None]


def test_a_wait_says_for_whose_slot_and_how_long() -> None:
    full = controller()
    full.handle(Arrived(request_id="r", model="alone"), 0.0)
    decision = explain_route(full, {"model": ["alone"]}, 0.0)["decision"]
    assert (decision["do"], decision["for_slot_of"]) == ("wait", "home/0")
    assert decision["looks_again_in_s"] > 0
    down = controller()
    down.handle(TargetChanged(target_id="home/0", health=Health.DOWN), 0.0)
    decision = explain_route(down, {"model": ["alone"]}, 0.0)["decision"]
    assert (decision["do"], decision["for_slot_of"]) == ("wait", None)


def test_a_refusal_says_why() -> None:
    query = {"model": ["both"], "prompt_tokens": ["100"]}
    assert explain_route(controller(context_tokens=64), query, 0.0)["decision"] == {
        "do": "reject",
        "why": "context_too_long",
    }


def test_an_explanation_changes_nothing() -> None:
    asked, untouched = controller(), controller()
    for second in range(5):
        explain_route(asked, {"model": ["both"], "local_only": ["1"], "priority": ["0"]}, float(second))
    arrived = Arrived(request_id="r", model="both")
    assert asked.handle(arrived, 9.0) == untouched.handle(arrived, 9.0)
    assert asked.open_requests == 1


def test_a_model_that_rests_on_a_target_with_several_is_shown() -> None:
    spec = TargetSpec(target_id="home/0", pool="home", is_local=True)
    place = RouteTarget(target_id="home/0", model="")
    seen = Controller(Policy(targets=(spec,), routes=(Route(pattern="*", tiers=((place,),)),)))
    seen.handle(Arrived(request_id="r", model="bad"), 0.0)
    seen.handle(Failed(attempt_id=1, kind=FailureKind.NO_MODEL, status=404), 0.0)
    (shown,) = explain_route(seen, {"model": ["bad"]}, 0.0)["targets"]
    assert (shown["refusal"], shown["breaker"], shown["model_breaker"]) == ("no_model", "closed", "no_model")
    (shown,) = explain_route(seen, {"model": ["good"]}, 0.0)["targets"]
    assert (shown["refusal"], shown["model_breaker"]) == (None, None)


def test_the_limits_of_a_key_are_shown_with_what_is_left() -> None:
    limits = Limits(concurrency=3, budgets=(Budget(usd=5.0, window=Window.DAY),))
    spec = TargetSpec(target_id="home/0", pool="home", is_local=True)
    place = RouteTarget(target_id="home/0", model="h")
    policy = Policy(
        targets=(spec,),
        routes=(Route(pattern="m", tiers=((place,),)),),
        clients=(Client(key_id="alice", limits=limits),),
    )
    assert explain_route(Controller(policy), {"model": ["m"], "key": ["alice"]}, 0.0)["limits"] == [
        {"of": "key", "name": "alice", "what": "concurrency", "limit": 3, "per": None, "left": 3},
        {"of": "key", "name": "alice", "what": "money", "limit": 5.0, "per": "day", "left": 5.0},
    ]
    assert explain_route(Controller(policy), {"model": ["m"]}, 0.0)["limits"] == []
