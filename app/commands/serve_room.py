"""A training on the card that a server wants: `--if-busy` is the user's word."""

from __future__ import annotations

import time

from app.commands.live import await_answer
from app.commands.output import Output
from app.texts.refusals import refusal_text
from core.config.serve import ServeSpec
from core.errors import AppError
from core.services import Services
from core.services.serve_arbiter import Choice, Conflict, Holder

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
    """Until no training is on the card; Ctrl-C leaves."""
    out.object("card_waiting", run_id=conflict.first.run_id)
    out.say("card_waiting", name=conflict.first.name)
    while services.arbiter.before_server(spec) is not None:
        time.sleep(_LOOK_EVERY_S)
