"""The engine "transformers": any causal model that the library loads, and the oracle of the others.

Rows are batched where the architecture takes ragged rows; where it does not (linear attention,
recurrent states, positions that are counted inside the model) answers are made one after the other
by `generate` itself, so that nothing that transformers loads is refused.
"""

from __future__ import annotations

import gc
import logging
import time
from collections import deque
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from workers.serve.engines import loading, memory
from workers.serve.engines.base import (
    AdapterChange,
    EngineError,
    EngineStats,
    Feature,
    ModelFacts,
    Output,
    Progress,
    Request,
    TokenEvent,
    is_start,
)
from workers.serve.engines.batchable import takes_ragged_rows
from workers.serve.engines.batched import BatchedRows
from workers.serve.engines.held_requests import HeldRequests
from workers.serve.engines.plain import PlainRows
from workers.serve.engines.reading import only_reads, read_prompt, reads

log = logging.getLogger(__name__)

ENGINE_NAME = "transformers"
_IDLE_S = 0.001
"""Rest of a step in which every request waits for its grammar."""


class TransformersCore:
    """`EngineCore` over models as transformers has them."""

    def load(self, spec: ServeSpec, progress: Progress) -> ModelFacts:
        """See `EngineCore`."""
        self._loaded = loading.load_model(spec, progress)
        progress("warming_up", None, "")
        try:
            self._rows = self._make_rows(spec)
        except (RuntimeError, ValueError) as e:  # the first pass: a library's own limits
            detail = f"{type(e).__name__}: {e}"[:500]
            name = Path(spec.model).name
            raise AppError(ErrorCode.MODEL_LOAD_FAILED, model=name, detail=detail) from e
        self._held = HeldRequests(Path(spec.model), self._loaded)
        self._reading: deque[Request] = deque()
        self._scores: dict[int, TokenEvent] = {}
        self._device = self._loaded.device
        budget_gib = memory.budget_gib(self._device, spec.memory_share)
        self._facts = ModelFacts(
            engine=ENGINE_NAME,
            device=str(self._device),
            dtype=self._loaded.dtype,
            vocab_size=self._loaded.vocab_size,
            max_context_tokens=self._rows.max_context_tokens,
            eos_token_ids=self._loaded.eos_token_ids,
            adapters=self._loaded.adapters.names,
            precision=self._loaded.precision,
            max_batch_size=self._rows.places,
            cache_tokens=self._rows.budget_tokens,
            memory_budget_gib=round(memory.used_gib(self._device) + max(0.0, budget_gib), 2),
            features=self._features(),
        )
        return self._facts

    def _features(self) -> frozenset[Feature]:
        found: set[Feature] = {"prompt_logprobs", "embeddings"}
        return frozenset(found | {"grammar"} if self._held.possible else found)

    def _make_rows(self, spec: ServeSpec) -> BatchedRows | PlainRows:
        if takes_ragged_rows(self._loaded):
            return BatchedRows(spec, self._loaded)
        log.warning("this architecture cannot be batched: answers are made one after the other")
        return PlainRows(spec, self._loaded)

    @property
    def busy(self) -> bool:
        """See `EngineCore`."""
        return self._rows.busy or bool(self._held or self._reading)

    def add(self, request: Request) -> None:
        """See `EngineCore`."""
        if request.adapter not in self._facts.adapters:
            raise ValueError(f"there is no adapter {request.adapter}")
        if reads(request):
            self._reading.append(request)
        else:
            self._begin(request)

    def _begin(self, request: Request) -> None:
        if not self._held.hold(request):
            self._rows.add(request)

    def cancel(self, ids: Collection[int]) -> None:
        """See `EngineCore`."""
        self._reading = deque(r for r in self._reading if r.id not in ids)
        for number in ids:
            self._scores.pop(number, None)
        self._held.cancel(ids)
        self._rows.cancel(ids)

    def step(self) -> list[Output]:
        """See `EngineCore`."""
        found = self._read_one() if self._reading else []
        for request, outcome in self._held.ready():
            if isinstance(outcome, EngineError):
                found.append((request.id, outcome))
            else:
                self._rows.add(request, outcome)
        if self._rows.busy:
            found += self._rows.step()
        elif not found:
            time.sleep(_IDLE_S)
        return [self._with_scores(number, item) for number, item in found]

    def _read_one(self) -> list[Output]:
        """One whole prompt in a pass of its own; whoever wants an answer too begins it then."""
        request = self._reading[0]
        event = read_prompt(request, self._loaded)
        self._reading.popleft()  # only now: a pass that failed must find its request
        if only_reads(request):
            return [(request.id, event)]
        self._scores[request.id] = event
        self._begin(request)
        return []

    def _with_scores(self, number: int, item: TokenEvent | EngineError) -> Output:
        """The scores of a prompt go with the first event of its answer."""
        if number not in self._scores or isinstance(item, EngineError) or is_start(item):
            return number, item
        return number, replace(item, prompt_logprobs=self._scores.pop(number).prompt_logprobs)

    def stats(self) -> EngineStats:
        """See `EngineCore`."""
        return self._rows.stats()

    def change_adapters(self, change: AdapterChange) -> ModelFacts:
        """See `EngineCore`."""
        adapters = self._loaded.adapters
        if None not in adapters.names:
            detail = "the adapter is merged into the weights"
            raise AppError(ErrorCode.ENGINE_UNAVAILABLE, engine=ENGINE_NAME, detail=detail)
        done: list[str] = []
        try:
            for name, folder in change.load:
                adapters.load(name, Path(folder))
                done.append(name)
        except AppError:
            for name in done:
                adapters.unload(name)
            raise
        for name in change.unload:
            adapters.unload(name)
        self._rows.follow_adapters()
        self._facts = replace(self._facts, adapters=adapters.names)
        return self._facts

    def unload(self) -> None:
        """See `EngineCore`."""
        self._held.close()
        self._rows.close()
        del self._rows, self._loaded
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
