"""Models of the catalogue, and small configurations of families that it does not have."""

from __future__ import annotations

from typing import Any

from overspill.catalog.models import find_model
from overspill.perf.architecture import Architecture
from overspill.perf.model_config import read_model


def known(name: str) -> Architecture:
    """Return a model of the catalogue."""
    return read_model(find_model(name).config, name)


def config(name: str, **changes: Any) -> dict[str, Any]:
    """Return a configuration of the catalogue with some fields changed; None takes one out."""
    changed = {**find_model(name).config, **changes}
    return {field: value for field, value in changed.items() if value is not None}


def small(model_type: str, **fields: Any) -> dict[str, Any]:
    """Return the configuration of a small model: 4 layers, 64 wide, 8 heads of 8."""
    return {
        "model_type": model_type,
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "intermediate_size": 128,
        "vocab_size": 1000,
        **fields,
    }
