"""A sample as the model reads it: what is learned stands out from what is only read."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QTextEdit, QWidget

from app.theme.manager import ThemeManager
from core.runlog.evidence import EvidencePiece


class TrainedText(QTextEdit):
    """Plain text that can be selected and copied; nothing in it becomes HTML.

    Trained pieces have a background and full strength, the others are quiet: they are told apart
    without color as well.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pieces: tuple[EvidencePiece, ...] = ()
        self._rest = ""
        self.setReadOnly(True)
        self.setAcceptRichText(False)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabChangesFocus(True)
        ThemeManager.current().changed.connect(self._fill)

    def show_pieces(self, pieces: Sequence[EvidencePiece], rest: str = "") -> None:
        """Show a text; `rest` is said after it, for what was cut."""
        if tuple(pieces) == self._pieces and rest == self._rest:
            return
        self._pieces, self._rest = tuple(pieces), rest
        self._fill()
        self.moveCursor(QTextCursor.MoveOperation.Start)

    @property
    def trained_text(self) -> str:
        """What is learned, joined."""
        return "".join(p.text for p in self._pieces if p.trained)

    def _fill(self) -> None:
        self.clear()
        cursor = QTextCursor(self.document())
        trained, read = self._format(trained=True), self._format(trained=False)
        for piece in self._pieces:
            cursor.insertText(piece.text, trained if piece.trained else read)
        if self._rest:
            cursor.insertText("\n" + self._rest, read)

    def _format(self, *, trained: bool) -> QTextCharFormat:
        theme = ThemeManager.current()
        made = QTextCharFormat()
        made.setForeground(theme.color("text" if trained else "muted"))
        if trained:
            made.setBackground(theme.color("accent_background"))
        return made
