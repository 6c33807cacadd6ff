"""Keys for other programs: each with a name, an end and limits; shown once, revoked at once."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.background import to_error_info
from app.pages.base import AppContext
from app.text import time_text
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.copy_field import CopyField
from app.widgets.form_row import FormRow
from app.widgets.labels import label
from app.widgets.notice_card import ErrorCard
from core.api_keys import ApiKey
from core.errors import AppError
from core.services.serve_keys import KeyInfo, ServeKeysService

_SIZE = (880, 560)
_ROW_PX = 30
_LIMITS = 3
_ENDS_DAYS = (0, 7, 30, 90, 365)


class KeysDialog(QDialog):
    """List, add, revoke. Servers that run follow within a second."""

    def __init__(self, ctx: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ctx = ctx
        self._service = ServeKeysService(ctx.services.home)
        self._keys: tuple[KeyInfo, ...] = ()
        self.error_card = ErrorCard(closable=True)
        self.about = label("", "muted", wrap=True)
        self.table = QTableWidget(0, 6)
        self.empty = label("", "muted")
        self.revoke_button = Button(kind="danger", icon_name="key-remove")
        self.close_button = Button()
        self._make_fields()
        self._make_secret()
        self._set_up_table()
        self._lay_out()
        self._connect()
        self.retranslate()
        self.refresh()

    def _make_fields(self) -> None:
        self.name_line = QLineEdit()
        self.name_line.setMaxLength(64)
        self.end_box = QComboBox()
        for days in _ENDS_DAYS:
            self.end_box.addItem("", days)
        self.rate_box = _limit(100_000)
        self.tokens_box = _limit(2_000_000_000)
        self.models_line = QLineEdit()
        self.rows = {
            "name": FormRow(self.name_line),
            "end": FormRow(self.end_box),
            "rate": FormRow(self.rate_box),
            "tokens": FormRow(self.tokens_box),
            "models": FormRow(self.models_line),
        }
        self.add_button = Button(kind="primary", icon_name="key-plus")

    def _make_secret(self) -> None:
        """The one moment in which a key can be read."""
        self.secret_card = Card(surface="ok")
        self.secret = CopyField()
        self.secret_text = label("", wrap=True)
        self.secret_card.body.addWidget(self.secret_text)
        self.secret_card.body.addWidget(self.secret)
        self.secret_card.setVisible(False)

    def _set_up_table(self) -> None:
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QTableWidget.SelectionMode.SingleSelection)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(_ROW_PX)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_LIMITS, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)

    def _lay_out(self) -> None:
        self.resize(*_SIZE)
        self._form = Card()
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(8)
        top = Qt.AlignmentFlag.AlignTop
        for number, name in enumerate(("name", "end", "rate", "tokens")):
            grid.addWidget(self.rows[name], 0, number, top)
            grid.setColumnStretch(number, 1)
        grid.addWidget(self.rows["models"], 1, 0, 1, 3, top)
        grid.addWidget(self.add_button, 1, 3, Qt.AlignmentFlag.AlignBottom)
        self._form.body.addLayout(grid)
        buttons = QHBoxLayout()
        buttons.addWidget(self.revoke_button)
        buttons.addStretch(1)
        buttons.addWidget(self.close_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(10)
        for widget in (self.error_card, self.about, self.secret_card, self._form):
            column.addWidget(widget)
        column.addWidget(self.empty)
        column.addWidget(self.table, 1)
        column.addStretch(0)
        column.addLayout(buttons)

    def _connect(self) -> None:
        self.add_button.clicked.connect(self._add)
        self.name_line.returnPressed.connect(self._add)
        self.revoke_button.clicked.connect(self._revoke)
        self.close_button.clicked.connect(self.accept)
        self.table.itemSelectionChanged.connect(self._show_buttons)

    # what is done

    def refresh(self) -> None:
        """Read the keys and what they did anew."""

        def read() -> None:
            self._keys = self._service.list()

        if self._try(read):
            self._fill()

    def _add(self) -> None:
        name = self.name_line.text().strip()
        self.rows["name"].set_error("" if name else self.tr("Give it a name."))
        if not name:
            return
        days = int(self.end_box.currentData() or 0)
        models = [m.strip() for m in self.models_line.text().split(",") if m.strip()]

        def add() -> None:
            made = self._service.add(
                name,
                days=days or None,
                requests_per_minute=self.rate_box.value(),
                tokens_per_day=self.tokens_box.value(),
                models=models,
            )
            self._show_secret(made.key.name, made.secret)

        if self._try(add):
            self.name_line.clear()
            self.refresh()

    def _show_secret(self, name: str, secret: str) -> None:
        self.secret_text.setText(
            self.tr("The key “{name}”. Copy it now: it is kept only as a hash and cannot be shown "
                    "again.").format(name=name)
        )  # fmt: skip
        self.secret.set_name(name)
        self.secret.set_text(secret)
        self.secret_card.setVisible(True)
        self.secret.copy.setFocus()

    def _revoke(self) -> None:
        key = self._chosen()
        if key is not None and self._try(lambda: self._service.revoke(key.id)):
            self.secret_card.setVisible(False)
            self.refresh()

    def _try(self, action: Callable[[], object]) -> bool:
        self.error_card.clear()
        try:
            action()
        except AppError as e:
            self.error_card.show_error(to_error_info(e))
            return False
        return True

    # what is shown

    def _chosen(self) -> ApiKey | None:
        rows = self.table.selectionModel().selectedRows()
        return self._keys[rows[0].row()].key if rows else None

    def _show_buttons(self) -> None:
        self.revoke_button.setEnabled(self._chosen() is not None)

    def _fill(self) -> None:
        self.table.setRowCount(len(self._keys))
        for number, info in enumerate(self._keys):
            key, use = info.key, info.use
            cells = (
                f"{key.name}  …{key.ending}",
                time_text(key.created_utc),
                self._end(info),
                self._limits(key),
                ", ".join(key.models) or self.tr("all"),
                time_text(use.last_used_utc) or self.tr("never"),
            )
            for column, text in enumerate(cells):
                cell = QTableWidgetItem(text)
                cell.setToolTip(text)
                self.table.setItem(number, column, cell)
        self.empty.setVisible(not self._keys)
        self.table.setVisible(bool(self._keys))
        self._show_buttons()

    def _end(self, info: KeyInfo) -> str:
        if info.key.expires_utc is None:
            return self.tr("without end")
        return self.tr("expired") if info.expired else time_text(info.key.expires_utc)

    def _limits(self, key: ApiKey) -> str:
        found = []
        if key.requests_per_minute:
            found.append(self.tr("{n} requests/min").format(n=f"{key.requests_per_minute:,}"))
        if key.tokens_per_minute:
            found.append(self.tr("{n} tokens/min").format(n=f"{key.tokens_per_minute:,}"))
        if key.tokens_per_day:
            found.append(self.tr("{n} tokens/day").format(n=f"{key.tokens_per_day:,}"))
        return ", ".join(found) or self.tr("none")

    # words

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
            self.refresh()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """All texts."""
        self.setWindowTitle(self.tr("API keys"))
        self.about.setText(
            self.tr(
                "The key on the page is yours. Give each other program one of its own: it can be "
                "limited, ends by itself, and can be revoked without disturbing the others."
            )
        )
        self.empty.setText(self.tr("No further keys yet."))
        self._form.set_title(self.tr("A new key"))
        self.add_button.set_text(self.tr("Make the key"))
        self.revoke_button.set_text(
            self.tr("Revoke"), self.tr("Requests with it are refused within a second")
        )
        self.close_button.set_text(self.tr("Close"))
        self._name_fields()
        titles = [
            self.tr("Key"),
            self.tr("Made"),
            self.tr("Ends"),
            self.tr("Limits"),
            self.tr("Models"),
            self.tr("Last used"),
        ]
        for column, title in enumerate(titles):
            item = QTableWidgetItem(title)
            item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            self.table.setHorizontalHeaderItem(column, item)
        self.table.setAccessibleName(self.tr("API keys"))

    def _name_fields(self) -> None:
        rows = self.rows
        rows["name"].set_texts(
            self.tr("Name"), self.tr("Which program; it stands in the table of requests.")
        )
        rows["end"].set_texts(self.tr("Ends"), self.tr("Then it is refused."))
        rows["rate"].set_texts(self.tr("Requests a minute"), self.tr("More get 429."))
        rows["tokens"].set_texts(
            self.tr("Tokens a day"), self.tr("Prompts and answers together; more get 429.")
        )
        rows["models"].set_texts(
            self.tr("Models"), self.tr("Names with commas between them; empty: all.")
        )
        self.models_line.setPlaceholderText(self.tr("all"))
        for box in (self.rate_box, self.tokens_box):
            box.setSpecialValueText(self.tr("no limit"))
        ends = [
            self.tr("without end"),
            self.tr("in a week"),
            self.tr("in 30 days"),
            self.tr("in 90 days"),
            self.tr("in a year"),
        ]
        for number, text in enumerate(ends):
            self.end_box.setItemText(number, text)


def _limit(most: int) -> QSpinBox:
    box = QSpinBox()
    box.setRange(0, most)
    box.setGroupSeparatorShown(True)
    return box
