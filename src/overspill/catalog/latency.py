"""The shipped prior of the roofline: a few weights that hold for all models, fitted once to published measurements."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import msgspec

from overspill.errors import ConfigError
from overspill.perf.roofline import DECODE_TERMS, PREFILL_TERMS, Prior

_OWN_FILE = "latency_prior.json"


def load_prior(file: str | None = None) -> Prior:
    """Read the prior that is shipped, or one's own; raise ``ConfigError`` if it is malformed or lacks a term."""
    try:
        text = (
            resources.files(__package__).joinpath(_OWN_FILE).read_bytes() if file is None else Path(file).read_bytes()
        )
        prior = msgspec.json.decode(text, type=Prior)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=file) from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"the prior cannot be read: {error}", file=file or _OWN_FILE) from error
    for weights, terms in ((prior.decode, DECODE_TERMS), (prior.prefill, PREFILL_TERMS)):
        missing = [term for term in terms if term not in weights.weights]
        if missing:
            raise ConfigError(f"the prior has no weight for {', '.join(missing)}", file=file or _OWN_FILE)
    return prior
