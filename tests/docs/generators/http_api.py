"""The reference of the HTTP API. Its words stand here; the tests compare its names with those in the code."""

from __future__ import annotations

from tests.docs.generators.source import member_comments, page, table

from overspill.core.types import FailureKind, LocalOnly
from overspill.features import Feature
from overspill.gateway.answer_lines import CACHE, CACHED
from overspill.gateway.http.limits import Limits
from overspill.gateway.rehearsal.summary import HOME
from overspill.gateway.wishes import PRIORITIES, CacheWish
from overspill.wire.form import SHOWN

PATHS = (
    ("POST", "/v1/chat/completions", "Chat Completions, streamed or not."),
    ("POST", "/v1/completions", "Completions, streamed or not."),
    ("POST", "/v1/embeddings", "Embeddings, where a target of the route makes them."),
    ("POST", "/v1/messages", "Anthropic's [Messages](../how-to/use-claude-code.md), streamed or not."),
    ("POST", "/v1/messages/count_tokens", "How many tokens a prompt has; see `x-overspill-count`."),
    ("POST", "/v1/responses", "OpenAI's [Responses](#responses), streamed or not."),
    ("POST", "/v1/responses/compact", "A conversation made short by its own model, to go on with."),
    ("POST", "/v1/responses/input_tokens", "How many tokens an input has; see `x-overspill-count`."),
    (
        "GET",
        "/v1/models",
        "The models that can be asked for by name, globs left out; to who sends `anthropic-version` as Anthropic does.",
    ),
    ("GET", "/v1/models/{model}", "One model; 404 if no route takes the name."),
    ("GET", "/openapi.json", "What is on this page for programs: the [OpenAPI document](openapi.json). No key needed."),
    ("GET", "/debug/route", "Why a request would go where it would go now. Nothing is sent."),
    ("GET", "/", "The version and the paths."),
    ("GET", "/healthz", "200 while the process answers. No key needed."),
    ("GET", "/readyz", "200 if at least one target takes requests, else 503; names each target. No key needed."),
    ("GET", "/metrics", "[Metrics](metrics.md) for Prometheus. No key needed."),
)
UNVERSIONED = (
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/models",
    "/responses",
    "/responses/compact",
    "/responses/input_tokens",
)
BELOW_ANTHROPIC = ("/anthropic/v1/messages", "/anthropic/v1/messages/count_tokens", "/anthropic/v1/models")
REQUEST_HEADERS = (
    ("authorization", "`Bearer KEY`: one of the gateway's keys, if it has any."),
    ("x-api-key", "The same, for clients that send keys this way."),
    (
        "x-request-id",
        (
            "What the client calls the request: up to 128 letters, digits and `._~:/+=@#-`. It comes back in the "
            "answer and stands in the ledger; anything else is not looked at."
        ),
    ),
    (
        "content-encoding",
        (
            "`gzip` or `deflate`: how the body is compressed. `server.limits.max_body` holds for it as it is and as it "
            "was."
        ),
    ),
    ("accept-encoding", "`gzip`: whole answers above 8 KiB may be compressed. Streams are not."),
    ("origin", "Which web page asks: see [browser clients](../how-to/use-it-from-a-web-page.md)."),
    (
        "x-forwarded-for",
        "Who asks, if the peer is one of `server.trusted_proxies`; so are `forwarded` and `x-forwarded-host`.",
    ),
    ("x-overspill-local-only", "`true`: the request must not leave local targets; it is refused rather than sent."),
    (
        "x-overspill-priority",
        "Which waits first: "
        + ", ".join(f"`{name}` ({number})" for name, number in PRIORITIES.items())
        + ", or a number; 0 goes first.",
    ),
    ("x-overspill-ttft-slo", "Its own time to the first token, such as `500ms`; replaces the route's `slo.ttft`."),
    ("x-overspill-deadline", "Its own longest wait in the queue, such as `10s`; never longer than the route's."),
    (
        "x-overspill-cache",
        "Where [the cache](../how-to/cache-answers.md) is on: "
        + ", ".join(f"`{wish}` ({text})" for wish, text in member_comments(CacheWish).items())
        + ".",
    ),
    (
        "x-overspill-reasoning",
        "Where thoughts are to be in an answer of chat: "
        + ", ".join(f"`{form}`" for form in SHOWN)
        + "; see [reasoning](../how-to/reasoning.md). What the key says if left out.",
    ),
)
RESPONSE_HEADERS = (
    (
        "x-request-id",
        (
            "The request's id, as in the ledger; the client's own if it sent one. Missing where it was refused "
            "before it had one."
        ),
    ),
    ("x-overspill-request-id", "The request's id, as in the ledger, where `x-request-id` is the client's own."),
    (
        "x-overspill-reason",
        f"`{HOME}`, or why it spilled, or `{CACHED}`; with an error, why it was refused. [Reasons](reasons.md).",
    ),
    (
        "x-overspill-dropped",
        "Fields of the request that had no place in what the target was asked, where its surface was translated.",
    ),
    ("x-overspill-target", f"The target that gave the answer, or `{CACHE}`."),
    (
        "x-overspill-model",
        (
            "The name that the target was asked for. Behind it, as far as they are known and another: `canonical`, "
            "the model of the [catalogue](providers.md) that this stands for; `quantization`, its number format; "
            "`answered`, the model that the answer itself names. Missing where the answer was kept."
        ),
    ),
    (
        "x-overspill-local-only",
        "What bound the request to local targets: "
        + ", ".join(f"`{value}`" for value in LocalOnly)
        + ". Missing if nothing did.",
    ),
    ("age", "How many seconds ago an answer from the cache was made."),
    ("x-overspill-attempts", "How many attempts were started; 0 if none was."),
    ("request-id", "On the Messages API: the same as `x-request-id`, where Anthropic's clients look for it."),
    (
        "x-overspill-count",
        "Of a count of tokens: `exact` where a local engine counts, else `estimated` from what targets counted before.",
    ),
    ("retry-after", "With 429, 503 and 502: in how many seconds it is worth asking again."),
    ("x-overspill-limit", "With 429: whose limit it is and of what, such as `key/tokens` or `team/money`."),
    (
        "x-ratelimit-limit-requests",
        "With 429: the rate; `-remaining-` and `-reset-`: what is left, and when to come. Also for `-tokens`.",
    ),
)
QUERY = (
    ("model", "required"),
    ("surface", "`chat` (default), `completions` or `embeddings`"),
    ("prompt_tokens", "100 if left out"),
    ("max_tokens", "no limit if left out"),
    ("priority", "1 if left out"),
    ("local_only", "`true` or `false` (default)"),
    ("key", "a key's name, to see what limits hold it"),
    ("needs", "features that it needs: " + ", ".join(f"`{feature}`" for feature in Feature)),
)
CODES = (
    (400, "null", "The body is not a JSON object, not UTF-8, or nested too deeply."),
    (400, "missing_required_parameter", "A field that every request needs is missing."),
    (400, "invalid_type", "A field has a value of the wrong kind."),
    (400, "invalid_value", "A field has a value that cannot be."),
    (400, "empty_array", "`messages`, `prompt` or `input` is empty."),
    (400, "integer_below_min_value", "A number is too small."),
    (400, "integer_above_max_value", "A number is absurdly large."),
    (400, "decimal_below_min_value", "A number is below its range."),
    (400, "decimal_above_max_value", "A number is above its range."),
    (400, "unsupported_parameter", "OpenAI's API has this, but a gateway that keeps nothing, or a chat, cannot do it."),
    (400, "invalid_header", "An `x-overspill-` header is unknown, unreadable or sent twice."),
    (400, "invalid_query", "A parameter of `/debug/route` is unknown or unreadable."),
    (400, "context_length_exceeded", "The prompt fits the context window of no target of the route."),
    (400, "unsupported_endpoint", "No target of the route that may run the request serves this endpoint."),
    (400, "unsupported_feature", "No target of the route that may run the request can do all it asks for."),
    (401, "invalid_api_key", "The gateway has keys, and the request has none of them; the message says if it was cut."),
    (401, "revoked_api_key", "The key was revoked or replaced."),
    (401, "expired_api_key", "The key's time is over."),
    (403, "host_not_allowed", "The gateway has no keys, and `host` is no name of this machine."),
    (403, "cross_site_request", "The gateway has no keys, and another site's web page may have sent the request."),
    (403, "origin_not_allowed", "A browser asks for a web page of a site that is not in `server.cors_origins`."),
    (403, "model_not_allowed", "The key may not ask for this model; see `server.api_keys`."),
    (404, "model_not_found", "No route takes the model name; the message lists those that exist."),
    (404, "unknown_path", "There is nothing at this path."),
    (404, "response_not_found", "A response was to be read, deleted or cancelled, and none is kept."),
    (405, "wrong_method", "The path takes another method."),
    (426, "websocket_not_supported", "A WebSocket was asked for; send each request by POST."),
    (
        429,
        "rate_limit_exceeded",
        "The key, its team or the model has used what it may; the message says which.",
    ),
    (429, "budget_exceeded", "Only rented targets could run it, and a budget has too little left for it."),
    (502, "attempts_exhausted", "Every attempt that the route allows failed before a token had reached the client."),
    (503, "queue_full", "Every target is full and so is the queue."),
    (503, "deadline_evicted", "It waited until its deadline."),
    (503, "no_target", "No target can take it before its deadline."),
    (503, "draining", "The gateway is shutting down."),
)
EDGE_CODES = (
    (400, "bad_request", "Not valid HTTP/1.1."),
    (400, "missing_host", "HTTP/1.1 without a Host header."),
    (400, "invalid_host", "A Host header that is no host."),
    (400, "repeated_header", "Two of a header that decides something, such as `authorization` or `host`."),
    (400, "invalid_transfer_encoding", "A transfer coding other than `chunked`, or one in HTTP/1.0."),
    (400, "invalid_target", "A request target that cannot be used."),
    (400, "chunk_framing_too_large", "Too many bytes of chunk extensions or trailers."),
    (408, "header_timeout", "The head arrived too slowly."),
    (408, "body_timeout", "The body arrived too slowly."),
    (400, "invalid_content_encoding", "The body is not what its `content-encoding` says."),
    (413, "body_too_large", "The body is over `server.limits.max_body`, compressed or not."),
    (414, "target_too_long", f"Path and query are over {Limits().max_target_bytes} bytes."),
    (415, "unsupported_content_encoding", "A `content-encoding` other than `gzip` and `deflate`."),
    (417, "unknown_expectation", "An `expect` header other than `100-continue`."),
    (429, "too_many_pipelined", f"More than {Limits().max_pipelined} requests wait on this connection."),
    (431, "headers_too_large", "The head is over `server.limits.max_header`."),
    (431, "too_many_headers", f"More than {Limits().max_headers} header lines."),
    (500, "internal_error", "The gateway failed on this request; its log says why."),
    (501, "unsupported_method", "A method that no HTTP API uses."),
    (503, "too_many_connections", "As many connections are open as `server.limits.max_connections` allows."),
    (505, "unsupported_version", "HTTP/1.0 and HTTP/1.1 are served."),
)
_BODY = """
Requests and answers have OpenAI's form. What a decision needs is read (`model`, `stream`, `max_tokens`, the prompt's
length, `n`, `stream_options`, `tools`); every other field, known or not, goes to the target as the client wrote it.
The target gets the model name that the route says. A stream is passed on as the target sent it, chunk by chunk; an
answer that was asked for whole may have been fetched as a stream and put together here.

A request of the Messages API is read into a chat request, so that it runs on any target; the answer is written back in
Anthropic's form. A target that speaks Messages itself gets the request as it came. What has no place in chat is named
in `x-overspill-dropped`; what cannot be left out either (a tool that Anthropic runs, a file by its id) needs such a
target.

Not served: HTTP/2, WebSockets; of Responses nothing that would have to be kept here.
"""
_RESPONSES = """
A target that speaks Responses itself (OpenAI's) gets the request as the client wrote it, and its answer goes on as it
comes. For any other the request becomes a chat, and the answer a response again:

- **Tools**: functions, namespaces of functions and custom tools (free text) work on every target that calls tools.
  Tools that OpenAI runs itself are left out where clients offer them with every request (`web_search`,
  `image_generation`, `tool_search`), and `x-overspill-dropped` names them; other ones need a target that has them, and
  a `tool_choice` that demands one is refused.
- **Thoughts** are shown as reasoning items with a summary that is the thought itself. Where `include` has
  `reasoning.encrypted_content` the item carries it packed too, so that a client that keeps nothing but its own
  conversation gets it back to the model. It is packed, not encrypted.
- **Nothing is kept**: `store` has no effect and is shown as false; `previous_response_id`, `conversation`, `prompt`,
  `background` and references to items are refused. `GET` and `DELETE` of `/v1/responses/{id}`, its `input_items` and
  its `cancel` answer 404 (`response_not_found`).
- A **stream** ends with `response.completed`, `response.incomplete` or `response.failed`, never with `[DONE]`. A client
  that waits long gets `response.in_progress` events: clients such as Codex take no comment for a sign of life.
- **DeepSeek's own Responses endpoint is not used**: a chat can be [rescued](../explanation/rescue.md) when it breaks.
- A wish for a **WebSocket** is answered with 426; clients that can do both go on over HTTP.
"""
_ERRORS = """
An error has OpenAI's form: `{"error": {"message": …, "type": …, "param": …, "code": …}}`. The message says what
happened and what to do.

On the Messages API it has Anthropic's: `{"type": "error", "error": {"type": …, "message": …}, "request_id": …}`, with
`code` and `param` beside the message where there are any.

- A **4xx of a target** that concerns the request itself (`bad_request`, `moderation`) is passed on in this form, with
  the target's status, message and code.
- An **error after a stream has begun** is an event with such an object, and then the connection ends. No `[DONE]` is
  sent after it, and none is ever made up: a stream without a finish reason is not whole. Its code is `stream_` and the
  failure: {stream}.
- A **429** speaks of the client: a limit of its key, team or model. A target's own 429 or 503 never becomes one here:
  Overspill waits or goes elsewhere, and what is left is a 503.
""".replace("{stream}", ", ".join(f"`stream_{kind}`" for kind in FailureKind))
_DEBUG = """
Answers with the route, the decision (`start`, `wait` or `reject`, with target and reason), the limits that hold the key
and what is left of each, and, for each target of the route, why it was no candidate, its predicted time to first token
and wait for a slot, what runs there, its breaker and what is believed of its speed.
"""


