"""``overspill keys``: a key is shown once and kept as a digest; bad options say which and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.calling import Called, one_line, overspill
from tests.unit.ledger.sample_records import a_request

from overspill.config.key_file import read_key_file
from overspill.config.key_text import digest_of, is_damaged
from overspill.ledger.store import LedgerStore


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "overspill"


def made(*arguments: str) -> str:
    called = overspill("keys", "create", *arguments)
    assert called.code == 0, called.err
    (key,) = called.out.splitlines()
    assert not is_damaged(key)
    assert key not in called.err
    return key


def listed(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(overspill("keys", "list", "--json", *arguments).out)
    return found


def test_a_key_is_printed_once_and_kept_as_a_digest(state: Path) -> None:
    called = overspill("keys", "create", "alice")
    key = called.out.strip()
    assert "first key" in called.err
    text = (state / "keys.json").read_text()
    assert key not in text
    assert digest_of(key) in text
    assert "first key" not in overspill("keys", "create", "bob").err
    for form in ((), ("--json",)):
        shown = overspill("keys", "list", *form).out
        assert key not in shown
        assert digest_of(key) not in shown
        assert key[:11] in shown


def test_a_key_has_all_that_its_options_say(state: Path) -> None:
    made(
        "alice", "--team", "research", "--weight", "2", "--model", "chat", "--model", "code-*", "--local-only",
        "--requests-per-minute", "60", "--tokens-per-minute", "9000", "--burst", "10s", "--concurrency", "4",
        "--budget-hour", "1", "--budget-day", "2.5", "--budget-month", "30", "--expires", "30d", "--note", "for Alice",
    )  # fmt: skip
    (record,) = read_key_file(state / "keys.json")
    assert (record.name, record.team, record.weight, record.models) == ("alice", "research", 2.0, ("chat", "code-*"))
    assert (record.local_only, record.note) == (True, "for Alice")
    limits, budget = record.limits, record.budget
    assert limits is not None
    assert (limits.requests_per_minute, limits.tokens_per_minute, limits.burst, limits.concurrency) == (60, 9000, 10, 4)
    assert budget is not None
    assert (budget.hour, budget.day, budget.month) == (1.0, 2.5, 30.0)
    assert record.created_at is not None
    assert record.expires_at is not None
    assert 29.9 < (record.expires_at - record.created_at).total_seconds() / 86400 < 30.1
    first, second = overspill("keys", "list").out.splitlines()
    assert "live until" in first
    assert "never used" in first
    assert second.strip() == (
        "team research; models chat, code-*; local pools only; weight 2; 60 requests per minute, "
        "9000 tokens per minute, 4 requests at once, $1 per hour, $2.5 per day, $30 per month; for Alice"
    )


def test_a_name_is_for_one_key_until_that_is_revoked() -> None:
    made("alice")
    again = overspill("keys", "create", "alice")
    assert again.code == 2
    assert "overspill keys rotate alice" in one_line(again)
    assert "revoked: alice" in overspill("keys", "revoke", "alice").out
    assert "revoked before" in overspill("keys", "revoke", "alice").out
    made("alice")
    assert [row["state"] for row in listed()] == ["revoked", "live"]


def test_a_single_key_of_several_is_revoked_by_how_it_begins_or_in_full() -> None:
    old = made("alice")
    new = overspill("keys", "rotate", "alice", "--grace", "1h").out.strip()
    assert new != old
    assert [row["state"] for row in listed()] == ["live", "live"]
    assert overspill("keys", "revoke", old[:11]).code == 0
    assert [row["state"] for row in listed()] == ["revoked", "live"]
    assert overspill("keys", "revoke", new).code == 0
    assert [row["state"] for row in listed()] == ["revoked", "revoked"]
    unknown = overspill("keys", "revoke", "sk-ovs-abcdefghij")
    assert "'sk-ovs-abcd'" in one_line(unknown)


def test_a_rotated_key_may_what_the_old_one_might(state: Path) -> None:
    made("alice", "--team", "research", "--expires", "2d")
    new = overspill("keys", "rotate", "alice", "--json")
    old, fresh = read_key_file(state / "keys.json")
    assert old.revoked_at is not None
    assert (fresh.team, fresh.expires_at) == ("research", old.expires_at)
    assert fresh.key == f"sha256:{digest_of(json.loads(new.out)['key'])}"
    overspill("keys", "rotate", "alice", "--grace", "7d", "--expires", "9d")
    _, middle, last = read_key_file(state / "keys.json")
    assert middle.expires_at == old.expires_at  # a grace makes nothing last longer
    assert middle.expires_at is not None
    assert last.expires_at is not None
    assert last.expires_at > middle.expires_at


def test_what_is_not_there_cannot_be_revoked_or_rotated() -> None:
    made("alice")
    for command in ("revoke", "rotate"):
        called = overspill("keys", command, "alicia")
        assert called.code == 2
        assert "there is no key 'alicia' (did you mean 'alice'?); keys: alice" in one_line(called)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a b",), "NAME: 'a b' is no name for a key"),
        (("key-3",), "'key-3' is what a key without a name is called"),
        (("a", "--burst", "soon", "--concurrency", "1"), "--burst: 'soon' is not a duration"),
        (("a", "--burst", "5s"), "add --requests-per-minute"),
        (("a", "--team", ""), "--team:"),
        (("a", "--model", ""), "--models:"),
        (("a", "--weight", "0"), "'--weight'"),
        (("a", "--requests-per-minute", "0"), "'--requests-per-minute'"),
        (("a", "--budget-day", "-1"), "'--budget-day'"),
        (("a", "--expires", "soon"), "'--expires': 'soon' is neither a duration"),
        (("a", "--expires", "2020-01-01"), "is not in the future"),
        (("a", "--note", "x" * 1001), "--note:"),
        ((), "Missing argument 'NAME'"),
    ],
)
def test_an_option_that_cannot_be_says_which_and_makes_nothing(
    arguments: tuple[str, ...], said: str, state: Path
) -> None:
    called = overspill("keys", "create", *arguments)
    assert called.code == 2
    assert said in called.err
    assert called.out == ""
    assert not (state / "keys.json").exists()


def test_a_grace_that_is_no_duration_says_so() -> None:
    made("alice")
    assert "is not a duration" in overspill("keys", "rotate", "alice", "--grace", "soon").err


CONFIG = """
server:
  keys_file: {file}
  api_keys: [{{key: "env:BOB", name: bob}}]
