"""Detectors in the configuration: what routes want of them, as a number and in words."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.gateways import FACTS, attach, config_of, text_of

from overspill.config.compile import compile_config
from overspill.config.explain import explain
from overspill.config.schema import Config
from overspill.config.screening import ScreeningPlan
from overspill.core.types import Route

OURS = {"detector": "patterns", "options": {"keywords": ["hush"]}}
OTHER = {"detector": "patterns", "options": {"keywords": ["psst"]}}
POOLS = {"local": attach("http://127.0.0.1:9")}


def config(route: dict[str, Any] | None = None, local_only: bool = False, **screening: Any) -> Config:
    routes = [{"model": "m", "tiers": [["local"]], "local_only": local_only, **({"screening": route} if route else {})}]
    return config_of(text_of(POOLS, routes, screening={"detectors": {"ours": OURS, "other": OTHER}, **screening}))


def compiled(config: Config) -> tuple[Route, dict[int, ScreeningPlan]]:
    wiring = compile_config(config, FACTS)
    return wiring.policy.routes[0], wiring.screening


def test_a_route_wants_all_detectors_and_is_closed() -> None:
    route, plans = compiled(config())
    assert plans == {route.screening: ScreeningPlan(("ours", "other"), lets_unseen=False, lets_failed=False)}
    assert 0 < route.screening < 2**53


def test_a_route_says_which_it_wants_and_what_it_lets_go() -> None:
    route, plans = compiled(config({"detectors": ["other"], "when_unseen": "allow", "when_failed": "allow"}))
    assert plans[route.screening] == ScreeningPlan(("other",), lets_unseen=True, lets_failed=True)


@pytest.mark.parametrize(("route", "local_only"), [({"detectors": []}, False), (None, True)])
def test_nothing_looks_where_nothing_is_wanted_or_nothing_could_leave(
    route: dict[str, Any] | None, local_only: bool
) -> None:
    found, plans = compiled(config(route, local_only))
    assert (found.screening, plans) == (0, {})


@pytest.mark.parametrize(
    "other",
    [
        config({"detectors": ["ours"]}),
        config({"when_unseen": "allow"}),
        config({"when_failed": "allow"}),
        config(detectors={"ours": OTHER, "other": OURS}),
        config(detectors={"ours": OURS, "other": {"detector": "patterns", "options": {"keywords": ["psst", "hush"]}}}),
    ],
)
def test_the_number_changes_with_what_would_be_judged_otherwise(other: Config) -> None:
    assert compiled(other)[0].screening != compiled(config())[0].screening


@pytest.mark.parametrize("same", [config(), config(timeout="3s"), config(processes=4), config(max_text="1MiB")])
def test_the_number_stays_while_the_judgement_does(same: Config) -> None:
    assert compiled(same)[0].screening == compiled(config())[0].screening


def test_the_explanation_names_the_detectors_of_a_route() -> None:
    said = "\n".join(explain(config(), FACTS))
    assert "looked at first by ours, other: what they find or cannot judge stays in local pools" in said
    assert "looked at" not in "\n".join(explain(config({"detectors": []}), FACTS))
    letting = "\n".join(explain(config({"when_unseen": "allow"}), FACTS))
    assert "looked at first by ours, other: what they find stays in local pools" in letting
