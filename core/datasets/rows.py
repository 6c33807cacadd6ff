"""Rows of a JSON Lines file or of one JSON list, with the line each stands in.

Bad rows are values here (`BadRow`), so that a check can list many of them and a reader can raise
the first.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import ErrorCode, UsageError

Layout = Literal["jsonl", "json"]
SUFFIXES = {".jsonl", ".ndjson", ".json"}
_BOM = codecs.BOM_UTF8
_BLANK = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Row:
    """One JSON value and the line it begins in (the first line is 1)."""

    line: int
    value: Any


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that could not be read."""

    line: int
    error: UsageError


def detect_layout(path: Path) -> Layout:
    """Whether a file is one JSON list: its first character opens one.

    By content, since files named .json often hold one object a line.

    Raises:
        UsageError: `data.unknown_format` for another suffix, `data.empty` for blank files.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(ErrorCode.DATA_UNKNOWN_FORMAT, path=str(path))
    with path.open("rb") as f:
        for line in f:
            if text := line.removeprefix(_BOM).strip(_BLANK):
                return "json" if text.startswith(b"[") else "jsonl"
    raise UsageError(ErrorCode.DATA_EMPTY, path=str(path))


def count_rows(path: Path, layout: Layout) -> int:
    """How many rows there are; a byte scan for JSON Lines, without decoding."""
    if layout == "json":
        return sum(1 for _ in iterate_rows(path, layout))
    with path.open("rb") as f:
        return sum(1 for line in f if line.removeprefix(_BOM).strip(_BLANK))


def iterate_rows(path: Path, layout: Layout) -> Iterator[Row | BadRow]:
    """Every row in order. A JSON list ends at its first error, JSON Lines go on behind one."""
    return _list_items(path) if layout == "json" else _lines(path)


def _lines(path: Path) -> Iterator[Row | BadRow]:
    with path.open("rb") as f:
        for number, raw in enumerate(f, start=1):
            line = raw.removeprefix(_BOM) if number == 1 else raw
            if not line.strip(_BLANK):
                continue
            try:
                yield Row(number, json.loads(line.decode("utf-8")))
            except UnicodeDecodeError as e:
                yield BadRow(number, _not_utf8(path, number, e))
            except (json.JSONDecodeError, RecursionError) as e:
                yield BadRow(number, _bad_json(path, number, e))


def _list_items(path: Path) -> Iterator[Row | BadRow]:
    data = path.read_bytes().removeprefix(_BOM)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        yield BadRow(line, _not_utf8(path, line, e))
        return
    decoder = json.JSONDecoder()
    at = _skip_blank(text, text.index("[") + 1)
    line, counted = 1, 0
    expect_item = text[at : at + 1] != "]"
    try:
        while expect_item:
            line, counted = line + text.count("\n", counted, at), at
            value, at = decoder.raw_decode(text, at)
            yield Row(line, value)
            at, expect_item = _after_item(text, at)
        if rest := text[at + 1 :].strip():
            raise json.JSONDecodeError(f"text behind the list: {rest[:20]!r}", text, at + 1)
    except json.JSONDecodeError as e:
        yield BadRow(e.lineno, _bad_json(path, e.lineno, e))
    except RecursionError as e:
        yield BadRow(line, _bad_json(path, line, e))


def _after_item(text: str, at: int) -> tuple[int, bool]:
    """Where the next item begins and whether there is one; else where the list closes."""
    at = _skip_blank(text, at)
    if text[at : at + 1] == ",":
        return _skip_blank(text, at + 1), True
    if text[at : at + 1] == "]":
        return at, False
    raise json.JSONDecodeError("Expecting ',' delimiter or ']'", text, at)


def _skip_blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _not_utf8(path: Path, line: int, cause: UnicodeDecodeError) -> UsageError:
    return UsageError(ErrorCode.DATA_NOT_UTF8, path=str(path), line=line, detail=str(cause))


def _bad_json(path: Path, line: int, cause: Exception) -> UsageError:
    detail = cause.msg if isinstance(cause, json.JSONDecodeError) else "nested too deeply"
    return UsageError(ErrorCode.DATA_BAD_JSON, path=str(path), line=line, detail=detail)
