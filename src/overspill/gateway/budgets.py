"""Tells the controller what budgets had seen spent before it was born: read from the ledger, off the path of requests.

A budget is for a window of the calendar, and a restart in its middle must not make the money come back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from overspill.core.events import SpentBefore
from overspill.core.types import Limits, Policy, Scope, Window
from overspill.core.windows import bounds
from overspill.ledger.spending import Spending, spending
from overspill.ledger.store import LedgerStore


class BudgetKey(NamedTuple):
    """Whose budget, and for which window."""

    scope: Scope
    name: str
    window: Window


def budgets_in(policy: Policy) -> frozenset[BudgetKey]:
    """Return every budget of a policy."""
    return frozenset(
        BudgetKey(scope, name, budget.window)
        for scope, name, limits in _limits_in(policy)
        if limits is not None
        for budget in limits.budgets
    )


def _limits_in(policy: Policy) -> Iterator[tuple[Scope, str, Limits | None]]:
    yield from ((Scope.KEY, client.key_id, client.limits) for client in policy.clients)
    yield from ((Scope.TEAM, team.name, team.limits) for team in policy.teams)
    yield from ((Scope.ACCOUNT, account.name, account.limits) for account in policy.accounts)
    yield from ((Scope.MODEL, route.pattern, route.limits) for route in policy.routes)


def spent_before(path: Path, policy: Policy, budgets: frozenset[BudgetKey], unix_s: float) -> list[SpentBefore]:
    """Read what each of ``budgets`` has seen spent in its present window; blocks, and raises ``LedgerError``."""
    if not budgets or not path.exists():
        return []
    store = LedgerStore.open(path, read_only=True)
    try:
        by_window = {window: spending(store, bounds(window, unix_s)[0]) for window in {b.window for b in budgets}}
    finally:
        store.close()
    told = [
        SpentBefore(scope=b.scope, name=b.name, window=b.window, usd=_spent(b, policy, by_window[b.window]))
        for b in sorted(budgets)
    ]
    return [event for event in told if event.usd]


def _spent(budget: BudgetKey, policy: Policy, found: Spending) -> float:
    match budget.scope:
        case Scope.KEY:
            return found.by_key.get(budget.name, 0.0)
        case Scope.TEAM:
            keys = [client.key_id for client in policy.clients if client.team == budget.name]
            return sum((found.by_key.get(key, 0.0) for key in keys), 0.0)
        case Scope.MODEL:
            return found.by_route.get(budget.name, 0.0)
        case _:
            prefix = f"{budget.name}/"
            return sum((usd for name, usd in found.by_target.items() if f"{name}/".startswith(prefix)), 0.0)
