"""The native engine's core: the protocol that the engine's process speaks, over the loop."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Collection
from pathlib import Path

import torch

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from workers.serve.engines import memory as process_memory
from workers.serve.engines.base import (
    AdapterChange,
    EngineError,
    EngineStats,
    Feature,
    ModelFacts,
    Output,
    Progress,
    Request,
)
from workers.serve.native import memory, setup
from workers.serve.native.guard import why_refused
from workers.serve.native.loop import Loop
from workers.serve.native.obeying import Obedience
from workers.serve.native.pages import root_digest
from workers.serve.native.rows import Row

ENGINE_NAME = "native"


class NativeCore:
    """`EngineCore` of our own: continuous batching over a paged cache."""

    def __init__(self) -> None:
        self._generations = itertools.count(1)
        self._generation_of: dict[str | None, int] = {}
        """Of each adapter's weights: another load is another content of the cache."""

    # -- life ---------------------------------------------------------------------------------

    def load(self, spec: ServeSpec, progress: Progress) -> ModelFacts:
        """Read the model in, size the cache, warm up."""
        with torch.inference_mode():
            self._machine = machine = setup.build(spec, progress)
        loaded = machine.loaded
        self._obedience = Obedience.load(
            Path(spec.model), loaded.vocab_size, loaded.eos_token_ids, machine.device
        )
        self._loop = Loop(
            machine,
            self._obedience,
            prefix_cache=spec.prefix_cache,
            one_ahead=machine.device.type == "cuda",
        )
        self._spec = spec
        self._revision = _revision(Path(spec.model)), loaded.precision
        self._generation_of = {name: next(self._generations) for name in machine.adapters}
        gc.collect()
        gc.freeze()  # a collection in the middle of a step need not look at what stays
        return self._facts()

    def unload(self) -> None:
        """Drop model and cache."""
        if hasattr(self, "_machine"):
            self._obedience.close()
            del self._machine, self._loop, self._obedience
        gc.unfreeze()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def change_adapters(self, change: AdapterChange) -> ModelFacts:
        """Unload and load between two steps; who still uses an unloaded one is finished first."""
        machine = self._machine
        if machine.merged_adapter is not None:
            raise AppError(
                ErrorCode.ADAPTER_UNSUPPORTED,
                path=", ".join(folder for _, folder in change.load),
                reason="another one is merged into the weights",
            )
        self._finish_open_answers(change.unload)
        with torch.inference_mode():
            self._swap(change)
        self._generation_of |= {name: next(self._generations) for name, _ in change.load}
        return self._facts()

    def _finish_open_answers(self, adapters: Collection[str]) -> None:
        loop = self._loop
        outputs: list[Output] = []
        while any(row.request.adapter in adapters for row in loop.rows.values()):
            outputs += loop.step()
        loop.say(outputs)

    def _swap(self, change: AdapterChange) -> None:
        """All or nothing, but for an adapter that is replaced under its name."""
        bank, loaded = self._machine.runner.adapters, []
        replaced = [name for name, _ in change.load if name in change.unload]
        for name in replaced:
            bank.unload(name)
        try:
            for name, folder in change.load:
                bank.load(name, Path(folder))
                loaded.append(name)
        except Exception:
            for name in loaded:
                bank.unload(name)
            raise
        for name in set(change.unload).difference(replaced):
            bank.unload(name)

    # -- requests -----------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether `step` has anything to do."""
        return self._loop.busy

    def add(self, request: Request) -> None:
        """Queue one answer; what cannot be answered is told at the next step."""
        machine, loop = self._machine, self._loop
        reason = why_refused(
            request, machine.loaded.vocab_size, machine.context_tokens, machine.adapters
        )
        if request.params.grammar is not None and not self._obedience.possible:
            reason = "this model's answers cannot be held to a form"
        if request.id in loop.rows:
            reason = f"request {request.id} is there already"
        if reason:
            loop.say([(request.id, EngineError(reason))])
            return
        limit = min(len(request.prompt) + request.params.max_new_tokens, machine.context_tokens)
        row = Row(request, limit, self._root(request))
        if machine.merged_adapter is None:
            row.adapter_index = machine.runner.adapters.index(request.adapter)
        loop.add(row)

    def step(self) -> list[Output]:
        """Launch a pass and tell what came of it, or of the one before."""
        return self._loop.step()

    def cancel(self, ids: Collection[int]) -> None:
        """Drop answers; a pass under way is not waited for."""
        for number in ids:
            self._loop.drop(number)

    def stats(self) -> EngineStats:
        """State now."""
        scheduler, machine = self._loop.scheduler, self._machine
        return EngineStats(
            running=len(scheduler.running),
            queued=len(scheduler.waiting),
            steps=self._loop.steps,
            cache_tokens=scheduler.pages.held * scheduler.pages.page_size,
            cache_capacity_tokens=machine.pool.capacity_tokens,
            memory_gib=process_memory.used_gib(machine.device),
            peak_memory_gib=memory.peak_gib(machine.device),
            prefix_query_tokens=scheduler.prefix_query_tokens,
            prefix_hit_tokens=scheduler.prefix_hit_tokens,
            preemptions=scheduler.preemptions,
        )

    def _facts(self) -> ModelFacts:
        machine = self._machine
        loaded = machine.loaded
        features: set[Feature] = {"prompt_logprobs", "embeddings"}
        if self._obedience.possible:
            features.add("grammar")
        return ModelFacts(
            engine=ENGINE_NAME,
            device=str(machine.device),
            dtype=loaded.dtype,
            vocab_size=loaded.vocab_size,
            max_context_tokens=machine.context_tokens,
            eos_token_ids=loaded.eos_token_ids,
            adapters=machine.adapters,
            precision=loaded.precision,
            max_batch_size=machine.max_rows,
            cache_tokens=machine.pool.capacity_tokens,
            memory_budget_gib=process_memory.budget_gib(machine.device, self._spec.memory_share)
            + process_memory.used_gib(machine.device),
            features=frozenset(features),
        )

    def _root(self, request: Request) -> bytes:
        generation = self._generation_of[request.adapter]
        return root_digest(self._revision, request.adapter, generation, request.namespace)


def _revision(model: Path) -> str:
    """Changes when the weights do: a cache is never asked for another model's content."""
    kinds = {".safetensors", ".gguf"}
    files = sorted(f for f in model.iterdir() if f.suffix in kinds) if model.is_dir() else [model]
    return repr([(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files])
