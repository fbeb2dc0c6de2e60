"""When a dead engine is started again: pure arithmetic, so that the schedule is the same each time.

There is no jitter: one gateway starts one engine on its own machine, nobody else is in step with it.
"""

from __future__ import annotations

from collections import deque

import msgspec


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Pauses before a restart double from ``first_s`` to ``max_s``; too many deaths in ``window_s`` break the loop."""

    first_s: float = 0.1
    max_s: float = 10.0
    crash_limit: int = 5
    window_s: float = 60.0
    broken_s: float = 60.0
    """Pause of a broken engine before it is tried again."""


class Pause(msgspec.Struct, frozen=True):
    """What to do after one end of the process."""

    pause_s: float
    is_broken: bool
    prefix: str = ""
    """Put before the reason, so that it says why the pause is long."""


class RestartSchedule:
    """Remembers when the process died."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._deaths: deque[float] = deque()

    def after_end(self, now: float, *, is_final: bool) -> Pause:
        """Note a death at ``now`` (seconds) and return the pause before the next start.

        ``is_final`` marks an end that the process announced itself (a damaged file, a wrong option).
        """
        policy = self._policy
        self._deaths.append(now)
        while self._deaths[0] < now - policy.window_s:
            self._deaths.popleft()
        count = len(self._deaths)
        if is_final:
            self._deaths.clear()
            return Pause(policy.broken_s, is_broken=True)
        if count >= policy.crash_limit:
            self._deaths.clear()
            prefix = f"it died {count} times within {policy.window_s:g} s and rests for {policy.broken_s:g} s; last: "
            return Pause(policy.broken_s, is_broken=True, prefix=prefix)
        return Pause(min(policy.first_s * 2 ** (count - 1), policy.max_s), is_broken=False)
