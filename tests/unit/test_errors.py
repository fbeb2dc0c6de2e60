from __future__ import annotations

import inspect

import pytest

from overspill import errors
from overspill.errors import (
    ConfigError,
    EngineError,
    EngineMissing,
    ModelUnusable,
    OverspillError,
    UnknownName,
    WireError,
    did_you_mean,
)


def test_every_exception_is_in_the_tree_that_the_docstring_draws() -> None:
    found = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    drawn = {word for line in (errors.__doc__ or "").splitlines() for word in line.split()} & found
    assert drawn == found
    assert all(issubclass(getattr(errors, name), OverspillError) for name in found)


def test_an_engine_that_is_missing_and_a_model_that_is_damaged_are_engine_errors() -> None:
    assert issubclass(EngineMissing, EngineError)
    assert issubclass(ModelUnusable, EngineError)


@pytest.mark.parametrize(
    ("file", "line", "text"),
    [("a.yaml", 3, "a.yaml:3: wrong"), ("a.yaml", None, "a.yaml: wrong"), (None, 3, "wrong"), (None, None, "wrong")],
)
def test_a_configuration_error_says_where(file: str | None, line: int | None, text: str) -> None:
    error = ConfigError("wrong", file=file, line=line)
    assert (str(error), error.file, error.line) == (text, file, line)


def test_a_wire_error_carries_what_its_answer_needs() -> None:
    error = WireError("no such model", status=404, code="model_not_found", param="model")
    assert (error.message, error.status, error.code, error.param, error.kind) == (
        "no such model",
        404,
        "model_not_found",
        "model",
        "invalid_request_error",
    )
    assert WireError("wrong").status == 400


def test_an_unknown_name_lists_the_right_ones_in_order_and_the_nearest() -> None:
    error = UnknownName("engine", "lamacpp", ["vllm", "llamacpp", "fake"])
    assert str(error) == "unknown engine 'lamacpp' (did you mean 'llamacpp'?); known: fake, llamacpp, vllm"


def test_an_unknown_name_of_an_empty_registry_says_that_there_is_none() -> None:
    assert str(UnknownName("engine", "x", iter(()))) == "unknown engine 'x'; known: none"


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert did_you_mean("zebra", ["serve", "doctor"]) == ""
    assert did_you_mean("sevre", ["serve", "doctor"]) == " (did you mean 'serve'?)"
