"""A model's words, drawn: prose with headings, lists and tables, code with a button to copy it.

Nothing in them is run, loaded or taken for HTML: tags are shown as they were written, images are
never fetched, and a link is copied instead of opened.
"""

from __future__ import annotations

import math

from PySide6.QtCore import QByteArray, QEvent, QPoint, QSize, Qt, QUrl
from PySide6.QtGui import (
    QFontMetricsF,
    QResizeEvent,
    QTextBlock,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextFrameFormat,
    QTextLength,
    QTextOption,
    QTextTable,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QPlainTextEdit,
    QSizePolicy,
    QTextBrowser,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from app.theme.fonts import BODY_PT, SMALL_PT, monospace_font
from app.theme.manager import ThemeManager
from app.widgets.buttons import Button
from app.widgets.chat_markdown import Piece, pieces_of, prose_source
from app.widgets.copy_field import copied_text, copy_text
from app.widgets.labels import label

_HEADING_PT = {1: 14.0, 2: 12.5, 3: 11.5}
_NO_HTML = QTextDocument.MarkdownFeature.MarkdownDialectGitHub | (
    QTextDocument.MarkdownFeature.MarkdownNoHTML
)
_LINE_HEIGHT = 122.0
_BAR_PX = 12
_NOTHING = QByteArray(b" ")
_INDENT_PX = 22


class _Sealed(QTextDocument):
    """A document that loads nothing. An empty answer would let Qt read local files by itself."""

    def loadResource(self, kind: int, name: QUrl | str) -> object:
        return _NOTHING


class ProseView(QTextBrowser):
    """Markdown without code blocks, as tall as its text; selectable, scrolls with the page."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("ChatProse")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setStyleSheet("#ChatProse { background: transparent; border: none; padding: 0; }")
        self.setOpenLinks(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        sealed = _Sealed(self)
        self.setDocument(sealed)
        sealed.setDocumentMargin(0)
        self.document().setIndentWidth(_INDENT_PX)
        self._source = ""
        self.anchorClicked.connect(self._copy_link)
        ThemeManager.current().changed.connect(self._draw)

    def show_prose(self, text: str) -> None:
        """Draw other words; the same again costs nothing."""
        if text != self._source:
            self._source = text
            self._draw()

    @property
    def markdown(self) -> str:
        """The Markdown that is shown."""
        return self._source

    def loadResource(self, kind: int, name: QUrl | str) -> object:
        """Nothing: no picture, no style, from nowhere."""
        return _NOTHING

    def wheelEvent(self, event: QWheelEvent) -> None:
        """The conversation scrolls, not a part of it."""
        event.ignore()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width needs another height."""
        super().resizeEvent(event)
        self._fit()

    def sizeHint(self) -> QSize:
        """Any width will do."""
        return QSize(240, self.height())

    def minimumSizeHint(self) -> QSize:
        """Wraps down to very little."""
        return QSize(40, 0)

    def _draw(self) -> None:
        document = self.document()
        document.setDefaultFont(self.font())
        document.setMarkdown(prose_source(self._source), _NO_HTML)
        _polish(document)
        self._fit()

    def _fit(self) -> None:
        self.document().setTextWidth(max(40, self.viewport().width()))
        height = math.ceil(self.document().size().height()) + 1
        if height != self.height():
            self.setFixedHeight(height)

    def _copy_link(self, url: QUrl) -> None:
        address = url.toString()
        copy_text(address)
        at = self.mapToGlobal(self.cursorRect().bottomLeft() + QPoint(0, 4))
        QToolTip.showText(at, f"{copied_text()}: {address}", self)


def _polish(document: QTextDocument) -> None:
    """Sizes, distances and colors of the window instead of Qt's own."""
    code = QTextCharFormat()
    code.setFontFamilies(monospace_font().families())
    code.setFontPointSize(SMALL_PT)
    code.setBackground(ThemeManager.current().color("raised"))
    cursor = QTextCursor(document)
    cursor.beginEditBlock()
    block = document.begin()
    while block.isValid():
        _polish_block(QTextCursor(block))
        for start, end in _code_of(block):
            cursor.setPosition(start)
            cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
            cursor.mergeCharFormat(code)
        block = block.next()
    for frame in document.rootFrame().childFrames():
        if isinstance(frame, QTextTable):
            _polish_table(frame)
    cursor.endEditBlock()


def _code_of(block: QTextBlock) -> list[tuple[int, int]]:
    """Where inline code stands."""
    found = []
    at = block.begin()
    while not at.atEnd():
        part = at.fragment()
        if part.charFormat().fontFixedPitch():
            found.append((part.position(), part.position() + part.length()))
        at += 1
    return found


def _polish_block(cursor: QTextCursor) -> None:
    block = cursor.block()
    given = block.blockFormat()
    level = given.headingLevel()
    made = QTextBlockFormat()
    in_table, in_list = cursor.currentTable() is not None, block.textList() is not None
    made.setLineHeight(_LINE_HEIGHT, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
    made.setTopMargin(10 if level and block.position() else 0)
    made.setBottomMargin(0 if in_table else 3 if in_list else 5 if level else 8)
    if not block.next().isValid():
        made.setBottomMargin(0)
    quote = given.intProperty(QTextFormat.Property.BlockQuoteLevel)
    if quote:
        made.setLeftMargin(14 * quote)
    cursor.mergeBlockFormat(made)
    if level or quote:
        _polish_words(cursor, level, quoted=bool(quote))


def _polish_words(cursor: QTextCursor, level: int, *, quoted: bool) -> None:
    at, found = cursor.block().begin(), []
    while not at.atEnd():
        part = at.fragment()
        found.append((part.position(), part.position() + part.length(), part.charFormat()))
        at += 1
    for start, end, words in found:
        if level:
            # Qt's own relative size wins over any size in points as long as it is there.
            words.clearProperty(QTextFormat.Property.FontSizeAdjustment)
            words.setFontPointSize(_HEADING_PT.get(level, BODY_PT))
            words.setFontWeight(600)
        if quoted:
            words.setForeground(ThemeManager.current().color("muted"))
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        cursor.setCharFormat(words)


def _polish_table(table: QTextTable) -> None:
    theme = ThemeManager.current()
    form = table.format()
    form.setBorderCollapse(True)
    form.setBorder(1)
    form.setBorderBrush(theme.color("border_strong"))
    form.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
    form.setCellPadding(5)
    form.setCellSpacing(0)
    form.setTopMargin(2)
    form.setBottomMargin(8)
    form.setWidth(QTextLength(QTextLength.Type.VariableLength, 0))
    table.setFormat(form)
    for column in range(table.columns()):
        cell = table.cellAt(0, column)
        made = cell.format()
        made.setBackground(theme.color("raised"))
        cell.setFormat(made)


class CodeBlock(QFrame):
    """Code in a monospaced font: lines are not wrapped, long ones scroll sideways."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("surface", "quiet")
        self.language = label("", "muted")
        self.copy_button = Button(kind="icon", icon_name="content-copy")
        self.code = _CodeText()
        head = QHBoxLayout()
        head.setContentsMargins(10, 2, 4, 0)
        head.addWidget(self.language, 1)
        head.addWidget(self.copy_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 6)
        column.setSpacing(0)
        column.addLayout(head)
        column.addWidget(self.code)
        self.copy_button.clicked.connect(self._copy)
        self._retranslate()

    def show_code(self, text: str, language: str) -> None:
        """Draw other code; what only grew is appended."""
        self.language.setText(language)
        self.code.show_text(text)
        self.copy_button.setToolTip(self.tr("Copy the code"))

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)

    def _copy(self) -> None:
        copy_text(self.code.toPlainText())
        self.copy_button.setToolTip(copied_text())
        QToolTip.showText(
            self.copy_button.mapToGlobal(QPoint(0, self.copy_button.height())), copied_text(), self
        )

    def _retranslate(self) -> None:
        self.copy_button.set_text(self.tr("Copy the code"))
        self.code.setAccessibleName(self.tr("Code"))


class _CodeText(QPlainTextEdit):
    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("ChatCode")
        self.setStyleSheet("#ChatCode { background: transparent; border: none; padding: 0 6px; }")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setReadOnly(True)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFont(monospace_font())
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.horizontalScrollBar().rangeChanged.connect(lambda *_: self._fit())
        self._fit()

    def show_text(self, text: str) -> None:
        before = self.toPlainText()
        if text == before:
            return
        if before and text.startswith(before):
            cursor = QTextCursor(self.document())
            cursor.movePosition(QTextCursor.MoveOperation.End)
            cursor.insertText(text[len(before) :])
        else:
            self.setPlainText(text)
        self._fit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        if event.angleDelta().x() == 0:
            event.ignore()
            return
        super().wheelEvent(event)

    def minimumSizeHint(self) -> QSize:
        return QSize(40, 0)

    def sizeHint(self) -> QSize:
        return QSize(240, self.height())

    def _fit(self) -> None:
        # Any Chinese in it makes its lines higher than those of the first family.
        height = QFontMetricsF(self.font()).lineSpacing()
        block = self.document().firstBlock()
        if block.isValid() and (drawn := self.blockBoundingRect(block).height()) > 0:
            height = max(height, drawn)
        bar = _BAR_PX if self.horizontalScrollBar().maximum() > 0 else 0
        wanted = math.ceil(self.document().blockCount() * height) + 10 + bar
        if wanted != self.height():
            self.setFixedHeight(wanted)


class MarkdownView(QWidget):
    """All pieces of one answer; only those that changed are drawn again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pieces: list[Piece] = []
        self._text = ""
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(8)
        self.parts: list[ProseView | CodeBlock] = []
        self.drawn = 0
        """Pieces drawn so far, for who wants to know what streaming costs."""

    def show_text(self, text: str) -> None:
        """Draw an answer, or what it has become."""
        if text == self._text:
            return
        self._text = text
        pieces = pieces_of(text)
        for number, piece in enumerate(pieces):
            if number >= len(self._pieces) or self._pieces[number] != piece:
                self._show(number, piece)
        for part in self.parts[len(pieces) :]:
            self._drop(part)
        del self.parts[len(pieces) :]
        self._pieces = pieces

    @property
    def text(self) -> str:
        """What is shown, as Markdown."""
        return self._text

    def plain_text(self) -> str:
        """What is shown, without marks."""
        return "\n".join(
            p.toPlainText() if isinstance(p, ProseView) else p.code.toPlainText()
            for p in self.parts
        )

    def _show(self, number: int, piece: Piece) -> None:
        self.drawn += 1
        part = self.parts[number] if number < len(self.parts) else None
        if part is None or isinstance(part, CodeBlock) != piece.code:
            made: ProseView | CodeBlock = CodeBlock() if piece.code else ProseView()
            if part is not None:
                self._drop(part)
                self.parts[number] = made
            else:
                self.parts.append(made)
            self._column.insertWidget(number, made)
            part = made
        if isinstance(part, CodeBlock):
            part.show_code(piece.text, piece.language)
        else:
            part.show_prose(piece.text)

    def _drop(self, part: QWidget) -> None:
        self._column.removeWidget(part)
        part.hide()
        part.deleteLater()
