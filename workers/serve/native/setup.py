"""From a spec to everything that a pass needs, on its device."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from workers.serve.engines import loading
from workers.serve.engines.base import Progress, Request, SamplingParams
from workers.serve.names import adapter_names
from workers.serve.native import memory
from workers.serve.native.adapters import AdapterBank
from workers.serve.native.constants import PAGE_TOKENS
from workers.serve.native.models import Model, Unsuited, take_over
from workers.serve.native.packed import pack
from workers.serve.native.packing import Packed, Packer
from workers.serve.native.pages import PageAllocator, root_digest
from workers.serve.native.plan import Share
from workers.serve.native.pool import KvPool
from workers.serve.native.rows import Row
from workers.serve.native.runner import Runner
from workers.serve.native.sampling.sampler import Sampler

_MAX_ROWS = {"cpu": 16, "cuda": 128}
_PREFILL_TOKENS = {"cpu": 256, "cuda": 2048}
_TIMED_TOKENS = 32
"""Of a prompt that is read on trial by a processor, to know how fast it is."""
_LONGEST_BITE_S = 0.5
"""A bite of a prompt holds everybody's next token up for no longer, on a processor."""
_LEAST_BITE_TOKENS = 32
_RECORDED_TOKENS = 1024
"""The largest recorded pass that reads prompts: larger ones keep a card busy without."""


@dataclass
class Machine:
    """A loaded model with its cache."""

    loaded: loading.LoadedModel
    runner: Runner
    pool: KvPool
    packer: Packer
    sampler: Sampler
    max_rows: int
    prefill_tokens: int
    context_tokens: int
    merged_adapter: str | None
    """The only thing that is served, when an adapter was folded into the weights."""

    @property
    def device(self) -> torch.device:
        """Where everything is."""
        return self.loaded.device

    @property
    def adapters(self) -> tuple[str | None, ...]:
        """What requests may name."""
        if self.merged_adapter is not None:
            return (self.merged_adapter,)
        return (None, *self.runner.adapters.names)


def build(spec: ServeSpec, progress: Progress) -> Machine:
    """Read the model in, size the cache, warm up.

    Raises:
        AppError: `model.*`, `adapter.*`, `serve.memory_short`.
    """
    merged = _merged_adapter(spec)
    loaded = loading.load_model(_without_live_adapters(spec, merged), progress)
    try:
        return _build(spec, loaded, merged, progress)
    except torch.OutOfMemoryError as e:
        raise loading.memory_short(loaded.device, spec, loaded.precision) from e


def _build(
    spec: ServeSpec, loaded: loading.LoadedModel, merged: str | None, progress: Progress
) -> Machine:
    device, kind = loaded.device, loaded.device.type
    known = loaded.max_context_tokens
    context = min(known, spec.max_context_tokens or known)
    max_rows = spec.max_batch_size or _MAX_ROWS[kind]
    prefill_tokens = spec.prefill_tokens or _PREFILL_TOKENS[kind]
    model = _taken_over(loaded, spec, context)
    pack(model)
    progress("warming_up", None, "")
    adapters = AdapterBank(model)
    if merged is None:
        for name, folder in adapter_names(spec).items():
            adapters.load(name, Path(folder))
    pages = memory.pages_that_fit(
        model.kv_layout,
        device,
        spec,
        max_rows=max_rows,
        context_tokens=context,
        pass_bytes=_largest_pass_bytes(model, device, min(prefill_tokens, context)),
        sampling_bytes=memory.sampling_bytes(max_rows, loaded.vocab_size),
        recorded_share=min(1.0, _RECORDED_TOKENS / prefill_tokens),
    )
    if (pages - 1) * PAGE_TOKENS < min(context, memory.SMALLEST_TOKENS):
        raise loading.memory_short(device, spec, loaded.precision)
    pool = KvPool(model.kv_layout, pages, device)
    context = min(context, pool.capacity_tokens)
    runner = Runner(model, pool, positions=context, graphs=spec.cuda_graphs)
    runner.adapters = adapters
    machine = Machine(
        loaded=loaded,
        runner=runner,
        pool=pool,
        packer=Packer(device, max_rows, context),
        sampler=Sampler(loaded.vocab_size, max_rows, device),
        max_rows=max_rows,
        prefill_tokens=prefill_tokens,
        context_tokens=context,
        merged_adapter=merged,
    )
    _warm_up(machine, spec, progress)
    return machine


def _merged_adapter(spec: ServeSpec) -> str | None:
    names = tuple(adapter_names(spec))
    return names[0] if spec.merge_adapter and len(names) == 1 else None


def _without_live_adapters(spec: ServeSpec, merged: str | None) -> ServeSpec:
    if merged is not None:
        return spec
    return spec.model_copy(update={"adapter": None, "adapters": ()})


def _taken_over(loaded: loading.LoadedModel, spec: ServeSpec, context: int) -> Model:
    try:
        return take_over(loaded.model, context)
    except Unsuited as e:
        raise AppError(
            ErrorCode.MODEL_UNSUPPORTED, path=spec.model, architecture=str(e), detail=str(e)
        ) from e


def _largest_pass_bytes(model: Model, device: torch.device, tokens: int) -> int:
    """What a pass over so many prompt tokens takes on a card beside weights and cache, measured."""
    if device.type != "cuda":
        return 0
    pool = KvPool(model.kv_layout, -(-tokens // PAGE_TOKENS) + 1, device)
    runner = Runner(model, pool, positions=tokens, graphs=False)
    packed = _invented_pass(device, pool, tokens)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    runner.forward(packed.batch)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _invented_pass(device: torch.device, pool: KvPool, tokens: int) -> Packed:
    """A prompt of `tokens` tokens in one bite."""
    row = Row(Request(0, [1] * tokens, SamplingParams(1)), tokens + 1, root_digest())
    row.slot = 0
    row.pages = PageAllocator(pool.pages, remembers=False).take(-(-tokens // PAGE_TOKENS))
    return Packer(device, 1, tokens).pack([Share(row, 0, tokens, due=True)])


def _warm_up(machine: Machine, spec: ServeSpec, progress: Progress) -> None:
    """Refuse a model that does not work before anybody asks it; compile and record its passes."""
    card = machine.device.type == "cuda"
    bite = machine.prefill_tokens if card else _TIMED_TOKENS
    bite = min(bite, machine.context_tokens, machine.pool.capacity_tokens // 2)
    for tokens in (2, 1):
        _try(machine, spec, tokens)
    seconds = min(_try(machine, spec, bite) for _ in range(2))
    if not card and not spec.prefill_tokens:
        machine.prefill_tokens = _bite_for(seconds / bite, machine.prefill_tokens)
    recorded_tokens = min(_RECORDED_TOKENS, machine.prefill_tokens + machine.max_rows)
    machine.runner.capture(machine.max_rows, progress, max_tokens=recorded_tokens)


def _try(machine: Machine, spec: ServeSpec, tokens: int) -> float:
    """Seconds of a pass over one prompt, which must give finite logits."""
    packed = _invented_pass(machine.device, machine.pool, tokens)
    began = time.perf_counter()
    logits = machine.runner.forward(packed.batch)
    loading.check_logits(logits, spec.model)
    return time.perf_counter() - began


def _bite_for(token_s: float, most: int) -> int:
    """Prompt tokens that a processor reads in the time that writing rows may be held up."""
    tokens = int(_LONGEST_BITE_S / max(token_s, 1e-6))
    return max(_LEAST_BITE_TOKENS, min(most, tokens))
