"""The samples of the batch behind an alarm, the one with the highest loss first."""

from __future__ import annotations

import math
from pathlib import PurePath

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from app.theme.manager import ThemeManager
from app.viewmodels.train_alarms import loss_share, suspects
from app.widgets.plot_ticks import format_value
from core.runlog.evidence import BatchEvidence, EvidenceSample

_ROW_PX = 30
_BAR_PX = 6.0
_FIGURE_PX = 54
SAMPLE, PLACE, TOKENS, LOSS = range(4)
_SHARE = Qt.ItemDataRole.UserRole
_ALIGN = int(Qt.ItemDataRole.TextAlignmentRole)
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class _LossBar(QStyledItemDelegate):
    """A figure and a bar of its share of the highest."""

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        theme = ThemeManager.current()
        state: QStyle.StateFlag = option.state
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, theme.color("accent_background"))
        share = float(index.data(_SHARE) or 0.0)
        broken = index.data() == "NaN"
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(theme.color("error" if broken else "text"))
        text = QRectF(option.rect).adjusted(4, 0, 0, 0)
        text.setWidth(_FIGURE_PX - 10)
        painter.drawText(text, _RIGHT, str(index.data() or ""))
        room = QRectF(option.rect).adjusted(_FIGURE_PX, 0, -8, 0)
        bar = QRectF(room.left(), room.center().y() - _BAR_PX / 2, room.width() * share, _BAR_PX)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("error") if broken else theme.color("loss"))
        painter.drawRoundedRect(bar, _BAR_PX / 2, _BAR_PX / 2)
        painter.restore()


class SampleTable(QTableView):
    """Check marks say what will be excluded; the current row is shown as text beside it."""

    current_changed = Signal(object)
    """EvidenceSample."""
    checked_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._evidence = BatchEvidence()
        self._excluded: frozenset[int] = frozenset()
        self._rows = QStandardItemModel(0, 4, self)
        self.setModel(self._rows)
        self.setItemDelegateForColumn(LOSS, _LossBar(self))
        self._lay_out()
        self._rows.itemChanged.connect(self._item_changed)
        self.selectionModel().currentRowChanged.connect(self._row_changed)
        ThemeManager.current().changed.connect(self.viewport().update)
        self.retranslate()

    def _lay_out(self) -> None:
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(_ROW_PX)
        columns = self.horizontalHeader()
        columns.setHighlightSections(False)
        columns.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        columns.setSectionResizeMode(PLACE, QHeaderView.ResizeMode.Stretch)
        columns.setSectionResizeMode(LOSS, QHeaderView.ResizeMode.Fixed)
        columns.setSectionResizeMode(SAMPLE, QHeaderView.ResizeMode.Fixed)
        self.setColumnWidth(SAMPLE, 124)  # contents do not count the check mark of the style sheet
        self.setColumnWidth(LOSS, 128)

    def sizeHint(self) -> QSize:
        """Six rows; more scroll."""
        rows = min(6, max(3, len(self._evidence.samples)))
        return QSize(360, rows * _ROW_PX + 38)

    def show_batch(self, evidence: BatchEvidence, excluded: frozenset[int]) -> None:
        """Another batch: what stands out is checked."""
        self._evidence, self._excluded = evidence, excluded
        chosen = set(suspects(evidence.samples)) - excluded
        self._rows.blockSignals(True)
        self._rows.setRowCount(0)
        for sample in evidence.samples:
            self._rows.appendRow(self._row(sample, checked=sample.sample in chosen))
        self._rows.blockSignals(False)
        self._rows.layoutChanged.emit()
        self.updateGeometry()
        if evidence.samples:
            self.selectRow(0)
        self.checked_changed.emit()

    def show_excluded(self, excluded: frozenset[int]) -> None:
        """Samples that are out already cannot be chosen again."""
        if excluded == self._excluded:
            return
        self._excluded = excluded
        for row, sample in enumerate(self._evidence.samples):
            if sample.sample in excluded:
                item = self._rows.item(row, SAMPLE)
                item.setCheckState(Qt.CheckState.Unchecked)
                item.setCheckable(False)
                item.setText(self._number(sample))
                item.setData(None, Qt.ItemDataRole.CheckStateRole)
        self.checked_changed.emit()

    @property
    def checked(self) -> list[int]:
        """Numbers of the samples to exclude."""
        return [
            s.sample
            for row, s in enumerate(self._evidence.samples)
            if self._rows.item(row, SAMPLE).checkState() == Qt.CheckState.Checked
        ]

    def check(self, row: int, *, on: bool = True) -> None:
        """Choose a sample, as a click on its box does."""
        state = Qt.CheckState.Checked if on else Qt.CheckState.Unchecked
        self._rows.item(row, SAMPLE).setCheckState(state)

    @property
    def current(self) -> EvidenceSample | None:
        """The sample of the current row."""
        row = self.currentIndex().row()
        return self._evidence.samples[row] if 0 <= row < len(self._evidence.samples) else None

    def retranslate(self) -> None:
        """Headings and words in the language that is on."""
        self.setAccessibleName(self.tr("Samples of the batch, highest loss first"))
        self._rows.setHorizontalHeaderLabels(
            [self.tr("Sample"), self.tr("Where"), self.tr("Tokens"), self.tr("Loss")]
        )
        header = self._rows.horizontalHeaderItem(TOKENS)
        header.setTextAlignment(_RIGHT)
        header.setToolTip(self.tr("Tokens of the sample; in brackets those that are learned"))
        for row, sample in enumerate(self._evidence.samples):
            self._rows.item(row, SAMPLE).setText(self._number(sample))

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def _row(self, sample: EvidenceSample, *, checked: bool) -> list[QStandardItem]:
        number = QStandardItem(self._number(sample))
        if sample.sample not in self._excluded:
            number.setCheckable(True)
            number.setCheckState(Qt.CheckState.Checked if checked else Qt.CheckState.Unchecked)
        place = QStandardItem(place_text(sample))
        place.setToolTip(f"{sample.file}:{sample.line}" if sample.line else sample.file)
        tokens = QStandardItem(f"{sample.tokens:,} ({sample.target_tokens:,})")
        tokens.setData(_RIGHT, _ALIGN)
        loss = QStandardItem(_loss_text(sample))
        loss.setData(loss_share(sample, self._evidence.samples), _SHARE)
        return [number, place, tokens, loss]

    def _number(self, sample: EvidenceSample) -> str:
        if sample.sample in self._excluded:
            return self.tr("{number}, excluded").format(number=sample.sample)
        return str(sample.sample)

    def _item_changed(self, item: QStandardItem) -> None:
        if item.column() == SAMPLE:
            self.checked_changed.emit()

    def _row_changed(self, *_: object) -> None:
        if (sample := self.current) is not None:
            self.current_changed.emit(sample)


def place_text(sample: EvidenceSample) -> str:
    """train.jsonl:12."""
    name = PurePath(sample.file).name
    return f"{name}:{sample.line}" if sample.line else name


def _loss_text(sample: EvidenceSample) -> str:
    if sample.loss is None:
        return "–"
    return format_value(sample.loss) if math.isfinite(sample.loss) else "NaN"
