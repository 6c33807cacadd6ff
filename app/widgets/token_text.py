"""A sample token by token: what is learned has a background, neighbors alternate in shade."""

from __future__ import annotations

from bisect import bisect_right

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QColor, QHelpEvent, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QTextEdit, QToolTip, QWidget

from app.theme.manager import ThemeManager
from core.runlog.preview import PreviewSample

_LINE_END = "⏎"
_MIX = 0.45


class TokenText(QTextEdit):
    """Plain text; the tooltip names the token under the mouse: its text, id and number.

    A line break is shown as ⏎ before it breaks, since it is a token like any other.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sample: PreviewSample | None = None
        self._starts: list[int] = []
        """Document position at which each token begins."""
        self._names: list[str] = []
        self.setReadOnly(True)
        self.setAcceptRichText(False)
        self.setTabChangesFocus(True)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        ThemeManager.current().changed.connect(self._fill)

    def show_sample(self, sample: PreviewSample | None) -> None:
        """Show a sample from its beginning."""
        self._sample = sample
        self._fill()
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def token_at(self, position: int) -> str:
        """What the tooltip says for a place in the document; empty outside of all tokens."""
        index = bisect_right(self._starts, position) - 1
        return self._names[index] if 0 <= index < len(self._names) else ""

    def event(self, event: QEvent) -> bool:
        """Tooltips by token."""
        if isinstance(event, QHelpEvent):
            place = self.viewport().mapFrom(self, event.pos())
            name = self.token_at(self.cursorForPosition(place).position())
            QToolTip.showText(event.globalPos(), name, self)
            return True
        return super().event(event)

    def _fill(self) -> None:
        self.clear()
        self._starts, self._names = [], []
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        for piece in self._sample.pieces if self._sample else ():
            special = piece.special or [False] * len(piece.ids)
            for token_id, text, is_special in zip(piece.ids, piece.tokens, special, strict=False):
                self._starts.append(cursor.position())
                self._names.append(f"{len(self._names)}: {text!r} · id {token_id}")
                shown = text.replace("\r", "").replace("\n", _LINE_END + "\n")
                odd = len(self._names) % 2 == 1
                cursor.insertText(shown, _format(piece.trained, is_special, odd=odd))
        cursor.endEditBlock()


def _format(trained: bool, special: bool, *, odd: bool) -> QTextCharFormat:
    theme = ThemeManager.current()
    made = QTextCharFormat()
    made.setForeground(theme.color("text" if trained else "muted"))
    ground = theme.color("accent_background" if trained else "card")
    shade = theme.color("accent" if trained else "border_strong")
    made.setBackground(_mixed(ground, shade, _MIX if odd else 0.15) if trained or odd else ground)
    if special:
        made.setFontWeight(700)
        made.setForeground(theme.color("accent"))
    return made


def _mixed(low: QColor, high: QColor, share: float) -> QColor:
    share *= 0.5  # text must stay readable on it
    parts = zip(low.getRgb()[:3], high.getRgb()[:3], strict=True)  # type: ignore[index]
    return QColor(*(round(a + (b - a) * share) for a, b in parts))
