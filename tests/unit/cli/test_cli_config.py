from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.calling import one_line, overspill

SOUND = """\
pools:
  gpu: {engine: fake, model: any, max_batch_size: 4}
  api: {upstream: openai_compatible, base_url: 'http://127.0.0.1:9/v1', accounts: [{name: a, api_key: 'env:NOPE'}]}
routes:
  - {model: m, tiers: [[gpu], [{pool: api, model: away}]]}
"""


@pytest.fixture
def sound(tmp_path: Path) -> str:
    path = tmp_path / "sound.yaml"
    path.write_text(SOUND, encoding="utf-8")
    return str(path)


def broken(tmp_path: Path, text: str) -> str:
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_sound_file_is_counted_and_its_missing_key_is_no_error(sound: str) -> None:
    assert overspill("config", "check", sound) == (0, f"{sound} can be used: 1 routes over 2 targets\n", "")


def test_an_unknown_key_is_named_with_its_line_and_the_nearest(tmp_path: Path) -> None:
    path = broken(tmp_path, SOUND.replace("max_batch_size", "max_bach_size"))
    called = overspill("config", "check", path)
    assert called.code == 2
    assert f"{path}:2: pools.gpu.max_bach_size: unknown key" in one_line(called)
    assert "did you mean 'max_batch_size'?" in called.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pools: [1", ":1: not YAML"),
        ("pools: 3", ":1: pools: "),
        (SOUND.replace("[gpu]", "[gpus]"), ":5: "),
        (SOUND.replace("max_batch_size: 4", "max_batch_size: 0"), ":2: pools.gpu.max_batch_size: "),
    ],
)
def test_every_fault_is_one_line_with_file_and_line(tmp_path: Path, text: str, says: str) -> None:
    path = broken(tmp_path, text)
    called = overspill("config", "check", path)
    assert called.code == 2
    assert f"error: {path}{says}" in one_line(called)


def test_a_file_that_is_not_there_or_no_text_is_one_line(tmp_path: Path) -> None:
    assert "the configuration cannot be read: No such file" in one_line(overspill("config", "check", "nowhere.yaml"))
    (tmp_path / "image.yaml").write_bytes(b"\xff\xd8\xff")
    assert "is not UTF-8 text" in one_line(overspill("config", "check", str(tmp_path / "image.yaml")))


def test_an_override_is_checked_like_the_file(sound: str) -> None:
    assert overspill("config", "check", sound, "--set", "server.port=9000").code == 0
    called = overspill("config", "check", sound, "--set", "server.prot=9000")
    assert called.code == 2
    assert one_line(called).startswith("error: --set server.prot: ")
    assert "did you mean 'port'?" in called.err
    assert "write it as key.key=value" in one_line(overspill("config", "check", sound, "--set", "nonsense"))


def test_the_explanation_names_pools_and_routes(sound: str) -> None:
    called = overspill("config", "explain", sound)
    assert (called.code, called.err) == (0, "")
    pools, _, routes = called.out.partition("Routes\n")
    assert "gpu" in pools
    assert "api" in pools
    assert "m" in routes
    assert "api" in routes


def test_the_explanation_as_json_is_the_compiled_policy(sound: str) -> None:
    called = overspill("config", "explain", sound, "--json")
    policy = json.loads(called.out)
    assert [target["target_id"] for target in policy["targets"]] == ["gpu/0", "api/a/away"]
    assert policy["routes"][0]["pattern"] == "m"


def test_the_schema_comes_in_each_form() -> None:
    assert json.loads(overspill("config", "schema").out)["$defs"]
    assert json.loads(overspill("config", "schema", "--format", "json-schema").out)["$defs"]
    assert overspill("config", "schema", "--format", "markdown").out.startswith("#")
    example = overspill("config", "schema", "--format", "example")
    assert "pools:" in example.out
    assert overspill("config", "schema", "--format", "xml").code == 2
