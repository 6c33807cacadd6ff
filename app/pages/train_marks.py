"""What happened in a run, as marks with words for the plots."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject

from app import messages
from app.i18n import LanguageManager
from app.viewmodels.train_alarms import scale_text
from app.widgets.plot_marks import Mark
from core.metrics import RunSeries, Series
from core.protocol.events import RolledBack
from core.runlog.state import RunState


class RunMarks(QObject):
    """Made anew only when something happened: plots ask for it at every drawing."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._marks: tuple[Mark, ...] = ()
        self._made_of: tuple[object, ...] = ()

    def __call__(self) -> tuple[Mark, ...]:
        """The marks of the state that was shown last."""
        return self._marks

    def show_state(self, state: RunState) -> None:
        """Take a newer state of the run, or of another one."""
        language = LanguageManager.current().language
        made_of = (state.alarms, state.checkpoints, state.rollbacks, state.lr_changes, language)
        same = len(made_of) == len(self._made_of) and all(
            a is b for a, b in zip(made_of, self._made_of, strict=True)
        )
        if not same:
            self._made_of = made_of
            self._marks = (*self._happened(state), *self._saved(state))

    def _happened(self, state: RunState) -> list[Mark]:
        language = LanguageManager.current().language
        alarms = [
            Mark("alarm", a.step, messages.alarm_text(a, language).title, a.severity)
            for a in state.alarms
        ]
        backs = [
            Mark("rollback", r.step, self._back_text(r), to_step=r.to_step) for r in state.rollbacks
        ]
        rates = [
            Mark("rate", c.step, self._rate_text(c.lr_scale))
            for c in state.lr_changes
            if c.reason == "user"
        ]
        return [*alarms, *backs, *rates]

    def _saved(self, state: RunState) -> list[Mark]:
        """Only the newest best one is the best."""
        best = max((c.step for c in state.checkpoints if c.best), default=None)
        return [
            Mark("best", c.step, self.tr("Best checkpoint so far"))
            if c.step == best
            else Mark("checkpoint", c.step, self.tr("Checkpoint"))
            for c in state.checkpoints
        ]

    def _back_text(self, back: RolledBack) -> str:
        return self.tr("Rolled back from step {step} to step {to_step}").format(
            step=f"{back.step:,}", to_step=f"{back.to_step:,}"
        )

    def _rate_text(self, scale: float) -> str:
        return self.tr("Learning rate × {scale}").format(scale=scale_text(scale))


def left_branches(run: RunSeries, name: str) -> Sequence[Series]:
    """One curve of every branch that a rollback left behind."""
    return [getattr(branch, name) for branch in run.abandoned]
