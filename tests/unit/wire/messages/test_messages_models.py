from __future__ import annotations

import json
from typing import Any

import pytest

from overspill.errors import WireError
from overspill.wire.messages.models import model_body, models_body

IDS = [f"m{number}" for number in range(30)]


def page(limit: str | None = None, after: str | None = None, before: str | None = None) -> tuple[list[str], Any]:
    body = json.loads(models_body(IDS, limit=limit, after=after, before=before))
    ids = [model["id"] for model in body["data"]]
    assert (body["first_id"], body["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    return ids, body["has_more"]


def test_a_model_has_anthropics_fields() -> None:
    expected = {
        "type": "model",
        "id": "m0",
        "display_name": "m0",
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    }
    assert json.loads(model_body("m0")) == expected
    assert json.loads(models_body(["m0"], limit=None, after=None, before=None))["data"] == [expected]


def test_models_come_in_pages_forwards_and_backwards() -> None:
    assert page() == (IDS[:20], True)
    assert page(after="m19") == (IDS[20:], False)
    assert page(limit="5", after="m1") == (IDS[2:7], True)
    assert page(limit="5", before="m10") == (IDS[5:10], True)
    assert page(limit="5", before="m2") == (IDS[:2], False)
    assert page(limit="5", before="m10", after="m7") == (IDS[8:10], False)
    assert page(after="m29") == ([], False)


def test_beyond_a_model_that_is_not_there_is_nothing() -> None:
    assert page(after="gone") == ([], False)
    assert page(before="gone") == ([], False)


@pytest.mark.parametrize("limit", ["0", "x", "1001", "99999999999"])
def test_a_size_that_no_page_has_is_refused(limit: str) -> None:
    with pytest.raises(WireError, match="limit: Input should be an integer from 1 to 1000") as caught:
        page(limit)
    assert caught.value.param == "limit"