def http_api_page() -> str:
    return page(
        "HTTP API",
        table(("method", "path", ""), [(method, f"`{path}`", text) for method, path, text in PATHS]),
        "For clients whose base URL has no version, the same is at "
        + ", ".join(f"`{path}`" for path in UNVERSIONED)
        + ". For clients that are set up for DeepSeek's Messages API, it is also at "
        + ", ".join(f"`{path}`" for path in BELOW_ANTHROPIC)
        + ". `HEAD` works wherever `GET` does; `HEAD /` needs no key.",
        _BODY,
        "## Responses",
        _RESPONSES,
        "## Headers of a request",
        table(("header", "meaning"), [(f"`{name}`", text) for name, text in REQUEST_HEADERS]),
        "Any other `x-overspill-` header is an error and never ignored: a misspelt `local-only` must not let a request "
        "leave.",
        "## Headers of an answer",
        table(("header", "meaning"), [(f"`{name}`", text) for name, text in RESPONSE_HEADERS]),
        "## GET /debug/route",
        table(("parameter", ""), [(f"`{name}`", text) for name, text in QUERY]),
        _DEBUG,
        "## Errors",
        _ERRORS,
        table(("status", "`code`", "when"), [_code(row) for row in CODES]),
        "These come from the HTTP edge, before a request is understood:",
        table(("status", "`code`", "when"), [_code(row) for row in EDGE_CODES]),
    )


def _code(row: tuple[int, str, str]) -> tuple[str, ...]:
    return str(row[0]), f"`{row[1]}`", row[2]
