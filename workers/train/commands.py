"""What a person asks for while a run is under way. Every command is answered: done, or why not.

Reasons of a refusal are codes: `not_saved`, `out_of_range`, `unknown_sample`, `nothing_left`,
`no_healthy_state`, `card_in_use`, and those of `Parking.refusal`. What was done may have a detail
too: `nothing_to_free` (there is no card).
"""

from __future__ import annotations

from collections.abc import Callable

from core.errors import AppError
from core.protocol.commands import (
    Command,
    ContinueCommand,
    ExcludeCommand,
    PauseCommand,
    RollBackCommand,
    SaveCommand,
    SetLearningRateCommand,
)
from core.protocol.events import LearningRateChanged, SamplesExcluded
from workers.harness.context import WorkerContext
from workers.train import course
from workers.train.guard import Guard
from workers.train.parking import Parking
from workers.train.parts import Parts


class Commands:
    """Takes commands between two steps and does them.

    Args:
        ctx: their source, and where answers go.
        parts: of the run.
        guard: holds a pause, and knows the way back.
        parking: gives the card free during a pause.
        save: writes a checkpoint now.
    """

    def __init__(
        self,
        ctx: WorkerContext,
        parts: Parts,
        guard: Guard,
        parking: Parking,
        save: Callable[[], AppError | None],
    ) -> None:
        self._ctx = ctx
        self._parts = parts
        self._guard = guard
        self._parking = parking
        self._save = save

    def obey(self) -> None:
        """Do what has come since the last call, in order. A stop is the harness's to answer."""
        for command in self._ctx.control.poll():
            self._obey_one(command)

    def _obey_one(self, command: Command) -> None:
        match command:
            case SaveCommand():
                error = self._save()
                self._ctx.reporter.phase("training")
                self._answer(command, refusal=str(error or ""))
            case PauseCommand():
                self._pause(command)
            case ContinueCommand():
                self._go_on(command)
            case SetLearningRateCommand():
                self._set_rate(command)
            case ExcludeCommand():
                self._exclude(command)
            case RollBackCommand():
                self._roll_back(command)

    def _pause(self, command: PauseCommand) -> None:
        refusal = self._parking.refusal() if command.free_gpu else ""
        if refusal:
            self._answer(command, refusal=refusal)
            return
        self._guard.paused = True
        freed = command.free_gpu and self._parking.leave()
        self._answer(command, "nothing_to_free" if command.free_gpu and not freed else "")

    def _go_on(self, command: Command) -> None:
        if self._parking.back():
            self._guard.paused = False
            self._answer(command)
        else:
            self._answer(command, refusal="card_in_use")

    def _set_rate(self, command: SetLearningRateCommand) -> None:
        state, schedule = self._parts.state, self._parts.schedule
        refusal = course.refuse_scale(command.lr_scale, schedule)
        if not refusal:
            course.set_lr_scale(state, command.lr_scale)
            self._ctx.reporter.emit(
                LearningRateChanged(
                    step=state.step,
                    lr_scale=course.lr_scale(state),
                    learning_rate=course.learning_rate(state, schedule),
                    in_reply_to=command.command_id,
                )
            )
        self._answer(command, refusal=refusal)

    def _exclude(self, command: ExcludeCommand) -> None:
        state, known = self._parts.state, len(self._parts.data.train)
        excluded = sorted({*state.excluded, *command.samples})
        refusal = ""
        if not command.samples or any(not 0 <= s < known for s in command.samples):
            refusal = "unknown_sample"
        elif len(excluded) >= known:
            refusal = "nothing_left"
        if refusal:
            self._answer(command, refusal=refusal)
            return
        state.excluded = excluded
        self._ctx.reporter.emit(
            SamplesExcluded(
                step=state.step,
                samples=sorted(set(command.samples)),
                in_reply_to=command.command_id,
            )
        )
        self._go_on(command)

    def _roll_back(self, command: RollBackCommand) -> None:
        if not self._parking.back():
            self._answer(command, refusal="card_in_use")
        elif self._guard.roll_back_by_hand():
            self._go_on(command)
        else:
            self._answer(command, refusal="no_healthy_state")

    def _answer(self, command: Command, detail: str = "", *, refusal: str = "") -> None:
        self._ctx.control.acknowledge(command, not refusal, refusal or detail)
