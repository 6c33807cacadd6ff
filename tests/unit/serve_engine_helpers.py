"""Shared by the serving tests: an engine over a tiny model, and what `generate` would have said."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import torch

from core.config.serve import ServeSpec
from workers.serve.engines.admission import Admission
from workers.serve.engines.base import (
    AdapterChange,
    EngineCore,
    EngineError,
    EngineStats,
    ModelFacts,
    Output,
    Request,
    SamplingParams,
    Ticket,
    TokenEvent,
)
from workers.serve.engines.driver import Driver
from workers.serve.engines.transformers_core import TransformersCore


class LocalEngine:
    """A core stepped by a thread of this process: what `RemoteEngine` does without a child."""

    def __init__(self, core: EngineCore, spec: ServeSpec) -> None:
        self.core = core
        self.facts: ModelFacts = core.load(spec, lambda *_: None)
        self._driver = Driver(core, self._say)
        self._admission = Admission(spec.queue_limit, spec.queue_limit_tokens)
        self._numbers = itertools.count(1)
        self._tickets: dict[int, tuple[Ticket, asyncio.AbstractEventLoop]] = {}
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._refusing = ""
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(
        self, prompt: list[int], params: SamplingParams, adapter: str | None, namespace: str = ""
    ) -> Ticket:
        if why := self._driver.failed or self._refusing:
            raise EngineError(why)
        tickets = [t for t, _ in list(self._tickets.values())]
        self._admission.check(tickets, len(prompt), self.facts.max_batch_size)
        number, ticket = next(self._numbers), Ticket(prompt, params, adapter)
        self._tickets[number] = ticket, asyncio.get_running_loop()
        request = Request(number, prompt, params, adapter, namespace)
        self._orders.put(lambda: self._driver.add(request))
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        numbers = [n for n, (t, _) in list(self._tickets.items()) if t is ticket]
        self._orders.put(lambda: self._driver.cancel(numbers))

    def stats(self) -> EngineStats:
        stats = self.core.stats()
        return EngineStats(**{**stats.__dict__, "failed": self._driver.failed})

    async def change_adapters(self, change: AdapterChange) -> ModelFacts:
        done: Future[ModelFacts] = Future()

        def order() -> None:
            try:
                done.set_result(self.core.change_adapters(change))
            except Exception as e:
                done.set_exception(e)

        self._orders.put(order)
        self.facts = await asyncio.wrap_future(done)
        return self.facts

    def end_all(self, reason: str) -> None:
        self._refusing = reason
        numbers = list(self._tickets)
        self._orders.put(lambda: self._driver.cancel(numbers))
        self._orders.put(lambda: self._say([(number, EngineError(reason)) for number in numbers]))

    def unload(self) -> None:
        self._ended = True
        self._thread.join(30)
        self.core.unload()

    def _run(self) -> None:
        while not self._ended:
            busy = self._driver.busy and not self._driver.failed
            with contextlib.suppress(queue.Empty):
                while True:
                    self._orders.get(timeout=None if busy else 0.02, block=not busy)()
                    busy = True
            if self._driver.busy and not self._driver.failed:
                self._driver.step()

    def _say(self, outputs: list[Output]) -> None:
        for number, item in outputs:
            if number not in self._tickets:
                continue
            ticket, loop = self._tickets[number]
            if not isinstance(item, TokenEvent) or item.finish is not None:
                del self._tickets[number]
            loop.call_soon_threadsafe(ticket.deliver, item)


@contextmanager
def running_engine(
    model: Path, *, core: EngineCore | None = None, **spec: object
) -> Iterator[LocalEngine]:
    """An engine of this process; `core` is the one called "transformers" unless given."""
    wanted = ServeSpec(model=str(model), **{"device": "cpu", **spec})
    engine = LocalEngine(core or TransformersCore(), wanted)
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
