"""Starts what waits when a card is free, and does what is wanted after the last one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from core.config.serve import ServeSpec
from core.config.train import TrainSpec
from core.errors import AppError, ErrorInfo
from core.queue.devices import CPU, choose_device, devices_of
from core.queue.items import After, Queue, QueueItem
from core.queue.store import QueueStore
from core.runlog.index import RunSummary
from core.supervisor import RunView


class Starts(Protocol):
    """What the scheduler needs of the services."""

    def start(self, spec: TrainSpec) -> RunView:
        """Begin a new run."""

    def resume(self, run_id: str) -> RunView:
        """Go on with an old one."""

    def serve(self, spec: ServeSpec) -> RunView:
        """Start a server."""


@dataclass(frozen=True)
class QueueTick:
    """What one look at the queue did."""

    started: tuple[RunView, ...] = ()
    failed: tuple[QueueItem, ...] = ()
    finished: After | None = None
    """All that was queued has ended: what is to be done now. Said once."""


@dataclass(frozen=True)
class _Busy:
    """A run that is alive, and what it was asked to run on."""

    run_id: str
    devices: frozenset[str]
    job: str = "train"


class QueueScheduler:
    """Works the queue of one home; many faces may have one, only one works at a time.

    Args:
        store: the queue's file.
        service: starts and resumes runs.
        runs: all runs of the home, as the index lists them.
        document: `run.json` of a run, for the device it was asked to run on.
        cards: number of cards of this machine.
        free_gib: memory that is free now, by device ("cuda:0"); asked for when a server is there.
    """

    def __init__(
        self,
        store: QueueStore,
        service: Starts,
        runs: Callable[[], list[RunSummary]],
        document: Callable[[str], dict[str, Any]],
        cards: Callable[[], int],
        free_gib: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._store = store
        self._service = service
        self._runs = runs
        self._document = document
        self._cards = cards
        self._free_gib = free_gib

    def startable(self) -> QueueItem | None:
        """The first that could start now, its spec with the device it would get. Changes nothing.

        A window checks its model and data beside the window first, then calls `tick`.
        """
        queue = self._store.read()
        if queue.held or not queue.waiting:
            return None
        cards, busy = self._cards(), self._alive()
        for item in queue.waiting:
            if item.resume or item.job == "serve":
                continue  # those need no check that takes long
            device = self._place(item, item.spec, cards, busy)
            if device is not None:
                return item.model_copy(update={"spec": {**item.spec, "device": device}})
        return None

    def fail(self, item_id: str, error: ErrorInfo) -> None:
        """Set an entry aside that cannot be started; the queue goes on with the next."""

        def failed(queue: Queue) -> Queue:
            found = (i for i in queue.items if i.item_id == item_id)
            changes = {"state": "failed", "error": error}
            return queue.with_item(next(found).model_copy(update=changes))

        self._store.change(failed)

    def tick(self, ready: Callable[[TrainSpec], bool] = lambda _spec: True) -> QueueTick:
        """Look once; cheap while the queue is empty.

        Args:
            ready: whether a spec may be started now; a window says no until it was checked.

        Raises:
            AppError: `disk.full`, `folder.read_only` when the queue cannot be stored.
        """
        queue = self._store.read()
        if not any(i.state in ("waiting", "started") for i in queue.items):
            return QueueTick()
        with self._store.alone(".queue-work.lock") as mine:
            return self._work(ready) if mine else QueueTick()

    def _alive(self) -> list[_Busy]:
        cards = self._cards()
        jobs = ("train", "serve")
        return [self._busy(s, cards) for s in self._runs() if s.job in jobs and s.alive]

    def _work(self, ready: Callable[[TrainSpec], bool]) -> QueueTick:
        self._note_ends({s.run_id: s for s in self._runs()})
        cards, busy = self._cards(), self._alive()
        started: list[RunView] = []
        failed: list[QueueItem] = []
        queue = self._store.read()
        for item in () if queue.held else queue.waiting:
            device = self._place(item, self._spec(item), cards, busy)
            if device is None:
                continue  # a later one may want another card
            view = self._start(item, device, failed, ready)
            if view is not None:
                started.append(view)
                devices = devices_of(device, _processes(item.spec), cards)
                busy.append(_Busy(view.run_id, devices))  # for this look, servers too: one a card
        return QueueTick(tuple(started), tuple(failed), self._finished())

    def _place(
        self, item: QueueItem, spec: dict[str, Any], cards: int, busy: list[_Busy]
    ) -> str | None:
        """A device for `item` now, without a server if there is one, else with room beside it."""
        device = choose_device(*_wish(spec), cards, {n for one in busy for n in one.devices})
        if device is not None:
            return device
        free = self._free_gib() if any(one.job == "serve" for one in busy) else {}
        return choose_device(*_wish(spec), cards, _taken(busy, item, free))

    def _note_ends(self, summaries: dict[str, RunSummary]) -> None:
        def ended(queue: Queue) -> Queue:
            for item in queue.items:
                summary = summaries.get(item.run_id)
                over = summary is None or not (summary.alive or summary.status == "starting")
                if item.state == "started" and over:
                    queue = queue.with_item(item.model_copy(update={"state": "ended"}))
            return queue

        if ended(self._store.read()) != self._store.read():
            self._store.change(ended)

    def _start(
        self,
        item: QueueItem,
        device: str,
        failed: list[QueueItem],
        ready: Callable[[TrainSpec], bool],
    ) -> RunView | None:
        try:
            if item.resume:
                view = self._service.resume(item.resume)
            elif item.job == "serve":
                view = self._service.serve(ServeSpec.parse({**item.spec, "device": device}))
            else:
                spec = TrainSpec.parse({**item.spec, "device": device})
                if not ready(spec):
                    return None
                view = self._service.start(spec)
        except AppError as e:
            lost = item.model_copy(update={"state": "failed", "error": e.info})
            failed.append(lost)
            self._store.change(lambda q: q.with_item(lost))
            return None
        done = {"state": "started", "run_id": view.run_id, "device": device}
        self._store.change(lambda q: q.with_item(item.model_copy(update=done)))
        return view

    def _finished(self) -> After | None:
        """Once all have ended: what is wanted then, which is taken off so that it is done once."""
        queue = self._store.read()
        if any(i.state in ("waiting", "started") for i in queue.items):
            return None
        if queue.after != "nothing":
            self._store.change(lambda q: q.model_copy(update={"after": "nothing"}))
        return queue.after

    def _busy(self, summary: RunSummary, cards: int) -> _Busy:
        spec = self._document(summary.run_id).get("spec") or {}
        return _Busy(summary.run_id, devices_of(*_wish(spec), cards), summary.job)

    def _spec(self, item: QueueItem) -> dict[str, Any]:
        if not item.resume:
            return item.spec
        return dict(self._document(item.resume).get("spec") or {})


def _wish(spec: dict[str, Any]) -> tuple[str, int]:
    return str(spec.get("device") or "auto"), _processes(spec)


def _processes(spec: dict[str, Any]) -> int:
    return int((spec.get("parallel") or {}).get("nproc_per_node") or 1)


def _taken(busy: list[_Busy], item: QueueItem, free_gib: Mapping[str, float]) -> set[str]:
    """Devices that `item` must wait for.

    Trainings always. A server on a card, when the training wants to be alone, or when it is not
    known to fit into what is free; on the processor there is nothing to collide with but time.
    """
    taken: set[str] = set()
    for one in busy:
        for device in one.devices:
            beside = one.job == "serve" and not item.alone and _fits(item, device, free_gib)
            taken |= set() if beside else {device}
    return taken


def _fits(item: QueueItem, device: str, free_gib: Mapping[str, float]) -> bool:
    if device == CPU or item.job == "serve":  # a server is made to fit, or refuses itself
        return True
    free = free_gib.get(device)
    return item.needed_gib is not None and free is not None and item.needed_gib <= free
