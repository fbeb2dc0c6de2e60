"""Reads what the code says of itself: comments beside enum members, and docstrings below fields."""

from __future__ import annotations

import ast
import enum
import inspect
import io
import textwrap
import tokenize

_WIDTH = 120


def member_comments(kind: type[enum.Enum]) -> dict[str, str]:
    """Return value → the comment at the end of its line; empty where there is none."""
    found = {str(member.value): "" for member in kind}
    value = ""
    lines = io.StringIO(textwrap.dedent(inspect.getsource(kind))).readline
    for token in tokenize.generate_tokens(lines):
        if token.type == tokenize.STRING:
            value = str(ast.literal_eval(token.string))
        elif token.type == tokenize.COMMENT and value in found:
            found[value] = token.string.removeprefix("#").strip()
        elif token.type == tokenize.NEWLINE:
            value = ""
    return found


def field_docs(kind: type) -> dict[str, str]:
    """Return field → the first line of the docstring below it; empty where there is none."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    name = ""
    for statement in body.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=field)):
                name = field
                found[name] = ""
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                found[name] = text.strip().splitlines()[0]
                name = ""
            case _:
                name = ""
    return found


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Write a Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


def page(title: str, *parts: str | list[str]) -> str:
    """Put a page together from paragraphs and lines."""
    lines = [f"# {title}", "", "<!-- Generated: do not edit, it is overwritten (make regenerate). -->", ""]
    for part in parts:
        lines += [_wrapped(part.strip()), ""] if isinstance(part, str) else [*part, ""]
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    """Break the lines of a paragraph that are too long."""
    lines = text.splitlines()
    if all(len(line) <= _WIDTH for line in lines):
        return text
    return "\n".join(textwrap.fill(line, _WIDTH, break_long_words=False, break_on_hyphens=False) for line in lines)
