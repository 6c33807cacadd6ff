"""What a run will do, worked out while the form is being filled in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QWidget

from app.pages.base import AppContext
from app.pages.train_texts import TrainTexts
from app.viewmodels import train_form as form
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.form_row import FactList
from app.widgets.labels import label
from core.config.train import TrainSpec
from core.errors import ErrorInfo, UsageError
from core.services.train import TrainPlanPreview

_DELAY_MS = 300
_WIDTH_PX = 300


class PlanCard(Card):
    """Facts of the plan, and the button that starts it; the page puts that into its header.

    Args:
        ctx: the application.
        texts: the words.
        values: gives the spec as it is typed in.
    """

    planned = Signal(object)
    """TrainPlanPreview or None."""

    def __init__(
        self,
        ctx: AppContext,
        texts: TrainTexts,
        values: Callable[[], dict[str, Any]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent=parent)
        self._ctx = ctx
        self._texts = texts
        self._values = values
        self._asked = 0
        self.plan: TrainPlanPreview | None = None
        self.setFixedWidth(_WIDTH_PX)
        self.facts = FactList()
        self._note = label("", "muted", wrap=True)
        self.start_button = Button(kind="primary", icon_name="play")
        self.queue_button = Button(icon_name="tray-plus")
        self.body.addWidget(self.facts)
        self.body.addWidget(self._note)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DELAY_MS)
        self._timer.timeout.connect(self._ask)

    def ask_soon(self) -> None:
        """Something changed: work it out when the typing pauses."""
        self._timer.start()

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        self.set_title(self.tr("What will happen"))
        self.start_button.set_text(self.tr("Start training"))
        self.queue_button.set_text(
            self.tr("Add to queue"), self.tr("Starts by itself when its card is free")
        )
        self._show(self.plan)

    def _ask(self) -> None:
        values = self._values()
        if form.problems(values) or not values["model"] or not values["data"]:
            self._show(None)
            return
        self._asked += 1
        number, spec = self._asked, TrainSpec.model_validate(values)
        prepare = self._ctx.services.train.prepare
        self._ctx.background.run(
            self, lambda: (number, _prepared(prepare, spec)), self._came, self._failed
        )

    def _came(self, answer: tuple[int, TrainPlanPreview | None]) -> None:
        if answer[0] == self._asked:  # an older question's answer may come later
            self._show(answer[1])

    def _failed(self, _error: ErrorInfo) -> None:
        self._show(None)

    def _show(self, plan: TrainPlanPreview | None) -> None:
        self.plan = plan
        self.planned.emit(plan)
        self.facts.set_facts(self._texts.plan_facts(plan, self._ctx.bridge.machine))
        self._note.setText(self._texts.plan_note(plan, self._ctx.bridge.machine))


def _prepared(
    prepare: Callable[[TrainSpec], TrainPlanPreview], spec: TrainSpec
) -> TrainPlanPreview | None:
    """The plan, or none: what is wrong is said at the start, not while somebody types."""
    try:
        return prepare(spec)
    except UsageError:
        return None
