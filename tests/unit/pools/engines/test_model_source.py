from __future__ import annotations

import re
from pathlib import Path

import pytest

from overspill.errors import ModelUnusable, UnknownName
from overspill.models import VARIANTS, shipped_path
from overspill.pools.engines.hub_file import HubFile, parse_hub_name, parts_of
from overspill.pools.engines.model_source import builtin_variant, resolve


def test_a_local_gguf_is_taken_as_it_is(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(b"GGUF rest")
    assert resolve(str(model), tmp_path, environ={}) == model


@pytest.mark.parametrize("name", ["builtin", "builtin:"])
def test_the_builtin_model_needs_no_download(name: str, tmp_path: Path) -> None:
    assert resolve(name, tmp_path, environ={}) == shipped_path()
    assert shipped_path().read_bytes()[:4] == b"GGUF"


def test_a_variant_of_the_builtin_model_is_named_after_a_colon(tmp_path: Path) -> None:
    assert resolve("builtin:q4", tmp_path, environ={}) == shipped_path("q4") != shipped_path()
    assert {builtin_variant(f"builtin:{variant}") for variant in VARIANTS} == set(VARIANTS)
    assert builtin_variant("hf:builtin:q4") is None


def test_a_variant_that_there_is_not_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"unknown variant of the built-in model 'q5'.*; known: q4, q8_0"):
        resolve("builtin:q5", tmp_path, environ={})


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="or fetch one with hf:OWNER/REPOSITORY:FILE"):
        resolve(str(tmp_path / "gone.gguf"), tmp_path, environ={})


def test_a_directory_suggests_the_model_inside(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"is a directory; name the \.gguf file"):
        resolve(str(tmp_path), tmp_path, environ={})
    (tmp_path / "b.gguf").touch()
    with pytest.raises(ModelUnusable, match=re.escape(f"did you mean {tmp_path / 'b.gguf'}?")):
        resolve(str(tmp_path), tmp_path, environ={})


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"PK\x03\x04"])
def test_a_file_of_another_format_is_refused(content: bytes, tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(content)
    with pytest.raises(ModelUnusable, match="is no GGUF file"):
        resolve(str(model), tmp_path, environ={})


def test_a_hub_name_has_an_owner_a_repository_and_a_file() -> None:
    assert parse_hub_name("hf:me/repo:dir/m.gguf") == HubFile("me/repo", "main", "dir/m.gguf")
    assert parse_hub_name("hf:me/repo@v1:m.gguf") == HubFile("me/repo", "v1", "m.gguf")


@pytest.mark.parametrize(
    "name",
    [
        "hf:",
        "hf:me/repo",
        "hf:repo:m.gguf",
        "hf:me/repo:",
        "hf:a/b/c:m.gguf",
        "hf:me/repo:../../m.gguf",
        "hf:me/..:m",
        "hf:me/r@../x:m",
    ],
)
def test_a_hub_name_that_could_leave_the_cache_is_refused(name: str) -> None:
    with pytest.raises(ModelUnusable):
        parse_hub_name(name)


def test_a_split_model_is_fetched_whole() -> None:
    parts = parts_of(HubFile("me/repo", "main", "big-00002-of-00003.gguf"))
    assert [part.file for part in parts] == [f"big-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert parts_of(HubFile("me/repo", "main", "small.gguf")) == (HubFile("me/repo", "main", "small.gguf"),)
    with pytest.raises(ModelUnusable, match="0 parts"):
        parts_of(HubFile("me/repo", "main", "odd-00000-of-00000.gguf"))
