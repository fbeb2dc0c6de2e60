"""The configuration's one schema: what may be written, what it means, and what is assumed where nothing is.

The JSON schema, the annotated example, the reference page and the checks of ``--set`` are made from these structs, so a
key's description is written here and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from overspill.config.allowance import Budget, Key, KeyEntry, Limits, UpstreamRates
from overspill.config.features import ChatOptions, ReasoningConfig
from overspill.config.scalars import Duration, SecretRef, Size
from overspill.config.scheduling import BreakerConfig, SchedulingConfig
from overspill.config.screening import RouteScreening, ScreeningConfig
from overspill.config.section import Count, CountOrZero, Money, Section, duration, size
from overspill.core.types import Surface
from overspill.units import KIB, MIB

DEFAULT_PORT = 8788
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class LimitsConfig(Section, frozen=True, kw_only=True):
    """What the server accepts of a client."""

    max_body: Annotated[Size, Meta(description="Largest request body; 413 above it.")] = size(32 * MIB)
    max_header: Annotated[Size, Meta(description="Largest head of a request: all header lines; 431 above it.")] = size(
        32 * KIB
    )
    header_timeout: Annotated[Duration, Meta(description="Longest time to send a request's head; 408 after it.")] = (
        duration(10)
    )
    body_timeout: Annotated[
        Duration, Meta(description="Time that a body may always take; a longer one must keep arriving.")
    ] = duration(60)
    idle_timeout: Annotated[
        Duration, Meta(description="An idle connection between two requests is closed after this.")
    ] = duration(75)
    write_stall: Annotated[
        Duration, Meta(description="A client that reads nothing for this long is treated as gone.")
    ] = duration(60)
    max_connections: Annotated[int, Meta(description="Client connections at once; 503 above it.", ge=1)] = 4096


class ServerConfig(Section, frozen=True, kw_only=True):
    """Where Overspill listens, and whom it lets in."""

    host: Annotated[str, Meta(description="Address to bind. Anything but loopback needs keys.", min_length=1)] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(description="Port to bind; 0 lets the system choose.", ge=0, le=65535)] = DEFAULT_PORT
    api_keys: Annotated[
        tuple[Key | KeyEntry, ...],
        Meta(
            description="Keys that clients may use: env:NAME, file:PATH or sha256:HEX, or an entry that says more. "
            "Empty: no key is asked for."
        ),
    ] = ()
    keys_file: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="File of the keys that `overspill keys` makes, beside `api_keys`, taken up when it changes. "
            "Where none is written, `keys.json` in the state folder is, if it exists. With one, a key is always "
            "asked for."
        ),
    ] = None
    user_salt: Annotated[
        SecretRef | None,
        Meta(
            description="Providers get a hash in place of what clients call their users; this makes it another than "
            "everybody's: env:NAME or file:PATH. If left out, one is made and kept beside the ledger. Gateways that "
            "share accounts should share it."
        ),
    ] = None
    allowed_hosts: Annotated[
        tuple[Annotated[str, Meta(pattern="^[A-Za-z0-9._:-]+$")], ...],
        Meta(
            description="Without `api_keys`: names, beside those of loopback and `host`, by which it may be asked and "
            "from whose web pages. Not needed with keys."
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^(\*|[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]*)$")], ...],
        Meta(
            description="Web pages that may use it from a browser, by origin, such as https://chat.example.com; `*` "
            "for all, which needs keys. Pages of this machine and of applications (app://…) may anyway."
        ),
    ] = ()
    trusted_proxies: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            description="Addresses or networks (10.0.0.0/8) of proxies whose X-Forwarded-For, X-Forwarded-Host and "
            "Forwarded are believed. Those of others are not looked at."
        ),
    ] = ()
    compress: Annotated[
        bool,
        Meta(description="Gzip whole answers above 8 KiB for clients that accept it. Streams never are."),
    ] = True
    tls_cert: Annotated[
        str | None,
        Meta(description="PEM file with the certificate chain; serves HTTPS. Loaded anew when it changes."),
    ] = None
    tls_key: Annotated[str | None, Meta(description="PEM file with the certificate's private key.")] = None
    tls_client_ca: Annotated[
        str | None,
        Meta(description="PEM file with the authorities of clients' certificates: one is asked of every client then."),
    ] = None
    drain_timeout: Annotated[
        Duration, Meta(description="On SIGTERM, how long running requests may take to finish.")
    ] = duration(30)
    commit_deadline: Annotated[
        Duration,
        Meta(
            description="A client that has waited this long for a first token gets the answer's head and then a sign "
            "of life, since many give up at 60s; until then every failure can still become a status code."
        ),
    ] = duration(50)
    heartbeat: Annotated[Duration, Meta(description="Between two such signs of life.")] = duration(10)
    retry_linger: Annotated[
        Duration,
        Meta(
            description="A request without a token outlives its client's connection by this much if the client numbers "
            "its tries, as OpenAI's and Anthropic's do; its next try goes on with it."
        ),
    ] = duration(3)
    limits: Annotated[LimitsConfig, Meta(description="What the server accepts of a client.")] = msgspec.field(
        default_factory=LimitsConfig
    )


class PriceConfig(Section, frozen=True, kw_only=True):
    """US dollars per million tokens. Leave a price out if it is unknown; 0 would mean free and is refused."""

    input: Annotated[float, Meta(description="Prompt tokens.", gt=0)]
    output: Annotated[float, Meta(description="Answer tokens.", gt=0)]
    cached_input: Annotated[Money | None, Meta(description="Prompt tokens read from the provider's cache.")] = None


class PriorConfig(Section, frozen=True, kw_only=True):
    """What to believe of a target's speed until it has been measured."""

    ttft_base: Annotated[Duration, Meta(description="Time to the first token of a short prompt.")] = duration(0.5)
    prefill_per_token: Annotated[
        Duration | None, Meta(description="Added to it per prompt token ahead; nothing if left out.")
    ] = None
    tpot_base: Annotated[Duration, Meta(description="Time per further token, alone.")] = duration(0.02)
    tpot_per_running: Annotated[
        Duration | None, Meta(description="Added to it per request that runs beside; nothing if left out.")
    ] = None


