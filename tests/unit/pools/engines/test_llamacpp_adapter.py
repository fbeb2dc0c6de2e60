from __future__ import annotations

import sys

import pytest

from overspill.core.types import Surface
from overspill.pools.engines.llamacpp import EmbeddedLlamaCpp
from overspill.pools.engines.llamacpp_config import WorkerConfig
from overspill.pools.engines.protocol import EngineSpec, EngineStats

# Recorded from b11549.
METRICS = b"""# HELP llamacpp:predicted_tokens_seconds Average generation throughput in tokens/s.
# TYPE llamacpp:predicted_tokens_seconds gauge
llamacpp:predicted_tokens_seconds 0
# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 4
# HELP llamacpp:requests_deferred Number of requests deferred.
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 8
"""


def test_the_launch_hides_key_and_model_from_the_process_list() -> None:
    spec = EngineSpec(name="local", model="/models/m.gguf", served_name="m", max_batch_size=8, context_tokens=2048)
    launch = EmbeddedLlamaCpp().launch(spec, run_dir="/run/x", api_key="secret")
    assert launch.argv == (sys.executable, "-P", "-m", "overspill.pools.engines.llamacpp_worker")
    assert launch.env == {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "GGML_NO_BACKTRACE": "1"}
    assert launch.origin.uds_path == "/run/x/engine.sock"
    config = WorkerConfig.decode(launch.stdin)
    assert (config.model, config.api_key, config.slots, config.context_tokens) == ("/models/m.gguf", "secret", 8, 2048)
    assert "secret" not in repr(config)


def test_a_call_carries_the_key_and_the_body_untouched() -> None:
    call = EmbeddedLlamaCpp().translate(Surface.CHAT, b'{"model":"m"}', "secret")
    assert (call.method, call.path, call.body) == (b"POST", b"/v1/chat/completions", b'{"model":"m"}')
    assert dict(call.headers)[b"authorization"] == b"Bearer secret"
    assert EmbeddedLlamaCpp().translate(Surface.COMPLETIONS, b"{}", "").path == b"/v1/completions"


def test_a_prompt_is_shown_as_it_was_rendered() -> None:
    engine = EmbeddedLlamaCpp()
    assert engine.render_path == b"/apply-template"
    assert engine.parse_rendered(b'{"prompt":"<|user|>hi"}') == "<|user|>hi"
    for body in (b"{}", b'{"prompt":null}', b"<html>"):
        with pytest.raises(ValueError, match="the answer"):
            engine.parse_rendered(body)


def test_embeddings_are_made_only_where_they_are_named_and_it_is_said_why() -> None:
    engine = EmbeddedLlamaCpp()
    assert Surface.EMBEDDINGS not in engine.surfaces
    assert "embedding model" in engine.unsupported["embeddings"]


def test_running_and_waiting_requests_are_read_and_kv_usage_stays_unknown() -> None:
    assert EmbeddedLlamaCpp().parse_stats(METRICS) == EngineStats(running=4, waiting=8, kv_usage=None)


@pytest.mark.parametrize(
    "page", [b"", b"<html>404</html>", b"vllm:num_requests_running 3\n", b"llamacpp:requests_processing NaN\n"]
)
def test_another_page_is_no_statistics(page: bytes) -> None:
    with pytest.raises(ValueError, match="no metric of this engine"):
        EmbeddedLlamaCpp().parse_stats(page)
