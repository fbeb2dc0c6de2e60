from __future__ import annotations

from dataclasses import replace

import pytest

from overspill.pools.engines.llamacpp_config import WorkerConfig

GOOD = WorkerConfig(
    model="m.gguf", socket_path="/tmp/e.sock", api_key="k", served_name="m", slots=32, context_tokens=4096
)


def test_a_configuration_survives_the_trip_to_the_worker() -> None:
    config = replace(GOOD, extra={"n_batch": 256}, sha256="ab", threads=2)
    assert WorkerConfig.decode(config.encode()) == config
    assert config.problem() is None


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"model": 1, "colour": 2}', b"\xff"])
def test_a_document_of_another_shape_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        WorkerConfig.decode(document)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"slots": 0}, "max_batch_size is 0; llama.cpp runs 1 to 256"),
        ({"slots": 300}, "max_batch_size is 300"),
        ({"context_tokens": 0}, "context_tokens is 0; set at least 64"),
        ({"context_tokens": 2**27}, "more than llama.cpp can count"),
        ({"threads": 0}, "threads is 0"),
        ({"socket_path": "/" + "x" * 107}, "set a shorter TMPDIR"),
        ({"extra": {"n_batch": 1}}, "options.n_batch is 1; llama.cpp aborts"),
        ({"extra": {"n_ubatch": "many"}}, "options.n_ubatch is 'many'"),
        ({"extra": {"n_parallel": 4}}, "options.n_parallel cannot be set: use `max_batch_size`"),
    ],
)
def test_what_would_hang_or_abort_the_engine_is_refused_before(change: dict[str, object], complaint: str) -> None:
    problem = replace(GOOD, **change).problem()  # type: ignore[arg-type]
    assert problem is not None
    assert complaint in problem
