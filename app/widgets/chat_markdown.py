"""A model's Markdown cut into pieces that are drawn apart: prose and blocks of code. No Qt."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"^(?P<indent> {0,3})(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`]*)$")
_LONG = 1500
"""Characters of prose after which a new piece may begin: only the last one is parsed again."""
_STARTS_NEW = re.compile(r"[^\s\-*+>|\d#`~]|#{1,6} ")
_TABLE_ROW = re.compile(r"^\s*\|")
_MATH = re.compile(r"\\([\[\]()])")
_INLINE_CODE = re.compile(r"(`+)(?:(?!\1).)+\1", re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]]*)\]")


@dataclass(frozen=True)
class Piece:
    """Prose as Markdown, or code with its language."""

    text: str
    code: bool = False
    language: str = ""


def pieces_of(text: str) -> list[Piece]:
    """Cut at fences, also at one that is still open; long prose is cut where a paragraph ends."""
    found: list[Piece] = []
    lines: list[str] = []
    fence, language = "", ""
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if not fence and match:
            _add(found, lines)
            fence, language = match["fence"], match["info"].strip()
            lines = []
        elif fence and _closes(line, fence):
            found.append(Piece("\n".join(lines), True, language.split(" ")[0]))
            fence, lines = "", []
        elif not fence and _may_cut(lines, line):
            _add(found, lines)
            lines = [line]
        else:
            lines.append(line)
    if fence:
        found.append(Piece("\n".join(lines), True, language.split(" ")[0]))
    else:
        _add(found, lines)
    return found


def prose_source(text: str) -> str:
    """What Qt's Markdown is given: the line breaks that the model wrote stay, formulas keep their
    backslashes, an image becomes a link to itself that nothing loads.
    """
    parts, last = [], 0
    for code in _INLINE_CODE.finditer(text):
        parts += [_plain(text[last : code.start()]), code.group()]
        last = code.end()
    whole = "".join([*parts, _plain(text[last:])])
    return "\n".join(
        line if _TABLE_ROW.match(line) else _broken(line) for line in whole.split("\n")
    )


def _plain(text: str) -> str:
    return _IMAGE.sub(r"[\1]", _MATH.sub(r"\\\\\1", text))


def _broken(line: str) -> str:
    return f"{line}  " if line.strip() and not line.lstrip().startswith("#") else line


def _closes(line: str, fence: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(fence) and set(bare) == {fence[0]} and not line.startswith("    ")


def _may_cut(lines: list[str], line: str) -> bool:
    if len(lines) < 2 or lines[-1].strip() or not _STARTS_NEW.match(line):
        return False
    return sum(map(len, lines)) > _LONG


def _add(found: list[Piece], lines: list[str]) -> None:
    text = "\n".join(lines).strip("\n")
    if text.strip():
        found.append(Piece(text))
