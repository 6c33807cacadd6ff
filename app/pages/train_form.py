"""The form that starts a training run: model, data, how much, and everything else folded away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from app import messages
from app.pages.base import AppContext
from app.pages.train_advanced import AdvancedCard
from app.pages.train_field_texts import TrainFieldTexts
from app.pages.train_plan import PlanCard
from app.pages.train_queue import QueueCard
from app.pages.train_reveal import reveal
from app.pages.train_texts import TrainTexts
from app.text import parameters_text
from app.viewmodels import train_form as form
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card
from app.widgets.form_row import FormRow
from app.widgets.labels import label
from core.config.guard import GuardLevel
from core.config.presets import Preset, train_presets
from core.config.train import TrainSpec
from core.datasets import Dataset, open_dataset
from core.errors import AppError, ErrorInfo
from core.services.train import SpecProblems

_MAX_PROMPTS = 8


class TrainForm(QWidget):
    """Collects a `TrainSpec`. `start_asked` comes with a spec whose fields are all valid."""

    start_asked = Signal(object)
    queue_asked = Signal(object)
    failed = Signal(object)

    def __init__(self, ctx: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ctx = ctx
        self._texts = TrainTexts(self)
        self._field_texts = TrainFieldTexts(self)
        self._presets: tuple[Preset, ...] = train_presets()
        self._base: dict[str, Any] = form.defaults()
        self._datasets: dict[str, Dataset] = {}
        self.plan_card = PlanCard(ctx, self._texts, self.values)
        self.start_button = self.plan_card.start_button
        self.queue_button = self.plan_card.queue_button
        self.queue_card = QueueCard(ctx)
        self._make_fields()
        self._lay_out()
        self._connect()
        self.retranslate()
        self._choose_preset(self._presets[-1].id if self._presets else "")

    # Widgets

    def _make_fields(self) -> None:
        self.model_box = QComboBox()
        self.data_box = QComboBox()
        self.preset_box = QComboBox()
        self.amount_box = QComboBox()
        self.amount_line = QLineEdit()
        self.name_line = QLineEdit()
        self.prompts = QPlainTextEdit()
        self.prompts.setFixedHeight(76)
        self.prompts.setTabChangesFocus(True)
        for unit in ("steps", "epochs"):
            self.amount_box.addItem("", unit)
        self.method_box = QComboBox()
        for method in form.METHODS:
            self.method_box.addItem("", method)
        self.guard_box = QComboBox()
        for level in get_args(GuardLevel):
            self.guard_box.addItem("", level)
        self.device_box = QComboBox()
        self.advanced = AdvancedCard(self._field_texts)
        self.advanced_lines = self.advanced.fields
        self.rows: dict[str, FormRow] = {
            "model": FormRow(self.model_box, key="model"),
            "data": FormRow(self.data_box, key="data"),
            "preset": FormRow(self.preset_box, key="preset"),
            "method": FormRow(self.method_box, key="method"),
            "device": FormRow(self.device_box, key="device"),
            "amount": FormRow(self.amount_line, key="max_steps"),
            "guard": FormRow(self.guard_box, key="guard"),
            "name": FormRow(self.name_line, key="name"),
            "sample_prompts": FormRow(self.prompts, key="sample_prompts"),
            **self.advanced.rows,
        }

    def _lay_out(self) -> None:
        self.more_models = Button(kind="link")
        self.pick_folder = Button(icon_name="folder-open-outline")
        self.pick_file = Button(icon_name="file-outline")
        self.advanced_button = Button(kind="link", icon_name="tune-variant")
        self.advanced_button.setCheckable(True)
        left = QVBoxLayout()
        left.setSpacing(GAP)
        left.addWidget(self._what_card())
        left.addWidget(self._how_card())
        left.addWidget(self.advanced)
        self.advanced.setVisible(False)
        left.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GAP)
        row.addLayout(left, 1)
        side = QVBoxLayout()
        side.setSpacing(GAP)
        side.addWidget(self.plan_card)
        side.addWidget(self.queue_card)
        side.addStretch(1)
        row.addLayout(side)

    def _what_card(self) -> Card:
        self._what = Card()
        self._what.body.addWidget(self.rows["model"])
        self._what.body.addWidget(self.more_models, 0, Qt.AlignmentFlag.AlignLeft)
        self._what.body.addWidget(self.rows["data"])
        self._data_facts = label("", "muted", wrap=True)
        self._what.body.addWidget(self._data_facts)
        buttons = QHBoxLayout()
        buttons.addWidget(self.pick_folder)
        buttons.addWidget(self.pick_file)
        buttons.addStretch(1)
        self._what.body.addLayout(buttons)
        return self._what

    def _how_card(self) -> Card:
        self._how = Card()
        self._preset_about = label("", "muted", wrap=True)
        self._how.body.addWidget(self.rows["preset"])
        self._how.body.addWidget(self._preset_about)
        amount = QHBoxLayout()
        amount.setSpacing(8)
        amount.addWidget(self.rows["amount"], 1)
        amount.addWidget(self.amount_box, 1, Qt.AlignmentFlag.AlignBottom)
        pairs = QGridLayout()
        pairs.setHorizontalSpacing(18)
        pairs.setVerticalSpacing(10)
        pairs.addWidget(self.rows["method"], 0, 0, Qt.AlignmentFlag.AlignTop)
        pairs.addWidget(self.rows["device"], 0, 1, Qt.AlignmentFlag.AlignTop)
        pairs.addLayout(amount, 1, 0, Qt.AlignmentFlag.AlignTop)
        pairs.addWidget(self.rows["guard"], 1, 1, Qt.AlignmentFlag.AlignTop)
        for column in (0, 1):
            pairs.setColumnStretch(column, 1)
        self._how.body.addLayout(pairs)
        self._how.body.addWidget(self.rows["name"])
        self._how.body.addWidget(self.rows["sample_prompts"])
        self._how.body.addWidget(self.advanced_button, 0, Qt.AlignmentFlag.AlignLeft)
        return self._how

    def _connect(self) -> None:
        self.more_models.clicked.connect(self._open_models)
        self.pick_folder.clicked.connect(self._pick_folder)
        self.pick_file.clicked.connect(self._pick_file)
        self.advanced_button.toggled.connect(self.advanced.setVisible)
        self.start_button.clicked.connect(self.start)
        self.queue_button.clicked.connect(self.queue)
        self.preset_box.activated.connect(self._preset_activated)
        self.data_box.currentIndexChanged.connect(self._data_changed)
        boxes = (self.model_box, self.amount_box, self.method_box, self.device_box, self.guard_box)
        for box in boxes:
            box.currentIndexChanged.connect(self._changed)
        for box in (self.method_box, self.guard_box):
            box.currentIndexChanged.connect(self._explain_choices)
        for line in (self.amount_line, self.name_line):
            line.textChanged.connect(self._changed)
        self.prompts.textChanged.connect(self._changed)
        self.advanced.changed.connect(self._changed)
        self._ctx.bridge.machine_sampled.connect(self._look_at_queue)

    def _look_at_queue(self) -> None:
        if self.isVisible():
            self.queue_card.refresh()

    # Choices

    def refresh_choices(self) -> None:
        """Read models and datasets anew; what is chosen stays chosen."""
        models = form.usable_models(self._ctx.services.models.list())
        self._fill(self.model_box, [(self._model_text(m), m.id) for m in models])
        paths = [str(p) for p in form.known_datasets(self._ctx.services.home)]
        known = paths + [p for p in self._picked() if p not in paths]
        self._fill(self.data_box, [(Path(p).name, p) for p in known])
        self._fill_devices()
        self.queue_card.refresh()
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

    def _fill(self, box: QComboBox, items: list[tuple[str, str]]) -> None:
        chosen = box.currentData()
        box.blockSignals(True)
        box.clear()
        for text, data in items:
            box.addItem(text, data)
        box.setCurrentIndex(max(0, box.findData(chosen)) if items else -1)
        box.blockSignals(False)

    def _model_text(self, model: Any) -> str:
        size = parameters_text(model.parameters) if model.parameters else ""
        return " · ".join(p for p in (model.name, size, model.dtype) if p)

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

    # Presets

    def _preset_activated(self, index: int) -> None:
        self._choose_preset(str(self.preset_box.itemData(index)))

    def _choose_preset(self, preset_id: str) -> None:
        preset = next((p for p in self._presets if p.id == preset_id), None)
        self._base = form.defaults() | {"precision": self._ctx.settings.value.precision}
        if preset is not None:
            self._base = preset.over(self._base)
        self.preset_box.setCurrentIndex(self.preset_box.findData(preset_id))
        steps = self._base.get("max_steps")
        self.amount_box.setCurrentIndex(self.amount_box.findData("steps" if steps else "epochs"))
        self.amount_line.setText(str(steps) if steps else f"{self._base['num_train_epochs']:g}")
        self.advanced.set_values(self._base)
        _choose(self.method_box, form.method_of(self._base))
        _choose(self.guard_box, str(self._base["guard"]))
        self._show_preset_text()

    def _show_preset_text(self) -> None:
        chosen = self.preset_box.currentData()
        preset = next((p for p in self._presets if p.id == chosen), None)
        text = preset.description.get(self._language, "") if preset else ""
        self._preset_about.setText(text)

    @property
    def _language(self) -> messages.Language:
        return self._ctx.language.language

    # The spec

    def values(self) -> dict[str, Any]:
        """The spec as it is typed in, valid or not."""
        values = form.collect(self._base, self.advanced.field_values())
        values |= form.method_values(self.method_box.currentData())
        values["guard"] = self.guard_box.currentData()
        values["device"] = self.device_box.currentData() or "auto"
        values["model"] = self.model_box.currentData() or ""
        values["data"] = self.data_box.currentData() or ""
        values["name"] = self.name_line.text().strip()
        lines = self.prompts.toPlainText().splitlines()
        values["sample_prompts"] = [line.strip() for line in lines if line.strip()]
        amount = self.amount_line.text().strip().replace(",", "")
        values["max_steps"] = None
        if self.amount_box.currentData() == "steps":
            values["max_steps"] = int(amount) if amount.isdigit() else amount
        else:
            values["num_train_epochs"] = amount
        return values

    def check(self) -> TrainSpec | None:
        """Mark every wrong field at once; the spec when there is none."""
        values = self.values()
        found = form.problems(values)
        for missing in ("model", "data"):
            if not values[missing]:
                found[missing] = form.FieldProblem("missing")
        amount = found.pop("max_steps", None) or found.pop("num_train_epochs", None)
        if amount:
            found["amount"] = amount
        for key, row in self.rows.items():
            row.set_error(self._texts.problem(found[key]) if key in found else "")
        other = [k for k in found if k not in self.rows]
        if other:
            self.rows["amount"].set_error(self._texts.problem(found[other[0]]))
        if found:
            self._show_first_problem(found)
            return None
        return TrainSpec.model_validate(values)

    def _show_first_problem(self, found: dict[str, form.FieldProblem]) -> None:
        first = next((key for key in self.rows if key in found), "amount")
        self._reveal(first)

    def _reveal(self, key: str) -> None:
        if any(self.rows[k].error for k in self.advanced_lines):
            self.advanced_button.setChecked(True)
        wrong = next((k for k in self.advanced_lines if self.rows[k].error), "")
        if wrong:
            self.advanced.show_field(wrong)
        reveal(self.rows[key])

    def start(self) -> None:
        """Check everything, then ask the page to start."""
        if (spec := self.check()) is not None:
            self.start_asked.emit(spec)

    def queue(self) -> None:
        """Check everything, then ask the page to let it wait for a card."""
        if (spec := self.check()) is not None:
            self.queue_asked.emit(spec)

    def show_problems(self, error: AppError) -> None:
        """What the service found: at its field where there is one, else in the page's card."""
        found = error.problems if isinstance(error, SpecProblems) else (error.info,)
        rest = [info for info in found if not self._place(info)]
        if rest:
            self.failed.emit(rest[0])

    def _place(self, info: ErrorInfo) -> bool:
        """Show an error under the field it is about."""
        kinds = {"model": "model", "adapter": "model", "data": "data"}
        key = kinds.get(info.code.partition(".")[0], "")
        if info.code == "train.targets_unknown":
            key = "lora.target_modules"
        elif info.code == "train.warmup_too_long":
            key = "warmup_ratio"
        if not key:
            return False
        text = messages.error_text(info, self._language)
        self.rows[key].set_error(f"{text.message} {text.hint}".strip())
        self._reveal(key)
        return True

    # Data

    def _changed(self) -> None:
        self.plan_card.ask_soon()

    def _data_changed(self) -> None:
        path = self.data_box.currentData()
        self.rows["data"].set_error("")
        self._data_facts.setText("")
        if path:
            self._run(lambda: open_dataset(Path(path)), self._dataset_known, self._dataset_bad)
        self._changed()

    def _dataset_known(self, dataset: Dataset) -> None:
        self._datasets[str(dataset.path)] = dataset
        if str(dataset.path) == self.data_box.currentData():
            self._show_counts(dataset)

    def _show_counts(self, dataset: Dataset) -> None:
        parts = [
            self.tr("{count} {split}").format(
                count=f"{count:,}", split=messages.split_text(split, self._language)
            )
            for split, count in dataset.counts.items()
        ]
        self._data_facts.setText(self.tr("Samples: {list}").format(list=" · ".join(parts)))

    def _dataset_bad(self, info: ErrorInfo) -> None:
        self._place(info)

    def _run(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[ErrorInfo], None],
    ) -> None:
        self._ctx.background.run(self, work, done, failed)

    # Texts

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        self._what.set_title(self.tr("What to train"))
        self._how.set_title(self.tr("How to train"))
        self.advanced.retranslate()
        self.plan_card.retranslate()
        self.queue_card.retranslate()
        self.more_models.set_text(self.tr("More models…"))
        self.pick_folder.set_text(self.tr("Choose folder…"))
        self.pick_file.set_text(self.tr("Choose file…"))
        self.advanced_button.set_text(self.tr("Advanced settings"))
        self.amount_box.setItemText(0, self.tr("steps"))
        self.amount_box.setItemText(1, self.tr("passes over the data"))
        self.amount_box.setAccessibleName(self.tr("Unit of the training length"))
        self.name_line.setPlaceholderText(self.tr("Made from model and data when empty"))
        self.prompts.setPlaceholderText(
            self.tr("One question a line, at most {count}").format(count=_MAX_PROMPTS)
        )
        self._fill_presets()
        for key, row in self.rows.items():
            if key not in self.advanced_lines:
                texts = self._field_texts.field(key)
                row.set_texts(texts.name, texts.help, texts.unit)
        self._name_choices()
        self._show_preset_text()
        if dataset := self._datasets.get(str(self.data_box.currentData())):
            self._show_counts(dataset)

    def _name_choices(self) -> None:
        for index, method in enumerate(form.METHODS):
            self.method_box.setItemText(index, self._field_texts.method(method)[0])
        for index, level in enumerate(get_args(GuardLevel)):
            self.guard_box.setItemText(index, self._field_texts.guard(level)[0])
        self._fill_devices()
        self._explain_choices()

    def _explain_choices(self) -> None:
        """Say under the two boxes what the chosen one means."""
        choices = (
            ("method", self._field_texts.method(self.method_box.currentData())[1]),
            ("guard", self._field_texts.guard(self.guard_box.currentData())[1]),
        )
        for key, text in choices:
            texts = self._field_texts.field(key)
            self.rows[key].set_texts(texts.name, text, help_visible=True)

    def _fill_devices(self) -> None:
        """The cards of this machine, by name."""
        cards = self._ctx.bridge.machine.gpus
        items = [(self.tr("Automatic"), "auto")]
        items += [(f"GPU {gpu.index} · {gpu.name}", f"cuda:{gpu.index}") for gpu in cards]
        self._fill(self.device_box, [*items, (self.tr("Processor"), "cpu")])

    def _fill_presets(self) -> None:
        items = [(p.name.get(self._language, p.id), p.id) for p in self._presets]
        self._fill(self.preset_box, items)

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)


def _choose(box: QComboBox, value: str) -> None:
    box.setCurrentIndex(max(0, box.findData(value)))
