"""The catalogue of models: ``config.json`` of well-known ones, for planning without a network."""

from __future__ import annotations

import datetime as dt
import json
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from overspill.errors import ConfigError, UnknownName

_FOLDER = "model_configs"
_QUANTISATION = "hf_quant_config.json"


class CatalogModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model's configuration, and where it was read."""

    name: str
    hub_id: str
    """Its name on the Hugging Face hub; empty if it is not there."""
    source: str
    as_of: dt.date
    config: dict[str, Any]


def model_names() -> tuple[str, ...]:
    """Return the names of all models in the catalogue."""
    folder = resources.files(__package__).joinpath(_FOLDER)
    return tuple(sorted(file.name.removesuffix(".json") for file in folder.iterdir() if file.name.endswith(".json")))


def find_model(name: str) -> CatalogModel:
    """Return a model by its name or its name on the hub, in any case; raise ``UnknownName`` with those there are."""
    wanted = name.lower()
    names = model_names()
    by_name = {known.lower(): known for known in names}
    if wanted in by_name:
        return _load(by_name[wanted])
    last = wanted.rsplit("/", 1)[-1]
    for known in names:
        model = _load(known)
        if model.hub_id.lower() == wanted or ("/" in wanted and known.lower() == last):
            return model
    raise UnknownName("model", name, names)


def read_config(model: str) -> CatalogModel:
    """Return the model that ``--model`` or ``--model-config`` names: a ``config.json`` or its folder, or a name."""
    path = Path(model)
    if path.is_dir():
        path = path / "config.json"
    if not path.exists() and path.suffix != ".json":
        return find_model(model)
    try:
        config = json.loads(path.read_bytes())  # Infinity and NaN stand in some, which msgspec does not read
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from error
    except ValueError as error:
        raise ConfigError(f"is not JSON: {error}", file=str(path)) from error
    if not isinstance(config, dict):
        raise ConfigError("must be a JSON object, as Hugging Face's config.json is", file=str(path))
    if "config" in config and "hub_id" in config:
        return msgspec.convert(config, CatalogModel)
    config = _with_quantisation_beside(config, path.with_name(_QUANTISATION))
    folder = path.resolve().parent.name if path.name == "config.json" else ""
    name = config.get("_name_or_path") or folder or path.stem
    return CatalogModel(name=str(name), hub_id="", source=str(path), as_of=dt.date.min, config=config)


def _with_quantisation_beside(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the configuration with what ModelOpt wrote of its quantisation into a file of its own, if it did."""
    is_said = any("quantization_config" in part for part in (config, config.get("text_config") or {}))
    if is_said or not path.exists():
        return config
    try:
        said = {"quant_method": "modelopt", **json.loads(path.read_bytes())["quantization"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"cannot be read as ModelOpt's quantisation: {error!r}", file=str(path)) from error
    return {**config, "quantization_config": said}


def _load(name: str) -> CatalogModel:
    file = resources.files(__package__).joinpath(_FOLDER, f"{name}.json")
    return msgspec.json.decode(file.read_bytes(), type=CatalogModel)
