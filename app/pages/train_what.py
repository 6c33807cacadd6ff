"""What is trained on what: the model, the data, and a look at both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QWidget

from app import messages
from app.i18n import LanguageManager
from app.pages.base import AppContext
from app.pages.train_field_texts import TrainFieldTexts
from app.text import parameters_text
from app.viewmodels import train_form as form
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.flow_row import FlowRow
from app.widgets.form_row import FormRow
from app.widgets.labels import label
from core.datasets import Dataset, open_dataset


class WhatCard(Card):
    """`changed` on another choice, `bad_data` with an ErrorInfo, `look_asked` by its button."""

    changed = Signal()
    bad_data = Signal(object)
    look_asked = Signal()

    def __init__(
        self, ctx: AppContext, texts: TrainFieldTexts, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent=parent)
        self._ctx = ctx
        self._texts = texts
        self._datasets: dict[str, Dataset] = {}
        self.model_box = QComboBox()
        self.data_box = QComboBox()
        self.rows = {
            "model": FormRow(self.model_box, key="model"),
            "data": FormRow(self.data_box, key="data"),
        }
        self.more_models = Button(kind="link")
        self.pick_folder = Button(icon_name="folder-open-outline")
        self.pick_file = Button(icon_name="file-outline")
        self.look_button = Button(icon_name="eye-outline")
        self.data_facts = label("", "muted", wrap=True)
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        buttons = FlowRow()
        for button in (self.pick_folder, self.pick_file, self.look_button):
            buttons.add(button)
        self.body.addWidget(self.rows["model"])
        self.body.addWidget(self.more_models, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addWidget(self.rows["data"])
        self.body.addWidget(self.data_facts)
        self.body.addWidget(buttons)

    def _connect(self) -> None:
        self.more_models.clicked.connect(self._open_models)
        self.pick_folder.clicked.connect(self._pick_folder)
        self.pick_file.clicked.connect(self._pick_file)
        self.look_button.clicked.connect(self.look_asked)
        self.model_box.currentIndexChanged.connect(self.changed)
        self.data_box.currentIndexChanged.connect(self._data_changed)

    # Choices

    def refresh_choices(self) -> None:
        """Read models and datasets anew; what is chosen stays chosen."""
        models = form.usable_models(self._ctx.services.models.list())
        fill(self.model_box, [(_model_text(m), m.id) for m in models])
        paths = [str(p) for p in form.known_datasets(self._ctx.services.home)]
        known = paths + [p for p in self._picked() if p not in paths]
        fill(self.data_box, [(Path(p).name, p) for p in known])
        self._data_changed()

    def choose(self, *, model: str | None = None, data: str | None = None) -> None:
        """Preselect what another page was about."""
        if model and (index := self.model_box.findData(model)) >= 0:
            self.model_box.setCurrentIndex(index)
        if data:
            self.choose_data(Path(data))

    def choose_data(self, path: Path) -> None:
        """Take a folder or file of the user's."""
        if self.data_box.findData(str(path)) < 0:
            self.data_box.addItem(path.name, str(path))
        self.data_box.setCurrentIndex(self.data_box.findData(str(path)))

    def _picked(self) -> list[str]:
        return [str(self.data_box.itemData(i)) for i in range(self.data_box.count())]

    def _open_models(self) -> None:
        self._ctx.navigate("models")

    def _pick_folder(self) -> None:
        self._pick(QFileDialog.FileMode.Directory)

    def _pick_file(self) -> None:
        self._pick(QFileDialog.FileMode.ExistingFile)

    def _pick(self, mode: QFileDialog.FileMode) -> None:
        dialog = QFileDialog(self, self.tr("Choose data"))
        dialog.setFileMode(mode)
        if mode == QFileDialog.FileMode.Directory:
            dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._file_picked)
        dialog.open()

    def _file_picked(self, path: str) -> None:
        self.choose_data(Path(path))

    # Data

    def _data_changed(self) -> None:
        path = self.data_box.currentData()
        self.rows["data"].set_error("")
        self.data_facts.setText("")
        if path:
            self._ctx.background.run(
                self, lambda: open_dataset(Path(path)), self._dataset_known, self.bad_data.emit
            )
        self.changed.emit()

    def _dataset_known(self, dataset: Dataset) -> None:
        self._datasets[str(dataset.path)] = dataset
        if str(dataset.path) == self.data_box.currentData():
            self._show_counts(dataset)

    def _show_counts(self, dataset: Dataset) -> None:
        language = LanguageManager.current().language
        parts = [
            self.tr("{count} {split}").format(
                count=f"{count:,}", split=messages.split_text(split, language)
            )
            for split, count in dataset.counts.items()
        ]
        self.data_facts.setText(self.tr("Samples: {list}").format(list=" · ".join(parts)))

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        self.set_title(self.tr("What to train"))
        self.more_models.set_text(self.tr("More models…"))
        self.pick_folder.set_text(self.tr("Choose folder…"))
        self.pick_file.set_text(self.tr("Choose file…"))
        self.look_button.set_text(
            self.tr("Look at samples…"),
            self.tr("As the model will read them: template, tokens, and what is learned"),
        )
        for key, row in self.rows.items():
            texts = self._texts.field(key)
            row.set_texts(texts.name, texts.help)
        if dataset := self._datasets.get(str(self.data_box.currentData())):
            self._show_counts(dataset)


def fill(box: QComboBox, items: list[tuple[str, str]]) -> None:
    """Offer other items (text, data); what is chosen stays chosen where it still is offered."""
    chosen = box.currentData()
    box.blockSignals(True)
    box.clear()
    for text, data in items:
        box.addItem(text, data)
    box.setCurrentIndex(max(0, box.findData(chosen)) if items else -1)
    box.blockSignals(False)


def choose(box: QComboBox, value: str) -> None:
    """Choose by data; the first where there is none."""
    box.setCurrentIndex(max(0, box.findData(value)))


def _model_text(model: Any) -> str:
    size = parameters_text(model.parameters) if model.parameters else ""
    return " · ".join(p for p in (model.name, size, model.dtype) if p)
