"""The catalogue of models' configurations, and the prior of the roofline."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from overspill.catalog.latency import load_prior
from overspill.catalog.models import find_model, model_names, read_config
from overspill.errors import ConfigError, UnknownName


def test_each_model_says_where_its_shapes_are_from() -> None:
    for name in model_names():
        model = find_model(name)
        assert model.name == name
        assert len(model.source) > 20
        assert model.as_of >= dt.date(2026, 11, 1)


def test_a_model_is_found_by_its_name_or_its_name_on_the_hub() -> None:
    assert find_model("deepseek-r1").name == "DeepSeek-R1"
    assert find_model("openai/gpt-oss-120b").name == "gpt-oss-120b"
    assert find_model("someone/Qwen3-32B").name == "Qwen3-32B"
    with pytest.raises(UnknownName, match="unknown model 'Qwen3-33B'"):
        find_model("Qwen3-33B")


def test_a_config_json_or_its_folder_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "My-Model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}), encoding="utf-8")
    for path in (folder, folder / "config.json"):
        found = read_config(str(path))
        assert (found.name, found.config) == ("My-Model", {"model_type": "llama"})
    assert read_config("Qwen3-8B").hub_id == "Qwen/Qwen3-8B"
    copied = tmp_path / "copied.json"
    shipped = find_model("Qwen3-8B")
    copied.write_text(
        json.dumps({"name": "x", "hub_id": "", "source": "me", "as_of": "2026-11-27", "config": shipped.config}),
        encoding="utf-8",
    )
    assert read_config(str(copied)).config == shipped.config


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is not JSON"), ("[]", "must be a JSON object, as Hugging Face's config.json is")]
)
def test_what_is_no_config_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_config(str(path))
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_config(str(tmp_path / "other.json"))


def test_the_prior_says_how_it_was_fitted_and_is_within_reason() -> None:
    prior = load_prior()
    assert "fit_prior.py" in prior.source
    assert 0.9 <= prior.decode.weights["weights"] <= 1.6  # 60 to 110 % of the published bandwidth
    assert 0.5 <= prior.decode.weights["layers"] <= 1.0  # 50 to 100 µs a layer
    assert {"vllm", "sglang", "trtllm"} <= set(prior.decode.engines)


def test_a_prior_that_lacks_a_term_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prior.json"
    good = json.loads(Path("src/overspill/catalog/latency_prior.json").read_text(encoding="utf-8"))
    path.write_text(json.dumps(good), encoding="utf-8")
    assert load_prior(str(path)) == load_prior()
    del good["decode"]["weights"]["cache"]
    path.write_text(json.dumps(good), encoding="utf-8")
    with pytest.raises(ConfigError, match="the prior has no weight for cache"):
        load_prior(str(path))
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="the prior cannot be read"):
        load_prior(str(path))
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_prior(str(tmp_path / "other.json"))


def test_a_configuration_is_named_by_its_file_or_its_folder(tmp_path: Path) -> None:
    for name in ("config.json", "Falcon-7B.json"):
        (tmp_path / name).write_text('{"model_type": "llama"}', encoding="utf-8")
    assert read_config(str(tmp_path)).name == read_config(str(tmp_path / "config.json")).name == tmp_path.name
    assert read_config(str(tmp_path / "Falcon-7B.json")).name == "Falcon-7B"
