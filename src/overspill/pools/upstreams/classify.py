"""Says what an error answer means: the step between a target's failure and the breaker that learns from it.

The rules are ordered from the exact to the vague: a documented code decides before a status, a status before a text.
Two errors of judgement are expensive, so two rules are strict:

* A client's mistake is no evidence against a target. Texts of 400, 413 and 422 may quote the client's own words, so
  nothing in them can make a target look broke, overloaded or locked out; only exact codes can.
* "No money" is often not 402: it hides behind 403 (Ark, Bailian, Novita, SiliconFlow), 412 (Fireworks), 429 (OpenAI)
  and 400 (Bailian).
"""

from __future__ import annotations

import email.utils
import math
import re

from overspill.core.types import FailureKind
from overspill.pools.upstreams.error_body import ErrorBody, read_error
from overspill.pools.upstreams.protocol import Failure
from overspill.wire.form import History
from overspill.wire.http import Headers

_LONGEST_RETRY_S = 3600.0

CODES = {
    # money
    "insufficient_quota": FailureKind.NO_MONEY,  # OpenAI, under 429
    "accountoverdueerror": FailureKind.NO_MONEY,  # Volcano Ark, under 403
    "arrearage": FailureKind.NO_MONEY,  # Alibaba Bailian, under 400
    "billing_hard_limit_reached": FailureKind.NO_MONEY,
    "billing_not_active": FailureKind.NO_MONEY,  # OpenAI, under 429
    "modelarts.81006": FailureKind.NO_MONEY,  # Huawei: account frozen
    "setlimitexceeded": FailureKind.NO_MONEY,  # Ark, under 429: what the owner allowed the model is used up
    "exceed_token_quota_limit": FailureKind.NO_MONEY,  # Tencent CloudBase
    "not_enough_balance": FailureKind.NO_MONEY,  # Novita, under 403
    "billing_disabled": FailureKind.NO_MONEY,  # Google
    # key
    "invalid_api_key": FailureKind.BAD_KEY,
    "modelarts.81003": FailureKind.BAD_KEY,
    "modelarts.81015": FailureKind.BAD_KEY,
    "invalid_iam_token": FailureKind.BAD_KEY,
    "unauthenticated": FailureKind.BAD_KEY,  # Google
    "unrecognizedclientexception": FailureKind.BAD_KEY,  # AWS
    # model
    "model_not_found": FailureKind.NO_MODEL,
    "invalid_model": FailureKind.NO_MODEL,  # Qianfan, under 401
    "modelnotopen": FailureKind.NO_MODEL,
    "unsupportedmodel": FailureKind.NO_MODEL,
    "invalidendpointormodel.notfound": FailureKind.NO_MODEL,
    "invalidendpointormodel.modelidaccessdisabled": FailureKind.NO_MODEL,
    "modelarts.81004": FailureKind.NO_MODEL,  # Huawei: service not enabled
    "deploymentnotfound": FailureKind.NO_MODEL,  # Azure
    "unknown_model": FailureKind.NO_MODEL,  # Azure, under 400
    "resourcenotfoundexception": FailureKind.NO_MODEL,  # AWS
    "model_decommissioned": FailureKind.NO_MODEL,  # Groq, under 400
    "model_not_available": FailureKind.NO_MODEL,  # Together
    "model_not_supported": FailureKind.NO_MODEL,  # Hugging Face's router, under 400
    # length
    "context_length_exceeded": FailureKind.CONTEXT_TOO_LONG,
    "exceed_context_size_error": FailureKind.CONTEXT_TOO_LONG,  # llama.cpp
    # moderation
    "content_filter": FailureKind.MODERATION,
    "content_policy_violation": FailureKind.MODERATION,
    "data_inspection_failed": FailureKind.MODERATION,  # Bailian
    "datainspectionfailed": FailureKind.MODERATION,
    "inputtextriskdetection": FailureKind.MODERATION,  # Ark
    "outputtextriskdetection": FailureKind.MODERATION,
    "modelarts.81011": FailureKind.MODERATION,
    # load
    "serveroverloaded": FailureKind.OVERLOADED,  # Ark, under 429
    "overloaded_error": FailureKind.OVERLOADED,
    "engine_overloaded": FailureKind.OVERLOADED,
    "capacity_exceeded": FailureKind.OVERLOADED,  # Groq, 498
    "nocapacity": FailureKind.OVERLOADED,  # Azure, under 429: the system, not the limit
    "modelnotreadyexception": FailureKind.OVERLOADED,  # AWS, under 429
    "serviceunavailableexception": FailureKind.OVERLOADED,  # AWS
    "unavailable": FailureKind.OVERLOADED,  # Google
    "modeltimeoutexception": FailureKind.TIMEOUT,  # AWS, under 408
    "deadline_exceeded": FailureKind.TIMEOUT,  # Google
    # limits
    "rate_limit_exceeded": FailureKind.RATE_LIMITED,
    "rpm_rate_limit_exceeded": FailureKind.RATE_LIMITED,  # Qianfan, seen under 200
    "tpm_rate_limit_exceeded": FailureKind.RATE_LIMITED,
    "modelarts.81101": FailureKind.RATE_LIMITED,
    "modelarts.81103": FailureKind.RATE_LIMITED,
    "dynamic_request_limited": FailureKind.RATE_LIMITED,  # Together
    "dynamic_token_limited": FailureKind.RATE_LIMITED,
    "ratelimitreached": FailureKind.RATE_LIMITED,  # Azure
    "resource_exhausted": FailureKind.RATE_LIMITED,  # Google
    "throttlingexception": FailureKind.RATE_LIMITED,  # AWS
    "servicequotaexceededexception": FailureKind.RATE_LIMITED,  # AWS
}
"""Documented error codes, lower case, and what they mean whatever the status."""

