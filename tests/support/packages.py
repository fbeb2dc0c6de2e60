"""Other people's packages, installed for one test: a module and the metadata that pip writes, in a folder."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, name: str, source: str, entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """Put the module ``name`` and its distribution of the same name into ``folder``, as an installer would."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    groups = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in rows.items()) for group, rows in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
