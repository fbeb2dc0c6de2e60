"""The process that holds llama.cpp: ``python -m overspill.pools.engines.llamacpp_worker``, started by the supervisor.

It is a process of its own because loading holds Python's global lock for seconds, because a single request can abort
llama.cpp, and because a killed process gives its memory back. It serves llama.cpp's own HTTP server on a private unix
socket; Python does nothing while tokens are made.

In: one JSON document on standard input (``llamacpp_config``), which is then closed. Out: one JSON line for each status
on standard output (``loading``, then ``ready`` or ``failed``); llama.cpp's log on standard error. It ends by SIGTERM,
which keeps its default action so that it works during a load too, and with its parent.
Imports as little as possible: the time from start to ready is paid at each restart.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import signal
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from overspill.pools.engines.host import default_threads, why_unsuitable
from overspill.pools.engines.llamacpp_canary import CanaryFailed, run_canary
from overspill.pools.engines.llamacpp_config import WorkerConfig

if TYPE_CHECKING:
    from types import ModuleType

PARENT_VARIABLE = "OVERSPILL_PARENT_PID"
EXIT_FAILED = 3
_BATCH_TOKENS = 512
"""Prompt tokens per step. A long prompt delays the other requests' next token by one step, so steps stay short; it must
not be less than the slots, and llama.cpp's kernels gain nothing from more."""
_OOM_SCORE = 600
_PR_SET_PDEATHSIG = 1


class WorkerFailed(Exception):  # noqa: N818 - reads as the state it reports
    """The worker cannot serve, for a reason that starting it again will not cure."""


def main() -> None:
    """Serve until killed."""
    report = _claim_stdout()
    parent = _die_with_parent()
    _be_killed_first()
    started_s = time.monotonic()
    try:
        config = _read_config()
        _check_machine()
        _check_model(config)
        xllamacpp = _import_engine()
        params = make_params(xllamacpp, config)
        _report(report, status="loading", pid=os.getpid(), model=config.model)
        # Held until the process ends: its destructor stops the server.
        server = _load(xllamacpp, params, config)
        load_s = time.monotonic() - started_s
        slots, context_tokens = run_canary(config)
    except (WorkerFailed, CanaryFailed) as failure:
        _report(report, status="failed", reason=str(failure))
        _exit(EXIT_FAILED)
    _report(
        report,
        status="ready",
        address=server.listening_address,
        slots=slots,
        context_tokens=context_tokens,
        model_sha256=config.sha256,
        load_s=round(load_s, 3),
        canary_s=round(time.monotonic() - started_s - load_s, 3),
    )
    while os.getppid() == parent:  # for systems without a parent-death signal
        time.sleep(1.0)
    _exit(0)


def make_params(xllamacpp: ModuleType, config: WorkerConfig) -> Any:
    """Turn the configuration into llama.cpp's parameters, leaving none that matters to its defaults."""
    params = xllamacpp.CommonParams()
    params.model.path = config.model
    params.model_alias = {config.served_name}
    params.hostnames = [config.socket_path]
    params.api_keys = [config.api_key]
    params.n_parallel = config.slots
    # Each slot has its own part of the KV cache and not a share of one: a request that was admitted with
    # `context_tokens` has them, whatever the others do, and a step does not attend over the others' masked keys.
    params.kv_unified = False
    params.n_ctx = config.slots * config.context_tokens
    params.n_batch = max(_BATCH_TOKENS, config.slots)
    params.n_ubatch = params.n_batch
    threads = config.threads or default_threads()
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = config.cache_ram_mib  # its default of 8 GiB is filled by prompts of requests long gone
    cache_type = _cache_type(xllamacpp, config.kv_cache_type)
    params.cache_type_k = cache_type
    params.cache_type_v = cache_type
    if config.gpu_layers is not None:
        params.n_gpu_layers = config.gpu_layers
    params.ui = False
    params.cors_origins = ""
    params.offline = True
    params.endpoint_metrics = True
    params.endpoint_slots = True
    params.warmup = True
    params.verbosity = 1  # errors only: at 3, each request costs log lines
    if config.embeddings:
        _make_embeddings(xllamacpp, params, config)
    _apply_extra(xllamacpp, params, config)
    return params


def _make_embeddings(xllamacpp: ModuleType, params: Any, config: WorkerConfig) -> None:
    """Have it make embeddings. It costs text nothing: only steps of embeddings compute them (measured, 2026-11)."""
    params.embedding = True
    if config.text:  # such a model names no pooling of its own
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    else:  # an input must fit one step; where text is made too, long steps would delay its next token
        params.n_batch = params.n_ubatch = max(params.n_batch, config.context_tokens)


