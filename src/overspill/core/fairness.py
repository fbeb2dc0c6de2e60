"""Whose turn it is at a full target: start-time fair queueing between keys, by the time that their requests hold slots.

Each key that waits has a *tag*: the slot-seconds it has been given, over its weight, on a clock that stands still while
nobody waits. The lowest tag goes first. A key that comes back from a pause starts at the clock's time, so it neither
banks credit while it is idle nor pays for what it used when nobody else wanted it. What a request holds is only guessed
when it starts; when it ends the difference is charged, or comes off the key's next one.

Between any two keys that both wait, what they got differs by no more than what one request of each holds, over their
weights (Goyal, Vin, Cheng: Start-time Fair Queueing, 1996).
"""

from __future__ import annotations

Holder = tuple[int, str]
"""Priority class and key: classes do not share a clock, since a better one always goes first."""
_LEAST_S = 1e-3
"""What a request is believed to hold at least, so that the turns of a key are in an order."""


class Share:
    """What one key of one priority class has been given."""

    __slots__ = ("key_id", "last_s", "number", "owed_s", "tag", "waiting", "weight")

    def __init__(self, key_id: str, weight: float, number: int) -> None:
        self.key_id = key_id
        self.weight = weight
        self.number = number
        """Breaks ties: the key that came first goes first."""
        self.tag = 0.0
        self.owed_s = 0.0
        """Zero, or below it: slot-seconds that were charged too much and come off the next charge."""
        self.last_s = 1.0
        """What the last request was charged."""
        self.waiting = 0
        """Its requests that wait, in all lanes."""


class Fairness:
    """The tags of all keys that wait, and the clock of each priority class."""

    __slots__ = ("_clocks", "_number", "_shares", "_weights")

    def __init__(self) -> None:
        self._shares: dict[Holder, Share] = {}
        self._clocks: dict[int, float] = {}
        self._weights: dict[str, float] = {}
        self._number = 0

    def adopt(self, weights: dict[str, float]) -> None:
        """Take the weights of a new policy; keys that are not in it weigh 1."""
        self._weights = weights
        for share in self._shares.values():
            share.weight = weights.get(share.key_id, 1.0)

    def joins(self, priority: int, key_id: str) -> Share:
        """Count a request in that begins to wait, and return its key's share."""
        share = self._shares.get((priority, key_id))
        if share is None:
            self._number += 1
            share = Share(key_id, self._weights.get(key_id, 1.0), self._number)
            self._shares[priority, key_id] = share
        if share.waiting == 0:
            self._come_back(share, self._clocks.get(priority, 0.0))
        share.waiting += 1
        return share

    def _come_back(self, share: Share, clock: float) -> None:
        """Let a key wait again: what it has left of credit is cut back to the clock."""
        if share.tag < clock:
            share.tag, share.owed_s = clock, 0.0
        else:
            share.owed_s = max(share.owed_s, (clock - share.tag) * share.weight)

    def leaves(self, share: Share) -> None:
        """Count a request out that waits no longer, for whatever reason."""
        share.waiting -= 1

    def standing(self, priority: int, key_id: str) -> tuple[float, float, int]:
        """Return tag, step and number that a key has, or would have if it began to wait now."""
        share = self._shares.get((priority, key_id))
        clock = self._clocks.get(priority, 0.0)
        if share is None:
            return clock, 1.0 / self._weights.get(key_id, 1.0), self._number + 1
        return (share.tag if share.waiting else max(share.tag, clock)), step(share), share.number

    def weight_of(self, key_id: str) -> float:
        """Return what a key weighs."""
        return self._weights.get(key_id, 1.0)

    def charge(self, priority: int, key_id: str, expected_s: float) -> Share | None:
        """Charge a key for a request that begins to hold a slot; the clock goes on to where the key stood.

        Returns the share, for what the guess was wrong by; ``None`` for a key that has not waited since all queues were
        empty.
        """
        share = self._shares.get((priority, key_id))
        if share is None:
            return None
        self._clocks[priority] = max(self._clocks.get(priority, 0.0), share.tag)
        share.last_s = max(expected_s, _LEAST_S)
        self.settle(share, expected_s)
        return share

    def settle(self, share: Share, difference_s: float) -> None:
        """Charge what a guess was too short by, or note what it was too long by: a tag never goes back."""
        owed_s = share.owed_s + difference_s
        share.tag += max(owed_s, 0.0) / share.weight
        share.owed_s = min(owed_s, 0.0)

    def forget(self) -> None:
        """Nobody waits any more: everybody begins anew."""
        self._shares.clear()
        self._clocks.clear()


def step(share: Share) -> float:
    """Return by how much a key's tag goes on with each of its requests, as far as is known."""
    return share.last_s / share.weight
