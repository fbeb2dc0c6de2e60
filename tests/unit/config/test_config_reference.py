"""The documentation of the configuration: made from the schema, complete, and current.

``OVERSPILL_REGENERATE=1 python -m pytest tests/unit/config/test_config_reference.py`` writes the copies anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from overspill.config import schema
from overspill.config.compile import compile_config
from overspill.config.example import example_yaml
from overspill.config.explain import explain
from overspill.config.load import load_file, load_text
from overspill.config.reference import json_schema, reference_markdown
from overspill.config.samples import SAMPLE
from overspill.config.schema import Section
from overspill.pools.facts import load_facts

SECTIONS = [
    value
    for value in vars(schema).values()
    if isinstance(value, type)
    and issubclass(value, Section)
    and value not in {Section, schema.ChatOptions, schema.PoolBase}
]


@pytest.mark.parametrize(
    ("path", "text"),
    [("docs/reference/configuration.md", reference_markdown()), ("examples/overspill.yaml", example_yaml())],
)
def test_the_copy_in_the_repository_is_current(path: str, text: str) -> None:
    if os.environ.get("OVERSPILL_REGENERATE"):
        Path(path).write_text(text, encoding="utf-8")
    assert Path(path).read_text(encoding="utf-8") == text, "set OVERSPILL_REGENERATE=1 and run this test again"


def test_the_example_loads_and_says_what_its_values_say() -> None:
    assert load_file("examples/overspill.yaml", load_facts()) == load_text(yaml.safe_dump(dict(SAMPLE)), load_facts())


def test_the_example_compiles_and_can_be_explained() -> None:
    config = load_file("examples/overspill.yaml", load_facts())
    assert compile_config(config, load_facts()).policy.clients
    said = explain(config, load_facts())
    assert "key alice: team research; weight 2; 120 requests per minute, 16 requests at once" in said
    assert "key batch: team research; local pools only; 120 requests per minute, 16 requests at once" in said
    assert "team research: 500000 tokens per minute" in said
    assert "  all requests together: 60 requests per minute" in said


def test_the_example_loads_with_every_default_written_out() -> None:
    lines = []
    for line in example_yaml().splitlines():
        stripped = line.lstrip()
        key = stripped.removeprefix("# ").split(":")[0]
        is_default = stripped.startswith("# ") and key.isidentifier() and ": " in stripped
        lines.append(line.replace("# ", "", 1) if is_default else line)
    assert sum(1 for line in lines if line.lstrip().startswith("#")) < len(lines)
    assert load_text("\n".join(lines), load_facts()) == load_file("examples/overspill.yaml", load_facts())


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_is_explained_everywhere(section: type[Section]) -> None:
    page, example = reference_markdown(), example_yaml()
    definitions = json.loads(json_schema())["$defs"]
    for field in msgspec.structs.fields(section):
        described = definitions[section.__name__]["properties"][field.encode_name]
        assert described.get("description"), f"{section.__name__}.{field.name} has no description"
        if section is not schema.Config:
            assert f"| `{field.encode_name}` |" in page
        assert f"{field.encode_name}:" in example


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)


def test_the_json_schema_shows_what_is_written_and_not_how_it_is_told_apart() -> None:
    document = json.loads(json_schema())
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$defs"]["EnginePool"]["required"] == ["engine"]
    assert "role" not in set(_keys(document))
    assert "discriminator" not in set(_keys(document))
    limits = document["$defs"]["LimitsConfig"]["properties"]
    assert limits["max_body"]["default"] == "32MiB"
    assert limits["header_timeout"]["default"] == "10s"
