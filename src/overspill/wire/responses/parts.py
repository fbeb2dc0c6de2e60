"""The parts of a message or of a tool's output, read into those of a chat."""

from __future__ import annotations

from typing import Any, NamedTuple

from overspill.wire.responses.fields import Fields, missing, unknown_value, unsupported, wrong_type

_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_KINDS = ("input_text", "input_image", "input_file", "input_audio", "output_text", "refusal")
_DETAILS = ("auto", "low", "high", "original")


class Content(NamedTuple):
    """What a message says."""

    parts: list[dict[str, Any]]
    """In a chat's form, refusals left out."""
    refusals: list[str]

    @property
    def texts(self) -> list[str]:
        """The texts among the parts."""
        return [part["text"] for part in self.parts if part["type"] == "text"]

    @property
    def others(self) -> list[dict[str, Any]]:
        """The parts that are no text."""
        return [part for part in self.parts if part["type"] != "text"]

    def plain(self) -> str | list[dict[str, Any]]:
        """Return the content of a chat message: one string where it is all text, which every server takes."""
        return self.parts if self.others else "\n".join(self.texts)


def read_content(item: Fields, name: str) -> Content:
    """Read a string, or an array of parts."""
    value = item.values.get(name)
    if value is None:
        raise missing(item.at(name))
    if isinstance(value, str):
        return Content([_text(value)], [])
    if not isinstance(value, list):
        raise wrong_type(item.at(name), value, "a string or an array of parts")
    content = Content([], [])
    for part in item.objects(name):
        kind = part.text("type")
        if kind == "refusal":
            content.refusals.append(part.text("refusal"))
        else:
            content.parts.append(_part(part, kind))
    return content


def _part(part: Fields, kind: str) -> dict[str, Any]:
    if kind in _TEXTS:
        return _text(part.text("text"))
    if kind == "input_image":
        return _image(part)
    if kind == "input_file":
        return _file(part)
    if kind == "input_audio":
        audio = part.object("input_audio")
        if audio is None:
            raise missing(part.at("input_audio"))
        return {"type": kind, kind: {"data": audio.text("data"), "format": audio.text("format")}}
    raise unknown_value(part.at("type"), kind, _KINDS)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(part: Fields) -> dict[str, Any]:
    if part.values.get("image_url") is None and part.values.get("file_id") is not None:
        raise unsupported(part.at("file_id"), "is a file that OpenAI keeps; send the image itself in 'image_url'.")
    image = {"url": part.text("image_url")}
    detail = part.one_of("detail", _DETAILS)
    if detail is not None and detail != "auto":
        image["detail"] = "high" if detail == "original" else detail
    return {"type": "image_url", "image_url": image}


def _file(part: Fields) -> dict[str, Any]:
    if part.values.get("file_url") is not None:
        raise unsupported(part.at("file_url"), "cannot be fetched by a chat; send the file itself in 'file_data'.")
    names = ("file_data", "file_id", "filename")
    file = {name: value for name in names if (value := part.optional_text(name)) is not None}
    if not file.keys() & {"file_data", "file_id"}:
        raise missing(part.at("file_data"))
    return {"type": "file", "file": file}
