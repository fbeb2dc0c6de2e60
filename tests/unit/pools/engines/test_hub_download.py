from __future__ import annotations

import fcntl
import hashlib
from pathlib import Path

import pytest
from tests.support.fake_hub import TOKEN, FakeHub, running_hub

from overspill.errors import ModelUnusable
from overspill.pools.engines.model_source import resolve

CONTENT = b"GGUF" + bytes(range(256)) * 10_000
FILES = {"/me/repo/resolve/main/m.gguf": CONTENT}
NAME = "hf:me/repo:m.gguf"


def fetch(hub: FakeHub, cache: Path, name: str = NAME, **environ: str) -> Path:
    return resolve(name, cache, environ={"HF_ENDPOINT": hub.hub_url, **environ})


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*.part"))


def test_a_file_is_fetched_once_and_then_found(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    with running_hub(FakeHub(files=FILES)) as hub:
        path = resolve(NAME, tmp_path, environ={"HF_ENDPOINT": hub.hub_url}, progress=lambda *step: seen.append(step))
        requests = len(hub.seen)
        assert fetch(hub, tmp_path) == path
        assert len(hub.seen) == requests
    assert path == tmp_path / "hf/me/repo/main/m.gguf"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("m.gguf", len(CONTENT), len(CONTENT))
    assert leftovers(tmp_path) == []


def test_a_broken_download_is_resumed_where_it_broke(tmp_path: Path) -> None:
    with running_hub(FakeHub(files=FILES, cuts=[1_000_000, 2_000_000])) as hub:
        assert fetch(hub, tmp_path).read_bytes() == CONTENT
        ranges = [asked for host, _, _, _, asked in hub.seen if host == "store"]
    assert ranges == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_download_that_keeps_breaking_is_given_up_and_resumed_by_the_next_start(tmp_path: Path) -> None:
    with running_hub(FakeHub(files=FILES, cuts=[100] * 5)) as hub:
        with pytest.raises(ModelUnusable, match=r"broke off 5 times .*start again to resume it"):
            fetch(hub, tmp_path)
        assert len(leftovers(tmp_path)) == 1
        assert fetch(hub, tmp_path).read_bytes() == CONTENT
        assert hub.seen[-1][4] == "bytes=100-"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    "hub", [FakeHub(ignores_ranges=True), FakeHub(refuses_ranges=True)], ids=["ignored", "refused"]
)
def test_a_server_that_cannot_resume_sends_it_all_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.files, hub.cuts = FILES, [1000]
    with running_hub(hub):
        assert fetch(hub, tmp_path).read_bytes() == CONTENT


def test_a_damaged_file_is_thrown_away(tmp_path: Path) -> None:
    damaged = rf"arrived damaged .*{hashlib.sha256(CONTENT).hexdigest()}"
    with running_hub(FakeHub(files=FILES, wrong_digest=True)) as hub, pytest.raises(ModelUnusable, match=damaged):
        fetch(hub, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_half_file_of_another_version_is_not_continued(tmp_path: Path) -> None:
    newer = b"GGUF" + CONTENT[::-1]
    with running_hub(FakeHub(files=FILES, cuts=[1000] * 5)) as hub:
        with pytest.raises(ModelUnusable):
            fetch(hub, tmp_path)
        hub.files = dict.fromkeys(FILES, newer)
        assert fetch(hub, tmp_path).read_bytes() == newer
        assert hub.seen[-1][4] is None


def test_the_token_reaches_the_hub_and_no_other_host(tmp_path: Path) -> None:
    with running_hub(FakeHub(files=FILES, is_gated=True)) as hub:
        fetch(hub, tmp_path, HF_TOKEN=TOKEN)
        tokens = {(host, token) for host, _, _, token, _ in hub.seen}
    assert tokens == {("hub", f"Bearer {TOKEN}"), ("store", None)}


def test_a_gated_file_says_how_to_get_in(tmp_path: Path) -> None:
    with running_hub(FakeHub(files=FILES, is_gated=True)) as hub:
        with pytest.raises(ModelUnusable, match=r"private, gated or does not exist \(HTTP 401\).*set HF_TOKEN"):
            fetch(hub, tmp_path)
        with pytest.raises(ModelUnusable, match="ask for access on its page"):
            fetch(hub, tmp_path, HF_TOKEN="wrong")


def test_a_file_that_does_not_exist_is_said_to_be_so(tmp_path: Path) -> None:
    with running_hub(FakeHub()) as hub, pytest.raises(ModelUnusable, match="does not exist on the hub"):
        fetch(hub, tmp_path)


def test_a_small_file_without_a_digest_is_checked_by_its_length(tmp_path: Path) -> None:
    with running_hub(FakeHub(files=FILES, plain=True, cuts=[10])) as hub:
        assert fetch(hub, tmp_path).read_bytes() == CONTENT


def test_offline_uses_the_cache_and_asks_nobody(tmp_path: Path) -> None:
    with running_hub(FakeHub(files=FILES)) as hub:
        with pytest.raises(ModelUnusable, match="HF_HUB_OFFLINE is set"):
            fetch(hub, tmp_path, HF_HUB_OFFLINE="1")
        assert hub.seen == []
        path = fetch(hub, tmp_path)
        assert fetch(hub, tmp_path, HF_HUB_OFFLINE="true") == path


def test_an_unreachable_hub_is_named(tmp_path: Path) -> None:
    with running_hub(FakeHub()) as hub:
        pass
    with pytest.raises(ModelUnusable, match=r"cannot be fetched from http://127.0.0.1:\d+: .*set HF_ENDPOINT"):
        fetch(hub, tmp_path)


def test_an_endpoint_that_is_no_web_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="is no web address"):
        resolve(NAME, tmp_path, environ={"HF_ENDPOINT": "file:///etc"})


def test_two_processes_do_not_write_the_same_file(tmp_path: Path) -> None:
    with running_hub(FakeHub(files=FILES, cuts=[100] * 5)) as hub:
        with pytest.raises(ModelUnusable):
            fetch(hub, tmp_path)
        with next(tmp_path.rglob("*.part")).open("ab") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(ModelUnusable, match="is being fetched by another process"):
                fetch(hub, tmp_path)


def test_all_parts_of_a_split_model_are_fetched(tmp_path: Path) -> None:
    parts = {f"/me/repo/resolve/main/q/m-0000{n}-of-00002.gguf": b"GGUF%d" % n for n in (1, 2)}
    with running_hub(FakeHub(files=parts)) as hub:
        path = fetch(hub, tmp_path, "hf:me/repo:q/m-00001-of-00002.gguf")
    assert path.name == "m-00001-of-00002.gguf"
    assert path.with_name("m-00002-of-00002.gguf").read_bytes() == b"GGUF2"


def test_a_renamed_repository_is_followed_with_the_token(tmp_path: Path) -> None:
    moved = {"/me/old/resolve/main/m.gguf": "/me/repo/resolve/main/m.gguf"}
    with running_hub(FakeHub(files=FILES, moved=moved, is_gated=True)) as hub:
        assert fetch(hub, tmp_path, "hf:me/old:m.gguf", HF_TOKEN=TOKEN).read_bytes() == CONTENT
        assert {token for host, _, _, token, _ in hub.seen if host == "store"} == {None}


def test_a_file_that_does_not_fit_the_disk_is_not_begun(tmp_path: Path) -> None:
    with running_hub(FakeHub(files=FILES, claimed_size=10**18)) as hub:
        with pytest.raises(ModelUnusable, match=r"needs .* more in .*; free some space or choose another"):
            fetch(hub, tmp_path)
        assert [host for host, *_ in hub.seen] == ["hub"]
