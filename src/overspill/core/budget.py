"""A bound on what retries add to the load: the retry budget.

Every request earns a share of an attempt, and a minimum is granted per second, so that a gateway with few requests can
retry too; what is not spent within the window is gone. The shape is Finagle's ``RetryBudget`` (20 % of the requests and
10 a second, kept for 10 s). Spent on attempts that come on top: asking a target again that has already failed this
request, and asking a second one while the first is still silent. Going on to a target that was not asked yet is free:
that is bounded by how many there are.
"""

from __future__ import annotations

from collections import deque

from overspill.core.types import RetryPolicy

_CELL_S = 1.0


class RetryBudget:
    """Earnings and spendings of the last window, in cells of one second."""

    __slots__ = ("_balance", "_cell", "_cells", "_earned_now", "policy")

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self._cells: deque[tuple[int, float]] = deque()
        self._cell = 0
        self._earned_now = 0.0
        """Of the current cell, spendings taken off."""
        self._balance = 0.0
        """Of the full cells in the window."""

    def deposit(self, now: float) -> None:
        """Count a request."""
        cell = int(now / _CELL_S)
        if cell != self._cell:
            self._turn(cell)
        self._earned_now += self.policy.share

    def withdraw(self, now: float) -> bool:
        """Take one attempt out; return whether there was one."""
        cell = int(now / _CELL_S)
        if cell != self._cell:
            self._turn(cell)
        if self.balance < 1.0:
            return False
        self._earned_now -= 1.0
        return True

    @property
    def balance(self) -> float:
        """Attempts that may be added now."""
        return self.policy.min_per_s * self.policy.window_s + self._balance + self._earned_now

    def _turn(self, cell: int) -> None:
        """Close the current cell and forget those that have left the window."""
        if self._earned_now:
            self._cells.append((self._cell, self._earned_now))
            self._balance += self._earned_now
            self._earned_now = 0.0
        self._cell = cell
        oldest = cell - self.policy.window_s / _CELL_S
        while self._cells and self._cells[0][0] <= oldest:
            self._balance -= self._cells.popleft()[1]
        if not self._cells:
            self._balance = 0.0  # sums of many floats do not quite cancel out
