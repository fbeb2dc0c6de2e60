"""Turns what the user calls a model into a file on this disk. The command line does this before it serves.

Three forms: a path; ``hf:REPO:FILE``, fetched once from the Hugging Face hub (``hf:REPO@REVISION:FILE`` for a fixed
one); and ``builtin`` for the model in the package, or ``builtin:q4`` for its smaller variant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from overspill.errors import ModelUnusable, UnknownName
from overspill.models import DEFAULT, VARIANTS, shipped_path
from overspill.pools.engines.hub_file import parse_hub_name, parts_of

BUILTIN = "builtin"


def builtin_variant(model: str) -> str | None:
    """Return which variant of the model in the package ``model`` means, ``None`` if it means another model.

    Raises ``UnknownName`` for a variant that there is not.
    """
    name, _, variant = model.partition(":")
    if name != BUILTIN:
        return None
    if variant and variant not in VARIANTS:
        raise UnknownName("variant of the built-in model", variant, VARIANTS)
    return variant or DEFAULT


def is_remote(model: str) -> bool:
    """Say whether ``resolve`` may have to fetch ``model``."""
    return model.startswith("hf:")


def resolve(
    model: str,
    cache_dir: Path,
    *,
    environ: Mapping[str, str],
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Path:
    """Return the file that ``model`` means, fetching it into ``cache_dir`` if need be; raise ``ModelUnusable``.

    Blocks for as long as a download takes. ``environ`` gives HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE;
    ``progress`` is called with (file name, bytes so far, bytes in all or ``None``).
    """
    variant = builtin_variant(model)
    if variant is not None:
        return shipped_path(variant)
    if not is_remote(model):
        return _checked(Path(model).expanduser())
    from overspill.pools.engines.hub_download import fetch

    first, *others = [fetch(part, cache_dir, environ, progress) for part in parts_of(parse_hub_name(model))]
    for path in (first, *others):
        _checked(path)
    return first


def _checked(path: Path) -> Path:
    """See that the file can be read and is a GGUF."""
    if path.is_dir():
        inside = sorted(entry.name for entry in path.glob("*.gguf"))
        hint = f"; did you mean {path / inside[0]}?" if inside else "; name the .gguf file"
        raise ModelUnusable(f"the model {path} is a directory{hint}")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ModelUnusable(
            f"there is no model file {path}; name a .gguf file, or fetch one with hf:OWNER/REPOSITORY:FILE.gguf"
        ) from None
    except OSError as error:
        raise ModelUnusable(f"the model file {path} cannot be read: {error.strerror}") from None
    if magic != b"GGUF":
        raise ModelUnusable(
            f"{path} is no GGUF file (it begins with {magic!r}); look for a GGUF version of the model, or convert it"
        )
    return path
