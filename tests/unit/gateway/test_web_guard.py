"""A gateway without keys takes nothing from web pages of other sites, and everything from programs of this machine."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.support.gateways import address_of, attach, chat, config_of, fake_engine, serving, text_of, url_of
from tests.support.loops import run
from tests.support.raw_client import RawClient, ask, get

from overspill.gateway.http.request import Request
from overspill.gateway.web_guard import WebGuard

GUARD = WebGuard("127.0.0.1", ("box.lan", "fd00::7"))
HERE = (b"host", b"127.0.0.1:8788")
JSON = (b"content-type", b"application/json")


def code_of(*headers: tuple[bytes, bytes], method: str = "POST", guard: WebGuard = GUARD) -> str | None:
    answer = guard.refuse(Request(method, "/v1/chat/completions", b"", list(headers)))
    if answer is None:
        return None
    assert answer[0] == 403
    return str(msgspec.json.decode(answer[2])["error"]["code"])


@pytest.mark.parametrize(
    "host",
    [
        b"127.0.0.1",
        b"127.0.0.1:8788",
        b"127.9.9.9:1",
        b"localhost:8788",
        b"LOCALHOST",
        b"localhost.:8788",
        b"app.localhost:8788",
        b"[::1]:8788",
        b"[::1]",
        b"box.lan",
        b"BOX.lan:8788",
        b"[fd00::7]:8788",
    ],
)
def test_names_of_this_machine_and_those_allowed_are_answered(host: bytes) -> None:
    assert code_of((b"host", host), JSON) is None


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example:8788",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
        b"evillocalhost",
        b"192.168.1.4:8788",
        b"[fd00::8]:8788",
        b"[",
        b"box",
        b"",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_name_that_a_site_may_have_pointed_here_is_refused(host: bytes, method: str) -> None:
    assert code_of((b"host", host), JSON, method=method) == "host_not_allowed"


def test_the_address_it_is_bound_to_is_answered() -> None:
    guard = WebGuard("gpu.lan")
    assert code_of((b"host", b"gpu.lan:8788"), JSON, guard=guard) is None
    assert code_of((b"host", b"gpu.lan:8788"), JSON) == "host_not_allowed"


def test_a_client_too_old_for_a_host_is_no_browser() -> None:
    assert code_of(JSON) is None


@pytest.mark.parametrize(
    "origin",
    [b"https://evil.example", b"http://evil.example:8788", b"null", b"", b"HTTPS://evil.example", b"http://[fd00::8]"],
)
@pytest.mark.parametrize("kind", [JSON, (b"content-type", b"text/plain"), (b"x", b"y")])
def test_a_post_from_another_sites_page_is_refused_whatever_it_carries(
    origin: bytes, kind: tuple[bytes, bytes]
) -> None:
    assert code_of(HERE, (b"origin", origin), kind) == "cross_site_request"


@pytest.mark.parametrize(
    "origin", [b"http://localhost:3000", b"http://127.0.0.1", b"https://box.lan", b"app://notes", b"vscode-webview://a"]
)
def test_json_from_a_page_or_an_application_of_this_machine_is_taken(origin: bytes) -> None:
    assert code_of(HERE, (b"origin", origin), JSON) is None


@pytest.mark.parametrize(
    "kind",
    [b"text/plain", b"text/plain;charset=UTF-8", b"application/x-www-form-urlencoded", b"MULTIPART/form-data; b=1"],
)
@pytest.mark.parametrize("sign", [(b"origin", b"http://localhost:3000"), (b"sec-fetch-site", b"cross-site")])
def test_what_a_form_could_send_is_refused_from_any_page(kind: bytes, sign: tuple[bytes, bytes]) -> None:
    assert code_of(HERE, sign, (b"content-type", kind)) == "cross_site_request"


@pytest.mark.parametrize("sign", [(b"origin", b"http://localhost:3000"), (b"sec-fetch-site", b"cross-site")])
def test_a_body_without_a_type_counts_as_a_forms(sign: tuple[bytes, bytes]) -> None:
    assert code_of(HERE, sign) == "cross_site_request"


@pytest.mark.parametrize("kind", [b"text/plain", b"application/x-www-form-urlencoded"])
def test_a_program_that_is_no_browser_may_send_any_type(kind: bytes) -> None:
    assert code_of(HERE, (b"content-type", kind)) is None
    assert code_of(HERE, (b"content-type", kind), (b"sec-fetch-site", b"none")) is None


def test_a_page_may_be_linked_to_from_another_site() -> None:
    assert code_of(HERE, (b"origin", b"https://evil.example"), method="GET") is None


# -- on a gateway


def asking(server: dict[str, Any], *headers: tuple[str, str], key: str = "") -> tuple[int, str]:
    """Ask a gateway once and return the status and, of an error, its message."""
    sent = (*headers, *((("authorization", f"Bearer {key}"),) if key else ()))
    seen: list[tuple[int, str]] = []

    async def main() -> None:
        async with (
            fake_engine() as engine,
            serving(text_of({"local": attach(url_of(engine))}, server=server)) as gateway,
        ):
            reply = await ask(address_of(gateway), chat(max_tokens=1), headers=sent)
            assert engine.received == (reply.status == 200)
            seen.append((reply.status, "" if reply.status == 200 else reply.error["message"]))

    run(main())
    return seen[0]


def test_a_refused_page_costs_nothing_and_is_told_what_to_do() -> None:
    status, message = asking({}, ("host", "evil.example"))
    assert status == 403
    assert "not to 'evil.example'" in message
    assert "server.allowed_hosts" in message
    assert "server.api_keys" in message
    status, message = asking({}, ("origin", "https://evil.example"))
    assert status == 403
    assert "(https://evil.example)" in message


def test_more_hosts_can_be_allowed() -> None:
    server = {"allowed_hosts": ["proxy.example"]}
    assert asking(server, ("host", "proxy.example"), ("origin", "https://proxy.example")) == (200, "")


def test_a_key_is_proof_enough() -> None:
    server = {"api_keys": ["env:GATE_KEY"]}
    assert asking(server, ("host", "evil.example"), ("origin", "https://evil.example"), key="sk-gate") == (200, "")
    assert asking(server, ("host", "evil.example"))[0] == 401


def test_allowed_hosts_and_keys_follow_a_reload() -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            pools = {"local": attach(url_of(engine))}
            async with serving(text_of(pools)) as gateway:
                foreign = (("host", "proxy.example"),)
                assert (await get(address_of(gateway), "/v1/models", foreign)).status == 403
                allowed = config_of(text_of(pools, server={"allowed_hosts": ["proxy.example"]}))
                assert gateway.reload(allowed) == []
                assert (await get(address_of(gateway), "/v1/models", foreign)).status == 200

    run(main())


def test_a_head_that_was_allowed_before_a_reload_is_judged_anew_on_the_same_connection() -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            pools = {"local": attach(url_of(engine))}
            allowed = text_of(pools, server={"allowed_hosts": ["proxy.example"]})
            async with serving(allowed) as gateway, RawClient(address_of(gateway)) as client:
                for status in (200, 200, 403):
                    client.ask(chat(max_tokens=1), headers=(("host", "proxy.example"),))
                    assert (await client.reply()).status == status
                    if engine.received == 2:
                        gateway.reload(config_of(text_of(pools)))

    run(main())
