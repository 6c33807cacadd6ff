"""The right side of the chat: who answers, and how."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QLineEdit,
    QPlainTextEdit,
    QSpinBox,
    QWidget,
)

from app.viewmodels.chat import ChatSettings
from app.widgets.card import Card
from app.widgets.elided_combo import ElidedCombo
from app.widgets.form_row import FormRow
from core.supervisor import RunView

_WIDTH = 268


class ChatSettingsCard(Card):
    """`server_chosen` and `models_chosen` tell the page; `settings()` is read with a question."""

    server_chosen = Signal(str)
    """The server's run id."""
    models_chosen = Signal(object)
    """A tuple of model names."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setFixedWidth(_WIDTH)
        self._models: list[str] = []
        self.server_box = ElidedCombo()
        self.model_box = ElidedCombo()
        self.system = QPlainTextEdit()
        self.system.setTabChangesFocus(True)
        self.system.setFixedHeight(84)
        self.temperature = QDoubleSpinBox()
        self.temperature.setRange(0.0, 2.0)
        self.temperature.setSingleStep(0.1)
        self.temperature.setDecimals(2)
        self.temperature.setValue(ChatSettings().temperature)
        self.max_tokens = QSpinBox()
        self.max_tokens.setRange(1, 131_072)
        self.max_tokens.setValue(ChatSettings().max_tokens)
        self.seed = QLineEdit()
        self.rows = {
            "server": FormRow(self.server_box),
            "model": FormRow(self.model_box),
            "temperature": FormRow(self.temperature),
            "max_tokens": FormRow(self.max_tokens),
            "seed": FormRow(self.seed),
            "system": FormRow(self.system),
        }
        for row in self.rows.values():
            self.body.addWidget(row)
        self.body.addStretch(1)
        self.server_box.activated.connect(self._server_activated)
        self.model_box.activated.connect(self._model_activated)
        self.retranslate()

    def settings(self) -> ChatSettings:
        """What goes with the next question; an empty seed is a new one each time."""
        text = self.seed.text().strip()
        number = text.removeprefix("-")
        known = number.isascii() and number.isdigit() and len(number) <= 18
        self.rows["seed"].set_error("" if known or not text else self.tr("Enter a whole number."))
        return ChatSettings(
            temperature=self.temperature.value(),
            max_tokens=self.max_tokens.value(),
            seed=int(text) if known else None,
            system=self.system.toPlainText(),
        )

    def show_servers(self, servers: list[RunView], chosen: str) -> None:
        """The servers that answer."""
        self.server_box.clear()
        for view in servers:
            ready = view.state.ready
            if ready is not None:
                port = ready.url.rpartition(":")[2]
                self.server_box.addItem(f"{ready.model_id} · {port}", view.run_id)
        self.server_box.setCurrentIndex(self.server_box.findData(chosen))
        self.server_box.setToolTip(self.server_box.currentText())

    def show_models(self, models: list[str]) -> None:
        """Names of the chosen server; two of them can answer side by side."""
        self._models = models
        self.model_box.clear()
        for name in models:
            self.model_box.addItem(name, (name,))
        if len(models) > 1:
            self.model_box.addItem(self.tr("Both, side by side"), tuple(models[:2]))
        self.rows["model"].setVisible(len(models) > 1)
        self.model_box.setCurrentIndex(0 if models else -1)

    def _server_activated(self, index: int) -> None:
        self.server_chosen.emit(str(self.server_box.itemData(index)))

    def _model_activated(self, index: int) -> None:
        self.models_chosen.emit(tuple(self.model_box.itemData(index)))

    def retranslate(self) -> None:
        """All texts."""
        self.set_title(self.tr("Who answers, and how"))
        texts = {
            "server": (self.tr("&API"), self.tr("One of the servers that run now.")),
            "model": (self.tr("&Model"), self.tr("With the adapter, without it, or both.")),
            "temperature": (
                self.tr("&Temperature"),
                self.tr("0 always takes the most probable word; higher is livelier."),
            ),
            "max_tokens": (self.tr("&Longest answer"), self.tr("In tokens.")),
            "seed": (
                self.tr("&Seed"),
                self.tr("The same seed gives the same answer; empty is different each time."),
            ),
            "system": (
                self.tr("S&ystem prompt"),
                self.tr("Said to the model before the conversation."),
            ),
        }
        for key, (name, help_text) in texts.items():
            self.rows[key].set_texts(name, help_text)
        self.seed.setPlaceholderText(self.tr("random"))
        if len(self._models) > 1:
            self.model_box.setItemText(len(self._models), self.tr("Both, side by side"))

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)
