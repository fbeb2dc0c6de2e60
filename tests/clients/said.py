"""What a client's user saw of one prompt, and what every driver of a client can do."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Said(NamedTuple):
    """The end of one prompt."""

    text: str = ""
    reasoning: str = ""
    error: str = ""
    """What the client said went wrong; empty if nothing did."""


class Driver(Protocol):
    """A client, driven as its documentation shows. ``url`` is the base URL of OpenAI's API, with ``/v1``."""

    name: str
    shows_reasoning: bool
    """Whether its users can see a thought that comes in ``reasoning_content``."""

    api: str
    """What it speaks."""

    def version(self) -> str: ...

    def whole(self, url: str, question: str) -> Said: ...

    def stream(self, url: str, question: str) -> Said: ...

    def with_tool(self, url: str, question: str) -> Said:
        """Ask with one tool, run it when it is called, and return what is said in the end."""
        ...
