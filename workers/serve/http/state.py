"""What all routes share: the server's phase, model names, engine, tokenizer, figures and limits."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from core.config.serve import ServeSpec
from core.errors import AppError
from core.protocol.events import OpenRequest, ServeRequest, ServeStats
from workers.serve.engines.base import Engine, EngineStats, ModelFacts
from workers.serve.http.audit import AuditLog
from workers.serve.http.call import LEFT, Call
from workers.serve.http.card import CardWatch, card_of
from workers.serve.http.errors import ApiError, unavailable
from workers.serve.http.keys import Grant, KeyRing
from workers.serve.http.limits import Admission
from workers.serve.http.memory import RequestMemory
from workers.serve.http.metrics import ServerMetrics
from workers.serve.text.prompts import Prompter

__all__ = ["LEFT", "Call", "Loaded", "Phase", "ServerState", "resolve_model"]
log = logging.getLogger(__name__)

Phase = Literal["loading", "ready", "restarting", "draining", "failed"]
MOST_TOLD = 50
"""Open requests that an event names."""
_GIB = 1024**3
_FLUSH_S = 5.0


@dataclass
class Loaded:
    """What exists once the model is in memory."""

    engine: Engine
    prompter: Prompter
    facts: ModelFacts
    model_ids: dict[str, str | None]
    """Public name to the engine's adapter name; the first is the default."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Other words that mean one of them: the adapter alone, its run's id."""


@dataclass
class ServerState:
    """Changed on the event loop only."""

    spec: ServeSpec
    metrics: ServerMetrics
    on_request: Callable[[ServeRequest], None] = lambda _: None
    phase: Phase = "loading"
    reason: str = "the model is being loaded"
    created: int = field(default_factory=lambda: int(time.time()))
    loaded: Loaded | None = None
    keys: KeyRing | None = None
    audit: AuditLog | None = None
    calls: dict[str, Call] = field(default_factory=dict)
    """Open ones by id, the oldest first."""
    calls_seen: int = 0
    card: CardWatch = field(default_factory=CardWatch)
    _flushed_at: float = 0.0
    _background: set[asyncio.Future[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Make what belongs to this state."""
        self.admission = Admission(self.spec, self.capacity)
        self.memory = RequestMemory(self.spec.remember_requests)

    @property
    def open_calls(self) -> int:
        """Requests that are not over."""
        return len(self.calls)

    def capacity(self) -> int:
        """How many answers are made together."""
        facts = self.loaded.facts if self.loaded else None
        return max(1, facts.max_batch_size if facts else self.spec.max_batch_size)

    def require_ready(self) -> Loaded:
        """What is needed to generate.

        Raises:
            ApiError: 503 while loading, stopping or broken.
        """
        if self.phase != "ready" or self.loaded is None:
            raise unavailable(self.reason, self.phase)
        if failed := self.loaded.engine.stats().failed:
            raise unavailable(f"the engine failed: {failed}", "failed")
        return self.loaded

    def engine_stats(self) -> EngineStats:
        """Zeros before the model is loaded."""
        return self.loaded.engine.stats() if self.loaded else EngineStats()

    # -- keys ---------------------------------------------------------------------------------

    @property
    def several_keys(self) -> bool:
        """Whether others than the owner have keys."""
        return self.keys is not None and self.keys.several

    def namespace(self, grant: Grant) -> str:
        """Whose prompts a request may share."""
        return self.keys.namespace(grant) if self.keys else ""

    def cancel(self, request_id: str) -> bool:
        """End an open request; its client is told. False when there is none."""
        call = self.calls.get(request_id)
        if call is None:
            return False
        call.cancel("the request was ended in DeepDeck, by the owner of this server")
        return True

    def ended(self, call: Call, event: ServeRequest, client: str) -> None:
        """A call is over: count it, tell it, write it down."""
        self.calls.pop(call.request_id, None)
        self.metrics.finished(event)
        self.on_request(event)
        if self.audit is not None:
            self.audit.write(event, client)

    def refused(self, route: str, error: ApiError, client: str) -> None:
        """The door turned a request away: no call, no event, but counted and written down."""
        self.metrics.refused(error.status, error.code or "")
        if self.audit is not None:
            self.audit.refused(route, error.status, error.code or "", client)

    # -- once a second ------------------------------------------------------------------------

    def tick(self) -> None:
        """What must be looked at now and then; call it about once a second on the event loop."""
        if self.keys is not None:
            for call in list(self.calls.values()):
                if not self.keys.holds(call.grant):
                    call.cancel("the API key was revoked or has expired", "invalid_api_key")
        if self.loaded is not None:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            self.card.card = card_of(self.loaded.facts.device, visible)
            self._aside(self.card.look)
        if self.keys is not None and time.monotonic() - self._flushed_at > _FLUSH_S:
            self._flushed_at = time.monotonic()
            self._aside(self.flush_usage)

    def stats(self) -> ServeStats:
        """The figures for the window, with what is open."""
        found = self.metrics.stats(self.engine_stats())
        waiting = self.admission.waiting().answers
        use = self.card.use
        return found.model_copy(
            update={
                "queued": max(found.queued, waiting),
                "memory_share": None if use is None else round(use.share, 4),
                "open_requests": self.open_requests(),
            }
        )

    def open_requests(self) -> tuple[OpenRequest, ...]:
        """The oldest open ones."""
        oldest = list(self.calls.values())[:MOST_TOLD]
        return tuple(c.open_request() for c in oldest)

    def gauges(self) -> dict[str, float]:
        """For `/metrics`, beside what is counted."""
        found: dict[str, float] = {"num_requests_open": self.open_calls}
        if (wait := self.admission.wait_s()) is not None:
            found["predicted_wait_seconds"] = round(wait, 3)
        if (use := self.card.use) is not None:
            found["gpu_memory_used_bytes"] = round(use.used_gib * _GIB)
            found["gpu_memory_total_bytes"] = round(use.total_gib * _GIB)
            found["gpu_memory_used_share"] = round(use.share, 6)
            found["gpu_memory_budget_used_share"] = round(use.share / self.spec.memory_share, 6)
        return found

    def flush_usage(self) -> None:
        """Write down what keys used; blocks on the disk. Call it once more at the end."""
        try:
            if self.keys is not None:
                self.keys.flush_usage()
        except AppError as e:
            log.warning("the use of API keys cannot be written down: %s", e)

    def _aside(self, work: Callable[[], None]) -> None:
        doing = asyncio.ensure_future(asyncio.to_thread(work))
        self._background.add(doing)
        doing.add_done_callback(self._background.discard)


def resolve_model(loaded: Loaded, wanted: str | None) -> tuple[str, str | None]:
    """Public name and adapter of a request's `model`.

    Raises:
        ApiError: 404 with the names that exist.
    """
    name = wanted or next(iter(loaded.model_ids))
    name = loaded.aliases.get(name, name)
    if name not in loaded.model_ids:
        names = ", ".join(loaded.model_ids)
        raise ApiError(
            404,
            f"there is no such model here; this server has: {names}",
            param="model",
            code="model_not_found",
        )
    return name, loaded.model_ids[name]
