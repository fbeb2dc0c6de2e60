"""The words of a decision: what a target is, what a request needs, and the reasons there are.

Everything here is a value. Reasons are enums because one vocabulary serves the response header ``x-overspill-reason``,
the ledger's column, the metric's label and the console.

Values are ``msgspec.Struct`` and not dataclasses: as immutable, but five times cheaper to make (a decision makes a
handful), and a recording of them is their own encoding.
"""

from __future__ import annotations

import enum

import msgspec

from overspill.features import Feature


class Value(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """Base of the core's values: immutable, slotted, and encodable as JSON for recordings."""


class Surface(enum.StrEnum):
    """What kind of call it is; a target may not serve all of them."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


class Spill(enum.StrEnum):
    """Why a request left the first tier of its route."""

    SLO_AT_RISK = "slo_at_risk"  # local would run it, but its first token is predicted too late
    TPOT_AT_RISK = "tpot_at_risk"  # local would start it in time, but its tokens are predicted to come too slowly
    LOCAL_FULL = "local_full"  # no slot, and none predicted to free soon enough
    LOCAL_BROKEN = "local_broken"  # a breaker is open, or the engine is not ready
    LOCAL_ABSENT = "local_absent"  # the route has no local target
    CONTEXT_TOO_LONG = "context_too_long"  # the prompt does not fit the local context window
    UNSUPPORTED = "unsupported"  # the local target does not serve this surface
    LACKS_FEATURE = "lacks_feature"  # the local target is known not to do what the request needs
    OVER_BUDGET = "over_budget"  # the first tier is rented too, and a budget has too little left for it
    ATTEMPT_FAILED = "attempt_failed"  # it ran locally and failed before the first token
    SILENT = "silent"  # where it was sent first had not spoken in time, and this target did
    STREAM_BROKE = "stream_broke"  # it broke off locally in mid-answer, and the rest is generated elsewhere
    HEDGED = "hedged"  # the route hedges: a second target was asked as well, and it spoke first


class LocalOnly(enum.StrEnum):
    """What bound a request to local targets: the first of these that did."""

    KEY = "key"  # its key is bound to local targets
    HEADER = "header"  # the client asked for it
    MODEL = "model"  # its route is `local_only`
    DETECTOR = "detector"  # a detector found something in its text, or could not judge it


class Refusal(enum.StrEnum):
    """Why one target was no candidate for one request."""

    LOCAL_ONLY = "local_only"  # the request must not leave local targets, and this is none
    UNSUPPORTED = "unsupported"  # it does not serve this surface
    LACKS_FEATURE = "lacks_feature"  # it is known not to do something that the request needs
    CONTEXT_TOO_LONG = "context_too_long"  # the prompt does not fit its context window
    NOT_READY = "not_ready"  # it is starting, down or broken
    DRAINING = "draining"  # it finishes what runs and takes nothing new
    BREAKER_OPEN = "breaker_open"  # it failed too often and rests, or its one probe runs
    COOLING_DOWN = "cooling_down"  # it limits our rate (429) and the pause has not passed
    BAD_KEY = "bad_key"  # it refused our key and the pause has not passed
    NO_MONEY = "no_money"  # its account had no balance and the pause has not passed
    NO_MODEL = "no_model"  # it did not have the model and the pause has not passed
    CANNOT_CONTINUE = "cannot_continue"  # the answer broke off elsewhere, and it has other weights or cannot go on
    FAILED_BEFORE = "failed_before"  # this request failed here and its back-off has not passed
    NO_SLOT = "no_slot"  # it runs as many requests as it may
    AT_RATE_LIMIT = "at_rate_limit"  # one request more now would exceed its requests or tokens per minute
    OVER_BUDGET = "over_budget"  # the request is expected to cost more there than a budget has left


class Scope(enum.StrEnum):
    """Whose limit it is. A request is held to those of all that it belongs to."""

    KEY = "key"  # one key of the gateway
    TEAM = "team"  # all keys of a team together
    MODEL = "model"  # all requests for a route together
    ACCOUNT = "account"  # one account at a provider
    TARGET = "target"  # one model of such an account


class Resource(enum.StrEnum):
    """What is limited."""

    REQUESTS = "requests"  # requests per minute
    TOKENS = "tokens"  # prompt and answer tokens per minute
    CONCURRENCY = "concurrency"  # requests at once
    MONEY = "money"  # US dollars in a window of time


class Window(enum.StrEnum):
    """The stretches of the calendar that a budget is for, in UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class RejectReason(enum.StrEnum):
    """Why a request got no answer. *Rejected* was never queued, *evicted* was queued and then dropped."""

    UNKNOWN_MODEL = "unknown_model"  # no route has this model name
    PROMPT_TOO_LONG = "prompt_too_long"  # the prompt fits no target that may run it
    UNSUPPORTED = "unsupported"  # no target that may run it serves this endpoint
    LACKS_FEATURE = "lacks_feature"  # no target that may run it can do what it needs
    QUEUE_FULL = "queue_full"  # every target is full, and as many requests wait as may
    NO_TARGET = "no_target"  # no target can take it before its deadline
    RATE_LIMITED = "rate_limited"  # the client's key, team or model has used what it may for now
    BUDGET_EXCEEDED = "budget_exceeded"  # only rented targets could run it, and a budget has too little left
    MODEL_NOT_ALLOWED = "model_not_allowed"  # the client's key may not ask for this model
    DRAINING = "draining"  # the gateway is shutting down
    DEADLINE_EVICTED = "deadline_evicted"  # it waited until its deadline
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"  # as many attempts failed as the route allows


class Outcome(enum.StrEnum):
    """How a request ended, for the ledger and the metrics."""

    COMPLETED = "completed"  # the client has the whole answer
    REJECTED = "rejected"  # refused on arrival
    EVICTED = "evicted"  # refused after it had waited in the queue
    FAILED = "failed"  # every attempt failed before the first token
    BROKEN = "broken"  # failed after tokens had reached the client
    CLIENT_GONE = "client_gone"  # the client left before its answer was complete
    SHUTDOWN = "shutdown"  # the gateway stopped before the answer was complete, and cut the client off
    CLIENT_ERROR = "client_error"  # a target said the request itself is wrong (4xx)


class FailureKind(enum.StrEnum):
    """What went wrong with an attempt; decides what the breaker learns and whether another target is tried."""

    OVERLOADED = "overloaded"  # 503, 529, "server busy"
    RATE_LIMITED = "rate_limited"  # 429: a cool-down, never a breaker failure
    NO_MONEY = "no_money"  # 402 and its disguises
    BAD_KEY = "bad_key"  # 401, 403
    NO_MODEL = "no_model"  # 404: this target does not have the model
    CONTEXT_TOO_LONG = "context_too_long"  # the target counted the prompt and it does not fit
    HISTORY = "history"  # it wants thoughts in the history otherwise; written so, it is asked once more
    BAD_REQUEST = "bad_request"  # other 4xx: the client's fault, no evidence against the target
    MODERATION = "moderation"  # refused for content; other targets are not shopped around
    SERVER_ERROR = "server_error"  # other 5xx, HTML bodies
    CONNECT = "connect"  # refused, unreachable, DNS, TLS
    CUT = "cut"  # the stream ended without a finish reason
    TIMEOUT = "timeout"  # nothing useful came in time
    HOLLOW = "hollow"  # a success without content
    MALFORMED = "malformed"  # bytes that are no answer
    DIVERGED = "diverged"  # asked to go on with a broken answer, it did not begin with what the client already has


class RescueRefusal(enum.StrEnum):
    """Why a broken stream was not continued."""

    OFF = "off"  # the route does not rescue
    UNVERIFIED = "unverified"  # nobody has seen that the target goes on exactly where an answer ends
    OTHER_WEIGHTS = "other_weights"  # no target of the route is known to have the same weights
    REASONING = "reasoning"  # the client has seen a thought, and the target cannot go on with one
    TOOL_CALL = "tool_call"  # a call of a tool has reached the client
    NATIVE = "native"  # it came in the client's own form, of which only the end is read
    SEVERAL_CHOICES = "several_choices"  # more than one answer was asked for
    LOGPROBS = "logprobs"  # log-probabilities were asked for
    GRAMMAR = "grammar"  # the output is bound to a grammar or a schema, which would begin anew
    SEED = "seed"  # a repeatable draw was asked for, and it would begin anew
    PREFILLED = "prefilled"  # the client itself asked for the continuation of a message, or for an echo or a suffix
    TOKEN_PROMPT = "token_prompt"  # the prompt is not one text, so that no text can be added to it
    NO_TOKEN_IDS = "no_token_ids"  # the target goes on by tokens only, and the first one did not tell its own
    NO_TOKENS_LEFT = "no_tokens_left"  # it broke off at the client's limit of tokens
    ANSWER_TOO_LONG = "answer_too_long"  # the answer is longer than what is remembered of one
    NOT_UNDERSTOOD = "not_understood"  # the stream had something that cannot be joined, such as a refusal
    MODERATION = "moderation"  # it was stopped for its content
    REFUSED = "refused"  # the target would not take the continuation
    DIVERGED = "diverged"  # the continuation did not begin with what the client already has
    CONTEXT_TOO_LONG = "context_too_long"  # prompt and answer so far do not fit where it could be continued
    NO_TARGET = "no_target"  # no target that could continue it became free in time
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"  # as many attempts failed as the route allows


class Continues(enum.StrEnum):
    """What a target has been seen to go on with, exactly where it ends."""

    NOTHING = "nothing"
    CONTENT = "content"
    REASONING = "reasoning"  # and content


class RescuePolicy(enum.StrEnum):
    """Where a route's broken streams may be continued."""

    OFF = "off"
    SAME_WEIGHTS = "same_weights"


class Health(enum.StrEnum):
    """What the supervisor or the poller knows of a target."""

    STARTING = "starting"
    READY = "ready"
    DOWN = "down"  # gone, but its supervisor is bringing it back
    BROKEN = "broken"  # gone, and it will not come back by itself soon
    DRAINING = "draining"


class LatencyPrior(Value, frozen=True):
    """What is believed of a target's speed before it has been observed.

    TTFT ≈ ``ttft_base_s`` + prefill tokens ahead × ``prefill_s_per_token``;
    TPOT ≈ ``tpot_base_s`` + running requests × ``tpot_s_per_running``.
    """

    ttft_base_s: float = 0.5
    prefill_s_per_token: float = 0.0
    tpot_base_s: float = 0.02
    tpot_s_per_running: float = 0.0


class Price(Value, frozen=True):
    """Money per million tokens, in US dollars. A target without a ``Price`` has an *unknown* price, not a free one."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None = None


class Tariff(Value, frozen=True):
    """Times at which a target is cheaper. In the peak hours its ``Price`` holds, which is the dearer one.

    The zone is a fixed distance from UTC: what a provider bills by has no daylight saving.
    """

    off_peak: Price
    peak_s: tuple[tuple[int, int], ...]
    """Peak hours as ``[begin, end)`` in seconds of the local week, which begins on Monday; in order and apart."""
    utc_offset_s: int = 0
    off_peak_days: tuple[int, ...] = ()
    """Local days without peak hours, such as public holidays, counted from 1970-01-01. A holiday that is not known
    here is reckoned as a day like any other, so at the dearer price."""


class Budget(Value, frozen=True):
    """Money that may be spent in each window of the calendar."""

    usd: float
    window: Window


class Limits(Value, frozen=True):
    """How much may be used; ``None`` is not limited."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst_s: float = 60.0
    """How much of the two may come at once: what builds up in this time."""
    concurrency: int | None = None
    budgets: tuple[Budget, ...] = ()


class Shared(Value, frozen=True):
    """Limits of something that many requests share: a team, or an account at a provider."""

    name: str
    limits: Limits


class Client(Value, frozen=True):
    """One key of the gateway, as far as it is more than a key. Without keys, one with the id ``""`` is everybody."""

    key_id: str
    team: str = ""
    weight: float = 1.0
    """Its share of a full target, against those of other keys that wait."""
    local_only: bool = False
    models: tuple[str, ...] = ()
    """Names and globs that it may ask for; empty is all."""
    limits: Limits | None = None


class LimitHit(Value, frozen=True):
    """The limit that refused a request."""

    scope: Scope
    name: str
    resource: Resource
    amount: float
    """What the limit is: per minute, at once, or in US dollars."""
    window: Window | None = None
    left: float = 0.0
    """What is left of it now."""


class Lack(Value, frozen=True):
    """Something that a target is known not to do."""

    feature: Feature
    why: str
    """In words."""


class Missing(Value, frozen=True):
    """What a request needs and a target of its route does not do."""

    target_id: str
    feature: Feature
    why: str


class TargetSpec(Value, frozen=True):
    """One replica or one upstream account: what it is, not how it is doing."""

    target_id: str
    pool: str
    is_local: bool
    """True if a request that runs here does not leave the building."""
    slots: int | None = None
    """Requests it may run at once; ``None`` is unbounded. The gateway never sends more."""
    context_tokens: int | None = None
    """Prompt + answer that fit one request; ``None`` is unknown."""
    surfaces: tuple[Surface, ...] = (Surface.CHAT, Surface.COMPLETIONS)
    lacks: tuple[Lack, ...] = ()
    """What it is known not to do; of anything else nothing is known."""
    native: tuple[Feature, ...] = ()
    """Which of ``features.NATIVE`` it has."""
    prior: LatencyPrior = LatencyPrior()
    price: Price | None = None
    """Where there is a tariff, the price of its peak hours."""
    tariff: Tariff | None = None
    streams_whole: bool = True
    """True if answers that a client wants whole are asked for as streams, so that their tokens are seen coming."""
    account: str = ""
    """The account that its spending is counted on; shared by all models of that account."""
    limits: Limits | None = None
    """What its host allows: requests and tokens per minute. ``slots`` is what it allows at once."""
    is_adaptive: bool = False
    """True where the host moves its limit with the load: the slots follow what it accepts, up to ``slots``."""
    ready_at_start: bool = True
    """False for an engine that its supervisor must first report ready."""


class RouteTarget(Value, frozen=True):
    """A target as one route uses it: under which model name it is called."""

    target_id: str
    model: str
    """Empty to call it by the name that the client used."""
    weights: str = ""
    """Names what the model is made of: targets with the same name give the same answers. Empty is unknown."""


class Slo(Value, frozen=True):
    """What a route promises. Times are seconds from arrival (``ttft_s``) and per output token (``tpot_s``).

    Without ``tpot_s``, how fast tokens follow the first is not judged.
    """

    ttft_s: float = 2.0
    tpot_s: float | None = None


class Patience(Value, frozen=True):
    """How long an attempt may go without progress before it is given up. Progress is tokens, not bytes."""

    first_token_s: float = 120.0
    stall_s: float = 30.0
    """Between two tokens."""
    floor_tokens_per_s: float | None = None
    """Slower than this over ``stall_s`` is a stall too; ``None`` does not judge it."""
    whole_s: float = 600.0
    """For an answer that comes in one piece, since its tokens cannot be seen."""


class Route(Value, frozen=True):
    """Which targets serve which model names, in tiers: the first is home, each later one is a place to spill to."""

    pattern: str
    """A model name, or a glob with ``*`` and ``?``; the first route that matches wins, exact names before globs."""
    tiers: tuple[tuple[RouteTarget, ...], ...]
    slo: Slo = Slo()
    deadline_s: float = 120.0
    """Longest wait in the queue before the request is evicted."""
    queue_limit: int = 256
    """Requests that may wait per lane."""
    limits: Limits | None = None
    """What all requests for this route may use together."""
    max_attempts: int = 4
    """Attempts that may fail for other reasons than "busy"; busy targets are asked again until the deadline."""
    local_only: bool = False
    patience: Patience = Patience()
    hedge_after_s: float | None = None
    """Ask a second target as well if the first has not spoken after this; ``None`` does not hedge."""
    screening: int = 0
    """Which detectors must have found nothing in a request's text for it to leave local targets, as a number that
    changes with them; 0 if nothing looks. A request that was not looked at by these stays local."""
    rescue: RescuePolicy = RescuePolicy.SAME_WEIGHTS
    rescue_wait_s: float = 30.0
    """Longest wait of a client with half an answer until a target goes on with it."""


class BreakerPolicy(Value, frozen=True):
    """When a target is given a rest. A failure-rate window with a minimum count, then one probe at a time."""

    window_s: float = 30.0
    min_count: int = 5
    failure_rate: float = 0.5
    open_s: float = 5.0
    open_max_s: float = 60.0
    cooldown_s: float = 2.0
    """Pause after a 429 that names no time."""
    no_money_s: float = 300.0
    bad_key_s: float = 300.0
    no_model_s: float = 300.0


class RetryPolicy(Value, frozen=True):
    """How much load attempts may add that ask again, or ask a second target beside the first."""

    share: float = 0.2
    """Of an attempt, for each request."""
    min_per_s: float = 10.0
    """Granted however few the requests are."""
    window_s: float = 10.0
    """What is not spent for this long is gone."""


class Policy(Value, frozen=True):
    """All that the controller is told: compiled from the configuration, replaced whole by ``PolicyChanged``."""

    targets: tuple[TargetSpec, ...]
    routes: tuple[Route, ...]
    breaker: BreakerPolicy = BreakerPolicy()
    retry: RetryPolicy = RetryPolicy()
    priorities: int = 3
    """Priority classes 0 (first) to ``priorities - 1``; a request outside is clamped."""
    reserved: tuple[int, ...] = ()
    """Slots of each target that are kept for class 0, for classes 0 and 1, and so on."""
    clients: tuple[Client, ...] = ()
    """The keys that are more than keys."""
    teams: tuple[Shared, ...] = ()
    accounts: tuple[Shared, ...] = ()
    """The accounts that have a budget."""
    default_output_tokens: int = 256
    """Answer length assumed for a route that has not been observed."""
