"""One line of a run's files to one object and back. Never raises on an unknown kind or field."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import from_json

from core.protocol.commands import COMMAND_TYPES, Command, UnknownCommand
from core.protocol.events import EVENT_TYPES, Event, UnknownEvent


class BadLine(ValueError):
    """The line is not a JSON object of the envelope's shape. Readers skip and count it."""


def encode_event(event: Event) -> bytes:
    """One JSON object and a line end, UTF-8."""
    return event.model_dump_json().encode("utf-8") + b"\n"


def decode_event(line: bytes | str) -> Event:
    """The event of one line.

    Raises:
        BadLine: not JSON, not an object, or a known field of a wrong type.
    """
    raw = _object(line)
    cls = EVENT_TYPES.get(str(raw.get("kind", "")))
    try:
        if cls is None:
            return UnknownEvent.model_validate({**raw, "raw": raw})
        return cls.model_validate(raw)
    except ValidationError as e:
        raise BadLine(str(e)) from e


def encode_command(command: Command) -> bytes:
    """One JSON object and a line end, UTF-8."""
    return command.model_copy(update={"kind": command.KIND}).model_dump_json().encode() + b"\n"


def decode_command(line: bytes | str) -> Command:
    """The command of one line.

    Raises:
        BadLine: not JSON, not an object, or a known field of a wrong type.
    """
    raw = _object(line)
    cls = COMMAND_TYPES.get(str(raw.get("kind", "")), UnknownCommand)
    try:
        return cls.model_validate(raw)
    except ValidationError as e:
        raise BadLine(str(e)) from e


def _object(line: bytes | str) -> dict[str, object]:
    try:
        raw = from_json(line, allow_inf_nan=True)
    except ValueError as e:
        raise BadLine(str(e)) from e
    if not isinstance(raw, dict):
        raise BadLine("not a JSON object")
    return raw
