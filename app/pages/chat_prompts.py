"""The system prompt, and those that were saved under a name."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QHBoxLayout, QInputDialog, QPlainTextEdit, QVBoxLayout, QWidget

from app.widgets.buttons import Button
from app.widgets.elided_combo import ElidedCombo

_HEIGHT = 84


class PromptsRow(QWidget):
    """`changed` carries all saved prompts when one was saved or deleted."""

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._saved: dict[str, str] = {}
        self.box = ElidedCombo()
        self.text = QPlainTextEdit()
        self.text.setTabChangesFocus(True)
        self.text.setFixedHeight(_HEIGHT)
        self.save_button = Button(kind="icon", icon_name="content-save-outline")
        self.delete_button = Button(kind="icon", icon_name="delete-outline")
        line = QHBoxLayout()
        line.setSpacing(2)
        line.addWidget(self.box, 1)
        line.addWidget(self.save_button)
        line.addWidget(self.delete_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(line)
        column.addWidget(self.text)
        self.box.activated.connect(self._choose)
        self.text.textChanged.connect(self._show)
        self.save_button.clicked.connect(self._save)
        self.delete_button.clicked.connect(self._delete)
        self.retranslate()

    def show_prompts(self, prompts: dict[str, str]) -> None:
        """Those that were saved."""
        self._saved = prompts
        self.box.clear()
        self.box.addItem(self.tr("None saved") if not prompts else self.tr("Saved prompts"))
        for name in sorted(prompts, key=str.casefold):
            self.box.addItem(name)
        self._show()

    def add(self, name: str) -> None:
        """Save the present text under a name."""
        if name.strip() and self.text.toPlainText().strip():
            self._replace({**self._saved, name.strip(): self.text.toPlainText().strip()})

    def _save(self) -> None:
        name, sure = QInputDialog.getText(
            self, self.tr("Save the system prompt"), self.tr("Name"), text=self._current()
        )
        if sure:
            self.add(name)

    def _delete(self) -> None:
        gone = self._current()
        self._replace({k: v for k, v in self._saved.items() if k != gone})

    def _replace(self, prompts: dict[str, str]) -> None:
        self.show_prompts(prompts)
        self.changed.emit(prompts)

    def _choose(self, index: int) -> None:
        if index > 0:
            self.text.setPlainText(self._saved[self.box.itemText(index)])

    def _current(self) -> str:
        text = self.text.toPlainText().strip()
        return next((k for k, v in self._saved.items() if v == text and text), "")

    def _show(self) -> None:
        name = self._current()
        self.box.setCurrentIndex(max(0, self.box.findText(name)) if name else 0)
        self.box.setEnabled(bool(self._saved))
        self.save_button.setEnabled(bool(self.text.toPlainText().strip()) and not name)
        self.delete_button.setEnabled(bool(name))

    def retranslate(self) -> None:
        """All texts."""
        self.box.setAccessibleName(self.tr("Saved system prompts"))
        self.text.setAccessibleName(self.tr("System prompt"))
        self.text.setPlaceholderText(
            self.tr("Said to the model before the conversation: who it is, how it shall answer")
        )
        self.save_button.set_text(self.tr("Save this prompt under a name"))
        self.delete_button.set_text(self.tr("Delete this saved prompt"))
        self.show_prompts(self._saved)

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)
