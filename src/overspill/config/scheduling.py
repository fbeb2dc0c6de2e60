"""The part of the schema that says who waits for whom, how often it is asked again, and when a target gets a rest."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from overspill.config.allowance import Reserved
from overspill.config.scalars import Duration
from overspill.config.section import Section, duration


class RetryConfig(Section, frozen=True, kw_only=True):
    """How much load may be added by asking again, and by asking a second target beside a silent one."""

    share: Annotated[float, Meta(description="Attempts earned by each request.", ge=0, le=10)] = 0.2
    min_per_s: Annotated[float, Meta(description="Attempts granted per second in any case.", ge=0)] = 10
    window: Annotated[Duration, Meta(description="What is not spent for this long is gone.")] = duration(10)


class SchedulingConfig(Section, frozen=True, kw_only=True):
    """How waiting requests are ordered."""

    priorities: Annotated[int, Meta(description="Priority classes: 0 goes first.", ge=1, le=16)] = 3
    reserved: Reserved = ()
    default_output_tokens: Annotated[
        int, Meta(description="Answer length assumed for a route until one has been seen.", ge=1)
    ] = 256
    retry: Annotated[RetryConfig, Meta(description="How much load retries may add.")] = msgspec.field(
        default_factory=RetryConfig
    )


class BreakerConfig(Section, frozen=True, kw_only=True):
    """When a target is given a rest."""

    window: Annotated[Duration, Meta(description="Failures are counted over this long.")] = duration(30)
    min_count: Annotated[int, Meta(description="Answers in the window before a verdict.", ge=1)] = 5
    failure_rate: Annotated[float, Meta(description="Share of failures that opens the breaker.", gt=0, le=1)] = 0.5
    open: Annotated[Duration, Meta(description="First rest; it doubles while probes fail.")] = duration(5)
    open_max: Annotated[Duration, Meta(description="Longest rest.")] = duration(60)
    cooldown: Annotated[Duration, Meta(description="Pause after a 429 that names no time.")] = duration(2)
    no_money: Annotated[Duration, Meta(description="Pause after an empty balance.")] = duration(300)
    bad_key: Annotated[Duration, Meta(description="Pause after a refused key.")] = duration(300)
    no_model: Annotated[Duration, Meta(description="Pause after an unknown model.")] = duration(300)