class PoolBase(ChatOptions, frozen=True, kw_only=True):
    """What every pool may have."""

    context_tokens: Annotated[
        Count | None, Meta(description="Prompt and answer that fit one request; unknown if left out.")
    ] = None
    surfaces: Annotated[
        Annotated[tuple[Surface, ...], Meta(min_length=1)] | None,
        Meta(description="What it serves: chat, completions, embeddings."),
    ] = None
    price: Annotated[PriceConfig | None, Meta(description="What its tokens cost; unknown if left out.")] = None
    prior: Annotated[PriorConfig | None, Meta(description="Its speed until it has been measured.")] = None
    quantization: Annotated[
        Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]*$")] | None,
        Meta(
            description="The number format that it serves its models in, such as fp8 or q4_k_m, for clients to see; as "
            "the model's name or the catalogue says if left out."
        ),
    ] = None
    verify_continuation: Annotated[
        bool | None,
        Meta(
            description="Whether to look, each time that it comes up, if it goes on exactly with an answer that broke "
            "off; without that none is continued there. It costs some 200 tokens. If left out, only engines that "
            "Overspill starts are looked at."
        ),
    ] = None
    weights: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="A name for what its model is made of. A broken answer is continued only where the same name "
            "stands. If left out: engines with the same `model` are alike, servers of one pool too, and no upstreams."
        ),
    ] = None


