"""`deepdeck queue`: trainings that wait for a card."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from app.commands.output import Output, text
from app.messages import error_text
from core.hardware import power
from core.queue import QueueItem, QueueTick
from core.services import Services
from core.services.queue import QueueService

_LOOK_EVERY_S = 1.0
_GRACE_S = 60


def queue(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Dispatch to the action; `list` without one."""
    if args.action == "work":
        return _work(services, out)
    actions: dict[str | None, Callable[[argparse.Namespace, QueueService], None]] = {
        "resume": lambda a, q: tell_added(q.add_resume(a.run_id), out),
        "remove": lambda a, q: q.remove(a.item_id),
        "up": lambda a, q: q.move(a.item_id, -1),
        "down": lambda a, q: q.move(a.item_id, 1),
        "hold": lambda a, q: q.hold(True),
        "release": lambda a, q: q.hold(False),
        "clear": lambda a, q: q.clear_ended(),
        "after": lambda a, q: q.after(a.then),
    }
    if change := actions.get(args.action):
        change(args, services.queue)
    _list(services.queue, out)
    return 0


def tell_added(item: QueueItem, out: Output) -> None:
    """Say that a training waits now."""
    out.object("queued", **item.model_dump(mode="json", exclude={"spec"}))
    out.say("queued", item_id=item.item_id, name=item.name)


def _list(service: QueueService, out: Output) -> None:
    found = service.read()
    for item in found.items:
        out.object("queue_item", **item.model_dump(mode="json"))
        out.line(_row(item, out))
    if not found.items:
        out.say("queue_empty")
    out.object("queue", held=found.held, after=found.after, waiting=len(found.waiting))
    if found.held:
        out.say("queue_held")
    if found.after != "nothing":
        out.say(f"after_{found.after}")


def _row(item: QueueItem, out: Output) -> str:
    state = text(f"queue_{item.state}", out.language)
    where = f"{item.run_id}  {item.device}" if item.run_id else ""
    why = f"  ! {error_text(item.error, out.language).message}" if item.error else ""
    return f"{item.item_id}  {state:<8}  {item.name}  {where}{why}".rstrip()


def _work(services: Services, out: Output) -> int:
    """Start what waits until nothing is left; for a machine without a window."""
    while True:
        services.supervisor.tick()
        found = services.queue.tick()
        _tell(found, out)
        if found.finished is not None:
            return _afterwards(found, out)
        if not any(i.state in ("waiting", "started") for i in services.queue.read().items):
            return 0
        time.sleep(_LOOK_EVERY_S)


def _tell(found: QueueTick, out: Output) -> None:
    for view in found.started:
        out.object("started", run_id=view.run_id, pid=view.pid, path=view.run.path)
        out.say("started", run_id=view.run_id)
    for item in found.failed:
        if item.error is not None:
            out.error(item.error)


def _afterwards(found: QueueTick, out: Output) -> int:
    if found.finished in (None, "nothing"):
        return 0
    out.say(f"after_{found.finished}")
    out.say("after_grace", seconds=_GRACE_S)
    time.sleep(_GRACE_S)  # Ctrl-C in this time leaves the machine on
    power.perform("sleep" if found.finished == "sleep" else "shut_down")
    return 0
