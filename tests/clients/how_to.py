"""The guide to clients, run as it stands: its blocks say which tier runs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.clients.drivers import node, processes
from tests.clients.drivers.processes import Ended
from tests.docs.markdown import Block, read_page

GUIDE = Path("docs/how-to/connect-your-client.md")
_ADDRESS = "http://127.0.0.1:8788"


def blocks(tier: str) -> Iterator[Block]:
    """Return the blocks that a tier runs or writes."""
    for block in read_page(GUIDE).blocks:
        if block.argument.startswith(f"make {tier} "):
            yield block


def is_written(block: Block) -> bool:
    return " writes it: " in block.argument


def name_of(block: Block) -> str:
    return f"{block.language}-{block.line}"


def write(block: Block, origin: str, folder: Path) -> None:
    path = folder / block.argument.partition(" writes it: ")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text.replace(_ADDRESS, origin))


def run(block: Block, origin: str, folder: Path, *programs: Path, environ: Mapping[str, str] | None = None) -> Ended:
    """Run a block in a folder that is its home; ``programs`` are folders of commands."""
    text = block.text.replace(_ADDRESS, origin)
    path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
    environ = {"PATH": path, **(environ or {})}
    if block.language == "python":
        return processes.run((sys.executable, "-c", text), folder, environ=environ)
    if block.language == "javascript":
        assert node.NODE is not None
        return processes.run((node.NODE, "--input-type=module", "-e", text), node.FOLDER, environ=environ)
    return processes.run(("bash", "-euc", text), folder, environ=environ)
