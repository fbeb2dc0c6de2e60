"""The value that a client's request is read into; ``chat`` reads it."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

SurfaceName = Literal["chat", "completions", "embeddings", "messages", "responses", "compaction"]
"""What a client speaks: the names of ``core.Surface``, which this layer may not import, and those that become chat."""


class Request:
    """A checked request. No ``Struct``: compiled, a field of a class is read in a tenth of the time."""

    __slots__ = (
        "dropped",
        "fields",
        "has_tools",
        "include_usage",
        "is_usual",
        "max_tokens",
        "model",
        "n",
        "native",
        "native_only",
        "needs",
        "prompt_tokens",
        "stream",
        "surface",
        "text_prefix_crc",
    )

    def __init__(
        self,
        *,
        fields: dict[str, msgspec.Raw],
        model: str,
        prompt_tokens: int,
        text_prefix_crc: int,
        stream: bool = False,
        max_tokens: int | None = None,
        n: int = 1,
        include_usage: bool = False,
        has_tools: bool = False,
        needs: int = 0,
        is_usual: bool = False,
        surface: SurfaceName = "chat",
        native: dict[str, msgspec.Raw] | None = None,
        dropped: tuple[str, ...] = (),
        native_only: tuple[str, ...] = (),
    ) -> None:
        self.fields: Final = fields
        """Every top-level field in the client's order, its value verbatim."""
        self.model: Final = model
        self.prompt_tokens: Final = prompt_tokens
        """Estimated; tools are part of the prompt."""
        self.text_prefix_crc: Final = text_prefix_crc
        """CRC-32 of the first KiB of the raw messages, prompt or input: requests that share it may share a KV cache."""
        self.stream: Final = stream
        self.max_tokens: Final = max_tokens
        """The client's limit per choice; ``max_completion_tokens`` wins over ``max_tokens``."""
        self.n: Final = n
        self.include_usage: Final = include_usage
        self.has_tools: Final = has_tools
        self.needs: Final = needs
        """What not every target does: bits of ``features``."""
        self.is_usual: Final = is_usual
        """True if ``fields`` are only such as mean the same to every target."""
        self.surface: Final = surface
        """What the client speaks; ``fields`` are chat's for ``messages`` and ``responses`` too."""
        self.native: Final = native
        """The client's own fields where ``fields`` are a translation, for targets that speak its surface themselves."""
        self.dropped: Final = dropped
        """Names of the client's fields that have no place in ``fields``."""
        self.native_only: Final = native_only
        """What it asks for that has no place there and cannot be left out, in words: only ``native`` says it."""

    def saying(
        self, *, fields: dict[str, msgspec.Raw] | None = None, native: dict[str, msgspec.Raw] | None = None
    ) -> Request:
        """Return the same request in other words: with other ``fields``, or another ``native``."""
        return Request(
            fields=self.fields if fields is None else fields,
            model=self.model,
            prompt_tokens=self.prompt_tokens,
            text_prefix_crc=self.text_prefix_crc,
            stream=self.stream,
            max_tokens=self.max_tokens,
            n=self.n,
            include_usage=self.include_usage,
            has_tools=self.has_tools,
            needs=self.needs,
            is_usual=self.is_usual,
            surface=self.surface,
            native=self.native if native is None else native,
            dropped=self.dropped,
            native_only=self.native_only,
        )
