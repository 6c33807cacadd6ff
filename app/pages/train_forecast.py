"""The memory that a training will need, against what is free, and what would make it fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.i18n import LanguageManager
from app.pages.train_memory import MemoryWords, memory_parts
from app.texts.memory import rung_text, verdict_text
from app.widgets.buttons import Button
from app.widgets.card import Card, clear_layout
from app.widgets.labels import label, set_role
from app.widgets.part_bar import PartList

if TYPE_CHECKING:
    from core.protocol.events import LadderRung
    from core.services.train import TrainPlanPreview

_MEASURES_SHOWN = 4
_ROLES = {"fits": "ok", "tight": "warning", "does_not_fit": "error"}


class ForecastCard(Card):
    """Hidden while nothing is known. `measure_taken` carries the fields that a measure changes."""

    measure_taken = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._words = MemoryWords(self)
        self._plan: TrainPlanPreview | None = None
        self.parts = PartList()
        self.verdict = label("", wrap=True)
        self._measures = QVBoxLayout()
        self._measures.setSpacing(4)
        self.buttons: dict[str, Button] = {}
        self.body.addWidget(self.verdict)
        self.body.addWidget(self.parts)
        self.body.addLayout(self._measures)
        self.setVisible(False)

    def show_plan(self, plan: TrainPlanPreview | None) -> None:
        """The forecast of a plan; none hides the card."""
        self._plan = plan
        forecast = plan.memory if plan else None
        self.setVisible(forecast is not None)
        if plan is None or forecast is None or plan.verdict is None:
            return
        on_card = plan.verdict.room.source == "cuda"
        self.set_title(self.tr("GPU memory needed") if on_card else self.tr("Memory needed"))
        quantization = "nf4" if plan.spec.load_in_4bit else "none"
        quantization = "int8" if plan.spec.load_in_8bit else quantization
        parts = memory_parts(self._words, forecast.parts_gib, quantization)
        self.parts.show_parts(parts, plan.verdict.room.free_gib)
        self.verdict.setText(verdict_text(plan.verdict, LanguageManager.current().language))
        set_role(self.verdict, _ROLES[plan.verdict.fit])  # type: ignore[arg-type]
        self._show_measures(plan.measures[:_MEASURES_SHOWN])

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        self.show_plan(self._plan)

    def _show_measures(self, measures: tuple[LadderRung, ...]) -> None:
        clear_layout(self._measures)
        self.buttons = {}
        if measures:
            self._measures.addWidget(label(self.tr("What would help:"), "muted"))
        language = LanguageManager.current().language
        for rung in measures:
            measure = rung_text(rung.code, language)
            words = self.tr("{measure} (−{gib} GiB)").format(
                measure=measure.name, gib=f"{rung.saves_gib:.1f}"
            )
            if not rung.changes:
                self._measures.addWidget(label(words, "muted", wrap=True))
                continue
            button = Button(kind="link")
            button.set_text(words, measure.help)
            button.clicked.connect(lambda _=False, r=rung: self._take(r.changes))
            self.buttons[rung.code] = button
            self._measures.addWidget(button)

    def _take(self, changes: dict[str, Any]) -> None:
        self.measure_taken.emit(changes)
