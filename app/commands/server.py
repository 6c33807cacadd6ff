"""`deepdeck server`: ask something of an API that runs."""

from __future__ import annotations

import argparse
import time

from app.commands.live import await_answer, say_answer
from app.commands.output import Output
from app.texts.serving import command_refusal_text
from core.errors import ErrorCode, UsageError
from core.protocol.events import ServeSelfTest
from core.services import Services

ACTIONS = ("self-test", "cancel", "load", "unload", "default")
_TICK_S = 0.05
_SLACK_S = 30.0
"""Over the length of a test, until it is given up."""


def server(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Send the command and wait for the answer; 1 when it is refused or the test fails."""
    services.supervisor.catch_up(args.run_id)
    command_id = _send(args, services)
    answer = await_answer(services, args.run_id, command_id, out)
    if answer is None:
        return 1
    why = command_refusal_text(answer.detail, out.language)
    refused = say_answer(answer, args.run_id, out, why)
    if refused or args.action != "self-test":
        return refused
    return _follow_test(args, services, out)


def _send(args: argparse.Namespace, services: Services) -> str:
    ask = services.server
    match args.action:
        case "self-test":
            return ask.self_test(
                args.run_id,
                seconds=args.seconds,
                prompt_tokens=args.prompt_tokens,
                answer_tokens=args.answer_tokens,
            )
        case "cancel":
            return ask.cancel(args.run_id, args.request_id)
        case "load":
            return ask.load_adapter(args.run_id, args.adapter, args.name or "")
        case "unload":
            return ask.unload_adapter(args.run_id, args.adapter)
        case _:
            return ask.set_default(args.run_id, args.model)


def _follow_test(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Tell each rate as it was measured, and the verdict."""
    until = time.monotonic() + args.seconds + _SLACK_S
    while time.monotonic() < until:
        for view in services.supervisor.tick():
            for event in view.new_events if view.run_id == args.run_id else ():
                if isinstance(event, ServeSelfTest):
                    _tell(event, out)
                    if event.phase != "running":
                        return 0 if event.phase == "done" else 1
        if not services.supervisor.view(args.run_id).alive:
            raise UsageError(ErrorCode.RUN_NOT_ALIVE, run_id=args.run_id)
        time.sleep(_TICK_S)
    out.say("no_answer", seconds=round(args.seconds + _SLACK_S))
    return 1


def _tell(event: ServeSelfTest, out: Output) -> None:
    out.object("self_test", **event.model_dump(mode="json", exclude={"v", "kind", "seq"}))
    p99 = "–" if event.latency_p99_ms is None else f"{event.latency_p99_ms:,.0f}"
    if event.phase == "failed":
        out.say("self_test_failed", detail=event.detail)
    elif event.phase == "done":
        out.say(
            "self_test_done",
            rate=f"{event.sustained_qps or 0.0:,.1f}",
            prompt=event.prompt_tokens,
            answer=event.answer_tokens,
        )
        if event.physics_qps is not None:
            out.say("self_test_physics", physics=f"{event.physics_qps:,.1f}")
    elif event.rate_qps:
        out.say(
            "self_test_burst" if event.detail == "burst" else "self_test_rate",
            rate=f"{event.rate_qps:,.1f}",
            answered=event.completed,
            refused=event.refused,
            p99=p99,
        )