_STATUSES = {
    401: FailureKind.BAD_KEY,
    402: FailureKind.NO_MONEY,
    403: FailureKind.BAD_KEY,
    404: FailureKind.NO_MODEL,
    408: FailureKind.TIMEOUT,
    410: FailureKind.NO_MODEL,  # taken down
    412: FailureKind.SERVER_ERROR,  # we set no condition
    429: FailureKind.RATE_LIMITED,
    498: FailureKind.OVERLOADED,
    499: FailureKind.SERVER_ERROR,
    503: FailureKind.OVERLOADED,
    504: FailureKind.TIMEOUT,
    529: FailureKind.OVERLOADED,
}
_EXACT_TEXTS = {
    "model not exist": FailureKind.NO_MODEL,  # DeepSeek, under 400
    "model does not exist. please check it carefully.": FailureKind.NO_MODEL,  # SiliconFlow, under 400
    "content exists risk": FailureKind.MODERATION,  # DeepSeek, under 400
    "the provided model identifier is invalid.": FailureKind.NO_MODEL,  # Bedrock, under 400
}
_TOO_LONG = re.compile(
    r"maximum context length|context (?:length|window|size).{0,40}exceed"
    r"|exceeds? the .{0,40}context (?:length|window|size)|range of input length should be"
    r"|prompt is too long|maximum model length",
    re.IGNORECASE,
)
_MONEY = re.compile(
    r"insufficient (?:balance|credits?|funds)|balance (?:is )?(?:insufficient|not enough)|not enough balance"
    r"|overdue|arrears|spending limit|past invoices|requires billing|billing (?:account )?(?:is )?disabled"
    r"|free (?:tier|quota|trial).{0,40}(?:exhausted|used up|exceeded)|exhausted its free|余额不足|欠费",
    re.IGNORECASE,
)
_NO_ACCESS = re.compile(r"access to the model|not supported on this route|isn't supported on this route", re.IGNORECASE)
_TOO_LARGE = re.compile(r"request too large for model", re.IGNORECASE)
_MODERATED = re.compile(r"moderation|flagged", re.IGNORECASE)
_OF_THOUGHTS = re.compile(r"reasoning_(?:content|details)|['\"`.]reasoning\b", re.IGNORECASE)
# DeepSeek says that `reasoning_content` must be passed back, Moonshot that it is missing in the assistant's message.
_MUST_COME_BACK = re.compile(r"must be passed back|is missing in assistant", re.IGNORECASE)
# Servers on Pydantic say that extra inputs are not permitted, Groq that the property is unsupported.
_MUST_NOT = re.compile(
    r"not permitted|not allowed|(?:un|not )supported|unknown|unrecogni[sz]ed|unexpected|forbidden|extra_forbidden",
    re.IGNORECASE,
)
_BUSY = re.compile(
    r"overloaded|model busy|server (?:is )?busy|currently busy|queue is full|no capacity|系统繁忙", re.IGNORECASE
)
_LIMIT = re.compile(r"rate limit|too many requests|rate[- ]?limited", re.IGNORECASE)


