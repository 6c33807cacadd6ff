"""A list whose rows have an icon, a name and a quieter line, drawn by one delegate."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import (
    QAbstractListModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFont, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from app.theme.fonts import SMALL_PT
from app.theme.icons import icon
from app.theme.manager import ThemeManager
from app.theme.tokens import Tone

_PAD = 10
_ICON = 20
_GAP = 3
_ID = Qt.ItemDataRole.UserRole
_LINE = Qt.ItemDataRole.UserRole + 1


@dataclass(frozen=True)
class TwoLine:
    """One row."""

    row_id: str
    title: str
    subtitle: str = ""
    icon_name: str = "circle-outline"
    tone: Tone = "neutral"


class TwoLineModel(QAbstractListModel):
    """Rows of `TwoLine`; what a screen reader hears is both lines."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[TwoLine] = []

    def set_rows(self, rows: list[TwoLine]) -> None:
        """Replace all."""
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex | None = None) -> int:
        """Rows held."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def data(
        self,
        index: QModelIndex | QPersistentModelIndex,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> object:
        """A part of one row."""
        if not index.isValid():
            return None
        row = self.rows[index.row()]
        return {
            int(Qt.ItemDataRole.DisplayRole): row.title,
            int(Qt.ItemDataRole.AccessibleTextRole): f"{row.title}, {row.subtitle}",
            int(Qt.ItemDataRole.ToolTipRole): f"{row.title}\n{row.subtitle}".strip(),
            int(_ID): row.row_id,
            int(_LINE): row,
        }.get(int(role))


class _Delegate(QStyledItemDelegate):
    def sizeHint(
        self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        small = _small(option.font)
        lines = option.fontMetrics.height() + small.pointSizeF() * 1.9
        return QSize(120, round(lines) + 2 * _PAD)

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        row: TwoLine = index.data(_LINE)
        rect: QRect = option.rect.adjusted(0, 1, 0, -1)
        state: QStyle.StateFlag = option.state
        selected = bool(state & QStyle.StateFlag.State_Selected)
        focused = bool(state & QStyle.StateFlag.State_HasFocus)
        hovered = bool(state & QStyle.StateFlag.State_MouseOver)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        _paint_surface(painter, rect, selected=selected, focused=focused, hovered=hovered)
        _paint_icon(painter, rect, row, selected=selected)
        _paint_lines(painter, rect, row, option.font)
        painter.restore()


def _small(font: QFont) -> QFont:
    small = QFont(font)
    small.setPointSizeF(SMALL_PT)
    return small


def _paint_surface(
    painter: QPainter, rect: QRect, *, selected: bool, focused: bool, hovered: bool
) -> None:
    theme = ThemeManager.current()
    painter.setPen(theme.color("accent") if focused and selected else Qt.PenStyle.NoPen)
    if selected or hovered:
        painter.setBrush(theme.color("accent_background" if selected else "hover"))
        painter.drawRoundedRect(rect.adjusted(1, 0, -1, -1), 6, 6)


def _paint_icon(painter: QPainter, rect: QRect, row: TwoLine, *, selected: bool) -> None:
    role = "accent" if selected and row.tone == "neutral" else row.tone
    picture = icon(row.icon_name, "muted" if role == "neutral" else role)
    top = rect.top() + (rect.height() - _ICON) // 2
    picture.paint(painter, QRect(rect.left() + _PAD, top, _ICON, _ICON))


def _paint_lines(painter: QPainter, rect: QRect, row: TwoLine, font: QFont) -> None:
    theme = ThemeManager.current()
    inner = rect.adjusted(2 * _PAD + _ICON, _PAD - 2, -_PAD, -_PAD + 2)
    title, small = QFont(font), _small(font)
    title.setWeight(QFont.Weight.DemiBold)
    for text, face, role, align in (
        (row.title, title, "text", Qt.AlignmentFlag.AlignTop),
        (row.subtitle, small, "muted", Qt.AlignmentFlag.AlignBottom),
    ):
        painter.setFont(face)
        painter.setPen(theme.color(role))
        cut = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, inner.width())
        painter.drawText(inner, align | Qt.AlignmentFlag.AlignLeft, cut)


class TwoLineList(QListView):
    """`chosen` carries the id of the row that was selected."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows = TwoLineModel(self)
        self.setModel(self._rows)
        self.setItemDelegate(_Delegate(self))
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.selectionModel().currentChanged.connect(self._current_changed)
        ThemeManager.current().changed.connect(self.viewport().update)

    def set_rows(self, rows: list[TwoLine]) -> None:
        """Replace all; the chosen row stays chosen without being announced again."""
        chosen = self.chosen_id
        model = self.selectionModel()
        model.blockSignals(True)
        self._rows.set_rows(rows)
        ids = [r.row_id for r in rows]
        if chosen in ids:
            self._select(ids.index(chosen))
        model.blockSignals(False)
        if rows and chosen not in ids:
            self._select(0)

    def choose(self, row_id: str) -> None:
        """Select a row."""
        for number, row in enumerate(self._rows.rows):
            if row.row_id == row_id:
                self._select(number)

    @property
    def chosen_id(self) -> str:
        """Id of the selected row, or empty."""
        index = self.currentIndex()
        return str(index.data(_ID)) if index.isValid() else ""

    @property
    def rows(self) -> list[TwoLine]:
        """What is shown."""
        return self._rows.rows

    def _select(self, number: int) -> None:
        flag = QItemSelectionModel.SelectionFlag.ClearAndSelect
        self.selectionModel().setCurrentIndex(self._rows.index(number), flag)

    def _current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid():
            self.chosen.emit(str(current.data(_ID)))
