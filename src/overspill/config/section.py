"""What all parts of the configuration's schema are made from: the base class and the kinds of value that recur."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from overspill.config.scalars import Duration, Size

Count = Annotated[int, Meta(ge=1)]
CountOrZero = Annotated[int, Meta(ge=0)]
Money = Annotated[float, Meta(gt=0)]


def duration(seconds: float) -> Any:
    """Make the default of a duration: a factory, since msgspec shows no default of a type of ours in a JSON schema."""
    return msgspec.field(default_factory=partial(Duration, seconds))


def size(count: int) -> Any:
    """Make the default of a size; see ``duration``."""
    return msgspec.field(default_factory=partial(Size, count))


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parts of the configuration: immutable, and an unknown key is an error."""