def classify(status: int, headers: Headers, body: bytes) -> Failure:
    """Say what ``status`` and ``body`` mean; ``status`` is 200 for an error found inside a stream."""
    error = read_error(body, _amazon_code(headers))
    kind = _kind(status, error)
    message = error.message or f"HTTP {status}"
    history = _history(error.message) if kind is FailureKind.BAD_REQUEST else None
    return Failure(kind=kind, retry_after_s=retry_after_s(headers), message=message, history=history)


def _history(message: str) -> History | None:
    """Read how a target wants the thoughts of earlier turns, from what it says of ``reasoning_content``."""
    if not _OF_THOUGHTS.search(message):
        return None
    if _MUST_COME_BACK.search(message):
        return History.KEEP_WITH_TOOLS
    return History.STRIP if _MUST_NOT.search(message) else None


def _amazon_code(headers: Headers) -> str:
    """Return the name of AWS's exception, which is in a header and not in the body; empty if there is none."""
    for name, value in headers:
        if name.lower() == b"x-amzn-errortype":
            return value.decode("latin-1").partition(":")[0].strip().lower()
    return ""


def _kind(status: int, error: ErrorBody) -> FailureKind:
    if 300 <= status < 400:
        return FailureKind.SERVER_ERROR  # a redirect: the base URL is not the API's
    if status < 300:
        if error.is_blank:
            return FailureKind.HOLLOW
        if not error.is_error and not error.is_html:
            return FailureKind.MALFORMED
        status = error.status or status
    if status == 413 and _TOO_LARGE.search(error.message):
        return FailureKind.CONTEXT_TOO_LONG  # Groq calls it a limit per minute, but it would never fit
    for code in error.codes:
        if code in CODES:
            return CODES[code]
    if error.is_html and status in {200, 400, 403, 404}:
        return FailureKind.SERVER_ERROR  # a proxy speaks, not the API
    exact = _EXACT_TEXTS.get(error.message.strip().lower())
    if exact is not None:
        return exact
    if status in {400, 413, 422}:
        return FailureKind.CONTEXT_TOO_LONG if _TOO_LONG.search(error.message) else FailureKind.BAD_REQUEST
    return _from_text(status, error.message)


def _from_text(status: int, message: str) -> FailureKind:
    if status == 402 and "can only afford" in message:
        # OpenRouter prices the request's own max_tokens: the account is not empty, this one request is too dear.
        return FailureKind.RATE_LIMITED
    if status == 404 and message.startswith("No endpoints found that"):
        return FailureKind.BAD_REQUEST  # OpenRouter: the model is there, a feature the request asks for is not
    if status == 403 and _MODERATED.search(message):
        return FailureKind.MODERATION
    if status in {403, 412, 429} and _MONEY.search(message):
        return FailureKind.NO_MONEY
    if status == 403 and _NO_ACCESS.search(message):
        return FailureKind.NO_MODEL
    if status in {429, 500, 502} and _BUSY.search(message):
        return FailureKind.OVERLOADED
    if status < 400:
        return _from_stream_text(message)
    if status in _STATUSES:
        return _STATUSES[status]
    return FailureKind.SERVER_ERROR if status >= 500 else FailureKind.BAD_REQUEST


def _from_stream_text(message: str) -> FailureKind:
    if _BUSY.search(message):
        return FailureKind.OVERLOADED
    return FailureKind.RATE_LIMITED if _LIMIT.search(message) else FailureKind.SERVER_ERROR


def retry_after_s(headers: Headers) -> float | None:
    """Read ``retry-after-ms`` or ``retry-after``; ``None`` if absent or senseless, at most one hour.

    A date is compared with the answer's own ``date`` header, so no clock is needed and clock skew does not matter.
    """
    found = {name.lower(): value.decode("latin-1").strip() for name, value in headers}
    for name, scale in ((b"retry-after-ms", 1e-3), (b"retry-after", 1.0)):
        seconds = _number(found.get(name, ""))
        if seconds is not None:
            return min(seconds * scale, _LONGEST_RETRY_S)
    until, sent = _timestamp(found.get(b"retry-after", "")), _timestamp(found.get(b"date", ""))
    if until is None or sent is None:
        return None
    return min(max(until - sent, 0.0), _LONGEST_RETRY_S)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _timestamp(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