pools: {{local: {{engine: fake}}}}
routes: [{{model: chat, tiers: [[local]]}}]
ledger: {{enabled: false}}
"""


def with_config(tmp_path: Path, *arguments: str) -> Called:
    path = tmp_path / "overspill.yaml"
    path.write_text(CONFIG.format(file=tmp_path / "own.json"))
    return overspill("keys", *arguments, "--config", str(path))


def test_a_configuration_says_where_the_file_is_and_what_names_there_are(tmp_path: Path, state: Path) -> None:
    assert with_config(tmp_path, "create", "alice", "--model", "chat").code == 0
    assert not (state / "keys.json").exists()
    assert "did you mean 'chat'" in with_config(tmp_path, "create", "carol", "--model", "chatt").err
    assert "a key 'bob' of its own" in with_config(tmp_path, "create", "bob").err
    assert "alice" in with_config(tmp_path, "list").out
    assert [row["name"] for row in listed("--path", str(tmp_path / "own.json"))] == ["alice"]


def test_the_list_says_when_a_key_was_last_used(state: Path) -> None:
    made("alice")
    made("bob")
    state.mkdir(exist_ok=True)
    store = LedgerStore.open(state / "ledger.db")
    store.write([a_request(0, key_id="alice", cost_usd=0.5), a_request(3, key_id="alice", cost_usd=None)], [])
    store.close()
    alice, bob = listed()
    assert (alice["requests"], alice["cost_usd"], alice["last_used_at"]) == (2, 0.5, "1970-01-01T00:16:43Z")
    assert (bob["requests"], bob["last_used_at"]) == (0, None)
    assert "last used 1970-01-01 00:16, 2 requests, $0.50" in overspill("keys", "list").out
    missing = overspill("keys", "list", "--ledger", str(state / "none.db"))
    assert missing.code == 3
    assert "there is no ledger" in missing.err


def test_an_empty_list_says_how_to_make_a_key() -> None:
    assert "overspill keys create NAME" in overspill("keys", "list").out
    assert listed() == []
