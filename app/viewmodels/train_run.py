"""One training run as a page shows it: its newest view, what can be done, memory of the cards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psutil
from PySide6.QtCore import QObject, Signal

from app.bridge import Bridge, MachineSample
from app.viewmodels.train_alarms import LR_CUT, Remedy, can_act, is_paused
from app.viewmodels.train_eta import Eta, SteadyEta, remaining
from core.metrics import RunSeries, Series
from core.protocol.commands import (
    Command,
    ContinueCommand,
    ExcludeCommand,
    PauseCommand,
    RollBackCommand,
    SaveCommand,
    SetLearningRateCommand,
)
from core.protocol.events import CommandAcknowledged
from core.supervisor import RunView

if TYPE_CHECKING:
    from core.services import Services


_TELL_EVERY_S = 0.3
"""While history is read: pages that are drawn anew for each bite would take longer than it."""


class TrainRunModel(QObject):
    """Follows one run at a time.

    `changed` comes at most once a tick; `curves_replaced` when the series are other objects than
    before (another run, or its event file was replaced), so that plots must be set up anew.
    """

    changed = Signal()
    curves_replaced = Signal()
    machine_changed = Signal(object, object)
    """(MachineSample, pids of the run's processes): who holds memory of the cards."""
    refused = Signal(str, str)
    """The worker did not do what it was asked for: kind of the command, and its reason."""

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self.view: RunView | None = None
        self.asked: str | None = None
        """What the user asked for and the worker has not answered: "pause", "save", ..."""
        self.gpu_memory: dict[int, Series] = {}
        """Memory in use of each card while this window watched, over the optimizer step."""
        self.gpu_total_gib: dict[int, float] = {}
        self.gpu_reason = bridge.machine.gpu_reason
        self._asked_id = ""
        self._families: dict[tuple[int, int], bool] = {}
        self._eta = SteadyEta()
        self._told_s = 0.0
        bridge.run_changed.connect(self._run_changed)
        bridge.machine_sampled.connect(self._machine_sampled)

    # Which run

    @property
    def run_id(self) -> str | None:
        """The run that is followed."""
        return self.view.run_id if self.view else None

    @property
    def series(self) -> RunSeries | None:
        """Its curves."""
        return self.view.series if self.view else None

    def follow(self, view: RunView) -> None:
        """Show this run from now on."""
        if self.run_id != view.run_id:
            self._leave()
            self._eta = SteadyEta()
            self.asked = None
        self._take(view)

    def attach(self, run_id: str) -> None:
        """Show a run by its id, living or not.

        Raises:
            AppError: `run.not_found` or `file.damaged`.
        """
        self.follow(self._services.supervisor.attach(run_id))

    def leave(self) -> None:
        """Show none."""
        self._leave()
        self.view = None
        self.curves_replaced.emit()
        self.changed.emit()

    # What can be done

    @property
    def can_pause(self) -> bool:
        """The worker trains and can hold."""
        view = self.view
        if view is None or not view.alive or view.stopping:
            return False
        return view.state.phase in ("training", "evaluating") or is_paused(view)

    @property
    def can_act(self) -> bool:
        """The worker can be asked to change its ways, and owes no answer."""
        return self.view is not None and can_act(self.view) and self.asked is None

    @property
    def can_save(self) -> bool:
        """There is something to save."""
        return self.can_pause and self.view is not None and self.view.state.step is not None

    @property
    def can_resume(self) -> bool:
        """It ended before its last step and left a checkpoint, or had no memory to make one."""
        view = self.view
        if view is None or view.alive or not view.finished or view.status == "completed":
            return False
        return bool(view.state.memory_ran_out) or view.run.newest_checkpoint() is not None

    @property
    def on_card(self) -> bool:
        """It trains on a GPU."""
        plan = self.view.state.plan if self.view else None
        return plan is not None and plan.memory_source == "cuda"

    @property
    def paused(self) -> bool:
        """The worker holds, model loaded."""
        return self.view is not None and is_paused(self.view)

    def toggle_pause(self) -> None:
        """Pause, or go on. Raises AppError when the worker is gone or cannot be written to."""
        if self.paused:
            self._send("continue", ContinueCommand())
        else:
            self.pause()

    def pause(self, *, free_gpu: bool = False) -> None:
        """Hold after this step. Raises AppError as `toggle_pause`."""
        self._send("pause", PauseCommand(free_gpu=free_gpu))

    def set_lr_scale(self, lr_scale: float) -> None:
        """Scale the schedule's rate from the next step on. Raises AppError as `toggle_pause`."""
        self._send("set_learning_rate", SetLearningRateCommand(lr_scale=lr_scale))

    def apply_remedy(self, remedy: Remedy, samples: list[int]) -> None:
        """Answer an alarm; a paused run goes on with it. Raises AppError as `toggle_pause`."""
        view = self.view
        if view is None:
            return
        if remedy == "stop":
            self.stop()
        elif remedy == "continue":
            self._send("continue", ContinueCommand())
        elif remedy == "exclude":
            self._send("exclude", ExcludeCommand(samples=samples))
        else:
            self._send_and_go_on(remedy, view)

    def _send_and_go_on(self, remedy: Remedy, view: RunView) -> None:
        lowered = SetLearningRateCommand(lr_scale=view.state.lr_scale / LR_CUT)
        self._send(remedy, RollBackCommand() if remedy == "roll_back" else lowered)
        if is_paused(view):
            self._services.supervisor.send(view.run_id, ContinueCommand())

    def save_now(self) -> None:
        """Write a checkpoint and go on. Raises AppError as `toggle_pause`."""
        self._send("save", SaveCommand())

    def stop(self, *, save: bool = True) -> None:
        """Finish the step, save, end. Asked again, it is hurried. Raises AppError."""
        if self.run_id is not None:
            self._services.supervisor.stop(self.run_id, save=save)
            self.asked = "stop"
            self.changed.emit()

    def resume(self, changes: dict[str, Any] | None = None) -> None:
        """Go on from the newest checkpoint in the same folder.

        Args:
            changes: fields of the spec to go on with, as a rung of the memory ladder has them.

        Raises:
            AppError: as `TrainService.resume`.
        """
        if self.run_id is not None:
            self.asked = None
            self._eta = SteadyEta()
            self._take(self._services.train.resume(self.run_id, changes))

    # Facts

    @property
    def eta(self) -> Eta | None:
        """What is left, or None while it cannot be told."""
        view = self.view
        if view is None or not view.alive or view.state.plan is None or self.paused:
            return None
        if view.state.phase not in ("training", "evaluating", "saving"):
            return None
        left = view.state.plan.total_steps - view.series.last_step
        fresh = remaining(view.series.step_time_s, left, self._evals_left_s(left))
        return self._eta.update(fresh, time.monotonic())

    @property
    def last_eval(self) -> float | None:
        """The newest evaluation loss, over all splits."""
        last = self.view.series.mean_eval_loss.last if self.view else None
        return last[1] if last else None

    def _evals_left_s(self, steps_left: int) -> float:
        assert self.view is not None
        every = int((self.view.document.get("spec") or {}).get("eval_steps") or 0)
        evals = self.view.state.evals
        if not evals:
            return 0.0
        splits = len({e.split for e in evals})
        duration = sum(e.duration_s for e in evals) / len(evals) * splits
        return duration * ((steps_left // every if every else 0) + 1)

    # News

    def _send(self, name: str, command: Command) -> None:
        if self.run_id is not None:
            self._asked_id = self._services.supervisor.send(self.run_id, command)
            self.asked = name
            self.changed.emit()

    def _run_changed(self, view: RunView) -> None:
        if view.run_id == self.run_id:
            self._take(view)

    def _take(self, view: RunView) -> None:
        replaced = self.view is None or self.view.series is not view.series
        self.view = view
        self._look_for_refusals(view)
        if self._asked_id in view.state.acknowledged or view.finished:
            self.asked = None
        if view.stopping:
            self.asked = "stop"
        if replaced:
            self.gpu_memory = {}
            self.curves_replaced.emit()
        now = time.monotonic()
        if replaced or view.caught_up or now - self._told_s > _TELL_EVERY_S:
            self._told_s = now
            self.changed.emit()

    def _look_for_refusals(self, view: RunView) -> None:
        for event in view.new_events:
            mine = isinstance(event, CommandAcknowledged) and event.in_reply_to == self._asked_id
            if isinstance(event, CommandAcknowledged) and mine and not event.accepted:
                self.refused.emit(event.command, event.detail)

    def _leave(self) -> None:
        """Living runs stay followed, so that the window can say when they end."""
        if self.view is not None and self.view.finished:
            self._services.supervisor.detach(self.view.run_id)

    def _machine_sampled(self, sample: MachineSample) -> None:
        self.gpu_reason = sample.gpu_reason
        if self.view is None or not self.view.alive:
            return
        self.machine_changed.emit(sample, self._own_pids(sample))
        step = self.view.series.last_step
        fresh = False
        for gpu in sample.gpus:
            if gpu.memory_used_gib is None:
                continue
            fresh = fresh or gpu.index not in self.gpu_memory
            series = self.gpu_memory.setdefault(gpu.index, Series("GiB"))
            series.truncate_after(step)  # the run went back
            series.append(step, gpu.memory_used_gib)
            if gpu.memory_total_gib is not None:
                self.gpu_total_gib[gpu.index] = gpu.memory_total_gib
        if fresh:
            self.curves_replaced.emit()
        if sample.gpus:
            self.changed.emit()

    def _own_pids(self, sample: MachineSample) -> set[int]:
        """Of the processes on the cards: the worker and what it started (one process a card)."""
        worker = self.view.pid if self.view else None
        if worker is None:
            return set()
        on_cards = {pid for gpu in sample.gpus for pid in gpu.process_memory_gib or ()}
        return {worker, *(pid for pid in on_cards if self._descends(pid, worker))}

    def _descends(self, pid: int, worker: int) -> bool:
        """Looked up once a process: it asks the system for every ancestor."""
        key = (pid, worker)
        if key not in self._families:
            try:
                parents = psutil.Process(pid).parents()
                self._families[key] = any(p.pid == worker for p in parents)
            except psutil.Error:
                self._families[key] = False
        return self._families[key]
