"""A text to take away: an address, a key, a command line."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QEvent, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QWidget

from app.theme.fonts import monospace_font
from app.widgets.buttons import Button

_SAID_FOR_MS = 1500


def copy_text(text: str) -> None:
    """Put `text` on the clipboard."""
    QGuiApplication.clipboard().setText(text)


class CopyField(QWidget):
    """Read-only line with a copy button; a secret stays dotted until it is asked for."""

    def __init__(
        self, name: str = "", *, secret: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._name = name
        self._secret = secret
        self.line = QLineEdit()
        self.line.setReadOnly(True)
        self.line.setFont(monospace_font())
        self.reveal = Button(kind="icon", icon_name="eye-outline")
        self.reveal.setCheckable(True)
        self.reveal.setVisible(secret)
        self.reveal.toggled.connect(self._show_secret)
        self.copy = Button(kind="icon", icon_name="content-copy")
        self.copy.clicked.connect(self._copy)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SAID_FOR_MS)
        self._timer.timeout.connect(self._calm)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.line, 1)
        row.addWidget(self.reveal)
        row.addWidget(self.copy)
        self._show_secret(False)
        self._retranslate()
        self.setFocusProxy(self.line)

    def set_name(self, name: str) -> None:
        """What it is, for the accessible names."""
        self._name = name
        self._retranslate()

    def set_text(self, text: str) -> None:
        """Show another text."""
        self.line.setText(text)
        self.line.setCursorPosition(0)
        self.copy.setEnabled(bool(text))

    @property
    def text(self) -> str:
        """The text, also of a hidden secret."""
        return self.line.text()

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)

    def _copy(self) -> None:
        copy_text(self.text)
        self.copy.set_icon("check")
        self.copy.setToolTip(self.tr("Copied"))
        self._timer.start()

    def _calm(self) -> None:
        self.copy.set_icon("content-copy")
        self._retranslate()

    def _show_secret(self, shown: bool) -> None:
        hidden = self._secret and not shown
        mode = QLineEdit.EchoMode.Password if hidden else QLineEdit.EchoMode.Normal
        self.line.setEchoMode(mode)

    def _retranslate(self) -> None:
        self.line.setAccessibleName(self._name)
        self.line.setToolTip(self._name)
        self.copy.set_text(_named(self.tr("Copy {name}"), self._name))
        self.reveal.set_text(_named(self.tr("Show {name}"), self._name))


def _named(template: str, name: str) -> str:
    return template.format(name=name).strip()


def copied_text() -> str:
    """What to say after copying, for other widgets that copy."""
    return QCoreApplication.translate("CopyField", "Copied")
