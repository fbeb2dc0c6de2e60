"""Continuous batching: how an engine shares its time between the requests it runs.

One model serves twice: the planner's simulator advances it in virtual time, the rehearsal engine in real time, so a
fake engine behind HTTP and a simulated one are slow in the same way. No clock here: time is an argument, in seconds,
and never goes back.

An engine works in steps (one forward pass each). A step decodes one token of every request whose prompt is done and
prefills up to ``prefill_chunk_tokens`` of the prompts that are not, first come first served; it takes

    step_base_s + step_s_per_running × requests decoded + prefill_s_per_token × prompt tokens prefilled

and the step that ends a prompt also yields that request's first token. A request joins at the next step boundary if a
slot and room for its whole prompt and answer in the KV cache are free; otherwise it waits, first in first out. (A
real engine reserves the answer's room as it grows and preempts when that fails; reserving all of it is the
conservative reading.) The shape is that of llama.cpp's server and of vLLM's scheduler with chunked prefill; the prefix
cache is not modelled.

Between changes of membership all steps are alike, so the model does not take them one by one: a *run* of equal steps is
one multiplication. That makes the cost per request independent of its length.
"""

from __future__ import annotations

import heapq
from collections import deque

from overspill.perf.engine_model import BatchEvent, EngineModel

_NEVER = float("inf")


class _Request:
    """A request in the batch; it changes in place."""

    __slots__ = ("first_step", "is_seated", "kv_tokens", "output_tokens", "prompt_left", "request_id")

    def __init__(self, request_id: int, prompt_tokens: int, output_tokens: int) -> None:
        self.request_id = request_id
        self.prompt_left = prompt_tokens
        self.output_tokens = output_tokens
        self.kv_tokens = prompt_tokens + output_tokens
        self.is_seated = False
        self.first_step = -1
        """Count of steps when the first token came; -1 before."""


