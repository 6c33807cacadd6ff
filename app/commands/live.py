"""Speak to a training that runs: pause, go on, save, change its rate, exclude, roll back."""

from __future__ import annotations

import argparse
import time

from app.commands.output import Output
from app.texts.refusals import refusal_text
from core.errors import ErrorCode, UsageError
from core.protocol.commands import (
    Command,
    ContinueCommand,
    ExcludeCommand,
    PauseCommand,
    RollBackCommand,
    SaveCommand,
    SetLearningRateCommand,
)
from core.protocol.events import CommandAcknowledged
from core.services import Services

ACTIONS = ("pause", "continue", "save", "rate", "exclude", "rollback")
_TICK_S = 0.05
_PATIENCE_S = 120.0
"""A worker answers between two steps, and a step may be long."""


def tell(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Send the command and wait for the worker's answer; 1 when it refuses."""
    supervisor = services.supervisor
    supervisor.catch_up(args.run_id)
    command_id = supervisor.send(args.run_id, _command(args))
    answer = await_answer(services, args.run_id, command_id, out)
    if answer is None:
        return 1
    return say_answer(answer, args.run_id, out, refusal_text(answer.detail, out.language))


def await_answer(
    services: Services, run_id: str, command_id: str, out: Output
) -> CommandAcknowledged | None:
    """The worker's answer to a command; None, and said so, when none comes.

    Raises:
        UsageError: `run.not_alive` when the worker ended instead.
    """
    supervisor = services.supervisor
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        for view in supervisor.tick():
            for event in view.new_events if view.run_id == run_id else ():
                if isinstance(event, CommandAcknowledged) and event.in_reply_to == command_id:
                    return event
        if not supervisor.view(run_id).alive:
            raise UsageError(ErrorCode.RUN_NOT_ALIVE, run_id=run_id)
        time.sleep(_TICK_S)
    out.say("no_answer", seconds=round(_PATIENCE_S))
    return None


def _command(args: argparse.Namespace) -> Command:
    match args.action:
        case "pause":
            return PauseCommand(free_gpu=args.free_gpu)
        case "continue":
            return ContinueCommand()
        case "save":
            return SaveCommand()
        case "rate":
            return SetLearningRateCommand(lr_scale=args.scale)
        case "exclude":
            return ExcludeCommand(samples=args.samples)
        case _:
            return RollBackCommand()


def say_answer(event: CommandAcknowledged, run_id: str, out: Output, why: str) -> int:
    """Tell the answer; 1 when it is a refusal."""
    out.object(
        "answer",
        run_id=run_id,
        command=event.command,
        accepted=event.accepted,
        detail=event.detail,
    )
    out.say("accepted" if event.accepted else "refused", detail=why)
    return 0 if event.accepted else 1
