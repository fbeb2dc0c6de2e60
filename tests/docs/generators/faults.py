"""The reference of faults, from the lab's own scenarios."""

from __future__ import annotations

from tests.docs.generators.source import member_comments, page, table

from overspill.gateway.rehearsal.scenarios import SCENARIOS, Backup, Scenario
from overspill.gateway.rehearsal.verdict import LATE_SHARE, Verdict

_INTRODUCTION = """
What targets do wrong, and what must come of a request all the same. `overspill rehearse --fault NAME` tries one of
them, `overspill rehearse --faults` all ([how to](../how-to/rehearse-faults.md)); the tests run them all.
"""
_BACKUPS = {
    Backup.SAME_WEIGHTS: "the same model",
    Backup.OTHER_WEIGHTS: "another model",
    Backup.NONE: "none",
}


def faults_page() -> str:
    rows = [
        (f"`{one.name}`", one.does, one.leads_to, _must(one), _BACKUPS[one.backup], _forms(one)) for one in SCENARIOS
    ]
    verdicts = [(f"`{value}`", meaning) for value, meaning in member_comments(Verdict).items()]
    bounded = ", ".join(f"`{one.name}`" for one in SCENARIOS if one.is_bounded)
    return page(
        "Faults",
        _INTRODUCTION,
        "## What must come of each",
        "*Must be*: what the client gets. *Other target*: what the healthy target beside the faulty one serves.",
        table(("fault", "what the target does", "what it leads to", "must be", "other target", "tried as"), rows),
        f"The first token may come later than without the fault by the route's TTFT SLO times {LATE_SHARE:g} at most "
        f"under: {bounded}.",
        "## Verdicts",
        "What an answer turned out to be. `whole` and `error` are right where they must be; all others never are.",
        table(("value", "meaning"), verdicts),
    )


def _must(scenario: Scenario) -> str:
    whole, streamed = scenario.must_be(is_stream=False), scenario.must_be(is_stream=True)
    words = f"`{whole}`" if whole is streamed else f"`{whole}`; streamed: `{streamed}`"
    if scenario.retry_after_s is not None:
        words += f" with `retry-after` of {scenario.retry_after_s} s or more"
    return words


def _forms(scenario: Scenario) -> str:
    surfaces = ", ".join(surface.value for surface in scenario.surfaces)
    return f"{surfaces}; {scenario.requests} at once" if scenario.requests > 1 else surfaces
