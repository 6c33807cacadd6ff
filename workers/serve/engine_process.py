"""The engine's own process: `python -m workers.serve.engine_process`, started by the front only.

Orders come as frames on standard input, events leave as frames on what was standard output; the
process ends when its input does, so it never outlives the front. Whatever prints goes to standard
error. One thread reads, one writes, the main one computes: a front that is slow to read does not
hold up a pass, and one that is gone ends the process even in the middle of one.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from typing import Any, BinaryIO

from core.config.serve import ServeSpec
from core.errors import AppError
from workers.harness.failures import error_info
from workers.serve.engines import frames, wire
from workers.serve.engines.base import EngineCore, Output
from workers.serve.engines.driver import Driver
from workers.serve.engines.frames import Message

log = logging.getLogger(__name__)

CORES = {
    "native": "workers.serve.native.engine:NativeCore",
    "transformers": "workers.serve.engines.transformers_core:TransformersCore",
    "vllm": "workers.serve.engines.upstream.core:vllm",
    "llama_cpp": "workers.serve.engines.upstream.core:llama_cpp",
}
EXIT_LOAD_FAILED = 1
EXIT_ENGINE_FAILED = 3
_STATS_S = 0.25
_IDLE_STATS_S = 1.0
_LAST_MOMENTS_S = 1.5
"""How long the main thread gets to end by itself once the front is gone."""
_MOST_WAITING_OUTPUTS = 200_000
_OUTPUTS_A_FRAME = 4096


def main() -> int:
    """Live until the front closes the channel; returns the exit code."""
    orders, events = _take_the_channel()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):  # to the whole group: the front decides
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, signal.SIG_IGN)
    writer = _Writer(events)
    inbox = _Inbox(orders)
    code = _Process(inbox, writer).run()
    writer.close()
    return code


def _take_the_channel() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output for frames alone; what a library prints goes to standard error."""
    orders, events = os.dup(0), os.dup(1)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(orders, os.O_BINARY)
        msvcrt.setmode(events, os.O_BINARY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(orders, "rb", buffering=1 << 16), os.fdopen(events, "wb", buffering=0)


class _Inbox:
    """Orders, read by a thread of their own."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._orders: deque[Message] = deque()
        self._changed = threading.Condition()
        self.closed = False
        """The front is gone, or wants the end."""
        threading.Thread(target=self._read, name="orders", daemon=True).start()

    def take(self, wait_s: float, most: int = 1024) -> list[Message]:
        """The orders that have come; waits for one at most so long."""
        with self._changed:
            if wait_s > 0:
                self._changed.wait_for(lambda: self._orders or self.closed, wait_s)
            return [self._orders.popleft() for _ in range(min(most, len(self._orders)))]

    def _read(self) -> None:
        while (message := frames.read(self._stream)) is not None:
            with self._changed:
                self._orders.append(message)
                self._changed.notify()
        with self._changed:
            self.closed = True
            self._changed.notify()
        time.sleep(_LAST_MOMENTS_S)
        os._exit(0)  # the main thread is in the middle of something long


class _Writer:
    """Events, written by a thread of their own; answers that wait together share a frame."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._outputs: list[Output] = []
        self._others: dict[str, Message] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._write, name="events", daemon=True)
        self._thread.start()

    def outputs(self, outputs: list[Output]) -> None:
        """Say what became of requests. Waits only when a front has not read for very long."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._outputs) < _MOST_WAITING_OUTPUTS)
            self._outputs += outputs
            self._changed.notify_all()

    def say(self, kind: str, **more: Any) -> None:
        """Say anything else; a newer word of a kind replaces one that is not written yet."""
        with self._changed:
            key = f"{kind} {more.get('ref', more.get('phase', ''))}"
            self._others[key] = {"say": kind, **more}
            self._changed.notify_all()

    def close(self) -> None:
        """Write what is left, then end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(_LAST_MOMENTS_S)

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._outputs or self._others or self._closing)
                outputs, self._outputs = self._outputs, []
                others, self._others = list(self._others.values()), {}
                self._changed.notify_all()
            if not (outputs or others):
                return
            try:
                for message in (*_batches(outputs), *others):
                    _write_all(self._stream, frames.encode(message))
            except OSError:  # nobody reads any more: the inbox learns it too, and ends us
                return


def _batches(outputs: list[Output]) -> list[Message]:
    return [
        {"say": "out", "of": wire.outputs_out(outputs[i : i + _OUTPUTS_A_FRAME])}
        for i in range(0, len(outputs), _OUTPUTS_A_FRAME)
    ]


def _write_all(stream: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


class _Process:
    """Takes orders between two steps."""

    def __init__(self, inbox: _Inbox, writer: _Writer) -> None:
        self._inbox, self._writer = inbox, writer
        self._stats_due = 0.0

    def run(self) -> int:
        """From the first order, which is to load, to the end of the channel."""
        core = self._load()
        if core is None:
            return 0 if self._inbox.closed else EXIT_LOAD_FAILED
        driver = Driver(core, self._writer.outputs)
        while not (self._inbox.closed or driver.failed):
            for order in self._inbox.take(0.0 if driver.busy else _IDLE_STATS_S):
                self._obey(order, core, driver)
            if driver.busy:
                driver.step()
            self._say_stats(core, driver)
        if driver.failed:
            self._writer.say("dead", reason=driver.failed)
            return EXIT_ENGINE_FAILED
        core.unload()
        return 0

    def _load(self) -> EngineCore | None:
        orders: list[Message] = []
        while not (orders or self._inbox.closed):
            orders = self._inbox.take(60.0, most=1)
        if not orders:
            return None
        try:
            core = _core(orders[0]["core"])
            facts = core.load(ServeSpec.parse(orders[0]["spec"]), self._say_progress)
        except Exception as e:
            if not isinstance(e, AppError):
                log.exception("the model could not be loaded")
            self._writer.say("failed", error=wire.error_out(error_info(e)))
            return None
        self._writer.say("ready", facts=wire.facts_out(facts))
        return core

    def _say_progress(self, phase: str, fraction: float | None, detail: str) -> None:
        self._writer.say("phase", phase=phase, fraction=fraction, detail=detail)

    def _obey(self, order: Message, core: EngineCore, driver: Driver) -> None:
        match order.get("do"):
            case "add":
                driver.add(wire.request_in(order))
            case "cancel":
                driver.cancel(order["ids"])
            case "adapters":
                self._change_adapters(order, core)
            case other:
                log.error("an order of an unknown kind: %r", other)

    def _change_adapters(self, order: Message, core: EngineCore) -> None:
        try:
            facts = core.change_adapters(wire.change_in(order["change"]))
        except Exception as e:  # noqa: BLE001 - the server goes on as it was
            error = wire.error_out(error_info(e))
            self._writer.say("adapters", ref=order["ref"], error=error)
            return
        self._writer.say("adapters", ref=order["ref"], facts=wire.facts_out(facts))

    def _say_stats(self, core: EngineCore, driver: Driver) -> None:
        now = time.monotonic()
        if now >= self._stats_due or not driver.busy:
            self._stats_due = now + _STATS_S
            self._writer.say("stats", of=wire.stats_out(core.stats()))


def _core(name: str) -> EngineCore:
    module, _, kind = CORES.get(name, name).partition(":")
    core: EngineCore = getattr(importlib.import_module(module), kind)()
    return core


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # taking torch apart politely may hang when the card is lost
