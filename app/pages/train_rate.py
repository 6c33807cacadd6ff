"""Changing the learning rate of a run in flight."""

from __future__ import annotations

import math

from PySide6.QtCore import QEvent, QPoint, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.viewmodels.train_alarms import LR_CUT, scale_text
from app.widgets.buttons import Button
from app.widgets.labels import label
from app.widgets.plot_ticks import format_value

FACTORS = (1 / LR_CUT, 0.5, 2.0)
LEAST_FACTOR, MOST_FACTOR = 1e-3, 100.0


def read_factor(text: str) -> float | None:
    """A factor as people write it: "0.3", "1/3", "× 2", "30 %"; None where it is none."""
    words = text.replace("×", "").replace("x", "").replace(" ", "").replace("，", ".")
    share = 100.0 if words.endswith("%") else 1.0
    above, _, below = words.removesuffix("%").partition("/")
    try:
        value = float(above) / (float(below) if below else 1.0) / share
    except (ValueError, ZeroDivisionError):
        return None
    if not math.isfinite(value) or not LEAST_FACTOR <= value <= MOST_FACTOR:
        return None
    return value


class RatePopover(QFrame):
    """Opens below its button; says what the next step would take before anything is sent."""

    scale_chosen = Signal(float)
    """What the schedule's rate is to be multiplied by."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("surface", "card")
        self._rate: float | None = None
        self._scale = 1.0
        self._title = label("", "heading")
        self._now = label("", "muted", wrap=True)
        self.factor_buttons = {factor: Button() for factor in FACTORS}
        self.reset_button = Button()
        self._of = label("")
        self.factor_line = QLineEdit()
        self._result = label("", "muted", wrap=True)
        self.apply_button = Button(kind="primary", icon_name="check")
        self._lay_out()
        for factor, button in self.factor_buttons.items():
            button.setProperty("factor", factor)
            button.clicked.connect(self._factor_clicked)
        self.reset_button.clicked.connect(self._reset_clicked)
        self.factor_line.textChanged.connect(self._show_result)
        self.factor_line.returnPressed.connect(self._apply)
        self.apply_button.clicked.connect(self._apply)
        self.retranslate()

    def _lay_out(self) -> None:
        choices = QHBoxLayout()
        choices.setSpacing(6)
        for button in (*self.factor_buttons.values(), self.reset_button):
            choices.addWidget(button)
        free = QHBoxLayout()
        free.setSpacing(8)
        self.factor_line.setFixedWidth(76)
        free.addWidget(self._of)
        free.addWidget(self.factor_line)
        free.addWidget(self._result, 1)
        end = QHBoxLayout()
        end.addStretch(1)
        end.addWidget(self.apply_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 12, 14, 12)
        column.setSpacing(10)
        for widget in (self._title, self._now):
            column.addWidget(widget)
        column.addLayout(choices)
        column.addLayout(free)
        column.addLayout(end)

    def open_at(self, button: QWidget, rate: float | None, scale: float) -> None:
        """Ask, with the rate of the last step and the scale that is in force."""
        self._rate, self._scale = rate, scale
        self.factor_line.setText("1/3")
        self.retranslate()
        self.adjustSize()
        corner = button.mapToGlobal(QPoint(button.width(), button.height() + 4))
        self.move(corner - QPoint(self.width(), 0))
        self.show()
        self.factor_line.setFocus()
        self.factor_line.selectAll()

    @property
    def result_text(self) -> str:
        """What the written factor would lead to."""
        return self._result.text()

    def retranslate(self) -> None:
        """All words in the language that is on."""
        self._title.setText(self.tr("Learning rate"))
        now = self.tr("Now {rate}, {scale} times the schedule's.").format(
            rate=format_value(self._rate) if self._rate is not None else "–",
            scale=scale_text(self._scale),
        )
        plain = self.tr("Now {rate}, as scheduled.").format(
            rate=format_value(self._rate) if self._rate is not None else "–"
        )
        self._now.setText(now if abs(self._scale - 1) > 1e-6 else plain)
        for factor, button in self.factor_buttons.items():
            button.set_text(f"× {scale_text(factor)}", self._leads_to(factor))
        self.reset_button.set_text(
            self.tr("As scheduled"), self.tr("Take every change of the rate back")
        )
        self.reset_button.setVisible(abs(self._scale - 1) > 1e-6)
        self._of.setText(self.tr("Factor"))
        self.factor_line.setAccessibleName(self.tr("Factor"))
        self.apply_button.set_text(self.tr("Change the rate"))
        self._show_result()

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def _leads_to(self, factor: float) -> str:
        if self._rate is None:
            return self.tr("from the next step on")
        rate = format_value(self._rate * factor)
        return self.tr("next step about {rate}").format(rate=rate)

    def _show_result(self) -> None:
        factor = read_factor(self.factor_line.text())
        self.apply_button.setEnabled(factor is not None)
        wrong = self.tr("a number from 0.001 to 100, or a fraction like 1/3")
        self._result.setText(self._leads_to(factor) if factor is not None else wrong)

    def _factor_clicked(self) -> None:
        self._choose(self._scale * float(self.sender().property("factor")))

    def _reset_clicked(self) -> None:
        self._choose(1.0)

    def _apply(self) -> None:
        factor = read_factor(self.factor_line.text())
        if factor is not None:
            self._choose(self._scale * factor)

    def _choose(self, scale: float) -> None:
        self.hide()
        self.scale_chosen.emit(scale)
