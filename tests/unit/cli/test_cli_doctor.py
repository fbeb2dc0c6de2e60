"""What ``doctor`` finds, each on a configuration that has one thing wrong."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.calling import overspill
from tests.unit.gateway.test_certificate import make

from overspill.ledger.store import LedgerStore

POOL = "pools: {gpu: {engine: fake, model: m}}\nroutes: [{model: m, tiers: [[gpu]]}]\nserver: {port: 0}\n"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache" / "not" / "made"))


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def dead_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def examined(tmp_path: Path, text: str, *options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    path = tmp_path / "doctor.yaml"
    path.write_text(text, encoding="utf-8")
    called = overspill("doctor", "--config", str(path), "--json", *options)
    assert called.err == ""
    findings = {finding["what"]: finding for finding in json.loads(called.out)}
    fine = all(finding["is_fine"] for finding in findings.values())
    assert called.code == (0 if fine else 1)
    return called.code, findings


def problem(findings: dict[str, dict[str, Any]], what: str) -> str:
    assert [name for name, finding in findings.items() if not finding["is_fine"]] == [what]
    detail: str = findings[what]["detail"]
    return detail


def test_a_sound_configuration_ends_with_0(tmp_path: Path) -> None:
    code, findings = examined(tmp_path, POOL)
    assert code == 0
    assert list(findings) == ["overspill", "embedded engine", "disk", "configuration", "address", "ledger", "routes"]
    assert "will be made at" in findings["ledger"]["detail"]
    assert findings["routes"]["detail"] == "1 routes over 1 pools"


def test_people_get_one_line_for_each_finding(tmp_path: Path) -> None:
    path = tmp_path / "doctor.yaml"
    path.write_text(POOL, encoding="utf-8")
    called = overspill("doctor", "--config", str(path))
    assert called.code == 0
    assert all(line.startswith("ok ") for line in called.out.splitlines())
    path.write_text("pools: [", encoding="utf-8")
    called = overspill("doctor", "--config", str(path))
    assert called.code == 1
    assert f"problem configuration: {path}:" in called.out


def test_a_port_that_is_taken_is_found(tmp_path: Path, taken_port: int) -> None:
    _, findings = examined(tmp_path, POOL, "--port", str(taken_port))
    detail = problem(findings, "address")
    assert detail.startswith(f"127.0.0.1:{taken_port} cannot be bound: ")
    assert "--port or OVERSPILL_PORT" in detail


def test_a_key_that_is_missing_is_found_and_one_that_is_there_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = (
        "upstream: openai_compatible, base_url: 'http://127.0.0.1:9/v1', accounts: [{name: a, api_key: 'env:THE_KEY'}]"
    )
    text = f"pools: {{api: {{{api}}}}}\nroutes: [{{model: m, tiers: [[api]]}}]\nserver: {{port: 0}}\n"
    monkeypatch.delenv("THE_KEY", raising=False)
    _, findings = examined(tmp_path, text)
    assert "THE_KEY" in problem(findings, "key of api")
    monkeypatch.setenv("THE_KEY", "s3cret")
    code, findings = examined(tmp_path, text)
    assert code == 0
    assert findings["key of api"]["detail"] == "found in env:THE_KEY; not tried"
    assert "s3cret" not in json.dumps(findings)


def test_a_server_that_does_not_answer_is_found(tmp_path: Path, dead_port: int) -> None:
    server = f"{{attach: vllm, url: 'http://127.0.0.1:{dead_port}'}}"
    text = f"pools: {{gpu: {server}}}\nroutes: [{{model: m, tiers: [[gpu]]}}]\nserver: {{port: 0}}\n"
    _, findings = examined(tmp_path, text)
    detail = problem(findings, "gpu/0")
    assert detail.startswith(f"vllm at 127.0.0.1:{dead_port} does not answer: ")
    assert "start it, or mend its url" in detail


def test_a_configuration_that_cannot_be_read_is_a_finding_and_no_crash(tmp_path: Path) -> None:
    _, findings = examined(tmp_path, "pool: {}")
    assert "did you mean 'pools'?" in problem(findings, "configuration")
    called = overspill("doctor", "--config", "nowhere.yaml")
    assert called.code == 1
    assert "No such file" in called.out


def test_a_configuration_without_routes_is_told_what_to_do(tmp_path: Path) -> None:
    _, findings = examined(tmp_path, "server: {port: 0}")
    assert "no model can be served; install the built-in engine" in problem(findings, "routes")


def test_a_ledger_is_looked_at_and_may_be_switched_off(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    text = POOL + f"ledger: {{path: '{place}'}}\n"
    LedgerStore.open(place).close()
    _, findings = examined(tmp_path, text)
    assert findings["ledger"] == {"what": "ledger", "is_fine": True, "detail": str(place)}
    place.write_bytes(b"no database, but long enough to be taken for one" * 20)
    _, findings = examined(tmp_path, text)
    assert "file is not a database" in problem(findings, "ledger")
    _, findings = examined(tmp_path, POOL + "ledger: {enabled: false}\n")
    assert findings["ledger"]["detail"] == "switched off: nothing will be remembered"


def test_keys_of_a_file_are_counted_and_what_is_wrong_with_it_is_told(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    text = POOL.replace("port: 0", f"port: 0, keys_file: {keys}")
    assert "make one with 'overspill keys create NAME'" in problem(examined(tmp_path, text)[1], "clients' keys")
    assert overspill("keys", "create", "alice", "--path", str(keys)).code == 0
    assert examined(tmp_path, text)[1]["clients' keys"]["detail"] == f"1 of 1 in {keys} are valid"
    keys.chmod(0o666)
    assert f"chmod 600 {keys}" in problem(examined(tmp_path, text)[1], "clients' keys")
    keys.write_text("{")
    assert "no file of keys" in problem(examined(tmp_path, text)[1], "clients' keys")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")
def test_a_certificate_is_told_with_its_end(tmp_path: Path) -> None:
    files = make(tmp_path / "tls", days=30)
    text = POOL.replace("port: 0", f"port: 0, tls_cert: {files.cert}, tls_key: {files.key}")
    assert "expires in 30 days (" in examined(tmp_path, text)[1]["certificate"]["detail"]
    make(tmp_path / "tls", days=3)
    assert "expires in 3 days" in problem(examined(tmp_path, text)[1], "certificate")
    Path(files.key).write_text("")
    assert "has no private key in PEM form" in problem(examined(tmp_path, text)[1], "certificate")
