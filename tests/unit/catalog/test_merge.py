"""What a newer file of rows and a user's own changes make of the shipped catalogue."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml

from overspill.catalog.load import Catalog, parse, shipped
from overspill.catalog.merge import Change, differences, newer
from overspill.catalog.registry import check_update, load_catalog, load_rows, write_update
from overspill.errors import ConfigError

ROWS = shipped()


def folder(tmp_path: Path, *, providers: str | None = None, registry: str | None = None) -> Path:
    for name, text in (("providers.yaml", providers), ("registry.yaml", registry)):
        if text is not None:
            (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def provider(catalog: Catalog, name: str) -> Any:
    found = catalog.provider(name)
    assert found is not None
    return found


def test_without_files_the_shipped_rows_hold(tmp_path: Path) -> None:
    assert load_rows(tmp_path) == load_rows(None) == ROWS
    assert load_catalog(None).providers == Catalog(ROWS, "f").providers
    assert load_catalog(folder(tmp_path, providers="")).providers == load_catalog(None).providers


def test_a_user_changes_single_fields_of_rows_and_of_their_models(tmp_path: Path) -> None:
    text = """
providers:
  - name: deepseek
    base_url: https://proxy.example.com/deepseek
    limits: {scope: mine}
    models:
      - {id: deepseek-flash, max_concurrency: 7, price: {miss: 0.25}}
      - {id: deepseek-v4-pro, remove: true}
      - {id: deepseek-next, model: deepseek-flash}
"""
    deepseek = provider(load_catalog(folder(tmp_path, providers=text)), "deepseek")
    assert deepseek.base_url == "https://proxy.example.com/deepseek"
    assert (deepseek.limits.kind, deepseek.limits.scope) == ("concurrency", "mine")
    assert [offer.id for offer in deepseek.models] == ["deepseek-flash", "deepseek-next"]
    flash = deepseek.models[0]
    assert (flash.max_concurrency, flash.price.miss, flash.price.out) == (7, 0.25, 1.2)
    assert flash.aliases[0] == "deepseek-chat"
    assert deepseek.source.endswith(f"; changed by {tmp_path}/providers.yaml")


def test_a_user_adds_rows_and_takes_rows_away(tmp_path: Path) -> None:
    text = """
