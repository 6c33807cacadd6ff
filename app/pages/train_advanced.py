"""Every other field of a training, in groups, one group at a time."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QWidget

from app.pages.train_field_texts import TrainFieldTexts
from app.viewmodels import train_form as form
from app.viewmodels.train_fields import ADVANCED, GROUPS, AdvancedField, Group, group_of
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.flow_row import FlowRow
from app.widgets.form_row import FormRow, form_grid

Field = QLineEdit | QComboBox | QCheckBox
_COLUMNS = 2


class AdvancedCard(Card):
    """Fields by their path in the spec; `changed` when the user or a preset changed one."""

    changed = Signal()

    def __init__(self, texts: TrainFieldTexts, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._texts = texts
        self.fields: dict[str, Field] = {f.path: _field(f) for f in ADVANCED}
        self.rows = {path: FormRow(field, key=path) for path, field in self.fields.items()}
        self._tabs: dict[Group, Button] = {}
        self._pages: dict[Group, QWidget] = {}
        self._lay_out()
        self._connect()
        self.show_group("learning")

    def _lay_out(self) -> None:
        bar = FlowRow(gap_px=4)
        for group, fields in GROUPS.items():
            tab = Button(kind="tab")
            tab.setCheckable(True)
            tab.clicked.connect(lambda _=False, g=group: self.show_group(g))
            self._tabs[group] = tab
            bar.add(tab)
            page = QWidget()
            grid = form_grid([self.rows[f.path] for f in fields], columns=_COLUMNS)
            grid.setContentsMargins(0, 4, 0, 0)
            page.setLayout(grid)
            self._pages[group] = page
        self._bar = bar
        self.body.addWidget(bar)
        for page in self._pages.values():
            self.body.addWidget(page)

    def _connect(self) -> None:
        for field in self.fields.values():
            if isinstance(field, QComboBox):
                field.currentIndexChanged.connect(self.changed)
            elif isinstance(field, QCheckBox):
                field.toggled.connect(self.changed)
            else:
                field.textChanged.connect(self.changed)

    def show_group(self, group: Group) -> None:
        """Bring one group to the front."""
        for name, page in self._pages.items():
            page.setVisible(name == group)
            self._tabs[name].setChecked(name == group)

    def show_field(self, path: str) -> None:
        """Bring the group of a field to the front."""
        self.show_group(group_of(path))

    def set_values(self, values: dict[str, Any]) -> None:
        """Fill all fields from values as in a spec."""
        for path, field in self.fields.items():
            text = form.text_of(values, path)
            if isinstance(field, QComboBox):
                field.setCurrentIndex(max(0, field.findData(text)))
            elif isinstance(field, QCheckBox):
                field.setChecked(text == "True")
            else:
                field.setText(text)

    def field_values(self) -> dict[str, str]:
        """What is typed in, by path, as text."""
        return {path: _text(field) for path, field in self.fields.items()}

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        self.set_title(self.tr("Advanced"))
        for group, tab in self._tabs.items():
            tab.set_text(self._texts.group(group))
        self._bar.rearrange()
        for path, row in self.rows.items():
            texts = self._texts.field(path)
            row.set_texts(texts.name, self._texts.explain(texts), texts.unit, help_visible=True)
            field = self.fields[path]
            if isinstance(field, QCheckBox):
                field.setText(self.tr("On"))
            elif isinstance(field, QComboBox):
                for index in range(field.count()):
                    value = str(field.itemData(index))
                    field.setItemText(index, self._texts.choice(path, value))


def _field(field: AdvancedField) -> Field:
    if field.kind == "bool":
        return QCheckBox()
    if field.kind != "choice":
        return QLineEdit()
    box = QComboBox()
    for choice in field.choices:
        box.addItem(choice, choice)
    return box


def _text(field: Field) -> str:
    if isinstance(field, QComboBox):
        return str(field.currentData())
    if isinstance(field, QCheckBox):
        return str(field.isChecked())
    return field.text()
