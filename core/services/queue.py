"""The queue as faces use it: add, order, remove, hold, and what comes after."""

from __future__ import annotations

import time

from core.config.serve import ServeSpec
from core.config.train import TrainSpec
from core.errors import ErrorCode, ErrorInfo, UsageError
from core.hardware import gpu_backend
from core.paths import Home
from core.queue import After, Queue, QueueItem, QueueScheduler, QueueStore, QueueTick
from core.runlog.run_dir import RunDir
from core.services.runs import RunsService
from core.services.serve import ServeService
from core.services.train import TrainPlanPreview, TrainService
from core.supervisor import RunView


class QueueService:
    """One training a card; the rest waits in the order it came."""

    def __init__(
        self,
        home: Home,
        train: TrainService,
        runs: RunsService,
        serve: ServeService | None = None,
    ) -> None:
        self._home = home
        self._train = train
        self._serve = serve
        self._starter = _Starter(train, serve)
        self._store = QueueStore(home)
        self._gpus = gpu_backend
        self._scheduler = QueueScheduler(
            self._store,
            self._starter,
            runs.list,
            self._document,
            self._count_cards,
            self._free_gib,
        )

    def read(self) -> Queue:
        """What waits, runs and has ended."""
        return self._store.read()

    def add(self, spec: TrainSpec, *, alone: bool = False) -> QueueItem:
        """Check a spec now, so that it does not fail in the night, and put it behind the others.

        Args:
            spec: the training.
            alone: wait also until no server is on its card.

        Raises:
            SpecProblems: as `TrainService.prepare`.
            AppError: `disk.full`, `folder.read_only`.
        """
        plan = self._train.prepare(spec)
        name = spec.name or f"{plan.model.name} · {plan.dataset.name}"
        values = plan.spec.model_dump(mode="json")
        needed = plan.memory.total_gib if plan.memory else None
        return self._append(
            QueueItem(name=name, spec=values, added_utc=time.time(), alone=alone, needed_gib=needed)
        )

    def add_server(self, spec: ServeSpec, name: str = "") -> QueueItem:
        """Let a server start by itself when no training is on its card any more.

        Raises:
            UsageError: as `ServeService.prepare`.
            AppError: `disk.full`, `folder.read_only`.
        """
        assert self._serve is not None
        values = self._serve.prepare(spec).model_dump(mode="json") | {"model": spec.model}
        return self._append(
            QueueItem(name=name or spec.model, job="serve", spec=values, added_utc=time.time())
        )

    def add_resume(self, run_id: str) -> QueueItem:
        """Let a stopped run go on when its card is free.

        Raises:
            AppError: `run.not_found`.
        """
        document = RunDir.open(self._home.runs, run_id).document()
        name = str(document.get("name") or run_id)
        return self._append(QueueItem(name=name, resume=run_id, added_utc=time.time()))

    def remove(self, item_id: str) -> None:
        """Take an entry out; a run that was started for it goes on.

        Raises:
            UsageError: `queue.item_not_found`.
        """
        self._known(item_id)
        self._store.change(lambda q: q.without(item_id))

    def move(self, item_id: str, places: int) -> None:
        """Move a waiting entry up (negative) or down.

        Raises:
            UsageError: `queue.item_not_found`.
        """
        self._known(item_id)
        self._store.change(lambda q: q.moved(item_id, places))

    def clear_ended(self) -> None:
        """Forget what has ended or failed."""
        self._store.change(
            lambda q: q.model_copy(
                update={"items": tuple(i for i in q.items if i.state in ("waiting", "started"))}
            )
        )

    def hold(self, held: bool) -> None:
        """Start nothing new, or go on."""
        self._store.change(lambda q: q.model_copy(update={"held": held}))

    def after(self, after: After) -> None:
        """What to do when all has ended."""
        self._store.change(lambda q: q.model_copy(update={"after": after}))

    def tick(self) -> QueueTick:
        """Start what can start, each checked first; call it once a second from one face."""
        return self._scheduler.tick()

    def startable(self) -> QueueItem | None:
        """What a window should check next, beside itself; nothing is changed."""
        return self._scheduler.startable()

    def tick_checked(self, plan: TrainPlanPreview | None) -> QueueTick:
        """As `tick`, but starts nothing that was not checked: only the training of `plan`."""
        if plan is None:
            return self._scheduler.tick(ready=lambda _spec: False)
        self._starter.plan = plan
        return self._scheduler.tick(ready=lambda spec: spec == plan.spec)

    def fail(self, item_id: str, error: ErrorInfo) -> None:
        """Set an entry aside whose check failed."""
        self._scheduler.fail(item_id, error)

    def _append(self, item: QueueItem) -> QueueItem:
        self._store.change(lambda q: q.with_item(item))
        return item

    def _known(self, item_id: str) -> None:
        if not any(i.item_id == item_id for i in self._store.read().items):
            raise UsageError(ErrorCode.QUEUE_ITEM_NOT_FOUND, item_id=item_id)

    def _document(self, run_id: str) -> dict[str, object]:
        return RunDir.open(self._home.runs, run_id).document()

    def _count_cards(self) -> int:
        return len(self._gpus().sample())

    def _free_gib(self) -> dict[str, float]:
        """By device, of the cards whose driver tells."""
        return {
            f"cuda:{c.index}": c.memory_total_gib - c.memory_used_gib
            for c in self._gpus().sample()
            if c.memory_total_gib is not None and c.memory_used_gib is not None
        }


class _Starter:
    """Starts through the train service, with the plan at hand where it is the right one."""

    def __init__(self, train: TrainService, serve: ServeService | None = None) -> None:
        self._train = train
        self._serve = serve
        self.plan: TrainPlanPreview | None = None

    def start(self, spec: TrainSpec) -> RunView:
        plan, self.plan = self.plan, None
        return self._train.start(spec, plan if plan is not None and plan.spec == spec else None)

    def resume(self, run_id: str) -> RunView:
        return self._train.resume(run_id)

    def serve(self, spec: ServeSpec) -> RunView:
        assert self._serve is not None
        return self._serve.start(spec)
