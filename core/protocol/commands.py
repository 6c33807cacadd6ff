"""What a face tells a worker, one JSON line each in `control.jsonl`."""

from __future__ import annotations

import uuid
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


class Command(BaseModel):
    """A request; the worker answers with `command.acknowledged` that names `command_id`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    KIND: ClassVar[str] = ""

    v: int = 1
    command_id: str = Field(default_factory=_new_id)
    kind: str = ""


class StopCommand(Command):
    """Finish the step (or the requests), save, and end."""

    KIND: ClassVar[str] = "stop"
    save: bool = True


class SaveCommand(Command):
    """Write a checkpoint now and go on."""

    KIND: ClassVar[str] = "save"


class PauseCommand(Command):
    """Hold after this step, keeping the model loaded."""

    KIND: ClassVar[str] = "pause"


class ContinueCommand(Command):
    """Go on after a pause."""

    KIND: ClassVar[str] = "continue"


class UnknownCommand(Command):
    """A command that this worker is too old to know; it is refused by name."""


COMMAND_TYPES: dict[str, type[Command]] = {
    cls.KIND: cls for cls in (StopCommand, SaveCommand, PauseCommand, ContinueCommand)
}
