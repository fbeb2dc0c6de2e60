"""A client's own retry goes on with what already runs for it, instead of running twice.

Clients made with Stainless (OpenAI's and Anthropic's) number their tries in ``x-stainless-retry-count`` and send the
same body again, mostly half a second to some seconds after they closed the connection. So a request of such a client
that has no token yet outlives its connection for a moment: it keeps its place in the queue or its attempt, and the same
request from the same key, counted as a retry, takes it over. An answer in one piece that came meanwhile is kept for it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from overspill.gateway.caller import Caller
from overspill.gateway.comeback import Comeback, Likeness, WholeAnswer
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.session import Session

_HEADER = b"x-stainless-retry-count"
_KEPT_ANSWERS = 64
_KEPT_BYTES = 1024 * 1024
"""A longer answer is not kept; the retry runs anew then."""


def retry_count(headers: list[tuple[bytes, bytes]]) -> int | None:
    """Return which try a client says this is, 0 for the first; ``None`` if it does not say."""
    values = [value for name, value in headers if name == _HEADER]
    if len(values) != 1 or not values[0].isdigit() or len(values[0]) > 4:
        return None
    return int(values[0])


class Rejoining:
    """Knows the requests whose clients may come back."""

    def __init__(self, linger_s: float) -> None:
        self.linger_s = linger_s
        """How long such a request outlives its connection; 0 for not at all."""
        self._open: dict[Likeness, Session] = {}
        self._answers: OrderedDict[Likeness, tuple[float, WholeAnswer]] = OrderedDict()
        self.rejoined = 0
        """Retries that ran nothing anew."""

    def likeness(self, caller: Caller, exchange: Exchange) -> Likeness | None:
        """Return what a retry of this request will be known by; ``None`` if none would be recognized."""
        if caller.retry_count is None or self.linger_s <= 0.0:
            return None
        return Likeness(caller._replace(retry_count=0), hashlib.sha256(exchange.request.body).digest())

    def watch(self, session: Session, likeness: Likeness) -> None:
        """Take a new request in; an older one like it keeps its client and is not found any more."""
        session.comeback = Comeback(likeness)
        self._open[likeness] = session

    def original(self, likeness: Likeness) -> Session | None:
        """Return what a retry may take over; ``None`` if there is nothing, or tokens of it went out already."""
        session = self._open.get(likeness)
        return None if session is None or session.is_committed else session

    def answer(self, likeness: Likeness, now: float) -> WholeAnswer | None:
        """Take the answer that came while the client was away."""
        kept = self._answers.pop(likeness, None)
        return kept[1] if kept is not None and now <= kept[0] else None

    def ended(self, session: Session, now: float) -> None:
        """Let a request go that has its final answer; keep what its client was not there to read."""
        comeback = session.comeback
        if comeback is None:
            return
        likeness = comeback.likeness
        if self._open.get(likeness) is session:
            del self._open[likeness]
        answer = comeback.unread
        if answer is not None and len(answer.body) <= _KEPT_BYTES:
            self._answers[likeness] = (now + self.linger_s, answer)
            self._answers.move_to_end(likeness)
            if len(self._answers) > _KEPT_ANSWERS:
                self._answers.popitem(last=False)
