"""What all routes share: the server's phase, model names, engine, tokenizer and figures."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from core.config.serve import ServeSpec
from core.protocol.events import ServeRequest
from workers.serve.engines.base import Engine, EngineStats, ModelFacts
from workers.serve.http.errors import ApiError, unavailable
from workers.serve.http.metrics import ServerMetrics
from workers.serve.text.prompts import Prompter

Phase = Literal["loading", "ready", "draining", "failed"]
LEFT = 499
"""Status of a request whose client went away."""


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
    open_calls: int = 0

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


class Call:
    """Account of one request, reported exactly once."""

    def __init__(self, state: ServerState, route: str) -> None:
        self._state = state
        self._route = route
        self._start = time.monotonic()
        self._reported = False
        self.request_id = f"req-{secrets.token_hex(12)}"
        self.streamed = False
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.ttft_ms: float | None = None
        state.open_calls += 1

    @property
    def age_s(self) -> float:
        """Seconds since the request came."""
        return time.monotonic() - self._start

    def first_token(self) -> None:
        """Stamp the time to the first token, once."""
        if self.ttft_ms is None:
            self.ttft_ms = round(self.age_s * 1000, 2)

    def end(self, status: int, finish_reason: str | None = None) -> None:
        """Report; later calls change nothing."""
        if self._reported:
            return
        self._reported = True
        self._state.open_calls -= 1
        event = ServeRequest(
            request_id=self.request_id,
            route=self._route,
            status=status,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            ttft_ms=self.ttft_ms,
            total_ms=round(self.age_s * 1000, 2),
            finish_reason=finish_reason,
            streamed=self.streamed,
        )
        self._state.metrics.finished(event)
        self._state.on_request(event)
