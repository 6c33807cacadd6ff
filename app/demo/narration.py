"""The small bar that tells what the demo does, under the pages."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.labels import label

_EDGE = 22


class NarrationBar(QWidget):
    """Words, progress, and the button that stops the demo. Never takes the focus by itself."""

    stop_asked = Signal()
    report_asked = Signal()

    def __init__(self, steps: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._over = False
        self._steps = steps
        self.words = label("", wrap=True)
        self.progress = QProgressBar()
        self.progress.setRange(0, steps)
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(4)
        self.stop_button = Button(kind="secondary", icon_name="close")
        self.report_button = Button(kind="link", icon_name="file-chart-outline")
        self.report_button.setVisible(False)
        self._lay_out()
        self.stop_button.clicked.connect(self.stop_asked)
        self.report_button.clicked.connect(self.report_asked)
        self._retranslate()

    def _lay_out(self) -> None:
        column = QVBoxLayout()
        column.setSpacing(6)
        column.addWidget(self.words)
        column.addWidget(self.progress)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addLayout(column, 1)
        row.addWidget(self.report_button)
        row.addWidget(self.stop_button)
        card = Card(surface="accent")
        card.body.addLayout(row)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(_EDGE, 0, _EDGE, 14)
        outer.addWidget(card)

    def tell(self, text: str, step: int) -> None:
        """Say what happens now, in step `step` of the demo."""
        self.words.setText(text)
        self.words.setAccessibleName(text)
        self.progress.setValue(step)
        self.progress.setAccessibleName(
            self.tr("Step {step} of {steps}").format(step=step, steps=self._steps)
        )

    def end(self, text: str, *, report: bool) -> None:
        """The last words; from now on the button only closes the bar."""
        self._over = True
        self.report_button.setVisible(report)
        self._retranslate()
        self.tell(text, self._steps if report else self.progress.value())

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()

    def _retranslate(self) -> None:
        self.setAccessibleName(self.tr("Demo"))
        self.report_button.set_text(self.tr("Open the report"))
        if self._over:
            self.stop_button.set_text(self.tr("Close"))
        else:
            self.stop_button.set_text(
                self.tr("Stop the demo"), self.tr("Also stops the runs that the demo started")
            )
