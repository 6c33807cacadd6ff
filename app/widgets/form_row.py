"""Label, field, unit, help, error: access is built in, so that no field can lack a name."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from app.widgets.labels import label, restyle

_SPIN_MARGIN = 8


class FormRow(QWidget):
    """One row of a form.

    The label becomes buddy (Alt+letter where the text has an &) and accessible name of the field,
    the help its tooltip and accessible description. `set_error` puts a text under the field.
    """

    def __init__(self, field: QWidget, *, key: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.key = key
        """Field path in the spec, to place the errors of `core.config.base.field_errors`."""
        self.field = field
        self._help = ""
        self.label = label("")
        self.label.setTextFormat(Qt.TextFormat.AutoText)
        self.label.setBuddy(field)
        if isinstance(field, QAbstractSpinBox):
            # Qt's style sheets leave no padding before the figures of a spin box.
            field.lineEdit().setTextMargins(_SPIN_MARGIN, 0, 0, 0)
        self._unit = label("", "muted")
        self._help_label = label("", "muted", wrap=True)
        self._error = label("", "error", wrap=True)
        self._lay_out()

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self.field, 1)
        line.addWidget(self._unit)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.label)
        column.addLayout(line)
        column.addWidget(self._help_label)
        column.addWidget(self._error)
        for extra in (self._unit, self._help_label, self._error):
            extra.setVisible(False)

    def set_texts(
        self, name: str, help_text: str = "", unit: str = "", *, help_visible: bool = False
    ) -> None:
        """All its words; call it again when the language changes.

        Args:
            name: the label; "&" marks the mnemonic.
            help_text: tooltip and accessible description.
            unit: stands behind the field.
            help_visible: also show the help under the field.
        """
        self._help = help_text
        self.label.setText(name)
        self._unit.setText(unit)
        self._unit.setVisible(bool(unit))
        self._help_label.setText(help_text)
        self._help_label.setVisible(help_visible and bool(help_text))
        plain = name.replace("&", "")
        self.field.setAccessibleName(f"{plain} ({unit})" if unit else plain)
        self.field.setAccessibleDescription(help_text)
        self.field.setToolTip(help_text)
        self.label.setToolTip(help_text)

    def set_error(self, text: str) -> None:
        """Say under the field what is wrong with it; empty when all is well."""
        self._error.setText(text)
        self._error.setVisible(bool(text))
        self.field.setProperty("invalid", "true" if text else "false")
        self.field.setAccessibleDescription(text or self._help)
        restyle(self.field)

    @property
    def error(self) -> str:
        """What stands under the field."""
        return self._error.text()


def form_grid(rows: list[FormRow], columns: int = 2) -> QGridLayout:
    """Rows beside each other, filled line by line."""
    grid = QGridLayout()
    grid.setHorizontalSpacing(16)
    grid.setVerticalSpacing(12)
    for number, row in enumerate(rows):
        grid.addWidget(row, number // columns, number % columns, Qt.AlignmentFlag.AlignTop)
    for column in range(columns):
        grid.setColumnStretch(column, 1)
    return grid


class _Value(QLabel):
    """A wrapped text that is never cut: a form keeps the row heights of an earlier width."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("role", "body")
        self.setWordWrap(True)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Ask for the height of the width that there is now."""
        super().resizeEvent(event)
        self.setMinimumHeight(max(0, self.heightForWidth(self.width())))


class FactList(QWidget):
    """Facts as two columns: a quiet name, its value selectable."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facts: list[tuple[str, str]] = []
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setHorizontalSpacing(18)
        self._form.setVerticalSpacing(7)
        self._form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)

    def set_facts(self, facts: list[tuple[str, str]]) -> None:
        """Replace all; facts without a value are left out. The same facts again change nothing."""
        if facts == self._facts:
            return
        self._facts = list(facts)
        while self._form.rowCount():
            self._form.removeRow(0)
        for name, value in facts:
            if value:
                self._add(name, value)

    def _add(self, name: str, value: str) -> None:
        shown = _Value(value)
        shown.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        shown.setAccessibleName(f"{name}: {value}")
        self._form.addRow(label(name, "muted"), shown)
