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
from core.protocol.events import CommandAcknowledged, Event
from core.services import Services

ACTIONS = ("pause", "continue", "save", "rate", "exclude", "rollback")
_TICK_S = 0.05
_PATIENCE_S = 120.0
"""A worker answers between two steps, and a step may be long."""


def tell(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Send the command and wait for the worker's answer; 1 when it refuses."""
    supervisor = services.supervisor
    supervisor.catch_up(args.run_id)
    command = _command(args)
    command_id = supervisor.send(args.run_id, command)
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        for view in supervisor.tick():
            for event in view.new_events if view.run_id == args.run_id else ():
                if _answers(event, command_id):
                    return _say(event, args.run_id, out)  # type: ignore[arg-type]
        if not supervisor.view(args.run_id).alive:
            raise UsageError(ErrorCode.RUN_NOT_ALIVE, run_id=args.run_id)
        time.sleep(_TICK_S)
    out.say("no_answer", seconds=round(_PATIENCE_S))
    return 1


def _answers(event: Event, command_id: str) -> bool:
    return isinstance(event, CommandAcknowledged) and event.in_reply_to == command_id


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


def _say(event: CommandAcknowledged, run_id: str, out: Output) -> int:
    out.object(
        "answer",
        run_id=run_id,
        command=event.command,
        accepted=event.accepted,
        detail=event.detail,
    )
    why = refusal_text(event.detail, out.language)
    out.say("accepted" if event.accepted else "refused", detail=why)
    return 0 if event.accepted else 1
