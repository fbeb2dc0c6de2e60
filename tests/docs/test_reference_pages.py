"""The reference: generated from the code, current, and complete.

``OVERSPILL_REGENERATE=1 python -m pytest tests/docs`` (``make regenerate``) writes the pages anew.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec
import pytest
from tests.docs.generators import http_api
from tests.docs.generators.adapters import adapters_page
from tests.docs.generators.cli import cli_page, commands
from tests.docs.generators.faults import faults_page
from tests.docs.generators.hardware import hardware_page
from tests.docs.generators.http_api import http_api_page
from tests.docs.generators.ledger import ledger_page
from tests.docs.generators.metrics import metrics_page
from tests.docs.generators.providers import providers_page
from tests.docs.generators.reasons import reasons_page
from tests.docs.generators.source import field_docs, member_comments

from overspill import __version__
from overspill.catalog.load import load
from overspill.config import schema
from overspill.core.types import FailureKind, LocalOnly, Outcome, Refusal, RejectReason, Spill
from overspill.gateway import debug, routes
from overspill.gateway.openapi import document
from overspill.gateway.openapi.parts import ANSWER_HEADERS
from overspill.gateway.rehearsal.scenarios import SCENARIOS
from overspill.gateway.rehearsal.verdict import Verdict
from overspill.gateway.screening import TextVerdict
from overspill.ledger.store import TABLES
from overspill.pools.engines import registry as engines
from overspill.pools.upstreams import registry as upstreams
from overspill.telemetry import definitions

REFERENCE = Path("docs/reference")
SOURCES = sorted(Path("src/overspill").rglob("*.py"))
PAGES: dict[str, Callable[[], str]] = {
    "adapters": adapters_page,
    "cli": cli_page,
    "faults": faults_page,
    "http-api": http_api_page,
    "ledger": ledger_page,
    "metrics": metrics_page,
    "hardware": hardware_page,
    "providers": providers_page,
    "reasons": reasons_page,
}
REASONS = (Spill, Refusal, RejectReason, FailureKind, Outcome, LocalOnly, TextVerdict)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_in_the_repository_is_current(name: str) -> None:
    path, text = REFERENCE / f"{name}.md", PAGES[name]()
    if os.environ.get("OVERSPILL_REGENERATE"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run make regenerate"


def read(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


def test_every_configuration_key_is_in_the_reference() -> None:
    page = read("configuration")
    sections = [kind for kind in vars(schema).values() if isinstance(kind, type) and issubclass(kind, schema.Section)]
    keys = {f.encode_name for kind in sections if kind is not schema.Config for f in msgspec.structs.fields(kind)}
    assert len(keys) > 50
    assert [key for key in sorted(keys) if f"| `{key}` |" not in page] == []


def test_every_command_and_option_is_in_the_reference() -> None:
    page = read("cli")
    names = dict(commands())
    assert len(names) >= 10
    for name, command in names.items():
        assert f"## {name}\n" in page
        section = page.split(f"## {name}\n", 1)[1].split("\n## ", 1)[0]
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, f"{name} {param.opts[0]} has no help"
                assert all(f"`{option}`" in section for option in param.opts)


def test_every_metric_is_in_the_reference() -> None:
    page = read("metrics")
    assert [metric.name for metric in definitions.TABLE if f"| `{metric.name}` |" not in page] == []


@pytest.mark.parametrize("kind", REASONS, ids=lambda kind: kind.__name__)
def test_every_reason_is_explained_and_in_the_reference(kind: type[Spill]) -> None:
    page, comments = read("reasons"), member_comments(kind)
    for member in kind:
        assert comments[member.value], f"{kind.__name__}.{member.name} has no comment behind it"
        assert f"| `{member.value}` |" in page


def test_every_adapter_is_in_the_reference_with_what_it_lacks() -> None:
    page = read("adapters")
    adapters = [*map(engines.create_managed, engines.managed_names())]
    adapters += [*map(engines.create_attached, engines.attached_names()), *map(upstreams.create, upstreams.names())]
    assert len(adapters) >= 11
    for adapter in adapters:
        assert f"### `{adapter.kind}`" in page
        for feature, reason in adapter.unsupported.items():
            assert f"- {feature}: {reason}." in page


def test_every_provider_is_in_the_reference_with_its_source() -> None:
    page, catalog = read("providers"), load()
    assert str(catalog.as_of) in page
    for provider in catalog.providers:
        assert f"| `{provider.name}` |" in page
        assert f"| {provider.source} |" in page
        assert all(f"`{model.id}`" in page for model in provider.models)


def test_every_fault_and_every_verdict_is_in_the_reference() -> None:
    page, comments = read("faults"), member_comments(Verdict)
    assert [one.name for one in SCENARIOS if f"| `{one.name}` | {one.does} |" not in page] == []
    assert all(comments.values())
    assert [verdict for verdict in Verdict if f"| `{verdict}` |" not in page] == []


def test_every_ledger_column_is_explained_and_in_the_reference() -> None:
    page = read("ledger")
    for table in TABLES:
        docs = field_docs(table.record)
        for column in table.columns:
            assert docs[column], f"{table.name}.{column} has no docstring below it"
            assert f"| `{column}` |" in page


def test_every_path_is_in_the_reference() -> None:
    known = {path for _, path, _ in http_api.PATHS} | {*http_api.UNVERSIONED, *http_api.BELOW_ANTHROPIC}
    assert len(routes.PATHS) >= 12
    assert {*routes.PATHS, "/v1/models/{model}"} == known


def test_the_openapi_document_in_the_repository_is_current() -> None:
    path, found = REFERENCE / "openapi.json", document(__version__)
    text = msgspec.json.format(msgspec.json.encode(found), indent=1).decode() + "\n"
    if os.environ.get("OVERSPILL_REGENERATE"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run make regenerate"


def test_the_openapi_document_names_the_headers_of_an_answer() -> None:
    assert set(ANSWER_HEADERS) <= {name for name, _ in http_api.RESPONSE_HEADERS}


def test_every_parameter_of_debug_route_is_in_the_reference() -> None:
    assert tuple(name for name, _ in http_api.QUERY) == debug._KNOWN


def test_every_header_of_ours_is_in_the_reference() -> None:
    asked = re.findall(r'case "([a-z-]+)":', Path("src/overspill/gateway/wishes.py").read_text(encoding="utf-8"))
    code = "".join(path.read_text(encoding="utf-8") for path in SOURCES if "rehearsal" not in path.parts)
    answered = re.findall(r'b"(x-overspill-[a-z-]+)(?:"|: %)', code)
    assert {f"x-overspill-{name}" for name in asked} <= {name for name, _ in http_api.REQUEST_HEADERS}
    assert set(answered) == {name for name, _ in http_api.RESPONSE_HEADERS if name.startswith("x-overspill")}


CODE_ARGUMENT = {"Refusal": 1, "edge_error_body": 1, "Answer": 2, "_bad": 2, "bad": 2, "_forbid": 0}
"""Functions that make error bodies → which argument is the code."""


def codes_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        place = CODE_ARGUMENT.get(getattr(node.func, "id", ""))
        given = [word.value for word in node.keywords if word.arg == "code"]
        if place is not None and len(node.args) > place:
            given.append(node.args[place])
        yield from (value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str))


def test_the_error_codes_in_the_reference_are_those_in_the_code() -> None:
    sources = [p for p in SOURCES if p.parts[2] in {"gateway", "wire"} and "rehearsal" not in p.parts]
    made = {code for path in sources for code in codes_in(path)}
    # A head check's own answer replaces the body of this one; it never reaches a client.
    made -= {"refused"}
    made |= {reason.value for reason in RejectReason} - {
        "unknown_model",
        "prompt_too_long",
        "unsupported",
        "lacks_feature",
        "rate_limited",
    }  # they have codes of their own, OpenAI's where it has one
    told = {code for _, code, _ in (*http_api.CODES, *http_api.EDGE_CODES)} - {"null"}
    assert made == told
    page = read("http-api")
    assert all(f"| `{code}` |" in page for code in told)
    assert all(f"`stream_{kind}`" in page for kind in FailureKind)