as_of: 2026-11-20
providers:
  - {name: groq, remove: true}
  - {name: nobody, remove: true}
  - {name: ours, title: Ours, base_url: https://llm.example.com/v1, key_env: OUR_KEY, models: [{id: x, model: mine}]}
models:
  - {name: mine, family: mine}
calendars:
  - {name: china, year: 2027, source: the notice, holidays: [{name: New Year, first: 2027-01-01, last: 2027-01-03}]}
"""
    catalog = load_catalog(folder(tmp_path, providers=text))
    assert catalog.provider("groq") is None
    ours = provider(catalog, "ours")
    assert (ours.as_of, ours.confidence, ours.source) == (dt.date(2026, 11, 20), "seen", f"{tmp_path}/providers.yaml")
    assert ours.is_used_unasked
    assert catalog.identify("ours", "x").model == "mine"
    tariff = catalog.tariff("deepseek", "deepseek-flash")
    assert tariff is not None
    assert (dt.date(2027, 1, 1) - dt.date(1970, 1, 1)).days in tariff.off_peak_days


def test_a_row_without_a_date_has_that_of_its_file(tmp_path: Path) -> None:
    catalog = load_catalog(folder(tmp_path, providers="models: [{name: mine}]\n"))
    mine = catalog.model("mine")
    assert mine is not None
    written = dt.datetime.fromtimestamp((tmp_path / "providers.yaml").stat().st_mtime, dt.UTC).date()
    assert mine.as_of == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "must be a mapping"),
        (
            "provider: []\n",
            r"there is no section 'provider' \(did you mean 'providers'\?\); sections: models, providers",
        ),
        ("providers: {deepseek: {}}\n", "providers must be a list"),
        ("providers: [{title: x}]\n", "row 1 has no name"),
        ("providers: [7]\n", "row 1 has no name"),
        ("calendars: [{name: china}]\n", "row 1 has no year"),
        ("providers: [{name: deepseek, prize: 1}]\n", "providers: deepseek: Object contains unknown field `prize`"),
        ("providers: [{name: deepseek, models: [{max_concurrency: 1}]}]\n", "missing required field `id`"),
        ("providers: [{name: deepseek, models: 3}]\n", "providers: deepseek: Expected `array`, got `int`"),
        ("providers: [{name: new}]\n", "providers: new: Object missing required field `title`"),
        ("providers: [{name: deepseek, tariff: moon}]\n", "tariff 'moon', which is not listed"),
        ("a: [", "it is no YAML"),
    ],
)
def test_what_is_wrong_with_a_users_file_is_said_with_file_and_row(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_catalog(folder(tmp_path, providers=text))
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "providers.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_catalog(tmp_path)


def update(**changes: Any) -> str:
    row = {
        "name": "deepseek",
        "title": "DeepSeek",
        "base_url": "https://api.deepseek.com",
        "as_of": dt.date(2027, 1, 5),
        "source": "read again",
        "confidence": "seen",
    }
    return str(yaml.safe_dump({"schema": 2, "providers": [row | changes]}))


def test_a_newer_row_replaces_the_shipped_one_and_an_older_one_does_not(tmp_path: Path) -> None:
    deepseek = provider(load_catalog(folder(tmp_path, registry=update())), "deepseek")
    assert (deepseek.source, deepseek.models) == ("read again", ())
    stale = folder(tmp_path, registry=update(as_of=dt.date(2026, 1, 1), source="old"))
    assert provider(load_catalog(stale), "deepseek").source != "old"


def test_a_users_changes_stand_over_a_newer_file(tmp_path: Path) -> None:
    own = "providers: [{name: deepseek, title: Mine}]\n"
    place = folder(tmp_path, registry=update(), providers=own)
    assert provider(load_catalog(place), "deepseek").title == "Mine"
    assert next(row for row in load_rows(place, with_overrides=False).providers if row.name == "deepseek").title == (
        "DeepSeek"
    )


def test_an_update_is_written_whole_and_nothing_is_left_of_one_that_failed(tmp_path: Path) -> None:
    place = tmp_path / "new"
    text = update().encode()
    assert check_update(text, "f").providers[0].source == "read again"
    assert write_update(place, text).read_bytes() == text
    assert [entry.name for entry in place.iterdir()] == ["registry.yaml"]
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(ConfigError, match="it cannot be written"):
        write_update(blocked / "below", text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"schema: 2\n", "it has no rows"),
        (b"\xff\xfe\x00", "it is no YAML"),
        (b"<html></html>", "cannot be read: Expected `object`"),
        (update(tariff="moon").encode(), "tariff 'moon'"),
    ],
)
def test_an_update_that_does_not_fit_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_update(text, "f")


def test_differences_are_told_row_by_row() -> None:
    after = parse(
        update(models=[{"id": "deepseek-flash", "model": "deepseek-flash", "price": {"miss": 1.0}}], key_env="K"), "f"
    )
    found = list(differences(ROWS, newer(ROWS, after)))
    assert Change("providers: deepseek", "key_env: DEEPSEEK_API_KEY → K") in found
    assert Change("providers: deepseek", "model deepseek-v4-pro: gone") in found
    assert Change("providers: deepseek", "model deepseek-flash: max_concurrency: 2500 → none") in found
    assert {change.row for change in found} == {"providers: deepseek"}
    assert list(differences(ROWS, ROWS)) == []
    assert Change("providers: deepseek", "new") in list(differences(parse("schema: 2", "f"), after))
    assert Change("providers: deepseek", "gone") in list(differences(after, parse("schema: 2", "f")))
    assert Change("providers: deepseek", "model deepseek-flash: new") in list(differences(parse(update(), "f"), after))
