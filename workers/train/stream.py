"""Rows of a pre-training: documents behind each other, cut where a row is full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workers.train.batches import join
from workers.train.encoding import Encoded


@dataclass(frozen=True)
class Document:
    """A whole document of the stream."""

    row: Encoded
    line: int
    """Where it begins in its file."""


def cut(
    documents: Iterable[Document], length: int, *, bounds: bool
) -> Iterator[tuple[Encoded, int]]:
    """Rows of `length` tokens, each with the line in which its first token's document begins.

    No token is lost; the last row may be shorter. With `bounds` a row remembers where its
    documents begin, so that they do not see each other; without, it is one text.
    """
    parts: list[Encoded] = []
    room, line = length, 0
    for document in documents:
        rest = document.row
        while len(rest):
            if not parts:
                line = document.line
            parts.append(_slice(rest, 0, room))
            rest = _slice(rest, room, len(rest))
            room -= len(parts[-1])
            if not room:
                yield _joined(parts, bounds), line
                parts, room = [], length
    if parts:
        yield _joined(parts, bounds), line


def _slice(row: Encoded, start: int, end: int) -> Encoded:
    return Encoded(row.ids[start:end], row.trained[start:end])


def _joined(parts: list[Encoded], bounds: bool) -> Encoded:
    row = join(parts)
    return row if bounds else Encoded(row.ids, row.trained)
