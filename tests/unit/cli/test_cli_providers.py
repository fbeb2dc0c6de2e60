"""``overspill providers``: what is known, what a provider says of it, newer rows; against a real loopback server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.loopback import Answer, Loopback, answering
from tests.unit.cli.calling import Called, one_line, overspill

from overspill.catalog.load import load

KEY = "sk-0123456789abcdef0123456789"
LIST = {"object": "list", "data": [{"id": "deepseek-flash"}, {"id": "deepseek-v4-pro"}, {"id": "text-x"}]}


def answer(value: object, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No provider's key is in the environment, and the folder of configurations is an empty one."""
    for provider in load().providers:
        if provider.key_env is not None:
            monkeypatch.delenv(provider.key_env, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    place = tmp_path / "overspill"
    place.mkdir()
    return place


@pytest.fixture
def server() -> Iterator[Loopback]:
    answers = {
        "/v1/models": answer(LIST),
        "/bare/models": answer(LIST["data"]),
        "/renamed/models": answer({"data": [{"id": "DeepSeek-V4.1-Flash-Q8_0"}, {"id": "deepseek-r1:7b"}]}),
        "/html/models": Answer(b"<html>hello</html>"),
        "/odd/models": answer({"data": 7}),
        "/key/models": answer(
            {"error": {"message": f"bad key {KEY}, or {KEY[:9]}***", "code": "invalid_api_key"}}, 401
        ),
        "/money/models": answer({"error": {"message": "Insufficient Balance"}}, 402),
        "/busy/models": answer({"error": {"message": "busy"}}, 503),
        "/teapot/models": answer({"error": {"message": "short and stout"}}, 418),
        "/moved/models": Answer(b"", 301, {"location": "https://elsewhere.example.com/models"}),
        "/rows.yaml": Answer(update().encode()),
        "/gone.yaml": Answer(b"gone", 410),
    }
    with answering(answers) as found:
        yield found


def change(folder: Path, **fields: Any) -> None:
    rows = {"providers": [{"name": "deepseek", **fields}]}
    (folder / "providers.yaml").write_text(yaml.safe_dump(rows), encoding="utf-8")


def update(**fields: Any) -> str:
    (row,) = [row for row in load().providers if row.name == "deepseek"]
    plain = {
        "name": "deepseek",
        "title": row.title,
        "base_url": row.base_url,
        "adapter": "deepseek",
        "key_env": row.key_env,
        "as_of": "2027-02-01",
        "source": "read again",
        "confidence": "seen",
        "models": [{"id": "deepseek-flash", "model": "deepseek-v4.1-flash", "price": {"miss": 0.5, "out": 2.0}}],
    }
    text = str(yaml.safe_dump({"schema": 2, "providers": [plain | fields]}))
    return text.replace("'2027-02-01'", "2027-02-01")


def findings(called: Called) -> list[dict[str, Any]]:
    assert called.err == ""
    assert KEY not in called.out
    found: list[dict[str, Any]] = json.loads(called.out)
    assert called.code == (0 if all(checked["is_fine"] for checked in found) else 1)
    return found


# -- list


def test_the_list_shows_prices_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    peak = overspill("providers", "list", "deepseek", "--at", "2026-11-27T10:00:00+08:00")
    night = overspill("providers", "list", "deepseek", "--at", "2026-11-27T20:00:00+08:00")
    assert (peak.code, peak.err) == (0, "")
    flash = next(line for line in peak.out.splitlines() if "deepseek-flash" in line)
    assert flash.split() == "deepseek found deepseek-flash 0.3 1.2 0.006 peak 2026-11-23 seen".split()  # noqa: SIM905 - a line
    flash = next(line for line in night.out.splitlines() if "deepseek-flash" in line)
    assert flash.split() == [
        "deepseek",
        "found",
        "deepseek-flash",
        "0.15",
        "0.6",
        "0.003",
        "off-peak",
        "2026-11-23",
        "seen",
    ]
    assert KEY not in peak.out


def test_the_list_as_json_has_every_provider_its_source_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    called = overspill("providers", "list", "--json", "--at", "2026-11-28")
    rows = json.loads(called.out)
    assert KEY not in called.out
    assert {row["provider"] for row in rows} == {provider.name for provider in load().providers}
    assert all(row["source"] and row["as_of"] for row in rows)
    flash = next(row for row in rows if row["model_id"] == "deepseek-flash")
    assert (flash["has_key"], flash["rate"], flash["input_usd_per_mtok"]) == (True, "off_peak", 0.15)
    assert flash["peak_input_usd_per_mtok"] == 0.30
    (groq,) = [row for row in rows if row["provider"] == "groq"]
    assert (groq["model_id"], groq["input_usd_per_mtok"]) == (None, None)


def test_the_list_follows_a_users_own_rows(folder: Path) -> None:
    change(folder, models=[{"id": "deepseek-flash", "off_peak": {"miss": 0.11}}])
    called = overspill("providers", "list", "deepseek", "--json", "--at", "2026-11-28T10:00:00+08:00")
    assert json.loads(called.out)[0]["input_usd_per_mtok"] == 0.11


def test_a_wrong_name_a_wrong_time_and_a_wrong_file_are_said(folder: Path) -> None:
    assert "did you mean 'deepseek'" in one_line(overspill("providers", "list", "depseek"))
    called = overspill("providers", "list", "--at", "noon")
    assert called.code == 2
    assert "'noon' is not a time" in called.err
    change(folder, prize=1)
    assert "providers: deepseek: Object contains unknown field `prize`" in one_line(overspill("providers", "list"))


# -- check


def test_a_provider_that_still_has_its_models_is_fine(
    server: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    change(folder, base_url=f"{server.url}/v1")
    (checked,) = findings(overspill("providers", "check", "--json"))  # the only one whose key is there
    assert (checked["provider"], checked["listed"], checked["key"]) == ("deepseek", 3, "DEEPSEEK_API_KEY")
    assert (checked["gone"], checked["renamed"], checked["new"]) == ([], {}, [])
    path, headers = server.seen[0]
    assert (path, headers["authorization"]) == ("/v1/models", f"Bearer {KEY}")


def test_what_is_gone_renamed_and_new_is_told(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    (checked,) = findings(overspill("providers", "check", "deepseek", "--base-url", f"{server.url}/renamed", "--json"))
    assert checked["gone"] == ["deepseek-v4-pro"]
    assert checked["renamed"] == {"deepseek-flash": "DeepSeek-V4.1-Flash-Q8_0"}
    assert checked["new"] == ["deepseek-r1:7b"]
    called = overspill("providers", "check", "deepseek", "--base-url", f"{server.url}/renamed")
    assert called.code == 1
    for line in (
        "deepseek-flash is called DeepSeek-V4.1-Flash-Q8_0 now",
        "deepseek-v4-pro is gone",
        "deepseek-r1:7b is new",
    ):
        assert line in called.out


def test_several_addresses_are_asked(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    urls = [f"{server.url}/{path}" for path in ("v1", "bare", "html", "odd")]
    options = [part for url in urls for part in ("--base-url", url)]
    found = findings(overspill("providers", "check", "deepseek", *options, "--json"))
    assert [checked["url"] for checked in found] == urls
    assert [checked["is_fine"] for checked in found] == [True, True, False, False]
    assert "is no list of models; is the address right?" in found[2]["detail"]


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("key", "it refuses the key (HTTP 401: bad key …"),
        ("money", "the account has no money (HTTP 402: Insufficient Balance)"),
        ("busy", "it is overloaded; try again later (HTTP 503: busy)"),
        ("nowhere", "it has no list of models at this address (HTTP 404: no such path)"),
        ("teapot", "it answers with an error (HTTP 418: short and stout)"),
        ("moved", "it redirects to https://elsewhere.example.com/models; use that address"),
    ],
)
def test_an_error_is_said_in_words_and_without_the_key(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, path: str, detail: str
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    (checked,) = findings(overspill("providers", "check", "deepseek", "--base-url", f"{server.url}/{path}", "--json"))
    assert checked["detail"].startswith(detail)
    assert KEY[:9] not in checked["detail"]


def test_a_server_that_is_not_there_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    (checked,) = findings(overspill("providers", "check", "deepseek", "--base-url", url, "--json"))
    assert checked["detail"].startswith("cannot connect to http://127.0.0.1")


def test_the_key_goes_in_the_header_that_the_provider_reads(
    server: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    change(folder, base_url=f"{server.url}/v1", auth="x-api-key", headers={"Anthropic-Version": "2023-06-01"})
    findings(overspill("providers", "check", "deepseek", "--json"))
    _, headers = server.seen[0]
    assert (headers["x-api-key"], headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert "authorization" not in headers


def test_what_cannot_be_asked_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no provider's key is in the environment" in one_line(overspill("providers", "check"))
    found = findings(overspill("providers", "check", "deepseek", "tencent_tokenhub", "azure_foundry", "--json"))
    assert [checked["detail"] for checked in found[:2]] == [
        "no key: set DEEPSEEK_API_KEY",
        "no key: use --config FILE",
    ]
    assert "add --set resource=… to fill {resource}" in found[2]["detail"]
    (checked,) = findings(overspill("providers", "check", "azure_foundry", "--set", "resource=x", "--json"))
    assert checked["url"] == "https://x.services.ai.azure.com/openai/v1"
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
    (checked,) = findings(overspill("providers", "check", "aws_bedrock", "--set", "region=us-east-1", "--json"))
    assert checked["detail"] == "it has no list of models to compare with"
    (checked,) = findings(overspill("providers", "check", "aws_bedrock", "--base-url", "mantel", "--json"))
    assert "'mantel' must begin with http:// or https:// (did you mean 'mantle'?)" in checked["detail"]
    assert overspill("providers", "check", "--set", "region=x").code == 2
    assert overspill("providers", "check", "aws_bedrock", "--set", "region").code == 2


def test_the_pools_of_a_configuration_are_asked_with_their_own_keys(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_KEY", KEY)
    (tmp_path / "key").write_text(f"{KEY}\n")
    accounts = [{"name": "a", "api_key": "env:OTHER_KEY"}, {"name": "b", "api_key": f"file:{tmp_path}/key"}]
    accounts.append({"name": "c", "api_key": "env:NOT_SET"})
    pools = {
        "ds": {"upstream": "deepseek", "base_url": f"{server.url}/v1", "accounts": accounts},
        "plain": {"upstream": "openrouter", "base_url": f"{server.url}/v1"},
        "gpu": {"engine": "fake"},
    }
    path = tmp_path / "o.yaml"
    path.write_text(json.dumps({"pools": pools, "routes": [{"model": "m", "tiers": [["gpu"]]}]}))
    found = findings(overspill("providers", "check", "--config", str(path), "--json"))
    assert [(checked["provider"], checked["key"], checked["is_fine"]) for checked in found] == [
        ("deepseek", "env:OTHER_KEY", True),
        ("deepseek", f"file:{tmp_path}/key", True),
        ("deepseek", "env:NOT_SET", False),
        ("openrouter", "OPENROUTER_API_KEY", False),
    ]
    only = findings(overspill("providers", "check", "openrouter", "--config", str(path), "--json"))
    assert len(only) == 1
    assert "did you mean 'openrouter'" in one_line(overspill("providers", "check", "openruter", "-c", str(path)))


# -- update


def test_newer_rows_are_shown_then_taken(tmp_path: Path, folder: Path) -> None:
    source = tmp_path / "rows.yaml"
    source.write_text(update())
    dry = overspill("providers", "update", str(source), "--dry-run")
    assert dry.code == 0
    assert "providers: deepseek: model deepseek-v4-pro: gone" in dry.out
    assert "nothing was written" in dry.out
    assert not (folder / "registry.yaml").exists()
    done = overspill("providers", "update", str(source), "--trust-addresses")
    assert (done.code, done.err) == (0, "")
    assert (folder / "registry.yaml").read_text() == update()
    rows = json.loads(overspill("providers", "list", "deepseek", "--json").out)
    assert [(row["model_id"], row["input_usd_per_mtok"], row["as_of"]) for row in rows] == [
        ("deepseek-flash", 0.5, "2027-02-01")
    ]
    again = overspill("providers", "update", str(source))
    assert "has nothing that is newer" in again.out


def test_rows_come_from_an_address_too(server: Loopback, folder: Path) -> None:
    assert overspill("providers", "update", f"{server.url}/rows.yaml", "--trust-addresses").code == 0
    assert (folder / "registry.yaml").read_text() == update()
    assert "HTTP 410" in one_line(overspill("providers", "update", f"{server.url}/gone.yaml"))


def test_rows_that_would_send_keys_elsewhere_need_a_word_of_their_own(tmp_path: Path, folder: Path) -> None:
    source = tmp_path / "rows.yaml"
    (shipped,) = [row for row in load().providers if row.name == "deepseek"]
    same = {"other_urls": dict(shipped.other_urls), "auth": shipped.auth}
    source.write_text(update(base_url="https://thief.example.com", **same))
    called = overspill("providers", "update", str(source))
    assert called.code == 2
    assert "base_url: https://api.deepseek.com → https://thief.example.com" in called.err
    assert not (folder / "registry.yaml").exists()
    source.write_text(update(name="thief"))
    assert (
        "it changes to whom keys are sent (providers: thief: new)" in overspill("providers", "update", str(source)).err
    )
    source.write_text(update(name="harmless", key_env=None))
    assert overspill("providers", "update", str(source)).code == 0


def test_rows_that_do_not_fit_change_nothing(tmp_path: Path, folder: Path) -> None:
    source = tmp_path / "rows.yaml"
    source.write_text("schema: 2\nproviders: [{name: x}]\n")
    assert "providers: x: Object missing required field" in one_line(overspill("providers", "update", str(source)))
    assert "cannot be read: No such file" in one_line(overspill("providers", "update", str(tmp_path / "none.yaml")))
    assert "use https://" in one_line(overspill("providers", "update", "http://rows.example.com/a.yaml"))
    assert "must begin with" in one_line(overspill("providers", "update", "ftp://rows.example.com/a.yaml"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    assert "cannot connect" in one_line(overspill("providers", "update", f"http://127.0.0.1:{port}/a.yaml"))
    assert list(folder.iterdir()) == []