class EnginePool(PoolBase, frozen=True, kw_only=True, tag_field="role", tag="engine"):
    """An engine that Overspill starts, watches and restarts on this machine."""

    engine: Annotated[
        str,
        Meta(
            description="Which engine: llamacpp is embedded, fake rehearses one without a model; other packages may "
            "offer more.",
            min_length=1,
        ),
    ]
    model: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="A GGUF file's path, hf:REPO:FILE, or builtin (in 4 bits: builtin:q4), which ships; needed by "
            "each engine that has a model, and fake has none."
        ),
    ] = None
    served_name: Annotated[
        str | None, Meta(description="The name that the engine knows its model by; the pool's name if left out.")
    ] = None
    max_batch_size: Annotated[
        int, Meta(description="Requests decoded together; the gateway never sends more.", ge=1, le=256)
    ] = 32
    context_tokens: Annotated[int, Meta(description="Prompt and answer that fit one request.", ge=128)] = 4096
    replicas: Annotated[int, Meta(description="Processes of it, each with the whole model.", ge=1, le=64)] = 1
    threads: Annotated[Count | None, Meta(description="CPU threads; the physical cores less one if left out.")] = None
    gpu_layers: Annotated[
        CountOrZero | None, Meta(description="Layers kept on the GPU; the engine decides if left out.")
    ] = None
    cache_ram: Annotated[Size, Meta(description="Memory for prompts kept between requests.")] = size(256 * MIB)
    kv_cache_type: Annotated[
        Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"],
        Meta(description="Number format of the KV cache."),
    ] = "f16"
    sha256: Annotated[
        Digest | None,
        Meta(description="Expected digest of the model file, checked before it is loaded."),
    ] = None
    load_timeout: Annotated[Duration, Meta(description="Longest time to load before it is given up.")] = duration(120)
    options: Annotated[dict[str, Any], Meta(description="Passed to the engine under its own names.")] = msgspec.field(
        default_factory=dict
    )


class AttachPool(PoolBase, frozen=True, kw_only=True, tag_field="role", tag="attach"):
    """A server that already runs, on this machine or in your network."""

    attach: Annotated[
        str,
        Meta(
            description="What it is: vllm, sglang, ollama, lmstudio, llamacpp, xinference, gpustack, or openai for any "
            "other with OpenAI's API; other packages may offer more.",
            min_length=1,
        ),
    ]
    url: Annotated[
        str | tuple[str, ...],
        Meta(description="Where it is, such as http://127.0.0.1:8000; a list for several equal ones."),
    ]
    models: Annotated[tuple[str, ...], Meta(description="Model names it serves; not checked if left out.")] = ()
    slots: Annotated[
        Count | None,
        Meta(description="Requests it may run at once; what is usual for its kind if left out."),
    ] = None
    api_key: Annotated[SecretRef | None, Meta(description="Its key, if it asks for one: env:NAME or file:PATH.")] = None
    stream_whole_answers: Annotated[
        bool,
        Meta(
            description="Ask for whole answers as streams, so that stalls are seen; false if the server cannot stream."
        ),
    ] = True
    local: Annotated[
        bool | None,
        Meta(description="True if a request sent there stays in your hands; decided by its address if left out."),
    ] = None