def _apply_extra(xllamacpp: ModuleType, params: Any, config: WorkerConfig) -> None:
    """Set llama.cpp parameters by their own names; ``sampling.top_k`` reaches into a group."""
    for name, given in config.extra.items():
        value = _named(xllamacpp.llama_pooling_type, name, given) if name == "pooling_type" else given
        *groups, attribute = name.split(".")
        owner = params
        for part in (*groups, attribute):
            if not hasattr(owner, part):
                from overspill.errors import did_you_mean

                near = did_you_mean(part, [known for known in dir(owner) if not known.startswith("_")])
                raise WorkerFailed(f"options.{name} is no parameter of llama.cpp{near}")
            if part is not attribute:
                owner = getattr(owner, part)
        try:
            setattr(owner, attribute, value)
        except (TypeError, ValueError, OverflowError) as error:
            raise WorkerFailed(f"options.{name} cannot be {value!r}: {error}") from None


def _named(kinds: Any, option: str, name: object) -> Any:
    """Return the member of an enumeration of llama.cpp by the end of its name: ``mean`` of LLAMA_POOLING_TYPE_MEAN."""
    known = {member.rpartition("_")[2].lower(): member for member in dir(kinds) if member.startswith("LLAMA_")}
    if str(name).lower() not in known:
        raise WorkerFailed(f"options.{option} is {name!r}; llama.cpp knows {', '.join(sorted(known))}")
    return getattr(kinds, known[str(name).lower()])


def _cache_type(xllamacpp: ModuleType, name: str) -> Any:
    prefix = "GGML_TYPE_"
    known = {member[len(prefix) :].lower() for member in dir(xllamacpp.ggml_type) if member.startswith(prefix)}
    usable = sorted(known & {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1"})
    if name.lower() not in usable:
        raise WorkerFailed(f"kv_cache_type is {name!r}; llama.cpp knows {', '.join(usable)}")
    return getattr(xllamacpp.ggml_type, prefix + name.upper())


def _read_config() -> WorkerConfig:
    try:
        config = WorkerConfig.decode(sys.stdin.buffer.read())
    except ValueError as error:
        raise WorkerFailed(str(error)) from None
    problem = config.problem()
    if problem is not None:
        raise WorkerFailed(problem)
    return config


def _check_machine() -> None:
    reason = why_unsuitable()
    if reason is not None:
        raise WorkerFailed(reason)


def _check_model(config: WorkerConfig) -> None:
    """See that the file is there, is a GGUF and is the one that was meant."""
    path = Path(config.model)
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise WorkerFailed(f"{path} is no GGUF file; llama.cpp reads no other format")
            if config.sha256 is None:
                return
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WorkerFailed(f"the model file {path} cannot be read: {error.strerror}") from None
    if digest != config.sha256.lower():
        raise WorkerFailed(
            f"{path} is damaged or is another file: its SHA-256 is {digest}, expected {config.sha256}; fetch it again"
        )


def _import_engine() -> ModuleType:
    try:
        import xllamacpp
    except ImportError as error:
        raise WorkerFailed(
            f"the embedded engine cannot be imported ({error}); install it with: pip install 'overspill[local]'"
        ) from None
    module: ModuleType = xllamacpp
    return module


def _load(xllamacpp: ModuleType, params: Any, config: WorkerConfig) -> Any:
    """Load the model and listen. Holds the interpreter's lock all the while."""
    _unlink_socket(Path(config.socket_path))
    try:
        return xllamacpp.Server(params)
    except RuntimeError:
        # The exception never says why; the supervisor adds llama.cpp's first error line.
        raise WorkerFailed(f"llama.cpp cannot load {config.model}") from None


def _unlink_socket(path: Path) -> None:
    """Remove what a killed worker left: llama.cpp does not bind over it."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()


def _claim_stdout() -> TextIO:
    """Keep the real standard output for status lines, and send to standard error what any library prints."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return report


def _report(report: TextIO, **status: object) -> None:
    report.write(json.dumps(status) + "\n")
    report.flush()


def _die_with_parent() -> int:
    """Ask the kernel to kill this process when its parent dies; return the parent's id.

    The parent may have died before the call: then this process already has another one, and ends here.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    parent = os.getppid()
    if os.environ.get(PARENT_VARIABLE, str(parent)) != str(parent):
        _exit(0)
    return parent


def _be_killed_first() -> None:
    """When memory runs out, the kernel should take the engine, which is restarted, and not the gateway."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE), encoding="ascii")


def _exit(code: int) -> NoReturn:
    """End at once: the engine's threads hold nothing that must be put away."""
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
