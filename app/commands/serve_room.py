"""A training on the card that a server wants, or the reverse: `--if-busy` is the user's word."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.commands.live import await_answer
from app.commands.output import Output
from app.texts.refusals import refusal_text
from core.config.serve import ServeSpec
from core.errors import AppError
from core.services import Services
from core.services.serve_arbiter import Choice, Conflict, Holder
from core.services.train import TrainPlanPreview

_LOOK_EVERY_S = 1.0
_TICK_S = 0.1


def make_room(
    spec: ServeSpec, choice: Choice, services: Services, out: Output
) -> tuple[ServeSpec, tuple[Holder, ...]]:
    """The spec to start, and the trainings that were paused for it.

    Raises:
        UsageError: `serve.card_busy` when that is the word, or cannot be done; `model.*`.
    """
    conflict = services.arbiter.before_server(spec)
    if conflict is None:
        _tell_slowed(services.arbiter.slowed(spec), out)
        return spec, ()
    if choice not in conflict.offers:
        raise conflict.error()
    if choice == "share":
        _tell_shared(conflict, out)
        return spec.model_copy(update=dict(conflict.changes)), ()
    if choice == "pause":
        return spec, _pause(conflict, services, out)
    _wait(spec, conflict, services, out)
    return spec, ()


def make_room_for_training(
    plan: TrainPlanPreview, choice: Choice, services: Services, out: Output
) -> None:
    """Return once the training may start; "pause" ends the servers on its card.

    Raises:
        UsageError: `serve.card_busy` when that is the word, or cannot be done.
    """
    needed = plan.memory.total_gib if plan.memory else None

    def look() -> Conflict | None:
        return services.arbiter.before_training(plan.spec, needed)

    conflict = look()
    if conflict is None:
        _tell_slowed(services.arbiter.slowed(plan.spec), out)
        return
    if choice not in conflict.offers:
        raise conflict.error()
    if choice == "pause":
        _stop(conflict, services, out)
    elif choice == "wait":
        _until_free(conflict, look, out)


def let_go_on(paused: tuple[Holder, ...], services: Services) -> None:
    """The API has ended: what was paused for it continues."""
    for holder in paused:
        try:
            services.arbiter.go_on(holder.run_id)
        except AppError:
            continue  # it has ended meanwhile


def _tell_shared(conflict: Conflict, out: Output) -> None:
    changes = conflict.changes
    out.object("card_shared", run_id=conflict.first.run_id, changes=dict(changes))
    if changes:
        out.say(
            "card_shared",
            name=conflict.first.name,
            context=f"{changes['max_context_tokens']:,}",
            batch=changes["max_batch_size"],
        )


def _pause(conflict: Conflict, services: Services, out: Output) -> tuple[Holder, ...]:
    for holder in conflict.holders:
        services.supervisor.catch_up(holder.run_id)
        out.object("card_pausing", run_id=holder.run_id)
        out.say("card_pausing", name=holder.name)
        answer = await_answer(services, holder.run_id, services.arbiter.pause(holder.run_id), out)
        if answer is None or not answer.accepted:
            if answer is not None:
                out.say("refused", detail=refusal_text(answer.detail, out.language))
            raise conflict.error()
        while not services.arbiter.gave_free(holder.run_id):
            services.supervisor.tick()
            time.sleep(_TICK_S)
    return conflict.holders


def _wait(spec: ServeSpec, conflict: Conflict, services: Services, out: Output) -> None:
    """Until no training is on the card."""
    _until_free(conflict, lambda: services.arbiter.before_server(spec), out)


def _until_free(conflict: Conflict, look: Callable[[], Conflict | None], out: Output) -> None:
    """Ctrl-C leaves."""
    out.object("card_waiting", run_id=conflict.first.run_id)
    out.say("card_waiting", name=conflict.first.name)
    while look() is not None:
        time.sleep(_LOOK_EVERY_S)


def _stop(conflict: Conflict, services: Services, out: Output) -> None:
    """Let the servers finish their open requests and end."""
    for holder in conflict.holders:
        out.object("card_stopping", run_id=holder.run_id)
        out.say("card_stopping", name=holder.name)
        services.arbiter.stop_server(holder.run_id)
    while not all(services.arbiter.gone(h.run_id) for h in conflict.holders):
        services.supervisor.tick()
        time.sleep(_TICK_S)


def _tell_slowed(there: tuple[Holder, ...], out: Output) -> None:
    for holder in there:
        out.object("processor_shared", run_id=holder.run_id, name=holder.name)
        out.say("processor_shared", name=holder.name)
