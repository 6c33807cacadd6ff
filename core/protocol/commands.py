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
    free_gpu: bool = False
    """Move everything to the computer's memory meanwhile, so that the card can do other work."""


class ContinueCommand(Command):
    """Go on after a pause."""

    KIND: ClassVar[str] = "continue"


class SetLearningRateCommand(Command):
    """Scale the schedule's learning rate from the next step on; 1.0 is the schedule itself."""

    KIND: ClassVar[str] = "set_learning_rate"
    lr_scale: float = 1.0


class ExcludeCommand(Command):
    """Do not show these training samples to the model any more, and go on if paused."""

    KIND: ClassVar[str] = "exclude"
    samples: list[int] = []


class RollBackCommand(Command):
    """Go back to the newest healthy state, as the guard would."""

    KIND: ClassVar[str] = "roll_back"


class UnknownCommand(Command):
    """A command that this worker is too old to know; it is refused by name."""


COMMAND_TYPES: dict[str, type[Command]] = {
    cls.KIND: cls
    for cls in (
        StopCommand, SaveCommand, PauseCommand, ContinueCommand, SetLearningRateCommand,
        ExcludeCommand, RollBackCommand,
    )
}  # fmt: skip
