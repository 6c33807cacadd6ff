"""Account of one request: who asked, what it took, how it ended. Reported exactly once."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from core.protocol.events import OpenRequest, ServeRequest
from workers.serve.engines.base import Ticket, TokenEvent
from workers.serve.http.errors import ApiError
from workers.serve.http.keys import Grant
from workers.serve.http.limits import Permit
from workers.serve.http.memory import Remembered
from workers.serve.http.rates import Reservation

if TYPE_CHECKING:
    from workers.serve.http.state import ServerState

_ids = random.Random(secrets.randbits(256))
"""Ids are names, not secrets; asking the system for each costs more than routing the request."""
LEFT = 499
"""Status of a request whose client went away."""
GRANT = "deepdeck.grant"
"""Where the door leaves a request's `Grant` in its ASGI scope."""


class Call:
    """One request from its first byte to its last.

    A route makes it (`Call.of`), names the model (`use_model`), asks to be let in (`admit`), puts
    its tickets into `tickets`, tells what came (`took`, `heard`), and ends it (`end`).
    """

    def __init__(
        self,
        state: ServerState,
        route: str,
        grant: Grant | None = None,
        client: str = "",
    ) -> None:
        self._state = state
        self._route = route
        self._client = client
        self._start = time.monotonic()
        self._reported = False
        self._permit: Permit | None = None
        self._reservation: Reservation | None = None
        self._remembered: Remembered | None = None
        self._on_cancel: list[Callable[[ApiError], None]] = []
        self.grant = grant or Grant()
        self.request_id = f"req-{_ids.getrandbits(96):024x}"
        self.model = ""
        self.streamed = False
        self.choices = 1
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cached_tokens = 0
        self.ttft_ms: float | None = None
        self.queue_ms: float | None = None
        self.tickets: list[Ticket] = []
        """The engine's; whoever submits one puts it in."""
        self.cancelled: ApiError | None = None
        """Set when somebody ended it from here."""
        state.calls[self.request_id] = self
        state.calls_seen += 1

    @classmethod
    def of(cls, state: ServerState, request: Request) -> Call:
        """The call of a request that the door let through."""
        client = request.client.host if request.client else ""
        return cls(state, request.scope["path"], request.scope.get(GRANT), client)

    @property
    def age_s(self) -> float:
        """Seconds since the request came."""
        return time.monotonic() - self._start

    @property
    def namespace(self) -> str:
        """For `Engine.submit`: whose prefixes it shares."""
        return self._state.namespace(self.grant)

    @property
    def stage(self) -> str:
        """As `OpenRequest.state`."""
        if self.ttft_ms is not None:
            return "writing"
        started = any(t.started_at is not None for t in self.tickets)
        return "reading" if started else "queued"

    # -- on its way ---------------------------------------------------------------------------

    def use_model(self, name: str) -> None:
        """It asks for this public name.

        Raises:
            ApiError: 403 when its key may not.
        """
        self.model = name
        if not self.grant.may_use(name):
            raise ApiError(
                403, "this API key may not use this model", param="model", code="model_not_allowed"
            )

    def admit(self, *, prompt_tokens: int, answers: int = 1, new_tokens: int = 0) -> None:
        """Ask to be let in, once, before anything is submitted.

        Args:
            prompt_tokens: of all its prompts together.
            answers: tickets that it will have: prompts times n.
            new_tokens: the most each of them may have.

        Raises:
            ApiError: 429 for the key's limits, 503 when the queue is full or too slow; both know
                when it is worth coming again.
        """
        self.prompt_tokens, self.choices = prompt_tokens, answers
        grant, answers = self.grant, max(1, answers)
        if grant.key is not None:
            most = prompt_tokens + answers * new_tokens
            self._reservation = grant.meter.reserve(grant.key, most)
        self._permit = self._state.admission.admit(
            grant,
            prompt_tokens=prompt_tokens,
            answers=answers,
            new_tokens=new_tokens,
            others=self._state.several_keys,
        )
        self.tickets = self._permit.tickets

    def took(self, events: Sequence[TokenEvent], gap_s: float | None = None) -> None:
        """New tokens of one of its answers came, `gap_s` after the ones before of the same.

        Call it with the first events at once: they end the wait for the first token.
        """
        if not events:
            return
        first = events[0]
        made = int(first.token >= 0) if len(events) == 1 else sum(e.token >= 0 for e in events)
        read = 0
        if gap_s is None:
            prompt = self.prompt_tokens // max(1, self.choices)
            self.cached_tokens += first.cached_tokens
            self._state.metrics.prompt_read(prompt, min(prompt, first.cached_tokens))
            read = max(0, prompt - first.cached_tokens)
        self._first_events(first)
        self.completion_tokens += made
        self._state.metrics.tokens(made, gap_s)
        self._state.admission.did(read, made)

    def first_token(self) -> None:
        """Stamp the time to the first token, once."""
        if self.ttft_ms is None:
            self.ttft_ms = round(self.age_s * 1000, 2)

    def remember(self, body: dict[str, Any]) -> None:
        """Keep what was asked, in memory, for the owner (`ServeSpec.remember_requests`)."""
        if self._state.spec.remember_requests:
            size = len(json.dumps(body, ensure_ascii=False))
            self._remembered = Remembered(self.request_id, body, size=size)

    def heard(self, index: int, content: str, reasoning: str = "") -> None:
        """A piece of answer `index`, to be kept with the question."""
        if self._remembered is not None:
            self._remembered.heard(index, content, reasoning)

    # -- its end ------------------------------------------------------------------------------

    def when_cancelled(self, call: Callable[[ApiError], None]) -> None:
        """Be told when somebody ends it from here; at once when that has happened already."""
        if self.cancelled is not None:
            call(self.cancelled)
        else:
            self._on_cancel.append(call)

    def cancel(self, message: str, code: str = "cancelled") -> None:
        """End it from here; its client is told, with 403: clients do not try that again."""
        if self.cancelled is None and not self._reported:
            self.cancelled = ApiError(403, message, code=code)
            for call in self._on_cancel:
                call(self.cancelled)

    def end(self, status: int, finish_reason: str | None = None, error_code: str = "") -> None:
        """Report; later calls change nothing."""
        if self._reported:
            return
        self._reported = True
        if self.cancelled is not None and status < 400:  # a stream's headers had gone out
            status, error_code = self.cancelled.status, self.cancelled.code or ""
        self._give_back(status)
        self._state.ended(self, self._event(status, finish_reason, error_code), self._client)

    def fail(self, error: ApiError) -> None:
        """`end` with an error body."""
        self.end(error.status, error_code=error.code or "")

    def open_request(self) -> OpenRequest:
        """How it stands now."""
        return OpenRequest(
            request_id=self.request_id,
            route=self._route,
            model=self.model,
            key_name=self.grant.name,
            state=self.stage,
            age_s=round(self.age_s, 2),
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )

    def _first_events(self, first: TokenEvent) -> None:
        if self.ttft_ms is not None:
            return
        ttft_ms = self.ttft_ms = round(self.age_s * 1000, 2)
        starts = [t.started_at for t in self.tickets if t.started_at is not None]
        if first.queue_ms is not None:
            self.queue_ms = round(first.queue_ms, 2)
        elif starts:
            self.queue_ms = round(max(0.0, (min(starts) - self._start) * 1000), 2)
        waited_s = (self.queue_ms or 0.0) / 1000
        self._state.metrics.started(waited_s, ttft_ms / 1000 - waited_s)

    def _give_back(self, status: int) -> None:
        used = self.prompt_tokens + self.completion_tokens
        if self._permit is not None:
            self._state.admission.leave(self._permit, self.completion_tokens, status < 400)
        if self._reservation is not None:
            served = status < 400 or status == LEFT or self.ttft_ms is not None
            self.grant.meter.settle(self._reservation, used if served else 0)
        if self._remembered is not None and self.ttft_ms is not None:
            self._state.memory.keep(self._remembered)

    def _event(self, status: int, finish_reason: str | None, error_code: str) -> ServeRequest:
        return ServeRequest(
            request_id=self.request_id,
            route=self._route,
            status=status,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            ttft_ms=self.ttft_ms,
            total_ms=round(self.age_s * 1000, 2),
            finish_reason=finish_reason,
            streamed=self.streamed,
            model=self.model,
            key_name=self.grant.name,
            error_code=error_code,
            queue_ms=self.queue_ms,
            cached_tokens=self.cached_tokens,
            choices=self.choices,
        )
