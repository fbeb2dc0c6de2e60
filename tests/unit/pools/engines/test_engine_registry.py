from __future__ import annotations

import subprocess
import sys

import pytest

from overspill.errors import UnknownName
from overspill.pools.engines import registry


def test_every_own_adapter_loads_and_knows_its_name() -> None:
    assert [registry.create_managed(name).kind for name in registry.managed_names()] == ["fake", "llamacpp"]
    attached = [registry.create_attached(name).kind for name in registry.attached_names()]
    assert attached == ["gpustack", "llamacpp", "lmstudio", "ollama", "openai", "sglang", "vllm", "xinference"]


def test_a_wrong_name_lists_the_right_ones_and_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"'olama' \(did you mean 'ollama'\?\); known: gpustack, llamacpp, lmstudio"):
        registry.create_attached("olama")
    with pytest.raises(UnknownName, match="unknown engine 'vllm'; known: fake, llamacpp"):
        registry.create_managed("vllm")


def test_servers_are_looked_for_at_their_default_ports() -> None:
    ports = {adapter.kind: adapter.probe.port for adapter in registry.discoverable() if adapter.probe is not None}
    own = {"llamacpp": 8080, "lmstudio": 1234, "ollama": 11434, "sglang": 30000, "vllm": 8000, "xinference": 9997}
    assert ports == own


def test_what_the_gateway_imports_of_an_engine_does_not_load_it() -> None:
    code = (
        "import sys\n"
        "import overspill.pools.engines.supervisor, overspill.pools.engines.model_source\n"
        "from overspill.pools.engines import registry\n"
        "registry.create_managed('llamacpp'); registry.discoverable()\n"
        "print([name for name in ('xllamacpp', 'urllib.request', 'numpy', 'gguf') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