class AccountConfig(Section, frozen=True, kw_only=True):
    """One set of credentials at a provider."""

    name: Annotated[str, Meta(description="Shown in logs and metrics.", pattern="^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    api_key: Annotated[SecretRef, Meta(description="env:NAME or file:PATH; never the key itself.")]


class UpstreamPool(PoolBase, frozen=True, kw_only=True, tag_field="role", tag="upstream"):
    """Somebody else's API."""

    upstream: Annotated[
        str,
        Meta(
            description="A provider of the catalogue, such as deepseek; or openai_compatible, or an adapter of "
            "another package.",
            min_length=1,
        ),
    ]
    base_url: Annotated[
        str | None,
        Meta(
            description="Overrides the catalogue's: a URL, or the name of another one that the catalogue lists for the "
            "provider, such as intl. Needed for what is not in the catalogue."
        ),
    ] = None
    variables: Annotated[
        dict[str, str], Meta(description="What stands for each {placeholder} of the base URL, such as region.")
    ] = msgspec.field(default_factory=dict)
    accounts: Annotated[
        tuple[AccountConfig, ...],
        Meta(description="Your accounts there. If left out: one, its key from the provider's customary variable."),
    ] = ()
    max_concurrency: Annotated[
        Count | None, Meta(description="Requests in flight per account and model; the catalogue's if left out.")
    ] = None
    limits: Annotated[
        UpstreamRates | None, Meta(description="What the provider allows each account for each model.")
    ] = None
    budget: Annotated[
        Budget | None, Meta(description="What may be spent on each account, all its models together.")
    ] = None
    prices: Annotated[
        dict[str, PriceConfig], Meta(description="Prices by model id; they override the catalogue's and `price`.")
    ] = msgspec.field(default_factory=dict)
    stream_whole_answers: Annotated[
        bool,
        Meta(
            description="Ask for whole answers as streams, so that stalls are seen; false if the server cannot stream."
        ),
    ] = True
    local: Annotated[
        bool, Meta(description="True only for a server in your own hands; never for a provider of the catalogue.")
    ] = False


Pool = EnginePool | AttachPool | UpstreamPool


class TierTarget(Section, frozen=True, kw_only=True):
    """A pool in a tier, called under another model name."""

    pool: Annotated[str, Meta(description="A pool's name.")]
    model: Annotated[str | None, Meta(description="The model name to send; as the client wrote it if left out.")] = None


class SloConfig(Section, frozen=True, kw_only=True):
    """What a route promises. A request spills when its home cannot keep it."""

    ttft: Annotated[Duration, Meta(description="From arrival to the first token.")] = duration(2)
    tpot: Annotated[Duration | None, Meta(description="Per further token; not judged if left out.")] = None


class RouteConfig(Section, frozen=True, kw_only=True):
    """Which pools serve which model names."""

    model: Annotated[
        str | tuple[str, ...],
        Meta(description="Model names, or globs with * and ?. Exact names win; then the first glob that matches."),
    ]
    tiers: Annotated[
        tuple[tuple[str | TierTarget, ...], ...],
        Meta(description="Home first, then where to spill. A tier is a list of pools, or of {pool, model} to rename."),
    ]
    slo: Annotated[SloConfig, Meta(description="When a wait is too long.")] = msgspec.field(default_factory=SloConfig)
    deadline: Annotated[Duration, Meta(description="Longest wait in the queue before a request is refused.")] = (
        duration(120)
    )
    queue_limit: Annotated[int, Meta(description="Requests that may wait at once.", ge=0)] = 256
    max_attempts: Annotated[
        int, Meta(description="Attempts that may fail for reasons other than a busy target.", ge=1, le=16)
    ] = 4
    first_token_timeout: Annotated[
        Duration, Meta(description="An attempt without a token is given up after this; another may start long before.")
    ] = duration(120)
    stall_timeout: Annotated[
        Duration, Meta(description="A stream without a further token is taken for broken after this.")
    ] = duration(30)
    floor_tokens_per_s: Annotated[
        Money | None,
        Meta(description="A stream slower than this over `stall_timeout` is taken for broken; not judged if left out."),
    ] = None
    whole_timeout: Annotated[
        Duration, Meta(description="Longest time for an answer that a target sends in one piece.")
    ] = duration(600)
    hedge_after: Annotated[
        Duration | None,
        Meta(
            description="Ask a second target as well if the first has not spoken after this, within the retry budget; "
            "never if left out."
        ),
    ] = None
    local_only: Annotated[bool, Meta(description="Never leaves local pools, whatever happens.")] = False
    screening: Annotated[RouteScreening, Meta(description="Which detectors look at its requests.")] = msgspec.field(
        default_factory=RouteScreening
    )
    rescue: Annotated[
        Literal["off", "same_weights"],
        Meta(
            description="Whether a stream that breaks off is continued: same_weights on a target whose model is the "
            "same, where that was seen to join exactly."
        ),
    ] = "same_weights"
    equivalence: Annotated[
        Literal["weights", "family", "any"],
        Meta(
            description="How far its targets' models may be from each other: the same weights, versions of one family, "
            "or whatever the tiers say. A target that is further away is an error, also when the catalogue changes."
        ),
    ] = "any"
    rescue_wait: Annotated[
        Duration, Meta(description="Longest wait of a client with half an answer until a target goes on with it.")
    ] = duration(30)
    note: Annotated[str, Meta(description="Why it is so; shown by `overspill config explain`.")] = ""


class CacheConfig(Section, frozen=True, kw_only=True):
    """Whole answers kept in memory, for requests that are the same to the last byte."""

    enabled: Annotated[bool, Meta(description="True keeps answers and gives them again.")] = False
    max_bytes: Annotated[Size, Meta(description="Memory for all of them; the one not used for longest goes first.")] = (
        size(64 * MIB)
    )
    max_entry: Annotated[Size, Meta(description="Longest answer that is kept.")] = size(1 * MIB)
    ttl: Annotated[Duration, Meta(description="How long an answer may be given again.")] = duration(3600)
    scope: Annotated[
        Literal["key", "team", "all"],
        Meta(
            description="Who gets an answer again: the same key, its team, or all; what is `local_only`: the same key."
        ),
    ] = "key"


class LedgerConfig(Section, frozen=True, kw_only=True):
    """What is remembered of each request."""

    enabled: Annotated[bool, Meta(description="False writes nothing.")] = True
    path: Annotated[str | None, Meta(description="The SQLite file; in the user's state folder if left out.")] = None
    store_bodies: Annotated[bool, Meta(description="True also stores prompts and answers.")] = False


class LogConfig(Section, frozen=True, kw_only=True):
    """What is written to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="The least that is written.")] = (
        "info"
    )
    format: Annotated[Literal["text", "json"], Meta(description="For people, or one JSON object a line.")] = "text"


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration."""

    server: Annotated[ServerConfig, Meta(description="Where Overspill listens, and whom it lets in.")] = msgspec.field(
        default_factory=ServerConfig
    )
    pools: Annotated[
        dict[str, Pool],
        Meta(description="Where requests can run, by name. Each has one of the keys engine, attach and upstream."),
    ] = msgspec.field(default_factory=dict)
    routes: Annotated[tuple[RouteConfig, ...], Meta(description="Which pools serve which model names.")] = ()
    limits: Annotated[Limits, Meta(description="How much clients may use.")] = msgspec.field(default_factory=Limits)
    scheduling: Annotated[SchedulingConfig, Meta(description="How waiting requests are ordered.")] = msgspec.field(
        default_factory=SchedulingConfig
    )
    breaker: Annotated[BreakerConfig, Meta(description="When a target is given a rest.")] = msgspec.field(
        default_factory=BreakerConfig
    )
    screening: Annotated[
        ScreeningConfig, Meta(description="What looks at the text of requests and makes them `local_only`.")
    ] = msgspec.field(default_factory=ScreeningConfig)
    reasoning: Annotated[
        ReasoningConfig, Meta(description="Thoughts that led to calls of tools, kept for the next turns.")
    ] = msgspec.field(default_factory=ReasoningConfig)
    cache: Annotated[CacheConfig, Meta(description="Whole answers kept in memory.")] = msgspec.field(
        default_factory=CacheConfig
    )
    ledger: Annotated[LedgerConfig, Meta(description="What is remembered of each request.")] = msgspec.field(
        default_factory=LedgerConfig
    )
    log: Annotated[LogConfig, Meta(description="What is written to standard error.")] = msgspec.field(
        default_factory=LogConfig
    )
