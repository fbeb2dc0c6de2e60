"""Alibaba Cloud Model Studio (Bailian, DashScope). OpenAI's dialect, but one code that means something else.

Under 429 its ``insufficient_quota``, with OpenAI's own sentence about plan and billing, is the tokens-per-minute limit:
it passes within a minute (help.aliyun.com, model-studio/error-code#token-limit). At OpenAI the same code is an empty
account. Without this the first burst would close Bailian for minutes.
"""

from __future__ import annotations

import msgspec

from overspill.core.types import FailureKind
from overspill.pools.upstreams.openai_compat import OpenAICompatible
from overspill.pools.upstreams.protocol import Failure
from overspill.wire.form import ChatForm, ThinkingForm
from overspill.wire.http import Headers


class Bailian(OpenAICompatible):
    """``dashscope.aliyuncs.com`` and its regional twins."""

    kind = "bailian"
    form: ChatForm = ChatForm(thinking=ThinkingForm.ENABLE_THINKING)

    def classify(self, status: int, headers: Headers, body: bytes) -> Failure:
        """Say what an error answer means; any 429 is a limit that passes, a used-up free quota (403) is money."""
        failure = super().classify(status, headers, body)
        if status == 429 and failure.kind is FailureKind.NO_MONEY:
            return msgspec.structs.replace(failure, kind=FailureKind.RATE_LIMITED)
        if status == 403 and "quota" in failure.message.lower():
            return msgspec.structs.replace(failure, kind=FailureKind.NO_MONEY)
        return failure
