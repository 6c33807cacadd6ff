"""One answer after the other by `model.generate`, for architectures that cannot be batched.

`generate` knows every cache and every state that the library has. It runs on a thread that moves
only while `step` waits for it: each step lets it make one token, which is drawn by our own sampler.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection
from typing import Any

import torch

from core.config.serve import ServeSpec
from workers.serve.engines import loading, memory
from workers.serve.engines.base import (
    EngineError,
    EngineStats,
    FinishReason,
    Output,
    Request,
    TokenEvent,
    started,
)
from workers.serve.engines.loading import LoadedModel
from workers.serve.engines.sampling import RowSampler, choose
from workers.serve.native.sampling.grammar import RowGrammar

_CLOSE_S = 5.0


class _Dropped(Exception):
    """Ends `generate` in the middle of an answer."""


class PlainRows:
    """A queue, and the one answer that is being made.

    Args:
        spec: of the server.
        loaded: the model.

    Raises:
        AppError: `model.load_failed` for a model whose output is not finite.
    """

    places = 1

    def __init__(self, spec: ServeSpec, loaded: LoadedModel) -> None:
        self._loaded = loaded
        wanted = spec.max_context_tokens or loaded.max_context_tokens
        self.max_context_tokens = min(wanted, loaded.max_context_tokens)
        self.budget_tokens = self.max_context_tokens
        self._waiting: deque[tuple[Request, float, RowGrammar | None]] = deque()
        self._answer: _Answer | None = None
        self._steps = 0
        with torch.inference_mode():
            probe = torch.ones((1, 2), dtype=torch.long, device=loaded.device)
            loading.check_logits(loaded.model(input_ids=probe).logits, spec.model)

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits."""
        return self._answer is not None or bool(self._waiting)

    def add(self, request: Request, grammar: RowGrammar | None = None) -> None:
        """Queue one answer."""
        self._waiting.append((request, time.monotonic(), grammar))

    def cancel(self, ids: Collection[int]) -> None:
        """Drop answers."""
        self._waiting = deque(w for w in self._waiting if w[0].id not in ids)
        if self._answer is not None and self._answer.request.id in ids:
            self._answer.drop()
            self._answer = None

    def step(self) -> list[Output]:
        """One token of the answer that is being made."""
        self._steps += 1
        found: list[Output] = []
        if self._answer is None:
            request, since, grammar = self._waiting.popleft()
            found.append((request.id, started((time.monotonic() - since) * 1000)))
            self._loaded.adapters.use(request.adapter)
            self._answer = _Answer(request, grammar, self._loaded, self.max_context_tokens)
        try:
            event: TokenEvent | EngineError = self._answer.next()
        except EngineError as e:  # the grammar's: nobody else suffers
            event = e
        found.append((self._answer.request.id, event))
        if isinstance(event, EngineError) or event.finish is not None:
            self._answer.drop()
            self._answer = None
        return found

    def stats(self) -> EngineStats:
        """State now."""
        return EngineStats(
            running=int(self._answer is not None),
            queued=len(self._waiting),
            steps=self._steps,
            cache_tokens=self._answer.tokens if self._answer else 0,
            cache_capacity_tokens=self.budget_tokens,
            memory_gib=memory.used_gib(self._loaded.device),
        )

    def follow_adapters(self) -> None:
        """Nothing is kept an adapter."""

    def close(self) -> None:
        """End the answer that is being made."""
        if self._answer is not None:
            self._answer.drop()
            self._answer = None


class _Answer:
    """`generate` on a thread, a token at a time.

    Our logits processor draws the token, hands it over and waits; then it leaves `generate` only
    that token to choose.
    """

    def __init__(
        self,
        request: Request,
        grammar: RowGrammar | None,
        loaded: LoadedModel,
        most_tokens: int,
    ) -> None:
        self.request = request
        self.tokens = len(request.prompt)
        self._loaded, self._most_tokens = loaded, most_tokens
        self._sampler = RowSampler(request.params, request.prompt, grammar=grammar)
        self._go, self._made = threading.Semaphore(0), threading.Semaphore(0)
        self._event: TokenEvent | None = None
        self._error: BaseException | None = None
        self._dropped = False
        self._produced = 0
        self._thread = threading.Thread(target=self._generate, name="generate", daemon=True)
        self._thread.start()

    def next(self) -> TokenEvent:
        """The next token. Raises what the model raised."""
        self._go.release()
        self._made.acquire()
        if self._error is not None:
            raise self._error
        assert self._event is not None
        return self._event

    def drop(self) -> None:
        """End it; returns when the thread is gone."""
        self._dropped = True
        self._go.release()
        self._thread.join(_CLOSE_S)

    def _generate(self) -> None:
        self._go.acquire()
        try:
            self._run()
            raise RuntimeError("generate ended before the answer did")
        except _Dropped:
            return
        except BaseException as e:  # noqa: BLE001 - handed to the thread that waits
            self._error = e
        self._made.release()

    @torch.inference_mode()
    def _run(self) -> None:
        if self._dropped:
            raise _Dropped
        ids = torch.tensor([self.request.prompt], device=self._loaded.device)
        self._loaded.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            logits_processor=[self._choose],
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            repetition_penalty=1.0,
            min_new_tokens=None,
            eos_token_id=-1,
            pad_token_id=0,
            max_new_tokens=self._most_tokens,
        )

    def _choose(self, _ids: torch.Tensor, scores: Any) -> Any:
        (token,), (logprob,) = choose(scores, [self._sampler])
        if self._sampler.failure:
            raise EngineError(self._sampler.failure)
        self._produced += 1
        self.tokens += 1
        finish, is_stop = self._finish(token)
        self._event = TokenEvent(token, finish, is_stop, logprob)
        self._made.release()
        self._go.acquire()
        if self._dropped:
            raise _Dropped
        only = torch.full_like(scores, float("-inf"))
        only[:, token] = 0.0
        return only

    def _finish(self, token: int) -> tuple[FinishReason | None, bool]:
        params = self.request.params
        bound = self._sampler.grammar is not None
        ended = token in self._loaded.eos_token_ids and (bound or not params.ignore_eos)
        if ended or token in params.stop_token_ids:
            return "stop", True
        full = self.tokens >= self._most_tokens
        return ("length" if full or self._produced >= params.max_new_tokens else None), False
