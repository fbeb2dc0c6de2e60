"""Names of files on the Hugging Face hub: ``hf:OWNER/REPOSITORY:FILE``, with ``@REVISION`` after the repository."""

from __future__ import annotations

import re

import msgspec

from overspill.errors import ModelUnusable

_REPO = re.compile(r"[\w.-]+/[\w.-]+")
_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")
_MOST_PARTS = 1000


class HubFile(msgspec.Struct, frozen=True):
    """One file of a repository on the hub."""

    repo: str
    revision: str
    file: str

    def __str__(self) -> str:
        return f"hf:{self.repo}:{self.file}"


def parse_hub_name(model: str) -> HubFile:
    """Read ``hf:REPO:FILE``; raise ``ModelUnusable`` if it is something else."""
    source, _, file = model.removeprefix("hf:").partition(":")
    repo, _, revision = source.partition("@")
    if not file or not _REPO.fullmatch(repo):
        raise ModelUnusable(f"{model!r} does not name a file on the hub; write hf:OWNER/REPOSITORY:FILE.gguf")
    if any(part in ("", ".", "..") for part in (*file.split("/"), *repo.split("/"), *(revision or "main").split("/"))):
        raise ModelUnusable(
            f"{model!r} has an empty or dotted part in its path; write the file's path in the repository"
        )
    return HubFile(repo, revision or "main", file)


def parts_of(file: HubFile) -> tuple[HubFile, ...]:
    """List all the files of a model that is split (``…-00001-of-00005.gguf``); llama.cpp is given the first."""
    match = _PART.fullmatch(file.file)
    if match is None:
        return (file,)
    stem, _, count = match.groups()
    if not 1 <= int(count) <= _MOST_PARTS:
        raise ModelUnusable(f"{file} says that it has {int(count)} parts; at most {_MOST_PARTS} are fetched")
    return tuple(
        HubFile(file.repo, file.revision, f"{stem}-{number:05}-of-{count}.gguf") for number in range(1, int(count) + 1)
    )
