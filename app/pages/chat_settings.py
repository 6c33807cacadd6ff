"""The right side of the chat: who answers, and how."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.pages.chat_prompts import PromptsRow
from app.pages.chat_sampling import SamplingFields
from app.viewmodels.chat_client import Target
from app.viewmodels.chat_turns import ChatSettings
from app.widgets.card import GAP, Card
from app.widgets.elided_combo import ElidedCombo
from app.widgets.form_row import FormRow


class ChatSettingsCard(QWidget):
    """`targets_chosen` tells the page; `settings()` is read with a question."""

    targets_chosen = Signal(object)
    """A tuple of one or two `Target`s."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._targets: list[Target] = []
        self.first_box = ElidedCombo()
        self.second_box = ElidedCombo()
        self.sampling = SamplingFields(self)
        self.prompts = PromptsRow()
        self.rows = {"first": FormRow(self.first_box), "second": FormRow(self.second_box)}
        self.who = Card()
        self.said = Card()
        for row in self.rows.values():
            self.who.body.addWidget(row)
        self.said.body.addWidget(self.prompts)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 6, 0)
        column.setSpacing(GAP)
        for card in (self.who, self.said, *self.sampling.cards):
            column.addWidget(card)
        column.addStretch(1)
        for box in (self.first_box, self.second_box):
            box.activated.connect(self._chosen)
            box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.retranslate()

    # shortcuts that scripts of the window use

    @property
    def temperature(self) -> object:
        """The field."""
        return self.sampling.temperature

    @property
    def system(self) -> object:
        """The field of the system prompt."""
        return self.prompts.text

    def settings(self) -> ChatSettings:
        """What goes with the next question."""
        return replace(self.sampling.settings(), system=self.prompts.text.toPlainText())

    def show_settings(self, settings: ChatSettings) -> None:
        """Of a conversation that was opened."""
        self.sampling.show_settings(settings)
        self.prompts.text.setPlainText(settings.system)

    # who answers

    def show_targets(self, targets: list[Target], chosen: tuple[Target, ...]) -> None:
        """Everybody who can be asked now."""
        self._targets = targets
        names = self._names()
        for box in (self.first_box, self.second_box):
            box.clear()
            box.setEnabled(bool(targets))
        self.second_box.addItem(self.tr("Nobody"))
        for name in names:
            self.first_box.addItem(name)
            self.second_box.addItem(name)
        self.first_box.setCurrentIndex(_index(targets, chosen, 0))
        self.second_box.setCurrentIndex(_index(targets, chosen, 1) + 1)
        self._show_names()

    def _names(self) -> list[str]:
        """Models; with the server's port where several serve."""
        several = len({t.run_id for t in self._targets}) > 1
        return [f"{t.model} · {t.port}" if several else t.model for t in self._targets]

    def _chosen(self) -> None:
        first, second = self.first_box.currentIndex(), self.second_box.currentIndex() - 1
        numbers = [n for n in (first, second) if 0 <= n < len(self._targets)]
        self._show_names()
        self.targets_chosen.emit(tuple(self._targets[n] for n in numbers))

    def _show_names(self) -> None:
        for box in (self.first_box, self.second_box):
            box.setToolTip(box.currentText())
        shown = {self.first_box.currentIndex(), self.second_box.currentIndex() - 1}
        switches = [t.thinking for n, t in enumerate(self._targets) if n in shown]
        self.sampling.show_thinking(any(switches))

    def retranslate(self) -> None:
        """All texts."""
        self.who.set_title(self.tr("Who answers"))
        self.said.set_title(self.tr("System prompt"))
        self.rows["first"].set_texts(
            self.tr("&Model"), self.tr("All models of the servers that run now.")
        )
        self.rows["second"].set_texts(
            self.tr("Side by side &with"),
            self.tr("Gets the same questions; its answers stand beside."),
        )
        if self.second_box.count():
            self.second_box.setItemText(0, self.tr("Nobody"))

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)


def _index(targets: list[Target], chosen: tuple[Target, ...], number: int) -> int:
    if number >= len(chosen):
        return -1
    wanted = chosen[number]
    same = [n for n, t in enumerate(targets) if (t.url, t.model) == (wanted.url, wanted.model)]
    return same[0] if same else -1
