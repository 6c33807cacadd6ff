"""How answers are drawn: parameters with what they do, presets, forms of answers."""

from __future__ import annotations

from dataclasses import fields, replace

from PySide6.QtCore import QEvent, Qt, QTimer
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QPlainTextEdit,
    QSpinBox,
    QWidget,
)

from app.theme.fonts import monospace_font
from app.viewmodels.chat_turns import ChatSettings
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.elided_combo import ElidedCombo
from app.widgets.form_row import FormRow

PRESETS: dict[str, ChatSettings] = {
    "own": ChatSettings(),
    "exact": ChatSettings(temperature=0.0),
    "balanced": ChatSettings(temperature=0.6, top_p=0.95),
    "lively": ChatSettings(temperature=1.0, top_p=0.98, min_p=0.05),
}
"""The second is greedy; the third is what DeepSeek recommends for R1 and its distills."""
_OF_PRESET = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
_FORMS = ("text", "json_object", "json_schema")
_SCHEMA_HEIGHT = 120


class SamplingFields(QWidget):
    """Owns `cards`: the second is folded. The lowest value of a number is the model's own."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.hide()  # only its cards are shown, where their owner puts them
        self.preset_box = ElidedCombo()
        self.temperature = _real(-0.1, 2.0, 0.1)
        self.top_p = _real(0.0, 1.0, 0.05)
        self.max_tokens = QSpinBox()
        self.max_tokens.setRange(1, 131_072)
        self.max_tokens.setSingleStep(256)
        self.max_tokens.setValue(ChatSettings().max_tokens)
        self.top_k = QSpinBox()
        self.top_k.setRange(0, 1000)
        self.min_p = _real(-0.01, 1.0, 0.01)
        self.repetition_penalty = _real(0.95, 2.0, 0.05)
        self.seed = QLineEdit()
        self.stop = QPlainTextEdit()
        self.stop.setTabChangesFocus(True)
        self.stop.setFixedHeight(54)
        self.form_box = QComboBox()
        self.schema = QPlainTextEdit()
        self.schema.setFont(monospace_font())
        self.schema.setFixedHeight(_SCHEMA_HEIGHT)
        self.thinking_box = QComboBox()
        self.more_button = Button(kind="link", icon_name="chevron-right")
        self.more_button.setCheckable(True)
        self._has_thinking = False
        self._lay_out()
        self._connect()
        self.retranslate()
        self.show_thinking(False)
        self._fold(False)

    def _lay_out(self) -> None:
        named = {
            "preset": self.preset_box, "temperature": self.temperature, "top_p": self.top_p,
            "max_tokens": self.max_tokens, "thinking": self.thinking_box, "top_k": self.top_k,
            "min_p": self.min_p, "repetition_penalty": self.repetition_penalty,
            "seed": self.seed, "stop": self.stop, "form": self.form_box, "schema": self.schema,
        }  # fmt: skip
        self.rows = {key: FormRow(field) for key, field in named.items()}
        first, second = Card(), Card()
        for key in ("preset", "temperature", "top_p", "max_tokens", "thinking"):
            first.body.addWidget(self.rows[key])
        second.title_row.insertWidget(0, self.more_button)
        inside = Card(surface="plain")
        self._folded = inside
        for key in ("top_k", "min_p", "repetition_penalty", "seed", "stop", "form", "schema"):
            inside.body.addWidget(self.rows[key])
        second.body.addWidget(inside)
        self.cards = (first, second)

    def _connect(self) -> None:
        self.more_button.toggled.connect(self._fold)
        self.preset_box.activated.connect(self._choose_preset)
        self.form_box.currentIndexChanged.connect(self._form_changed)
        spins = (
            self.temperature, self.top_p, self.min_p, self.repetition_penalty, self.top_k,
            self.max_tokens,
        )  # fmt: skip
        for spin in spins:
            spin.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            spin.valueChanged.connect(self._show_preset)
        self._check = QTimer(self)
        self._check.setSingleShot(True)
        self._check.setInterval(400)
        self._check.timeout.connect(self.check)
        self.seed.textChanged.connect(self._check.start)
        self.schema.textChanged.connect(self._check.start)

    # values

    def settings(self) -> ChatSettings:
        """All but the system prompt; what cannot be read is left out."""
        text = self.seed.text().strip()
        stops = (line for line in self.stop.toPlainText().splitlines() if line)
        thinking = self.thinking_box.currentData() if self._has_thinking else None
        return ChatSettings(
            temperature=_value(self.temperature),
            top_p=_value(self.top_p),
            top_k=self.top_k.value() or None,
            min_p=_value(self.min_p),
            repetition_penalty=_value(self.repetition_penalty),
            max_tokens=self.max_tokens.value(),
            seed=int(text) if _is_number(text) else None,
            stop=tuple(_unescaped(s) for s in stops)[:16],
            form=str(self.form_box.currentData()),
            schema=self.schema.toPlainText(),
            thinking=thinking,
        )

    def show_settings(self, settings: ChatSettings) -> None:
        """Set every field."""
        for name in ("temperature", "top_p", "min_p", "repetition_penalty", "top_k"):
            spin = getattr(self, name)
            value = getattr(settings, name)
            spin.setValue(spin.minimum() if value is None else value)
        self.max_tokens.setValue(settings.max_tokens)
        self.seed.setText("" if settings.seed is None else str(settings.seed))
        self.stop.setPlainText("\n".join(_escaped(s) for s in settings.stop))
        self.form_box.setCurrentIndex(max(0, self.form_box.findData(settings.form)))
        self.schema.setPlainText(settings.schema)
        self.thinking_box.setCurrentIndex(max(0, self.thinking_box.findData(settings.thinking)))
        self._show_preset()

    def check(self) -> bool:
        """Say at the fields what is wrong; True when a question may be sent."""
        text = self.seed.text().strip()
        wrong = bool(text) and not _is_number(text)
        self.rows["seed"].set_error(self.tr("Enter a whole number.") if wrong else "")
        problem = self.settings().schema_problem
        said = self.tr("This is not a JSON schema: {why}").format(why=problem) if problem else ""
        self.rows["schema"].set_error(said)
        if (wrong or problem) and not self.more_button.isChecked():
            self.more_button.setChecked(True)
        return not wrong and not problem

    def show_thinking(self, switchable: bool) -> None:
        """Only templates that have the switch show it."""
        self._has_thinking = switchable
        self.rows["thinking"].setVisible(switchable)

    # presets and folds

    def _choose_preset(self, index: int) -> None:
        preset = PRESETS.get(str(self.preset_box.itemData(index)))
        if preset is not None:
            kept = {f.name: getattr(self.settings(), f.name) for f in fields(ChatSettings)}
            wanted = {n: getattr(preset, n) for n in _OF_PRESET}
            self.show_settings(replace(ChatSettings(**kept), **wanted))

    def _show_preset(self) -> None:
        now = self.settings()
        found = (
            key
            for key, preset in PRESETS.items()
            if all(getattr(preset, n) == getattr(now, n) for n in _OF_PRESET)
        )
        self.preset_box.setCurrentIndex(self.preset_box.findData(next(found, "custom")))

    def _form_changed(self) -> None:
        self.rows["schema"].setVisible(self.form_box.currentData() == "json_schema")
        self._check.start()

    def _fold(self, shown: bool) -> None:
        self.more_button.set_icon("chevron-down" if shown else "chevron-right")
        self._folded.setVisible(shown)

    # words

    def retranslate(self) -> None:
        """All texts."""
        self.cards[0].set_title(self.tr("How"))
        self.more_button.set_text(self.tr("Advanced"))
        self._name_choices()
        own = self.tr("model's own")
        for spin in (self.temperature, self.top_p, self.min_p, self.repetition_penalty):
            spin.setSpecialValueText(own)
        self.top_k.setSpecialValueText(own)
        for key, (name, help_text) in (self._texts() | self._folded_texts()).items():
            self.rows[key].set_texts(name, help_text, help_visible=True)
        self.rows["preset"].set_texts(self.tr("&Preset"))
        self.seed.setPlaceholderText(self.tr("random"))
        self.schema.setPlaceholderText('{"type": "object", "properties": {…}}')

    def _texts(self) -> dict[str, tuple[str, str]]:
        return {
            "temperature": (
                self.tr("&Temperature"),
                self.tr("0 always takes the most probable token; higher is livelier."),
            ),
            "top_p": (
                self.tr("T&op p"),
                self.tr("Draws only from the likeliest tokens that make up this share."),
            ),
            "max_tokens": (
                self.tr("&Longest answer"),
                self.tr("In tokens, thoughts included; about 0.75 English words each."),
            ),
            "thinking": (
                self.tr("T&hinking"),
                self.tr("Whether this model reasons before it answers."),
            ),
        }

    def _folded_texts(self) -> dict[str, tuple[str, str]]:
        return {
            "top_k": (self.tr("Top &k"), self.tr("Draws only from so many likeliest tokens.")),
            "min_p": (
                self.tr("M&in p"),
                self.tr("Leaves out tokens below this share of the likeliest one."),
            ),
            "repetition_penalty": (
                self.tr("&Repetition penalty"),
                self.tr("Above 1 makes words that were said less likely."),
            ),
            "seed": (
                self.tr("&Seed"),
                self.tr("The same seed gives the same answer; empty is different each time."),
            ),
            "stop": (
                self.tr("Stop strin&gs"),
                self.tr("The answer ends before any of them; one a line, \\n is a line break."),
            ),
            "form": (
                self.tr("&Form of the answer"),
                self.tr("The model can then write nothing else than JSON of this form."),
            ),
            "schema": (self.tr("JSON s&chema"), self.tr("Fields, their types, what must be.")),
        }  # fmt: skip

    def _name_choices(self) -> None:
        presets = {
            "own": self.tr("As the model's maker says"),
            "exact": self.tr("Exact, always the same"),
            "balanced": self.tr("Balanced (for R1)"),
            "lively": self.tr("Lively"),
            "custom": self.tr("Your own"),
        }
        forms = {
            "text": self.tr("Free text"),
            "json_object": self.tr("Any JSON object"),
            "json_schema": self.tr("JSON after a schema"),
        }
        thinking: dict[object, str] = {
            None: self.tr("As the template says"), True: self.tr("On"), False: self.tr("Off")
        }  # fmt: skip
        _fill(self.preset_box, presets)
        _fill(self.form_box, forms)
        _fill(self.thinking_box, thinking)
        self._show_preset()
        self._form_changed()

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)


def _fill(box: QComboBox, names: dict[object, str] | dict[str, str]) -> None:
    if box.count() == len(names):
        for number, name in enumerate(names.values()):
            box.setItemText(number, name)
        return
    for key, name in names.items():
        box.addItem(name, key)


def _real(low: float, high: float, step: float) -> QDoubleSpinBox:
    """A number whose lowest value means: as the model's maker says."""
    made = QDoubleSpinBox()
    made.setRange(low, high)
    made.setSingleStep(step)
    made.setDecimals(2)
    made.setValue(low)
    made.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.UpDownArrows)
    return made


def _value(spin: QDoubleSpinBox) -> float | None:
    return None if spin.value() == spin.minimum() else round(spin.value(), 2)


def _is_number(text: str) -> bool:
    number = text.removeprefix("-")
    return number.isascii() and number.isdigit() and len(number) <= 18


def _unescaped(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\t", "\t")


def _escaped(text: str) -> str:
    return text.replace("\n", "\\n").replace("\t", "\\t")
