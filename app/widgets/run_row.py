"""One run in one line: what it is, how far, how it stands, and a button to it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app import messages
from app.i18n import LanguageManager
from app.text import count_text, number_text, time_text
from app.widgets.buttons import Button
from app.widgets.labels import ElidedLabel
from app.widgets.progress import Progress
from app.widgets.status_chip import STATUS_TONES, StatusChip
from core.runlog.index import RunSummary


class RunRow(QWidget):
    """Shows a `RunSummary`; `opened` carries its id and job."""

    opened = Signal(str, str)

    def __init__(self, summary: RunSummary, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = ElidedLabel("", "strong")
        self._facts = ElidedLabel("", "muted")
        self._progress = Progress()
        self._chip = StatusChip()
        self._button = Button()
        self._button.clicked.connect(self._open)
        words = QVBoxLayout()
        words.setSpacing(3)
        for widget in (self._name, self._facts, self._progress):
            words.addWidget(widget)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 2, 0, 2)
        row.setSpacing(12)
        row.addLayout(words, 1)
        row.addWidget(self._chip)
        row.addWidget(self._button)
        self.show_summary(summary)

    @property
    def run_id(self) -> str:
        """Which run is shown."""
        return self._summary.run_id

    def show_summary(self, summary: RunSummary) -> None:
        """Show newer facts of the same run."""
        self._summary = summary
        language = LanguageManager.current().language
        name = summary.name or summary.run_id
        self._name.set_full_text(name)
        self._facts.set_full_text(" • ".join(f for f in self._fact_texts() if f))
        self._chip.set_state(
            messages.status_text(summary.status, language),
            STATUS_TONES.get(summary.status, "neutral"),
        )
        total = summary.total_steps
        self._progress.setVisible(summary.alive and bool(total))
        self._progress.set_fraction(summary.step / total if total else None)
        self._progress.setAccessibleName(self.tr("Progress of {name}").format(name=name))
        self._button.set_text(self.tr("Open"))
        self._button.setAccessibleName(self.tr("Open {name}").format(name=name))

    def _fact_texts(self) -> list[str]:
        s = self._summary
        language = LanguageManager.current().language
        facts = [messages.job_text(s.job, language), time_text(s.created_utc)]
        if s.total_steps:
            step = f"{count_text(s.step)} / {count_text(s.total_steps)}"
            facts.append(self.tr("step {step}").format(step=step))
        if s.last_loss is not None:
            facts.append(self.tr("loss {loss}").format(loss=number_text(s.last_loss, 3)))
        if s.alarms:
            facts.append(self.tr("alarms: {count}").format(count=s.alarms))
        return facts

    def _open(self) -> None:
        self.opened.emit(self._summary.run_id, self._summary.job)
