"""The shipped catalogue of GPUs: sound, sourced, found under any usual name; and one's own in its place."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from overspill.catalog.gpus import load_gpus
from overspill.errors import ConfigError, UnknownName

WANTED = {
    *("A100-40GB", "A100-80GB", "H100-SXM", "H100-PCIe", "H200", "H20", "H800", "B200", "B300", "GB200", "L40S", "L20"),
    *("L4", "A10G", "V100-16GB", "V100-32GB", "RTX-4090", "RTX-5090", "MI300X", "MI325X", "MI355X", "Ascend-910B"),
}
ROW = (
    "{name: N, vendor: V, memory_gb: 80, memory_gib: 80, bandwidth_tb_per_s: 2, bf16_tflops: 300, link_gb_per_s: 300, "
    "network_gb_per_s: 25, power_w: 400, source: mine, as_of: 2026-11-27, confidence: seen}"
)


def test_each_row_is_dated_and_sourced_and_within_reason() -> None:
    catalog = load_gpus()
    assert {row.name for row in catalog.gpus} >= WANTED
    for row in catalog.gpus:
        assert row.source
        assert row.as_of >= dt.date(2026, 11, 1)
        assert 0.9 <= row.memory_gib / row.memory_gb <= 1.0
        assert row.gpu().fp8_flops is None or row.gpu().flops("fp8") >= row.bf16_tflops * 1e12
        assert 0.3 <= row.bandwidth_tb_per_s <= 10


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("h100_sxm", "H100-SXM"),
        ("H100", "H100-SXM"),
        ("a100 80gb", "A100-80GB"),
        ("b200_sxm", "B200"),
        ("4090", "RTX-4090"),
    ],
)
def test_a_gpu_is_found_under_its_usual_names(name: str, found: str) -> None:
    assert load_gpus().find(name).name == found


def test_gb_and_gib_are_kept_apart() -> None:
    b200 = load_gpus().find("B200")
    assert (b200.memory_gb, b200.memory_gib) == (192, 179)
    assert b200.gpu().memory_bytes == 179 * 2**30


def test_formats_without_units_are_said() -> None:
    gpus = load_gpus()
    assert not gpus.find("A100").gpu().has_units("fp8")
    assert not gpus.find("V100").gpu().has_units("bf16")
    assert gpus.find("H100").gpu().has_units("fp8")
    assert not gpus.find("H100").gpu().has_units("nvfp4")
    assert gpus.find("B200").gpu().has_units("nvfp4")


def test_an_unknown_gpu_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match=r"unknown GPU 'H101' \(did you mean 'H100-SXM'|unknown GPU 'H101'") as caught:
        load_gpus().find("H101")
    assert "Ascend-910B" in str(caught.value)


def own(tmp_path: Path, text: str) -> str:
    path = tmp_path / "gpus.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_ones_own_catalogue_is_read(tmp_path: Path) -> None:
    path = own(tmp_path, f"schema: 1\nas_of: 2026-11-27\ngpus: [{ROW}]")
    assert load_gpus(path).find("n").gpu().link_bytes_per_s == 300e9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema: 1\nas_of: 2026-11-27\ngpus: [{name: N}]", "the catalogue of GPUs cannot be read: Object missing"),
        ("schema: [", "the catalogue of GPUs cannot be read"),
        (f"schema: 1\nas_of: 2026-11-27\ngpus: [{ROW}, {ROW}]", "N and N share the name 'n'"),
    ],
)
def test_a_malformed_catalogue_is_refused_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    path = own(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_gpus(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_gpus("nowhere.yaml")
