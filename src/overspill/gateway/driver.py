"""The live driver: owns the clock, the alarm, the sessions and the attempts, and carries out what the controller says.

It turns what happens into events, feeds them one at a time, and executes the commands. It makes no decision of its own.
An event that arises while commands are carried out (a connection refused at once) waits its turn, so the controller
never sees itself half-way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, assert_never

from overspill.core.commands import AnyCommand, CancelAttempt, Complete, Reject, StartAttempt
from overspill.core.controller import Controller
from overspill.core.events import AnyEvent, ClientGone, ClockRead, Cut, DrainStarted, Failed, PolicyChanged, Tick
from overspill.core.routing import RouteTable
from overspill.core.types import (
    FailureKind,
    LocalOnly,
    Outcome,
    Policy,
    RejectReason,
    RescueRefusal,
    Surface,
)
from overspill.errors import WireError
from overspill.gateway.asking import Asking
from overspill.gateway.attempt import asks_stream
from overspill.gateway.books import Bookkeeper
from overspill.gateway.comeback import Comeback, Likeness
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.kept import Kept
from overspill.gateway.live_target import LiveTarget
from overspill.gateway.pace import outlasts
from overspill.gateway.pseudonyms import Pseudonyms
from overspill.gateway.refusals import answer
from overspill.gateway.rejoin import Rejoining
from overspill.gateway.relay import Relay
from overspill.gateway.rescue import Resumption, resume
from overspill.gateway.session import Session
from overspill.gateway.thoughts import Thoughts
from overspill.gateway.translating import NativeRelay, ReadingRelay
from overspill.wire.continuation import CannotContinue
from overspill.wire.request import Request as WireRequest

log = logging.getLogger("overspill.driver")

Recorder = Callable[[float, AnyEvent, list[AnyCommand]], None]
_monotonic: Final = time.monotonic
_CHAT: Final = Surface.CHAT
_COMPLETED: Final = Outcome.COMPLETED
_SWEEP_S = 1.0
_CLOCK_SLACK_S = 1.0
"""A wall clock that has moved by no more than this is not told: windows of budgets are hours at least."""
_TIMED_EVERY: Final = 8
"""One event in so many is timed: the clock and the counting cost each event time, and a sample tells the same."""


def _outside(policy: Policy) -> frozenset[str]:
    """Return the targets where a request leaves its owner's hands."""
    return frozenset(spec.target_id for spec in policy.targets if not spec.is_local)


def _bound_keys(policy: Policy) -> frozenset[str]:
    """Return the keys whose requests must stay local."""
    return frozenset(client.key_id for client in policy.clients if client.local_only)


