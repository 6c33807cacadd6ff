"""How it is trained, as far as everybody decides it: preset, method, card, length, guard."""

from __future__ import annotations

from typing import Any, get_args

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)

from app.i18n import LanguageManager
from app.pages.base import AppContext
from app.pages.train_field_texts import TrainFieldTexts
from app.pages.train_what import choose, fill
from app.viewmodels import train_form as form
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.form_row import FormRow
from app.widgets.labels import label
from core.config.guard import GuardLevel
from core.config.presets import Preset

MAX_PROMPTS = 8
_LEVELS = get_args(GuardLevel)


class HowCard(Card):
    """`changed` on another value; `preset_chosen` when the user takes another preset."""

    changed = Signal()
    preset_chosen = Signal(str)

    def __init__(
        self,
        ctx: AppContext,
        texts: TrainFieldTexts,
        presets: tuple[Preset, ...],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent=parent)
        self._ctx = ctx
        self._texts = texts
        self._presets = presets
        self._make_fields()
        self._lay_out()
        self._connect()

    def _make_fields(self) -> None:
        self.preset_box = QComboBox()
        self.method_box = _box(form.METHODS)
        self.device_box = QComboBox()
        self.amount_line = QLineEdit()
        self.amount_box = _box(("steps", "epochs"))
        self.guard_box = _box(_LEVELS)
        self.name_line = QLineEdit()
        self.prompts = QPlainTextEdit()
        self.prompts.setFixedHeight(76)
        self.prompts.setTabChangesFocus(True)
        self.rows = {
            "preset": FormRow(self.preset_box, key="preset"),
            "method": FormRow(self.method_box, key="method"),
            "device": FormRow(self.device_box, key="device"),
            "amount": FormRow(self.amount_line, key="max_steps"),
            "guard": FormRow(self.guard_box, key="guard"),
            "name": FormRow(self.name_line, key="name"),
            "sample_prompts": FormRow(self.prompts, key="sample_prompts"),
        }
        self.advanced_button = Button(kind="link", icon_name="tune-variant")
        self.advanced_button.setCheckable(True)
        self._preset_about = label("", "muted", wrap=True)

    def _lay_out(self) -> None:
        amount = QHBoxLayout()
        amount.setSpacing(8)
        amount.addWidget(self.rows["amount"], 1)
        amount.addWidget(self.amount_box, 1, Qt.AlignmentFlag.AlignBottom)
        pairs = QGridLayout()
        pairs.setHorizontalSpacing(18)
        pairs.setVerticalSpacing(10)
        top = Qt.AlignmentFlag.AlignTop
        pairs.addWidget(self.rows["method"], 0, 0, top)
        pairs.addWidget(self.rows["device"], 0, 1, top)
        pairs.addLayout(amount, 1, 0, top)
        pairs.addWidget(self.rows["guard"], 1, 1, top)
        for column in (0, 1):
            pairs.setColumnStretch(column, 1)
        self.body.addWidget(self.rows["preset"])
        self.body.addWidget(self._preset_about)
        self.body.addLayout(pairs)
        self.body.addWidget(self.rows["name"])
        self.body.addWidget(self.rows["sample_prompts"])
        self.body.addWidget(self.advanced_button, 0, Qt.AlignmentFlag.AlignLeft)

    def _connect(self) -> None:
        self.preset_box.activated.connect(
            lambda index: self.preset_chosen.emit(str(self.preset_box.itemData(index)))
        )
        for box in (self.amount_box, self.method_box, self.device_box, self.guard_box):
            box.currentIndexChanged.connect(self.changed)
        for box in (self.method_box, self.guard_box):
            box.currentIndexChanged.connect(self._explain)
        for line in (self.amount_line, self.name_line):
            line.textChanged.connect(self.changed)
        self.prompts.textChanged.connect(self.changed)

    # Values

    def set_values(self, values: dict[str, Any], preset_id: str) -> None:
        """Fill the fields that a preset sets."""
        choose(self.preset_box, preset_id)
        steps = values.get("max_steps")
        choose(self.amount_box, "steps" if steps else "epochs")
        self.amount_line.setText(str(steps) if steps else f"{values['num_train_epochs']:g}")
        choose(self.method_box, form.method_of(values))
        choose(self.guard_box, str(values["guard"]))
        self._show_preset()

    def values(self) -> dict[str, Any]:
        """The fields of the spec that stand here, valid or not."""
        amount = self.amount_line.text().strip().replace(",", "")
        values: dict[str, Any] = form.method_values(self.method_box.currentData())
        values["guard"] = self.guard_box.currentData()
        values["device"] = self.device_box.currentData() or "auto"
        values["name"] = self.name_line.text().strip()
        lines = self.prompts.toPlainText().splitlines()
        values["sample_prompts"] = [line.strip() for line in lines if line.strip()]
        values["max_steps"] = None
        if self.amount_box.currentData() == "steps":
            values["max_steps"] = int(amount) if amount.isdigit() else amount
        else:
            values["num_train_epochs"] = amount
        return values

    # Texts

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        self.set_title(self.tr("How to train"))
        self.advanced_button.set_text(self.tr("Advanced settings"))
        self.amount_box.setItemText(0, self.tr("steps"))
        self.amount_box.setItemText(1, self.tr("passes over the data"))
        self.amount_box.setAccessibleName(self.tr("Unit of the training length"))
        self.name_line.setPlaceholderText(self.tr("Made from model and data when empty"))
        self.prompts.setPlaceholderText(
            self.tr("One question a line, at most {count}").format(count=MAX_PROMPTS)
        )
        for key, row in self.rows.items():
            texts = self._texts.field(key)
            row.set_texts(texts.name, texts.help, texts.unit)
        self._name_choices()

    def refresh_devices(self) -> None:
        """Offer the cards of this machine, by name."""
        cards = self._ctx.bridge.machine.gpus
        items = [(self.tr("Automatic"), "auto")]
        items += [(f"GPU {gpu.index} · {gpu.name}", f"cuda:{gpu.index}") for gpu in cards]
        fill(self.device_box, [*items, (self.tr("Processor"), "cpu")])

    def _name_choices(self) -> None:
        language = LanguageManager.current().language
        fill(self.preset_box, [(p.name.get(language, p.id), p.id) for p in self._presets])
        for index, method in enumerate(form.METHODS):
            self.method_box.setItemText(index, self._texts.method(method)[0])
        for index, level in enumerate(_LEVELS):
            self.guard_box.setItemText(index, self._texts.guard(level)[0])
        self.refresh_devices()
        self._explain()
        self._show_preset()

    def _explain(self) -> None:
        """Say under the two boxes what the chosen one means."""
        choices = (
            ("method", self._texts.method(self.method_box.currentData())[1]),
            ("guard", self._texts.guard(self.guard_box.currentData())[1]),
        )
        for key, text in choices:
            self.rows[key].set_texts(self._texts.field(key).name, text, help_visible=True)

    def _show_preset(self) -> None:
        chosen = self.preset_box.currentData()
        preset = next((p for p in self._presets if p.id == chosen), None)
        language = LanguageManager.current().language
        self._preset_about.setText(preset.description.get(language, "") if preset else "")


def _box(values: tuple[str, ...]) -> QComboBox:
    made = QComboBox()
    for value in values:
        made.addItem("", value)
    return made
