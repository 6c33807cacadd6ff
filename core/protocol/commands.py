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


class AdapterCommand(Command):
    """Load or unload an adapter of a running server; no request is dropped."""

    KIND: ClassVar[str] = "adapter"
    load: str | None = None
    """Folder; becomes the model name `base:name`."""
    name: str = ""
    """Short name; empty: the training run's name, else the folder's."""
    unload: str | None = None
    """Short or public name. Its open requests are finished first."""
    default: str | None = None
    """Short or public name (or the base's) that answers requests without a name from now on."""


class CancelRequestCommand(Command):
    """End one open request of a server; its client is told."""

    KIND: ClassVar[str] = "cancel_request"
    request_id: str = ""


class SelfTestCommand(Command):
    """Let a server measure what this machine can hold."""

    KIND: ClassVar[str] = "self_test"
    seconds: float = 20.0
    prompt_tokens: int = 128
    answer_tokens: int = 32
    target_p99_ms: float = 500.0


class UnknownCommand(Command):
    """A command that this worker is too old to know; it is refused by name."""


COMMAND_TYPES: dict[str, type[Command]] = {
    cls.KIND: cls
    for cls in (
        StopCommand, SaveCommand, PauseCommand, ContinueCommand, SetLearningRateCommand,
        ExcludeCommand, RollBackCommand, AdapterCommand, CancelRequestCommand, SelfTestCommand,
    )
}  # fmt: skip
