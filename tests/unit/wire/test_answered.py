from __future__ import annotations

import pytest

from overspill.wire.answered import answered_model


@pytest.mark.parametrize(
    ("data", "model"),
    [
        (b'{"id":"x","model":"deepseek-v4.1-flash","choices":[]}', "deepseek-v4.1-flash"),
        (b'{"type":"message_start","message":{"model":"claude-x","content":[]}}', "claude-x"),
        (b'{"type":"response.created","response":{"model":"gpt-x"}}', "gpt-x"),
        (b'{"model":"' + b"m" * 999 + b'"}', "m" * 256),
        (b'{"choices":[]}', None),
        (b'{"choices":[{"delta":{"content":"\\"model\\""}}]}', None),
        (b'{"model":null}', None),
        (b'{"model":7}', None),
        (b'{"model":""}', None),
        (b'{"model":"x"', None),
        (b'"model"', None),
        (b'{"model":"\xff"}', None),
        (b"", None),
    ],
)
def test_the_model_of_an_answer_is_read_where_each_surface_has_it(data: bytes, model: str | None) -> None:
    assert answered_model(data) == model
