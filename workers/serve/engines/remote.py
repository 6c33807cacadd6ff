"""The engine in a process of its own, as the front sees it: answers by number, started again when
it crashes or hangs. No torch in here.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from core.protocol.events import ServeEngine
from workers.serve.engines import wire
from workers.serve.engines.admission import Admission
from workers.serve.engines.base import (
    AdapterChange,
    EngineError,
    EngineStats,
    ModelFacts,
    Progress,
    Request,
    SamplingParams,
    Ticket,
)
from workers.serve.engines.child import Child, EngineDied
from workers.serve.engines.frames import Message
from workers.serve.engines.restarts import Restarts
from workers.serve.names import adapter_names

log = logging.getLogger(__name__)

HANG_S = 120.0
"""A pass may read a long prompt on a slow processor, or compile kernels; not longer than this."""
_WATCH_S = 0.5
_DRAIN_TICK_S = 0.02


class RemoteEngine:
    """`Engine` over a child process.

    Args:
        spec: of the server.
        core: which engine runs in the process, a key of `engine_process.CORES`.
        on_change: told when the process crashes, is started again, is ready, or is given up.
        hang_s: an engine that has work and says nothing for so long is ended and started again.
        first_wait_s: before the first restart; doubles from one to the next.
    """

    def __init__(
        self,
        spec: ServeSpec,
        *,
        core: str = "transformers",
        on_change: Callable[[ServeEngine], None] = lambda _: None,
        hang_s: float = HANG_S,
        first_wait_s: float = 1.0,
    ) -> None:
        self._spec, self._core, self._on_change = spec, core, on_change
        self._hang_s = hang_s
        self._restarts = Restarts(spec.max_restarts, first_wait_s)
        self._admission = Admission(spec.queue_limit, spec.queue_limit_tokens)
        self._numbers = itertools.count(1)
        self._tickets: dict[int, Ticket] = {}
        self._number_of: dict[Ticket, int] = {}
        self._child: Child | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._last_stats = EngineStats()
        self._heard_at = 0.0
        self._away = "the model is being loaded"
        """Why nothing can be submitted now; empty when it can."""
        self._failed = ""
        self._hung = ""
        self._changes: dict[int, asyncio.Future[ModelFacts]] = {}
        self._leaving: set[str] = set()
        """Adapters that take no new requests: they are being unloaded."""
        self._hot: dict[str, str] = {}
        """Adapters that came after the start, for the next life of the process."""
        self._dropped: set[str] = set()
        """Adapters of the start that were unloaded since."""

    # -- the Engine protocol --------------------------------------------------------------------

    async def load(self, progress: Progress) -> ModelFacts:
        """Start the process and let it load the model."""
        try:
            self.facts = await self._start(progress)
        except EngineDied as e:
            raise AppError(ErrorCode.ENGINE_FAILED, detail=str(e)) from e
        self._away = ""
        self._keeper = asyncio.create_task(self._keep_alive())
        return self.facts

    def submit(
        self, prompt: list[int], params: SamplingParams, adapter: str | None, namespace: str = ""
    ) -> Ticket:
        """Send one answer's order to the process."""
        if self._away or self._child is None:
            raise EngineError(self._away or "the engine is not loaded")
        if adapter not in self.facts.adapters or adapter in self._leaving:
            raise EngineError(f"the adapter {adapter} was unloaded")
        self._admission.check(self._tickets.values(), len(prompt), self.facts.max_batch_size)
        number, ticket = next(self._numbers), Ticket(prompt, params, adapter)
        self._tickets[number], self._number_of[ticket] = ticket, number
        request = Request(number, prompt, params, adapter, namespace)
        self._child.send({"do": "add", **wire.request_out(request)})
        if len(self._tickets) == 1:
            self._heard_at = time.monotonic()  # silence before was no hanging
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Forget an answer; harmless when it is over."""
        number = self._number_of.pop(ticket, None)
        if number is None:
            return
        del self._tickets[number]
        if self._child is not None:
            self._child.send({"do": "cancel", "ids": [number]})

    def stats(self) -> EngineStats:
        """What the process said last; who runs and who waits as known here, which is newer."""
        running = sum(t.started_at is not None for t in self._tickets.values())
        return replace(
            self._last_stats,
            running=running,
            queued=len(self._tickets) - running,
            failed=self._failed,
        )

    async def change_adapters(self, change: AdapterChange) -> ModelFacts:
        """See `Engine`."""
        self._need_child()
        self._leaving |= set(change.unload)
        try:
            await self._until(
                lambda: not any(t.adapter in change.unload for t in self._tickets.values())
            )
            self._need_child()  # it may have died while its answers were waited for
            self.facts = await self._ask_for_change(change)
        finally:
            self._leaving -= set(change.unload)
        self._hot |= dict(change.load)
        for name in change.unload:
            if self._hot.pop(name, None) is None:
                self._dropped.add(name)
        return self.facts

    async def drain(self, limit_s: float) -> None:
        """Wait until no answer is open, at most so long."""
        await self._until(lambda: not self._tickets, limit_s)

    def end_all(self, reason: str) -> None:
        """End everything with an error and refuse new requests."""
        self._away = reason
        if self._child is not None and self._tickets:
            self._child.send({"do": "cancel", "ids": list(self._tickets)})
        self._end_tickets(reason)

    async def unload(self) -> None:
        """End the process."""
        self.end_all(self._away or "the server is stopping")
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._child is not None:
            await self._child.end()
            self._child = None

    @property
    def pid(self) -> int | None:
        """Of the engine's process."""
        return self._child.pid if self._child else None

    @property
    def away(self) -> str:
        """Why nothing can be submitted now; empty when it can."""
        return self._away

    # -- lives of the process ---------------------------------------------------------------------

    async def _start(self, progress: Progress) -> ModelFacts:
        """One process from nothing to ready.

        Raises:
            AppError: what it said of the model.
            EngineDied: it ended without a word.
        """
        try:
            child = await Child.start()
        except OSError as e:
            raise EngineDied(f"the engine's process could not be started: {e}") from e
        try:
            child.send({"do": "load", "core": self._core, "spec": self._spec_now()})
            facts = await _until_ready(child, progress)
        except BaseException:
            await child.end(0.0)
            raise
        self._child, self._heard_at = child, time.monotonic()
        return facts

    def _spec_now(self) -> Message:
        """The spec without adapters that were unloaded since."""
        kept = [f for name, f in adapter_names(self._spec).items() if name not in self._dropped]
        if not self._dropped:
            return self._spec.model_dump(mode="json")
        first = kept[0] if kept else None
        update = {"adapter": first, "adapters": tuple(kept[1:])}
        return self._spec.model_copy(update=update).model_dump(mode="json")

    async def _keep_alive(self) -> None:
        """From one life to the next, until there is none left."""
        while not self._failed:
            assert self._child is not None
            watch = asyncio.create_task(self._watch(self._child))
            reason = await self._listen(self._child)
            watch.cancel()
            self._away = f"the engine crashed and is being restarted: {reason}"
            self._end_tickets(f"the engine crashed: {reason}")
            await self._restart(reason)

    async def _listen(self, child: Child) -> str:
        """Take events in until the process is gone; returns how it ended."""
        said = ""
        while (message := await child.next()) is not None:
            self._heard_at = time.monotonic()
            if message["say"] == "dead":
                said = message["reason"]
            else:
                self._take(message)
        ended = await child.how_it_ended()
        return said or self._hung or ended

    async def _watch(self, child: Child) -> None:
        """End a process that has work and says nothing."""
        self._hung = ""
        while True:
            await asyncio.sleep(min(_WATCH_S, self._hang_s / 4))
            silent_s = time.monotonic() - self._heard_at
            if (self._tickets or self._changes) and silent_s > self._hang_s:
                self._hung = f"it has not moved for {silent_s:.0f} s"
                log.error("the engine hangs: %s", self._hung)
                child.kill()
                return

    async def _restart(self, reason: str) -> None:
        """Try again until it is ready or given up."""
        while (attempt := self._restarts.next_attempt()) is not None:
            number, wait_s = attempt
            self._say("crashed", reason, number, wait_s)
            await asyncio.sleep(wait_s)
            self._say("restarting", reason, number)
            try:
                self.facts = await self._start(lambda *_: None)
                await self._bring_adapters_back()
            except (AppError, EngineDied) as e:
                reason = str(e)
                continue
            self._away = ""
            self._say("ready", "", number)
            return
        self._failed = self._away = reason
        self._say("given_up", reason)

    async def _bring_adapters_back(self) -> None:
        """Those that were loaded while serving; one that is gone from the disk stays away."""
        child = self._child
        assert child is not None
        for name, folder in list(self._hot.items()):
            change = wire.change_out(AdapterChange(load=((name, folder),)))
            child.send({"do": "adapters", "ref": 0, "change": change})
            while (message := await child.next()) is not None and message["say"] != "adapters":
                continue
            if message is None:
                raise EngineDied(await child.how_it_ended())
            if "facts" in message:
                self.facts = wire.facts_in(message["facts"])
            else:
                log.error("the adapter %s could not be loaded again: %s", name, message["error"])
                del self._hot[name]

    def _say(self, state: str, reason: str, attempt: int = 0, wait_s: float = 0.0) -> None:
        log.warning("engine %s (attempt %d): %s", state, attempt, reason)
        self._on_change(ServeEngine(state=state, reason=reason, attempt=attempt, retry_in_s=wait_s))

    # -- what the process says --------------------------------------------------------------

    def _take(self, message: Message) -> None:
        match message["say"]:
            case "out":
                for number, item in wire.outputs_in(message["of"]):
                    if (ticket := self._tickets.get(number)) is not None:
                        ticket.deliver(item)
                        if ticket.finished:
                            del self._tickets[number], self._number_of[ticket]
            case "stats":
                self._last_stats = wire.stats_in(message["of"])
            case "adapters":
                self._changed(message)

    def _changed(self, message: Message) -> None:
        future = self._changes.pop(message["ref"], None)
        if future is None or future.done():
            return
        if "error" in message:
            future.set_exception(wire.error_in(message["error"]))
        else:
            future.set_result(wire.facts_in(message["facts"]))

    def _need_child(self) -> None:
        if self._away:
            raise AppError(ErrorCode.ENGINE_FAILED, detail=self._away)

    async def _ask_for_change(self, change: AdapterChange) -> ModelFacts:
        assert self._child is not None
        ref = next(self._numbers)
        future: asyncio.Future[ModelFacts] = asyncio.get_running_loop().create_future()
        self._changes[ref] = future
        self._heard_at = time.monotonic()
        self._child.send({"do": "adapters", "ref": ref, "change": wire.change_out(change)})
        return await future

    def _end_tickets(self, reason: str) -> None:
        tickets, self._tickets = self._tickets, {}
        self._number_of.clear()
        for ticket in tickets.values():
            ticket.deliver(EngineError(reason))
        changes, self._changes = self._changes, {}
        for future in changes.values():
            if not future.done():
                future.set_exception(AppError(ErrorCode.ENGINE_FAILED, detail=reason))

    async def _until(self, happened: Callable[[], bool], limit_s: float = float("inf")) -> None:
        deadline = time.monotonic() + limit_s
        # Polled: tickets end in many places, and this is the one that waits for the last.
        while not (happened() or self._failed or time.monotonic() > deadline):  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_TICK_S)


async def _until_ready(child: Child, progress: Progress) -> ModelFacts:
    while (message := await child.next()) is not None:
        match message["say"]:
            case "phase":
                progress(message["phase"], message["fraction"], message["detail"])
            case "ready":
                return wire.facts_in(message["facts"])
            case "failed":
                raise wire.error_in(message["error"])
    raise EngineDied(await child.how_it_ended())