class Batch:
    """What one engine runs and holds back, at one moment. ``request_id`` is any integer that is not in it already."""

    __slots__ = (
        "_chunk_tokens",
        "_ends",
        "_kv_capacity",
        "_kv_used",
        "_leaving",
        "_now_s",
        "_prefilling",
        "_prompt_left",
        "_requests",
        "_run_start_s",
        "_run_steps",
        "_s_per_prompt_token",
        "_s_per_running",
        "_slots",
        "_step_base_s",
        "_step_prefill",
        "_step_s",
        "_steps_done",
        "_waiting",
        "due_s",
        "model",
    )

    def __init__(self, model: EngineModel, now_s: float = 0.0) -> None:
        self.model = model
        self._step_base_s: float = model.step_base_s
        self._s_per_running: float = model.step_s_per_running
        self._s_per_prompt_token: float = model.prefill_s_per_token
        self._chunk_tokens: int = model.prefill_chunk_tokens
        self._slots: int = model.slots
        self._kv_capacity: int | None = model.kv_capacity_tokens
        self._now_s = now_s
        self._requests: dict[int, _Request] = {}
        self._waiting: deque[_Request] = deque()
        self._prefilling: list[_Request] = []
        self._prompt_left = 0
        """Sum over ``_prefilling``."""
        self._ends: list[tuple[int, int, _Request]] = []
        """Heap of the decoding requests by (count of steps at their last token, id)."""
        self._leaving: list[_Request] = []
        """Cancelled, but part of the step that runs."""
        self._kv_used = 0
        self._steps_done = 0
        """Steps that ended before ``_run_start_s``."""
        self._run_start_s = now_s
        self._run_steps = 0
        """Equal steps of the current run; 0 while idle."""
        self._step_s = 0.0
        self._step_prefill = 0
        self.due_s = _NEVER
        """When the current run ends, so that ``advance`` has something to do; infinity while idle. No event comes
        earlier. It may turn out to be a boundary between two runs, with no event of any request."""

    @property
    def running(self) -> int:
        """Requests in slots, prompts in work included."""
        return len(self._prefilling) + len(self._ends)

    @property
    def waiting(self) -> int:
        """Requests without a slot."""
        return len(self._waiting)

    @property
    def kv_tokens(self) -> int:
        """Tokens of KV cache reserved by running requests, their answers' rest included."""
        return self._kv_used

    def admit(self, request_id: int, prompt_tokens: int, output_tokens: int, now_s: float) -> None:
        """Take a request in; it starts at the next step boundary with room, and at once if the engine is idle.

        Raises ``ValueError`` if it can never run (see ``EngineModel.answer_tokens``), is already here, or if ``now_s``
        is not where ``advance`` has been.
        """
        if prompt_tokens < 1 or output_tokens < 1:
            raise ValueError(f"request {request_id} needs at least one prompt and one output token")
        if self.model.answer_tokens(prompt_tokens, output_tokens) < output_tokens:
            raise ValueError(
                f"request {request_id} ({prompt_tokens} + {output_tokens} tokens) does not fit the context"
            )
        if request_id in self._requests:
            raise ValueError(f"request {request_id} is already in the batch")
        self._settle(now_s)
        request = self._requests[request_id] = _Request(request_id, prompt_tokens, output_tokens)
        is_next = not self._waiting and self._has_room(request)
        self._waiting.append(request)
        if not self._run_steps:
            self._run_start_s = now_s
            self._form_run()
        elif is_next:
            self._cut_run()

    def cancel(self, request_id: int, now_s: float) -> None:
        """Forget a request: no more events of it, and its slot is free at the next step boundary.

        An unknown id is ignored: its end and its client's leaving may have crossed.
        """
        request = self._requests.pop(request_id, None)
        if request is None:
            return
        self._settle(now_s)
        if request.is_seated:
            self._leaving.append(request)
            self._cut_run()
            return
        is_next = request is self._waiting[0]
        self._waiting.remove(request)
        if is_next:
            self._cut_run()  # the one behind it may fit

    def next_wakeup_s(self) -> float | None:
        """Return ``due_s``, or ``None`` while idle."""
        return self.due_s if self._run_steps else None

    def next_step_s(self) -> float | None:
        """Return when the running step ends, or ``None`` while idle: for who wants every token and not only events."""
        if not self._run_steps:
            return None
        return self._run_start_s + min(self._steps_into_run() + 1, self._run_steps) * self._step_s

    def advance(self, now_s: float) -> list[BatchEvent]:
        """Let time pass until ``now_s`` (inclusive) and return what happened, in order of time."""
        if now_s < self._now_s:
            raise ValueError(f"time went back from {self._now_s} to {now_s}")
        events: list[BatchEvent] = []
        while self._run_steps and self.due_s <= now_s:
            self._end_run(events)
        self._now_s = now_s
        return events

    def produced(self, request_id: int) -> int:
        """Return how many tokens a request has at the time of the last ``advance``; 0 while it waits or prefills.

        Requests that are finished or cancelled are not known any more (``KeyError``).
        """
        request = self._requests[request_id]
        if request.first_step < 0:
            return 0
        return 1 + self._steps_done + self._steps_into_run() - request.first_step

    def _steps_into_run(self) -> int:
        """Count the whole steps of the current run that have ended by now; there is a run."""
        count = int((self._now_s - self._run_start_s) / self._step_s)
        # A quotient may round across a boundary; the products below are what boundaries are made of.
        if self._run_start_s + count * self._step_s > self._now_s:
            return count - 1
        return count + (self._run_start_s + (count + 1) * self._step_s <= self._now_s)

    def _settle(self, now_s: float) -> None:
        """Check that all until ``now_s`` has been told."""
        if now_s < self._now_s:
            raise ValueError(f"time went back from {self._now_s} to {now_s}")
        if self.due_s < now_s:
            raise ValueError(f"advance to {now_s} first: the batch is at {self._now_s}")
        self._now_s = now_s

    def _cut_run(self) -> None:
        """End the current run with the step that is being made now: membership changes after it."""
        ended = self._steps_into_run()
        if ended == self._run_steps:
            return
        end_s = self._run_start_s + ended * self._step_s
        if end_s == self._now_s:
            self._run_steps = ended
            self.due_s = end_s
            self._end_run([])  # within a run no request gets its first or last token
        else:
            self._run_steps = ended + 1
            self.due_s = self._run_start_s + self._run_steps * self._step_s

    def _has_room(self, request: _Request) -> bool:
        capacity = self._kv_capacity
        has_slot = len(self._prefilling) + len(self._ends) < self._slots
        return has_slot and (capacity is None or self._kv_used + request.kv_tokens <= capacity)

    def _form_run(self) -> None:
        """Seat who fits and work out the next run, if there is anything to run."""
        if self._leaving:
            self._release_cancelled()
        if self._waiting:
            self._seat()
        prefilling, ends = self._prefilling, self._ends
        steps = ends[0][0] - self._steps_done if ends else 0
        prefill = 0
        if prefilling:
            # Steps are alike while the first prompt fills the chunk alone; the one it shares with others is not.
            alike = prefilling[0].prompt_left // self._chunk_tokens or 1
            steps = alike if not steps or alike < steps else steps
            prefill = self._chunk_tokens if self._chunk_tokens < self._prompt_left else self._prompt_left
        self._run_steps = steps
        self._step_prefill = prefill
        if steps:
            self._step_s = self._step_base_s + self._s_per_running * len(ends) + self._s_per_prompt_token * prefill
            self.due_s = self._run_start_s + steps * self._step_s
        else:
            self.due_s = _NEVER

    def _seat(self) -> None:
        """Move waiting requests into free slots; the first that does not fit holds back those behind it."""
        while self._waiting and self._has_room(self._waiting[0]):
            request = self._waiting.popleft()
            request.is_seated = True
            self._kv_used += request.kv_tokens
            self._prompt_left += request.prompt_left
            self._prefilling.append(request)

    def _release_cancelled(self) -> None:
        gone = {request.request_id for request in self._leaving}
        self._kv_used -= sum(request.kv_tokens for request in self._leaving)
        self._prompt_left -= sum(request.prompt_left for request in self._leaving)
        self._leaving.clear()
        self._prefilling = [request for request in self._prefilling if request.request_id not in gone]
        self._ends = [end for end in self._ends if end[1] not in gone]
        heapq.heapify(self._ends)

    def _end_run(self, events: list[BatchEvent]) -> None:
        """Account for all steps of the current run, tell whose first or last token came with them, form the next."""
        steps, at_s = self._run_steps, self.due_s
        self._steps_done = done = self._steps_done + steps
        self._run_start_s = at_s
        if self._step_prefill:
            self._prefilled(steps * self._step_prefill, at_s, events)
        ends = self._ends
        while ends and ends[0][0] <= done:
            request = heapq.heappop(ends)[2]
            self._kv_used -= request.kv_tokens
            if self._leaving and request in self._leaving:
                self._leaving.remove(request)
            else:
                del self._requests[request.request_id]
                events.append(BatchEvent(at_s, request.request_id, True))
        self._form_run()

    def _prefilled(self, tokens: int, at_s: float, events: list[BatchEvent]) -> None:
        """Take so many tokens off the prompts, first come first served; one that is done has its first token."""
        self._prompt_left -= tokens
        prefilling = self._prefilling
        while tokens:
            request = prefilling[0]
            if tokens < request.prompt_left:
                request.prompt_left -= tokens
                return
            tokens -= request.prompt_left
            request.prompt_left = 0
            del prefilling[0]
            request.first_step = self._steps_done
            last_step = self._steps_done + request.output_tokens - 1
            heapq.heappush(self._ends, (last_step, request.request_id, request))
            if not self._leaving or request not in self._leaving:
                events.append(BatchEvent(at_s, request.request_id, False))
