"""What a request's head says for the hot routes: which surface, whose key, which wishes.

Read once for each head and kept with it: a head that comes again is neither parsed nor checked anew.
"""

from __future__ import annotations

from typing import NamedTuple

from overspill.core.types import LocalOnly, Surface
from overspill.gateway.wishes import Wishes
from overspill.wire.request import SurfaceName


class Caller(NamedTuple):
    """Who asks for what, as far as the head tells."""

    surface: Surface
    surface_name: SurfaceName
    """The same word as the wire knows it."""
    key_id: str
    wishes: Wishes
    local_only_by: LocalOnly | None = None
    """What of the head binds its requests to local targets."""
    retry_count: int | None = None
    """Which try its client says this is, 0 for the first; ``None`` for clients that do not say."""
