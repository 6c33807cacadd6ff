"""The engine in its own process: crashes, hangs and slow readers stay there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from core.protocol.events import ServeEngine
from tests.unit.engine_cores import (
    COUNTING,
    DIES,
    HANGS,
    LAST_WORDS,
    PRINTS,
    RAISES,
    SLOW,
    STEADY,
)
from workers.serve.engines import frames, wire
from workers.serve.engines.base import (
    AdapterChange,
    EngineError,
    QueueFull,
    Request,
    SamplingParams,
    Ticket,
)
from workers.serve.engines.remote import RemoteEngine
from workers.serve.engines.restarts import Restarts

pytestmark = pytest.mark.slow


class Running(RemoteEngine):
    """With a memory of what it said."""

    def __init__(self, spec: ServeSpec, **more: object) -> None:
        self.said: list[ServeEngine] = []
        super().__init__(spec, core=COUNTING, on_change=self.said.append, **more)  # type: ignore[arg-type]

    async def until(self, state: str) -> ServeEngine:
        while not (self.said and self.said[-1].state == state):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return self.said[-1]


@asynccontextmanager
async def running(
    model: str = "m", more: dict | None = None, **spec: object
) -> AsyncIterator[Running]:
    engine = Running(ServeSpec(model=model, **spec), **{"first_wait_s": 0.05, **(more or {})})
    await engine.load(lambda *_: None)
    try:
        yield engine
    finally:
        await engine.unload()


async def tokens(ticket: Ticket) -> list[int]:
    found: list[int] = []
    while events := await ticket.next_events():
        found += [e.token for e in events]
    return found


def want(count: int, **more: object) -> SamplingParams:
    return SamplingParams(max_new_tokens=count, **more)


def test_answers_come_through_the_process_in_order_and_mixed() -> None:
    async def serve() -> None:
        phases: list[tuple[str, float | None, str]] = []
        engine = Running(ServeSpec(model="m"))
        await engine.load(lambda *phase: phases.append(phase))
        try:
            assert phases == [("loading_model", 0.5, "m")]
            tickets = [engine.submit([5, 100 * i], want(20 + i), None) for i in range(30)]
            found = await asyncio.gather(*map(tokens, tickets))
            assert found == [list(range(100 * i + 1, 100 * i + 21 + i)) for i in range(30)]
            assert engine.stats().running == engine.stats().queued == 0
            assert all(t.started_at is not None for t in tickets)
        finally:
            await engine.unload()

    asyncio.run(serve())


def test_what_a_library_prints_does_not_disturb_the_channel() -> None:
    async def serve() -> None:
        async with running() as engine:
            assert await tokens(engine.submit([PRINTS, 10], want(5), None)) == [11, 12, 13, 14, 15]

    asyncio.run(serve())


def test_a_killed_engine_ends_its_answers_and_is_started_again() -> None:
    async def serve() -> None:
        async with running() as engine:
            bystander = engine.submit([SLOW, 10], want(500), None)
            await bystander.next_events()
            before = engine.pid
            doomed = engine.submit([DIES, 1], want(5), None)
            for ticket in (bystander, doomed):
                with pytest.raises(EngineError, match="crashed"):
                    await tokens(ticket)
            with pytest.raises(EngineError, match="being restarted"):
                engine.submit([5], want(1), None)
            await engine.until("ready")
            assert [e.state for e in engine.said] == ["crashed", "restarting", "ready"]
            assert "SIGKILL" in engine.said[0].reason
            assert LAST_WORDS in engine.said[0].reason
            assert engine.pid != before
            assert await tokens(engine.submit([5, 7], want(2), None)) == [8, 9]

    asyncio.run(serve())


def test_an_engine_that_hangs_is_ended_and_started_again() -> None:
    async def serve() -> None:
        async with running(more={"hang_s": 0.6}) as engine:
            await asyncio.sleep(1.0)  # idle is not hanging
            assert not engine.said
            with pytest.raises(EngineError, match="not moved"):
                await tokens(engine.submit([HANGS, 1], want(5), None))
            await engine.until("ready")
            assert await tokens(engine.submit([5, 7], want(2), None)) == [8, 9]

    asyncio.run(serve())


def test_three_bad_steps_end_the_process_and_single_ones_do_not() -> None:
    async def serve() -> None:
        async with running() as engine:
            for bad in (2, 3):
                pid = engine.pid
                for _ in range(bad):
                    with pytest.raises(EngineError, match="MemoryError: no room"):
                        await tokens(engine.submit([RAISES, 1], want(5), None))
                if bad == 2:
                    assert await tokens(engine.submit([5, 7], want(2), None)) == [8, 9]
                    assert engine.pid == pid
            crashed = await engine.until("ready")
            assert crashed.attempt == 1
            assert engine.said[0].reason == "MemoryError: no room"
            assert engine.pid != pid

    asyncio.run(serve())


def test_an_engine_that_cannot_come_back_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    lives.write_text("1")

    async def serve() -> None:
        async with running(str(lives), max_restarts=2) as engine:
            with pytest.raises(EngineError):
                await tokens(engine.submit([DIES, 1], want(5), None))
            given_up = await engine.until("given_up")
            assert [e.state for e in engine.said] == [
                "crashed", "restarting", "crashed", "restarting", "given_up",
            ]  # fmt: skip
            assert engine.said[2].retry_in_s == 2 * engine.said[0].retry_in_s
            assert LAST_WORDS in given_up.reason
            assert engine.stats().failed == given_up.reason
            with pytest.raises(EngineError):
                engine.submit([5], want(1), None)

    asyncio.run(serve())


@pytest.mark.parametrize(("model", "code"), [("refused", "model.load_failed"), ("dies", "serve.")])
def test_a_model_that_cannot_be_loaded_is_told_and_not_tried_again(model: str, code: str) -> None:
    # Those of other tests in this process, such as Python's own tracker of shared memory.
    others = set(psutil.Process().children())

    async def serve() -> None:
        engine = Running(ServeSpec(model=model))
        with pytest.raises(AppError) as refused:
            await engine.load(lambda *_: None)
        assert refused.value.code.value.startswith(code)
        if model == "dies":
            assert refused.value.code is ErrorCode.ENGINE_FAILED
            assert LAST_WORDS in refused.value.detail
        assert not engine.said
        await engine.unload()
        assert set(psutil.Process().children()) <= others

    asyncio.run(serve())


def test_the_wait_is_bounded_by_requests_and_by_prompt_tokens() -> None:
    async def serve() -> None:
        limits = {"max_batch_size": 1, "queue_limit": 3, "queue_limit_tokens": 50}
        async with running(**limits) as engine:
            first = engine.submit([SLOW, 1], want(10_000), None)
            await first.next_events()
            assert (engine.stats().running, engine.stats().queued) == (1, 0)
            alone = engine.submit([5] * 100, want(1), None)  # one is always taken
            with pytest.raises(QueueFull):
                engine.submit([5], want(1), None)
            engine.cancel(alone)
            waiting = [engine.submit([5] * 10, want(1), None) for _ in range(3)]
            with pytest.raises(QueueFull) as refused:
                engine.submit([5], want(1), None)
            assert (refused.value.queued, refused.value.limit) == (3, 3)
            assert engine.stats().queued == 3
            engine.cancel(first)
            assert await asyncio.gather(*map(tokens, waiting)) == [[6]] * 3

    asyncio.run(serve())


def test_a_request_that_the_engine_does_not_take_is_told_and_hurts_nobody() -> None:
    async def serve() -> None:
        async with running() as engine:
            bystander = engine.submit([STEADY, 0], want(50), None)
            with pytest.raises(EngineError, match="allows nothing"):
                await tokens(engine.submit([5], want(1, grammar="impossible"), None))
            assert await tokens(bystander) == list(range(1, 51))

    asyncio.run(serve())


def test_a_front_that_is_slow_to_read_does_not_hold_up_the_others_passes() -> None:
    """The pipe holds 64 KiB; a core makes many times that while nobody reads."""
    child = subprocess.Popen(
        [sys.executable, "-m", "workers.serve.engine_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdin
    assert child.stdout
    spec = ServeSpec(model="m").model_dump(mode="json")
    orders = [
        {"do": "load", "core": COUNTING, "spec": spec},
        {"do": "add", **wire.request_out(Request(1, [5, 0], want(100_000)))},
    ]
    for order in orders:
        child.stdin.write(frames.encode(order))
    child.stdin.flush()
    while (message := frames.read(child.stdout)) is not None and message["say"] != "out":
        continue
    used = psutil.Process(child.pid).cpu_times().user
    while psutil.Process(child.pid).cpu_times().user > used:  # until all is made, unread
        used = psutil.Process(child.pid).cpu_times().user
        asyncio.run(asyncio.sleep(0.3))
    found = wire.outputs_in(message["of"]) if message else []
    messages = 1
    while len(found) < 100_001:
        message = frames.read(child.stdout)
        assert message is not None
        if message["say"] == "out":
            found += wire.outputs_in(message["of"])
            messages += 1
    assert [item.token for _, item in found[1:]] == list(range(1, 100_001))  # type: ignore[union-attr]
    assert messages < 1000  # what waited together came together
    child.stdin.close()
    assert child.wait(10) == 0


@pytest.mark.parametrize("prompt", [[5, 0], [HANGS, 0], None])
def test_the_process_ends_when_its_input_does_whatever_it_is_doing(
    prompt: list[int] | None,
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "workers.serve.engine_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdin
    assert child.stdout
    if prompt:
        spec = ServeSpec(model="m").model_dump(mode="json")
        child.stdin.write(frames.encode({"do": "load", "core": COUNTING, "spec": spec}))
        request = wire.request_out(Request(1, prompt, want(1_000_000)))
        child.stdin.write(frames.encode({"do": "add", **request}))
        child.stdin.flush()
        while (frames.read(child.stdout) or {"say": "ready"})["say"] != "ready":
            continue
    for number in (signal.SIGTERM, signal.SIGINT):
        if prompt:
            os.kill(child.pid, number)  # to the whole group, when somebody presses Ctrl+C
    assert child.poll() is None
    child.stdin.close()
    assert child.wait(20) == 0


def test_adapters_change_while_others_are_served_and_come_back_after_a_crash() -> None:
    async def serve() -> None:
        async with running() as engine:
            with pytest.raises(EngineError):
                engine.submit([5, 1], want(1), "a")
            facts = await engine.change_adapters(AdapterChange(load=(("a", "/a"), ("b", "/b"))))
            assert facts.adapters == (None, "a", "b")
            long = engine.submit([SLOW, 1], want(12), "a")
            await long.next_events()
            leaving = asyncio.create_task(engine.change_adapters(AdapterChange(unload=("a",))))
            await asyncio.sleep(0)
            with pytest.raises(EngineError, match="unloaded"):
                engine.submit([5, 1], want(1), "a")
            assert await tokens(engine.submit([5, 1], want(1), "b")) == [2]
            assert not leaving.done()
            assert (await tokens(long))[-1] == 13
            assert (await leaving).adapters == (None, "b")
            with pytest.raises(AppError) as refused:
                await engine.change_adapters(AdapterChange(load=(("c", "wrong"),)))
            assert refused.value.code is ErrorCode.ADAPTER_MISMATCH
            with pytest.raises(EngineError):
                await tokens(engine.submit([DIES, 1], want(1), None))
            await engine.until("ready")
            assert engine.facts.adapters == (None, "b")
            assert await tokens(engine.submit([5, 1], want(1), "b")) == [2]

    asyncio.run(serve())


def test_a_crash_while_an_adapter_is_being_unloaded_is_told() -> None:
    async def serve() -> None:
        async with running() as engine:
            await engine.change_adapters(AdapterChange(load=(("a", "/a"),)))
            held = engine.submit([SLOW, 1], want(10_000), "a")
            await held.next_events()
            leaving = asyncio.create_task(engine.change_adapters(AdapterChange(unload=("a",))))
            await asyncio.sleep(0.1)
            engine.submit([DIES, 1], want(1), None)
            with pytest.raises(AppError) as refused:
                await leaving
            assert refused.value.code is ErrorCode.ENGINE_FAILED
            await engine.until("ready")
            assert await tokens(engine.submit([5, 1], want(1), "a")) == [2]

    asyncio.run(serve())


def test_ending_all_tells_everybody_and_leaves_no_process() -> None:
    async def serve() -> int:
        async with running() as engine:
            tickets = [engine.submit([STEADY, 0], want(100_000), None) for _ in range(50)]
            await tickets[0].next_events()
            engine.end_all("the server is stopping")
            for ticket in tickets:
                with pytest.raises(EngineError, match="stopping"):
                    await tokens(ticket)
            assert engine.pid is not None
            return engine.pid

    pid = asyncio.run(serve())
    assert not psutil.pid_exists(pid)


def test_waits_between_restarts_double_and_crashes_long_ago_are_forgotten() -> None:
    clock = [0.0]
    restarts = Restarts(7, now=lambda: clock[0])
    waits = [restarts.next_attempt() for _ in range(8)]
    assert waits == [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), None]
    clock[0] = 700.0
    assert restarts.next_attempt() == (1, 1)
