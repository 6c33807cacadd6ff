"""Shared by the serving tests: an engine over a tiny model, and what `generate` would have said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from core.config.serve import ServeSpec
from workers.serve.engines.base import SamplingParams, Ticket, TokenEvent
from workers.serve.engines.batched import BatchedEngine


@contextmanager
def running_engine(model: Path, **spec: object) -> Iterator[BatchedEngine]:
    engine = BatchedEngine(ServeSpec(model=str(model), device="cpu", **spec))
    engine.load(lambda *_: None)
    try:
        yield engine
    finally:
        engine.unload()


async def collect(ticket: Ticket) -> list[TokenEvent]:
    events: list[TokenEvent] = []
    while new := await ticket.next_events():
        events += new
    return events


async def collect_all(tickets: list[Ticket]) -> list[list[int]]:
    found = await asyncio.gather(*(collect(t) for t in tickets))
    return [[e.token for e in events] for events in found]


def greedy(tokens: int, **more: object) -> SamplingParams:
    return SamplingParams(max_new_tokens=tokens, temperature=0.0, ignore_eos=True, **more)


def expected_greedy(
    model: Path, prompts: list[list[int]], tokens: list[int], adapter: Path | None = None
) -> list[list[int]]:
    """One prompt at a time through `model.generate`."""
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    if adapter is not None:
        from peft import PeftModel

        reference = PeftModel.from_pretrained(reference, str(adapter))
    reference.eval()
    return [_generate(reference, p, n) for p, n in zip(prompts, tokens, strict=True)]


def _generate(model: object, prompt: list[int], tokens: int) -> list[int]:
    ids = torch.tensor([prompt])
    out = model.generate(  # type: ignore[attr-defined]
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        eos_token_id=-1,
        pad_token_id=0,
    )
    return out[0, len(prompt) :].tolist()
