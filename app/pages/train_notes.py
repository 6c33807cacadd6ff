"""What the run had to say of itself before the first step."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QWidget

from app.i18n import LanguageManager
from app.pages.train_finding_words import finding_text
from app.widgets.card import Card
from app.widgets.labels import label
from core.protocol.events import Finding, TrainPlanned


class NotesCard(Card):
    """Samples that were cut, kernels that were not used, ...; hidden when there is nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._notes: tuple[Finding, ...] = ()
        self.text = label("", wrap=True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.body.addWidget(self.text)
        self.setVisible(False)

    def show_plan(self, plan: TrainPlanned | None) -> None:
        """The notes of the plan that is in force."""
        notes = tuple(plan.notes) if plan else ()
        if notes != self._notes:
            self._notes = notes
            self._build()

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._build()
        super().changeEvent(event)

    def _build(self) -> None:
        language = LanguageManager.current().language
        self.setVisible(bool(self._notes))
        self.set_title(self.tr("Good to know"))
        self.text.setText("\n".join(f"• {finding_text(n, language)}" for n in self._notes))
