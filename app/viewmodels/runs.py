"""The list of runs, kept fresh, and the runs that are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from app.background import Background
from app.bridge import Bridge
from core.errors import AppError, ErrorInfo
from core.metrics import RunSeries, Series
from core.runlog.index import RunSummary
from core.supervisor import RunView

if TYPE_CHECKING:
    from core.services import Services

REFRESH_MS = 2000
MOST_COMPARED = 24
"""Six colors times four dash styles."""
METRICS = ("loss", "eval_loss", "grad_norm", "learning_rate", "memory_gib", "tokens_per_second")


class RunListModel(QObject):
    """Asks for the list in the background while somebody looks at it."""

    listed = Signal(object)
    """list[RunSummary], newest first."""
    failed = Signal(object)

    def __init__(
        self, services: Services, background: Background, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._services = services
        self._background = background
        self._asking = False
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self.refresh)

    def watch(self, on: bool) -> None:
        """Refresh now and then, or not at all."""
        if on:
            self.refresh()
            self._timer.start()
        else:
            self._timer.stop()

    def refresh(self) -> None:
        """Ask once, unless an answer is still under way."""
        if not self._asking:
            self._asking = True
            self._background.run(self, self._services.runs.list, self._came, self._broke)

    def _came(self, runs: list[RunSummary]) -> None:
        self._asking = False
        self.listed.emit(runs)

    def _broke(self, error: ErrorInfo) -> None:
        self._asking = False
        self.failed.emit(error)


class CompareModel(QObject):
    """The curves of several runs, each with a place in the palette that stays its own."""

    changed = Signal()
    """Other runs, or other curve objects: set the lines up anew."""
    grew = Signal()
    """Some curve has new points."""

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._supervisor = services.supervisor
        self._places: dict[str, int] = {}
        self._attached_here: set[str] = set()
        self._splits: dict[str, int] = {}
        self.views: dict[str, RunView] = {}
        bridge.run_changed.connect(self._run_changed)

    def choose(self, run_ids: list[str]) -> list[ErrorInfo]:
        """Compare these runs; those that cannot be read come back as errors."""
        wanted = run_ids[:MOST_COMPARED]
        for gone in set(self.views) - set(wanted):
            self._drop(gone)
        errors = [e for run_id in wanted if (e := self._add(run_id)) is not None]
        self.views = {i: self.views[i] for i in wanted if i in self.views}
        self.changed.emit()
        return errors

    def place_of(self, run_id: str) -> int:
        """Which color and dash. Given at the first use and kept while the window lives."""
        return self._places.setdefault(run_id, len(self._places))

    def curve(self, run_id: str, metric: str) -> Series | None:
        """The series of a metric of one run."""
        name = "mean_eval_loss" if metric == "eval_loss" else metric
        found = getattr(self.views[run_id].series, name)
        return found if isinstance(found, Series) else None

    @property
    def runs(self) -> list[RunSeries]:
        """All that are compared."""
        return [view.series for view in self.views.values()]

    def release(self) -> None:
        """The page is left: follow no run that only this page followed."""
        for run_id in list(self.views):
            self._drop(run_id)
        self.changed.emit()

    def _add(self, run_id: str) -> ErrorInfo | None:
        if run_id in self.views:
            return None
        ours = run_id not in self._supervisor.attached
        try:
            self.views[run_id] = self._supervisor.attach(run_id)
        except AppError as e:
            return e.info
        if ours:
            self._attached_here.add(run_id)
        return None

    def _drop(self, run_id: str) -> None:
        view = self.views.pop(run_id)
        if run_id in self._attached_here and not view.alive:
            self._supervisor.detach(run_id)
        self._attached_here.discard(run_id)

    def _run_changed(self, view: RunView) -> None:
        if view.run_id not in self.views:
            return
        before = self.views[view.run_id]
        self.views[view.run_id] = view
        splits = len(view.series.eval_loss)
        new_split = self._splits.get(view.run_id) != splits
        self._splits[view.run_id] = splits
        if before.series is not view.series or new_split:
            self.changed.emit()
        else:
            self.grew.emit()
