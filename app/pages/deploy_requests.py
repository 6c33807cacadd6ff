"""Who asks and who asked: a table to filter, to cancel in, to open in the chat."""

from __future__ import annotations

import time

from PySide6.QtCore import QEvent, QPoint, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView, QWidget

from app.models.request_table import COLUMNS, RequestRow, RequestTableModel, rows_of
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.labels import label
from core.runlog.state import RunState

_ROW_PX = 28
_MEASURED_ROWS = 30
_STRETCHED = ("model", "state")
_NARROW_PX = 860
_LEFT_OUT = ("queue", "speed", "model")
"""Columns that a narrow window does without."""


class RequestsCard(Card):
    """Enter opens the chosen request in the chat, Delete cancels one that is open."""

    cancel_asked = Signal(str)
    open_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._state: RunState | None = None
        self.rows = RequestTableModel()
        self.table = QTableView()
        self.empty = label("", "muted")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.errors_button = Button(icon_name="alert-circle-outline")
        self.errors_button.setCheckable(True)
        self.open_button = Button(icon_name="message-text-outline")
        self.cancel_button = Button(kind="danger", icon_name="close")
        self._set_up_table()
        for button in (self.errors_button, self.open_button, self.cancel_button):
            self.title_row.addWidget(button)
        self.body.addWidget(self.empty)
        self.body.addWidget(self.table, 1)
        self._connect()
        self.retranslate()
        self._show_buttons()

    def _set_up_table(self) -> None:
        table = self.table
        table.setModel(self.rows)
        table.setShowGrid(False)
        table.setMinimumHeight(150)
        table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QTableView.EditTrigger.NoEditTriggers)
        table.setTabKeyNavigation(False)
        table.setWordWrap(False)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.verticalHeader().setVisible(False)
        table.verticalHeader().setDefaultSectionSize(_ROW_PX)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setResizeContentsPrecision(_MEASURED_ROWS)
        for number, name in enumerate(COLUMNS):
            stretched = name in _STRETCHED
            mode = QHeaderView.ResizeMode
            header.setSectionResizeMode(
                number, mode.Stretch if stretched else mode.ResizeToContents
            )

    def _connect(self) -> None:
        self.errors_button.toggled.connect(self._filter)
        self.open_button.clicked.connect(self._open)
        self.cancel_button.clicked.connect(self._cancel)
        self.table.doubleClicked.connect(self._open)
        self.table.customContextMenuRequested.connect(self._menu)
        self.table.selectionModel().selectionChanged.connect(self._show_buttons)
        self.rows.dataChanged.connect(self._show_buttons)
        self.table.installEventFilter(self)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fewer columns where all would be cut."""
        super().resizeEvent(event)
        for name in _LEFT_OUT:
            self.table.setColumnHidden(COLUMNS.index(name), self.width() < _NARROW_PX)

    # what is shown

    def show_state(self, state: RunState | None) -> None:
        """Take over the newest requests; the chosen one stays chosen when it is answered."""
        self._state = state
        chosen = self._chosen()
        errors = self.errors_button.isChecked()
        rows: list[RequestRow] = []
        if state is not None:
            stats = state.stats
            waiting = stats.open_requests if stats and not state.finished else ()
            now = stats.time_utc if stats else time.time()
            rows = rows_of(waiting, state.requests, now, errors_only=errors)
        self.rows.show_rows(rows)
        self._widen()
        self._choose_again(chosen)
        self._show_empty(bool(rows))
        self._show_buttons()

    def _widen(self) -> None:
        """Qt measures a column when rows come or go, not when a text in it grows."""
        for number, name in enumerate(COLUMNS):
            if name not in _STRETCHED and not self.table.isColumnHidden(number):
                self.table.resizeColumnToContents(number)

    def _choose_again(self, chosen: RequestRow | None) -> None:
        """Qt chooses a neighbor when a chosen row goes; an open request goes by being answered."""
        now = self._chosen()
        if chosen is None or (now is not None and now.request_id == chosen.request_id):
            return
        number = self.rows.row_of(chosen.request_id)
        if number >= 0:
            self.table.selectRow(number)
        else:
            self.table.clearSelection()

    def _show_empty(self, any_rows: bool) -> None:
        self.empty.setVisible(not any_rows)
        self.table.setVisible(any_rows)

    def _filter(self) -> None:
        self.errors_button.refresh_icon()
        self.retranslate()
        self.show_state(self._state)

    def _chosen(self) -> RequestRow | None:
        found = self.table.selectionModel().selectedRows()
        return self.rows.row_at(found[0].row()) if found else None

    def _show_buttons(self) -> None:
        row = self._chosen()
        self.open_button.setEnabled(row is not None and row.done is not None)
        self.cancel_button.setEnabled(row is not None and row.open is not None)

    # actions

    def _open(self) -> None:
        row = self._chosen()
        if row is not None and row.done is not None:
            self.open_asked.emit(row.request_id)

    def _cancel(self) -> None:
        row = self._chosen()
        if row is not None and row.open is not None:
            self.cancel_asked.emit(row.request_id)

    def _menu(self, at: QPoint) -> None:
        if self._chosen() is None:
            return
        menu = QMenu(self)
        opening = menu.addAction(self.open_button.text(), self._open)
        opening.setEnabled(self.open_button.isEnabled())
        ending = menu.addAction(self.cancel_button.text(), self._cancel)
        ending.setEnabled(self.cancel_button.isEnabled())
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.table.viewport().mapToGlobal(at))

    def eventFilter(self, watched: QWidget, event: QEvent) -> bool:  # type: ignore[override]
        """Enter and Delete of the table."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._open()
                return True
            if event.key() == Qt.Key.Key_Delete:
                self._cancel()
                return True
        return super().eventFilter(watched, event)

    # words

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """All texts."""
        self.set_title(self.tr("Requests"))
        self.table.setAccessibleName(self.tr("Requests"))
        self.errors_button.set_text(self.tr("Errors only"))
        self.open_button.set_text(
            self.tr("Open in chat"), self.tr("With its messages, as long as the server has them")
        )
        self.cancel_button.set_text(
            self.tr("Cancel"), self.tr("End this request; its client is told")
        )
        self.empty.setText(
            self.tr("No request was refused or failed.")
            if self.errors_button.isChecked()
            else self.tr("Nobody has asked yet. Chat with it, or connect a program.")
        )
        titles = {
            "time": self.tr("Time"),
            "key": self.tr("Key"),
            "model": self.tr("Model"),
            "route": self.tr("Route"),
            "queue": self.tr("Waited"),
            "ttft": self.tr("First token"),
            "total": self.tr("Total"),
            "prompt": self.tr("In (known)"),
            "answer": self.tr("Out"),
            "speed": self.tr("tok/s"),
            "state": self.tr("State"),
        }
        self.rows.set_texts(titles, self._state_words())

    def _state_words(self) -> dict[str, str]:
        return {
            "done": self.tr("done"),
            "cut": self.tr("length reached"),
            "tools": self.tr("asks for a tool"),
            "left": self.tr("client left"),
            "cancelled": self.tr("ended by you"),
            "refused": self.tr("refused"),
            "queued": self.tr("waits"),
            "reading": self.tr("reads the prompt"),
            "writing": self.tr("writes"),
        }
