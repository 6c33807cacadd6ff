"""Finds a model's tool calls in its text while it is written.

A call is handed on when it is whole: its arguments are then JSON, which is checked. What looks
like a call and is none (torn, no JSON, a function that nobody offered) stays what it is: text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called."""

    name: str
    arguments: str
    """JSON text of an object."""


@dataclass(slots=True)
class Found:
    """What new text came to."""

    content: str = ""
    calls: list[ToolCall] = field(default_factory=list)


class ToolParser(Protocol):
    """One answer's text in, text and calls out."""

    def add(self, text: str) -> Found:
        """Sort new text; what may become a call is held back."""

    def finish(self, *, complete: bool) -> Found:
        """What was held back; `complete` when the model itself ended its turn."""


def _refuse(name: str) -> Any:
    raise ValueError(name)


DECODER = json.JSONDecoder(parse_constant=_refuse)
"""Of JSON as its standard has it: without NaN and infinity."""


def json_object(text: str) -> dict[str, Any] | None:
    """The object that a text is, None for everything else."""
    found = _json(text)
    return found if isinstance(found, dict) else None


def call_of(document: Any) -> ToolCall | None:
    """`{"name", "arguments" or "parameters"}` as a call; arguments may be JSON within JSON."""
    if not isinstance(document, dict) or not isinstance(document.get("name"), str):
        return None
    arguments = document.get("arguments", document.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = json_object(arguments)
    if not isinstance(arguments, dict):
        return None
    return ToolCall(document["name"], dumped(arguments))


def dumped(value: Any) -> str:
    """JSON text that any client reads: characters as they are, but for halves of surrogates."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isascii() or _encodable(text) else json.dumps(value)


class BlockParser:
    """Calls between an opening and a closing mark, with text around them.

    Args:
        begins, ends: the marks of one call.
        wrappers: marks around all calls; they say nothing and are dropped.
        parse: a block's calls, or None when it holds none.
        names: functions that were offered.
    """

    def __init__(
        self,
        begins: str,
        ends: str,
        wrappers: Collection[str],
        parse: Callable[[str], list[ToolCall] | None],
        names: Collection[str],
    ) -> None:
        self._open, self._close, self._wrappers = begins, ends, tuple(wrappers)
        self._parse, self._names = parse, frozenset(names)
        self._held = ""
        self._space = ""
        self._inside = False
        self._called = False

    def add(self, text: str) -> Found:
        """Sort new text."""
        self._held += text
        found = Found()
        while self._take_block(found) if self._inside else self._take_text(found):
            pass
        return found

    def finish(self, *, complete: bool) -> Found:
        """A block whose closing mark the model left out still counts when it ended its turn."""
        found = Found()
        rest, self._held = self._held, ""
        if self._inside:
            self._close_block(rest, found, "", complete=complete)
        else:
            self._speak(rest, found)
        if not self._called:
            found.content += self._space
        return found

    def _take_text(self, found: Found) -> bool:
        """Text up to the next mark; False when more is needed."""
        marks = [(at, m) for m in (self._open, *self._wrappers) if (at := self._held.find(m)) >= 0]
        if not marks:
            keep = _partial_end(self._held, (self._open, *self._wrappers))
            shown = self._held[: len(self._held) - keep]
            self._held = self._held[len(shown) :]
            self._speak(shown, found)
            return False
        at, mark = min(marks)
        self._speak(self._held[:at], found)
        self._held = self._held[at + len(mark) :]
        self._inside = mark == self._open
        return True

    def _take_block(self, found: Found) -> bool:
        block, mark, rest = self._held.partition(self._close)
        if not mark:
            return False
        self._held, self._inside = rest, False
        self._close_block(block, found, mark, complete=True)
        return True

    def _close_block(self, block: str, found: Found, mark: str, *, complete: bool) -> None:
        calls = self._parse(block) if complete else None
        if calls and all(c.name in self._names for c in calls):
            found.calls += calls
            self._called, self._space = True, ""
        else:
            self._speak(self._open + block + mark, found)

    def _speak(self, text: str, found: Found) -> None:
        """Line ends between text and calls belong to neither."""
        text = self._space + text
        kept = text.rstrip()
        self._space = text[len(kept) :]
        found.content += kept.lstrip() if self._called and not found.content else kept


class WholeParser:
    """Answers that are nothing but calls, known by their first character; others pass through.

    Args:
        opens: what such an answer begins with.
        parse: the calls of a whole answer, or None when it holds none.
        names: functions that were offered.
    """

    def __init__(
        self,
        opens: Collection[str],
        parse: Callable[[str], list[ToolCall] | None],
        names: Collection[str],
    ) -> None:
        self._opens, self._parse, self._names = tuple(opens), parse, frozenset(names)
        self._held = ""
        self._decided = ""

    def add(self, text: str) -> Found:
        """Everything is held back once the answer began as a call."""
        if self._decided == "text":
            return Found(text)
        self._held += text
        if not self._decided:
            self._decide()
        if self._decided != "text":
            return Found()
        shown, self._held = self._held, ""
        return Found(shown)

    def finish(self, *, complete: bool) -> Found:
        """The calls, if that is what it was."""
        rest, self._held = self._held, ""
        calls = self._parse(rest) if complete and self._decided == "calls" else None
        if calls and all(c.name in self._names for c in calls):
            return Found(calls=calls)
        return Found(rest)

    def _decide(self) -> None:
        words = self._held.lstrip()
        if any(words.startswith(o) for o in self._opens):
            self._decided = "calls"
        elif not any(o.startswith(words) for o in self._opens):
            self._decided = "text"


class OneCall:
    """Lets the first call of another parser through and nothing after it."""

    def __init__(self, parser: ToolParser) -> None:
        self._parser = parser
        self.done = False

    def add(self, text: str) -> Found:
        """Sort new text."""
        return self._first(self._parser.add(text)) if not self.done else Found()

    def finish(self, *, complete: bool) -> Found:
        """What was held back."""
        return self._first(self._parser.finish(complete=complete)) if not self.done else Found()

    def _first(self, found: Found) -> Found:
        if found.calls:
            self.done = True
            del found.calls[1:]
        return found


def _partial_end(text: str, marks: Collection[str]) -> int:
    """Length of the longest end of the text that begins one of the marks."""
    longest = min(len(text), max(len(m) for m in marks) - 1)
    for length in range(longest, 0, -1):
        end = text[-length:]
        if any(m.startswith(end) for m in marks):
            return length
    return 0


def _json(text: str) -> Any:
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
