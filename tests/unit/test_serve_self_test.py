"""The test of itself: against an engine whose speed is known, and how it gives way to people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from core.config.serve import ServeSpec
from core.protocol.commands import SelfTestCommand
from core.protocol.events import ServeSelfTest
from workers.serve.engines.base import (
    EngineError,
    EngineStats,
    ModelFacts,
    SamplingParams,
    Ticket,
    TokenEvent,
)
from workers.serve.http.card import CardUse
from workers.serve.http.metrics import ServerMetrics
from workers.serve.http.self_test import NAMESPACE, SelfTest
from workers.serve.http.state import Call, Loaded, ServerState

FACTS = ModelFacts(
    engine="known", device="cpu", dtype="fp32", vocab_size=100, max_context_tokens=64,
    eos_token_ids=frozenset(), adapters=(None,), max_batch_size=4,
)  # fmt: skip


class Known:
    """Answers `places` requests at a time, each after `answer_s`."""

    def __init__(self, answer_s: float = 0.02, places: int = 4, fail: str = "") -> None:
        self.answer_s, self.fail = answer_s, fail
        self.prompts: list[list[int]] = []
        self.namespaces: set[str] = set()
        self.open: dict[Ticket, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(places)

    def submit(
        self, prompt: list[int], params: SamplingParams, adapter: str | None, namespace: str = ""
    ) -> Ticket:
        if self.fail:
            raise EngineError(self.fail)
        assert params.ignore_eos
        ticket = Ticket(prompt, params, adapter)
        self.prompts.append(prompt)
        self.namespaces.add(namespace)
        self.open[ticket] = asyncio.ensure_future(self._answer(ticket))
        return ticket

    async def _answer(self, ticket: Ticket) -> None:
        async with self._places:
            count = ticket.params.max_new_tokens
            for number in range(count):
                await asyncio.sleep(self.answer_s / count)
                ticket.deliver(TokenEvent(5, "length" if number == count - 1 else None))

    def cancel(self, ticket: Ticket) -> None:
        self.open.pop(ticket).cancel()

    def stats(self) -> EngineStats:
        return EngineStats()


class Course:
    """A test on a server that is ready."""

    def __init__(self, engine: Known) -> None:
        self.engine = engine
        self.events: list[ServeSelfTest] = []
        self.state = ServerState(ServeSpec(model="/none"), ServerMetrics("m", 9))
        self.state.loaded = Loaded(engine, None, FACTS, {"m": None})  # type: ignore[arg-type]
        self.state.phase = "ready"

    async def run(self, seconds: float = 4.0, **more: Any) -> ServeSelfTest:
        values = {"prompt_tokens": 8, "answer_tokens": 4, "target_p99_ms": 150.0, **more}
        test = SelfTest(self.state, self.events.append, seed=3)
        await test.run(SelfTestCommand(seconds=seconds, **values))
        return self.events[-1]


def course(make: Callable[[], Known], act: Callable[[Course], Any]) -> Course:
    async def run() -> Course:
        made = Course(make())
        await act(made)
        return made

    return asyncio.run(run())


def test_it_finds_a_rate_below_what_the_engine_can_do() -> None:
    found = course(lambda: Known(0.02, places=2), lambda c: c.run())
    last = found.events[-1]
    assert last.phase == "done"
    assert last.fraction == 1.0
    assert last.sustained_qps is not None
    # Two places of 20 ms each are 100 a second; a busy machine only makes it less.
    assert 0 < last.sustained_qps <= 115
    assert last.one_stream_tokens_per_second is not None
    assert 0 < last.one_stream_tokens_per_second <= 1.1 * 4 / 0.02
    assert last.latency_p99_ms is not None
    assert last.latency_p99_ms <= 150
    running = [e for e in found.events if e.phase == "running"]
    assert len(running) >= 3
    assert [e.fraction for e in running] == sorted(e.fraction for e in running)


def test_a_slow_engine_holds_no_rate_and_that_is_said() -> None:
    found = course(lambda: Known(0.5), lambda c: c.run(target_p99_ms=100))
    assert (found.events[-1].phase, found.events[-1].sustained_qps) == ("done", 0.0)


def test_an_engine_that_needs_longer_than_the_test_is_not_waited_for() -> None:
    found = course(lambda: Known(60), lambda c: c.run(seconds=0.5))
    assert (found.events[-1].phase, found.events[-1].sustained_qps) == ("done", 0.0)
    assert found.events[-1].detail
    assert found.engine.open == {}


def test_its_prompts_share_nothing_and_fit_the_model() -> None:
    found = course(Known, lambda c: c.run(seconds=2, prompt_tokens=500, answer_tokens=500))
    prompts = found.engine.prompts
    assert len({tuple(p) for p in prompts}) == len(prompts) > 5
    assert all(0 <= t < FACTS.vocab_size for p in prompts for t in p)
    assert all(len(p) + 32 <= FACTS.max_context_tokens for p in prompts)
    assert found.engine.namespaces == {NAMESPACE}


def test_the_user_s_figures_know_nothing_of_it() -> None:
    found = course(Known, lambda c: c.run(seconds=2))
    stats = found.state.stats()
    assert (stats.requests_total, stats.qps, stats.tokens_per_second) == (0, 0.0, 0.0)
    assert found.state.admission.waiting().answers == 0
    assert found.engine.open == {}


def interrupted(disturb: Callable[[Course], None]) -> Course:
    async def act(made: Course) -> None:
        running = asyncio.ensure_future(made.run(seconds=30))
        await asyncio.sleep(0.2)
        disturb(made)
        await asyncio.wait_for(running, 10)

    return course(lambda: Known(0.05), act)


@pytest.mark.parametrize("why", ["request", "stopping", "memory"])
def test_it_gives_way_at_once_and_leaves_nothing_open(why: str) -> None:
    def disturb(made: Course) -> None:
        if why == "request":
            Call(made.state, "/x")
        elif why == "stopping":
            made.state.phase, made.state.reason = "draining", "the server is stopping"
        else:
            made.state.card.use = CardUse(79, 80)

    found = interrupted(disturb)
    assert found.events[-1].phase == "failed"
    assert found.events[-1].detail
    assert found.events[-1].fraction < 0.5
    assert found.engine.open == {}


def test_it_does_not_begin_while_somebody_is_served() -> None:
    async def act(made: Course) -> None:
        Call(made.state, "/x")
        await made.run()

    found = course(Known, act)
    assert [e.phase for e in found.events] == ["failed"]
    assert found.engine.prompts == []


def test_a_broken_engine_is_told_not_raised() -> None:
    found = course(lambda: Known(fail="the engine died"), lambda c: c.run())
    assert (found.events[-1].phase, found.events[-1].detail) == ("failed", "the engine died")