class Driver:
    """Runs one ``Controller`` against real clients and real targets."""

    def __init__(
        self,
        policy: Policy,
        targets: dict[str, LiveTarget],
        client: HttpClient,
        books: Bookkeeper,
        *,
        loop: asyncio.AbstractEventLoop,
        known_models: Callable[[str], str],
        asking: Asking | None = None,
        recorder: Recorder | None = None,
        commit_deadline_s: float = 50.0,
        heartbeat_s: float = 10.0,
        linger_s: float = 0.0,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Make a driver.

        A client that has waited ``commit_deadline_s`` for a first token is sent a sign of life, and further ones every
        ``heartbeat_s``. A client that numbers its tries may come back within ``linger_s``. ``wall_clock`` is for
        budgets, which begin anew by the calendar.
        """
        self.controller = Controller(policy)
        self.targets = targets
        self._outside = _outside(policy)
        self._bound_keys = _bound_keys(policy)
        self._find_route = RouteTable(policy.routes).find
        self.client = client
        self._books = books
        self._loop = loop
        self._known_models = known_models
        self._recorder = recorder
        self.asking = Asking(Thoughts(), Pseudonyms(b"")) if asking is None else asking
        self._commit_deadline_s = commit_deadline_s
        self._heartbeat_s = heartbeat_s
        self.rejoining = Rejoining(linger_s)
        self._epoch = _monotonic()  # and not the loop's clock, which uvloop keeps at milliseconds
        self._handled = 0
        self._handled_at = 0.0
        self._sessions: dict[str, Session] = {}
        self._relays: dict[int, Relay] = {}
        self._inbox: deque[AnyEvent] = deque()
        self._is_handling = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweep_due_at = 0.0
        self._idle: asyncio.Future[None] | None = None
        self._wall_clock = wall_clock
        self._wall_ahead_s = 0.0

    def now(self) -> float:
        """Return seconds since this driver was made: the controller's clock, which never goes back."""
        return _monotonic() - self._epoch

    @property
    def open_sessions(self) -> int:
        """Requests whose clients wait for an answer or read one."""
        return len(self._sessions)

    def running_on(self, target_id: str) -> int:
        """Count the attempts in flight on a target, be it one that the policy no longer names."""
        return sum(1 for relay in self._relays.values() if relay.target.target_id == target_id and not relay.is_over)

    def submit(self, session: Session) -> None:
        """Take in a client's request."""
        self._bind(session)
        self._sessions[session.request_id] = session
        session.exchange.on_gone = partial(self.client_left, session)
        if self._sweeper is None:
            self._set_sweeper()
        self.feed(session.arrived())

    def client_left(self, session: Session) -> None:
        """Forget a request whose client has gone; not at once if the client may come back."""
        if session.request_id not in self._sessions:  # it has its answer
            return
        comeback = session.comeback
        if comeback is None or session.is_committed:
            self.feed(ClientGone(request_id=session.request_id))
            return
        comeback.left_at = left_at = self.now()
        self._loop.call_later(self.rejoining.linger_s, self._stayed_away, session.request_id, comeback, left_at)

    def _stayed_away(self, request_id: str, comeback: Comeback, left_at: float) -> None:
        if comeback.left_at == left_at and request_id in self._sessions:
            self.feed(ClientGone(request_id=request_id))

    def rejoin(self, likeness: Likeness, exchange: Exchange) -> bool:
        """Answer a client's retry with what runs for it already; return whether there is such a thing."""
        session = self.rejoining.original(likeness)
        if session is not None:
            session.hand_over(exchange)
            exchange.on_gone = lambda: self.client_left(session)
            self.rejoining.rejoined += 1
            return True
        kept = self.rejoining.answer(likeness, self.now())
        if kept is None:
            return False
        self.rejoining.rejoined += 1
        exchange.reply_encoded(200, kept.lines, kept.body)
        return True

    def _bind(self, session: Session) -> None:
        """Have the session know what the controller's policy binds to local targets."""
        if session.local_only_by is None and session.key_id in self._bound_keys:
            session.local_only_by = LocalOnly.KEY
        route = self._find_route(session.request.model)
        if route is not None:
            session.bind(route)

    def _is_outside(self, session: Session) -> bool:
        return any(
            relay is not None and not relay.is_over and relay.command.target_id in self._outside
            for relay in (session.relay, session.rival)
        )

    def feed(self, event: AnyEvent) -> None:
        """Give the controller an event and carry out its commands; called again from within, it queues."""
        inbox = self._inbox
        if self._is_handling:
            inbox.append(event)
            return
        self._is_handling = True
        try:
            self._handle(event)
            while inbox:
                self._handle(inbox.popleft())
        finally:
            self._is_handling = False
        self._set_alarm()

    def _handle(self, event: AnyEvent) -> None:
        began = _monotonic()
        now = self._handled_at = began - self._epoch
        commands = self.controller.handle(event, now)
        self._handled += 1
        if self._handled % _TIMED_EVERY == 0:
            self._books.decided(_monotonic() - began)
        if self._recorder is not None:
            self._recorder(now, event, commands)
        for command in commands:
            match command:
                case StartAttempt():
                    self._start(command)
                case Complete():
                    self._complete(command)
                case Reject():
                    self._reject(command)
                case CancelAttempt():
                    self._cancel(command)
                case _:
                    assert_never(command)

    # -- commands

    def _start(self, command: StartAttempt) -> None:
        session = self._sessions[command.request_id]
        target = self.targets.get(command.target_id)
        if session.relay is not None and not self._is_outside(session):
            self._bind(session)  # a reload may have changed its route meanwhile
        if session.local_only_by is not None and command.target_id in self._outside:
            # A second lock, should the controller ever be wrong: nothing is sent.
            log.error("%s must stay local and was to be sent to %s", command.request_id, command.target_id)
            target = None
        if target is None:  # replaced between the decision and now: as if it had refused the connection
            self._inbox.append(Failed(attempt_id=command.attempt_id, kind=FailureKind.CONNECT))
            return
        try:
            relay, asked = self._relay(command, session, target)
        except CannotContinue as error:
            cut = Cut(output_tokens=0, refusal=RescueRefusal(error.reason))
            self._inbox.append(Failed(attempt_id=command.attempt_id, kind=FailureKind.DIVERGED, cut=cut))
            return
        if session.relay is not None:
            self._book_ended(session)
        self._relays[command.attempt_id] = relay
        session.attempt(relay)
        self._books.started(relay)
        try:
            relay.start(self.client, asked)
        except WireError as refusal:
            relay.refuse(refusal)
        except Exception:
            # The task runner: an adapter's slip is this target's failure and must not lose the request.
            log.exception("the call to %s could not be made", target.target_id)
            relay.abandon("the gateway could not make the call; its log says why")

    def _relay(self, command: StartAttempt, session: Session, target: LiveTarget) -> tuple[Relay, WireRequest]:
        """Make the relay of an attempt, and what it is to ask.

        Raises ``CannotContinue`` if it was to go on with an answer and cannot.
        """
        request, surface = session.request, session.surface
        is_chat = surface is _CHAT
        kept: Kept | None = None
        resumption: Resumption | None = None
        is_outside = command.target_id in self._outside
        speaks_it = request.native is not None and request.surface in target.native
        if speaks_it and not command.resumes and not session.exchange.is_started:
            asked = self.asking.write_native(request, session.key_id, is_outside)
            return NativeRelay(command, target, surface, request, session, self), asked
        asked = request
        if is_chat:
            model = command.model or request.model
            asked = self.asking.write(request, target, model, session.key_id, is_outside)
            if asked is not request and self.asking.has_recalled(request, asked, target, model):
                session.keeping = None  # thoughts of this key may be in it, and who asks the same may have another
        if command.resumes:
            kept = session.kept
            resumption = resume(command, kept, asked, surface, target, session.answered_by)
        elif request.stream and (command.is_kept or (is_chat and request.has_tools)):
            kept = Kept(request, is_chat=is_chat, is_for_rescue=command.is_kept)
        # A whole answer is looked at when it has come: see ``Relay._read_whole``.
        is_late = target.is_auto and not asks_stream(request, target, surface)
        reader = None if is_late else target.reader(surface, request.n)
        if reader is None:
            return Relay(command, target, surface, request, session, self, kept=kept, resumption=resumption), asked
        relay = ReadingRelay(
            command, target, surface, request, session, self, kept=kept, resumption=resumption, reader=reader
        )
        return relay, asked

    def _book_ended(self, session: Session) -> None:
        """Write down the attempts of a request that are over, while it goes on."""
        for relay in session.ended():
            self._book(session, relay)

    def _book(self, session: Session, relay: Relay) -> None:
        self._relays.pop(relay.command.attempt_id, None)
        self._books.attempt(session, relay)

    def _cancel(self, command: CancelAttempt) -> None:
        relay = self._relays.get(command.attempt_id)
        if relay is not None:
            relay.cancel()

    def _complete(self, command: Complete) -> None:
        session = self._leave(command.request_id)
        relay = None if command.attempt_id is None else self._relays.get(command.attempt_id)
        if relay is not None:
            session.choose(relay)
        session.unrescued = command.unrescued
        if relay is not None and session.request.has_tools and command.outcome is _COMPLETED:
            self.asking.learn(relay, session.key_id, is_bound=session.local_only_by is not None)
        session.complete(command)
        self._settle(session, command.outcome, command.failure)

    def _reject(self, command: Reject) -> None:
        session = self._leave(command.request_id)
        request = session.request
        said = answer(command, request.model, self._known_models(request.model), request.native_only)
        session.reject(command, said)
        self._settle(session, command.outcome, command.reason)

    def _leave(self, request_id: str) -> Session:
        session = self._sessions.pop(request_id)
        exchange = session.exchange
        exchange.on_gone = exchange.on_stalled = exchange.on_writable = None
        return session

    def _settle(self, session: Session, outcome: Outcome, reason: RejectReason | FailureKind | None) -> None:
        """Write the last attempt and the request, and forget both."""
        if session.rival is not None:
            self._book(session, session.rival)
        if session.relay is not None:
            self._book(session, session.relay)
        self._books.request(session, outcome, reason, self._handled_at)
        if session.comeback is not None:
            self.rejoining.ended(session, self._handled_at)
        # Each knows the other: without this only the garbage collector would free them.
        session.relay = session.rival = None
        if not self._sessions and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    # -- time

    def _set_alarm(self) -> None:
        at = self.controller.next_wakeup(self._handled_at)
        if at is None or (self._alarm is not None and at >= self._alarm_at):
            return  # a timer that rings too soon, or for nothing, costs less than to set it with each event
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._loop.call_later(max(0.0, at - self.now()), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.feed(Tick())

    def _set_sweeper(self) -> None:
        self._sweep_due_at = self.now() + _SWEEP_S
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Look after all that runs or waits, by one timer, and none while there is nothing.

        A sweep that comes late tells of this process, which stood still, and not of the targets: what they sent
        meanwhile is yet to be read.
        """
        now = self.now()
        stood_still = now - self._sweep_due_at > _SWEEP_S
        for relay in list(self._relays.values()):
            relay.look_for_progress(now)
        for session in list(self._sessions.values()):
            for attempt in (session.relay, session.rival):
                if attempt is not None and not stood_still and outlasts(attempt, session.patience, now):
                    attempt.expire()
            waits_long = not session.is_committed and now - session.arrived_at >= self._commit_deadline_s
            if (waits_long or session.is_interrupted) and now - session.heartbeat_at >= self._heartbeat_s:
                session.show_life(now)
        self.tell_time()
        # Only now: what starts meanwhile must not start a second sweeper.
        self._sweeper = None
        if self._sessions:
            self._set_sweeper()

    def tell_time(self) -> None:
        """Tell the controller what the wall says, where money needs it and the clocks have drifted apart."""
        if not self.controller.needs_time:
            return
        unix_s = self._wall_clock()
        ahead_s = unix_s - self.now()
        if abs(ahead_s - self._wall_ahead_s) > _CLOCK_SLACK_S:
            self._wall_ahead_s = ahead_s
            self.feed(ClockRead(unix_s=unix_s))

    # -- from outside

    def change_policy(self, policy: Policy, targets: dict[str, LiveTarget]) -> None:
        """Take a new policy and its targets. What runs on a target that is gone runs to its end."""
        self.targets = targets
        self._books.set_prices(policy.targets)
        self._find_route = RouteTable(policy.routes).find
        self._bound_keys = _bound_keys(policy)
        for session in self._sessions.values():
            # What runs outside has left: its answer is not called local. A further attempt is bound at its start.
            if not self._is_outside(session):
                self._bind(session)
        self._outside = _outside(policy)
        self.feed(PolicyChanged(policy=policy))
        self.tell_time()

    async def drain(self, grace_s: float) -> int:
        """Admit nothing new and wait until every session has ended; return how many had not after ``grace_s``."""
        self.feed(DrainStarted())
        if self._sessions:
            self._idle = self._loop.create_future()
            await asyncio.wait([self._idle], timeout=grace_s)
        return len(self._sessions)

    def close(self) -> None:
        """Break off what still runs and stop the timers."""
        for session in sorted(self._sessions.values(), key=lambda s: s.relay is not None):  # or a freed slot starts one
            self.feed(ClientGone(request_id=session.request_id, is_shutdown=True))
        for timer in (self._alarm, self._sweeper):
            if timer is not None:
                timer.cancel()
        self._alarm = self._sweeper = None
