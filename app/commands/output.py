"""Two ways to say the same: JSON objects for programs, sentences for people."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any, TextIO

from app.messages import Language, error_text
from app.texts.cli import CLI
from core.errors import ErrorInfo
from core.protocol.events import Event


def text(key: str, language: Language, **facts: Any) -> str:
    """A sentence of the command line."""
    words = CLI[key]
    return (words.en if language == "en" else words.zh).format(**facts)


class Output:
    """With `as_json` only objects are printed, otherwise only sentences."""

    def __init__(self, *, as_json: bool, language: Language, stream: TextIO | None = None) -> None:
        self.as_json = as_json
        self.language = language
        self._stream = stream or sys.stdout

    def object(self, event: str, **fields: Any) -> None:
        """One JSON object on one line; nothing for people."""
        if self.as_json:
            document = {"event": event, **{k: _plain(v) for k, v in fields.items()}}
            self._line(json.dumps(document, ensure_ascii=False, allow_nan=False))

    def event(self, event: Event) -> None:
        """A run's event, as a JSON object with its kind as `event`."""
        if self.as_json:
            fields = json.loads(event.model_dump_json())
            self.object(event.kind, **fields)

    def say(self, key: str, **facts: Any) -> None:
        """One sentence for people; nothing for programs."""
        if not self.as_json:
            self._line(text(key, self.language, **facts))

    def line(self, line: str) -> None:
        """A line for people, as it is."""
        if not self.as_json:
            self._line(line)

    def error(self, error: ErrorInfo, **more: Any) -> None:
        """The error object, or message and hint on stderr."""
        found = error_text(error, self.language)
        self.object(
            "error",
            code=error.code,
            message=found.message,
            hint=found.hint,
            params=error.params,
            **({"detail": error.detail} if error.detail else {}),
            **more,
        )
        if not self.as_json:
            print(f"deepdeck: {found.message}", file=sys.stderr)  # noqa: T201
            if found.hint:
                print(f"  {found.hint}", file=sys.stderr)  # noqa: T201

    def note(self, key: str, **facts: Any) -> None:
        """A sentence for the person at the terminal, also in JSON mode: on stderr."""
        print(text(key, self.language, **facts), file=sys.stderr, flush=True)  # noqa: T201

    def error_fields(self, error: ErrorInfo | None) -> dict[str, Any] | None:
        """An error inside another object."""
        if error is None:
            return None
        found = error_text(error, self.language)
        return {
            "code": error.code,
            "message": found.message,
            "hint": found.hint,
            "params": error.params,
        }

    def _line(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


def _plain(value: Any) -> Any:
    """JSON has no NaN: as in the event files, non-finite numbers travel as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    return str(value) if isinstance(value, os.PathLike) else repr(value)
