"""How programs reach a server: address, key, and code to paste."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from app.i18n import LanguageManager
from app.messages import choice_reasons
from app.theme.fonts import monospace_font
from app.viewmodels.serve_snippets import NAMES, SNIPPETS, Access, SnippetId, masked, snippet
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card
from app.widgets.copy_field import CopyField, copied_text, copy_text
from app.widgets.deploy_tabs import TabRow
from app.widgets.form_row import FormRow
from app.widgets.labels import label
from core.runlog.state import RunState

_ACCESS_WIDTH = 340
_ICONS = ["console", "language-python", "language-javascript", "link-variant",
          "web", "robot-outline", "code-tags"]  # fmt: skip


class AccessCard(Card):
    """Address and key; `keys_asked` opens the dialog of further keys."""

    keys_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.address = CopyField()
        self.key = CopyField(secret=True)
        self.model_box = QComboBox()
        self.rows = {
            "address": FormRow(self.address),
            "key": FormRow(self.key),
            "model": FormRow(self.model_box),
        }
        self.keys_button = Button(icon_name="key-chain-variant")
        self.why = label("", "muted", wrap=True)
        self._why_title = label("", "section")
        for row in self.rows.values():
            self.body.addWidget(row)
        self.body.addWidget(self.keys_button, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addSpacing(4)
        self.body.addWidget(self._why_title)
        self.body.addWidget(self.why)
        self.body.addStretch(1)
        self.setMaximumWidth(_ACCESS_WIDTH)
        self.keys_button.clicked.connect(self.keys_asked)

    def show_reasons(self, reasons: str) -> None:
        """Why this engine runs it in this precision."""
        self.why.setText(reasons)
        for widget in (self.why, self._why_title):
            widget.setVisible(bool(reasons))

    def retranslate(self) -> None:
        """All texts."""
        self._why_title.setText(self.tr("Why it runs like this"))
        self.set_title(self.tr("Address and key"))
        self.rows["address"].set_texts(
            self.tr("Address"),
            self.tr("The base URL for every program that speaks to OpenAI."),
            help_visible=True,
        )
        self.rows["key"].set_texts(
            self.tr("API key"), self.tr("Sent with every request."), help_visible=True
        )
        self.rows["model"].set_texts(
            self.tr("Model name"),
            self.tr("Adapters are models of their own, beside the base model."),
            help_visible=True,
        )
        self.address.set_name(self.tr("Address"))
        self.key.set_name(self.tr("API key"))
        self.keys_button.set_text(
            self.tr("More keys…"), self.tr("One for each program, with limits and an end")
        )


class SnippetCard(Card):
    """What to paste into a program; the key is dotted on the screen and whole on the clipboard."""

    copied = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._access: Access | None = None
        self.tabs = TabRow(list(SNIPPETS), _ICONS, flows=True)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setFont(monospace_font())
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        self.text.setMinimumHeight(190)
        self.text.setTabChangesFocus(True)
        self.text.setProperty("verbatim", True)
        self.about = label("", "muted", wrap=True)
        self.copy_button = Button(icon_name="content-copy")
        self.title_row.addWidget(self.copy_button)
        self.body.addWidget(self.tabs)
        self.body.addWidget(self.text, 1)
        self.body.addWidget(self.about)
        self.tabs.chosen.connect(self._show)
        self.copy_button.clicked.connect(self._copy)
        self.tabs.choose("curl")

    def show_access(self, access: Access) -> None:
        """Fill the snippets in."""
        if access != self._access:
            self._access = access
            self._show()

    @property
    def whole(self) -> str:
        """What is copied: with the key."""
        return snippet(self._name, self._access) if self._access else ""

    @property
    def _name(self) -> SnippetId:
        return next(n for n in SNIPPETS if n == self.tabs.key)

    def _show(self) -> None:
        if self._access is not None:
            self.text.setPlainText(masked(self.whole, self._access.key))
        self.about.setText(self._about())
        self.text.setAccessibleName(NAMES[self._name])

    def _copy(self) -> None:
        copy_text(self.whole)
        self.copied.emit(copied_text())

    def retranslate(self) -> None:
        """All texts."""
        self.set_title(self.tr("Connect a program"))
        self.copy_button.set_text(self.tr("Copy with the key"))
        for name, button in self.tabs.buttons.items():
            button.set_text(NAMES[name])  # type: ignore[index]
        self._show()

    def _about(self) -> str:
        return {
            "curl": self.tr("For a terminal with bash; on Windows use Git Bash or WSL."),
            "python": self.tr("With OpenAI's own library, streamed."),
            "javascript": self.tr("With OpenAI's own library for Node.js, streamed."),
            "langchain": self.tr("A chat model for chains and agents."),
            "open_webui": self.tr(
                "A web chat in Docker. It reaches this computer as host.docker.internal: start "
                "the API for the network and add that name to the accepted host names."
            ),
            "dify": self.tr(
                "Settings, Model Provider, OpenAI-API-compatible, Add Model. Dify runs in Docker: "
                "start the API for the network and accept the name host.docker.internal."
            ),
            "cline": self.tr("In VS Code: Cline's settings, API Configuration."),
        }[self._name]


class ConnectView(QWidget):
    """Both beside each other."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._key = ""
        self._state: RunState | None = None
        self._limit = 0
        self.access = AccessCard()
        self.snippets = SnippetCard()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GAP)
        left = QVBoxLayout()
        left.addWidget(self.access)
        left.addStretch(1)
        row.addLayout(left, 2)
        row.addWidget(self.snippets, 3)
        self.access.model_box.currentIndexChanged.connect(self._fill)
        self.retranslate()

    def show_state(self, state: RunState, key: str, max_new_tokens: int) -> None:
        """The server as it is now."""
        self._state, self._key, self._limit = state, key, max_new_tokens
        if state.ready is None:
            return
        self.access.address.set_text(f"{state.ready.url}/v1")
        self.access.key.set_text(key)
        self._offer_models(state)
        language = LanguageManager.current().language
        self.access.show_reasons(choice_reasons(state.ready, language))
        self._fill()

    def _offer_models(self, state: RunState) -> None:
        assert state.ready is not None
        base = state.ready.model_id.partition(":")[0]
        names = list(dict.fromkeys([state.default_model or base, base, *state.adapters]))
        box = self.access.model_box
        if [box.itemText(i) for i in range(box.count())] == names:
            return
        chosen = box.currentText()
        box.blockSignals(True)
        box.clear()
        box.addItems(names)
        box.setCurrentIndex(max(0, box.findText(chosen)))
        box.setProperty("verbatim", True)
        box.blockSignals(False)

    def _fill(self) -> None:
        if self._state is None or self._state.ready is None:
            return
        ready = self._state.ready
        model = self.access.model_box.currentText() or ready.model_id
        self.snippets.show_access(
            Access(ready.url, self._key, model, ready.max_context_tokens, self._limit)
        )

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """All texts."""
        self.access.retranslate()
        self.snippets.retranslate()
