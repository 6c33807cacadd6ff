"""The form that starts a training run: model, data, how much, and everything else folded away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app import messages
from app.pages.base import AppContext
from app.pages.train_advanced import AdvancedCard
from app.pages.train_field_texts import TrainFieldTexts
from app.pages.train_forecast import ForecastCard
from app.pages.train_how import HowCard
from app.pages.train_plan import PlanCard
from app.pages.train_queue import QueueCard
from app.pages.train_reveal import reveal
from app.pages.train_texts import TrainTexts
from app.pages.train_tokens import TokenDialog
from app.pages.train_what import WhatCard
from app.viewmodels import train_form as form
from app.widgets.card import GAP
from app.widgets.form_row import FormRow
from core.config.presets import merge, train_presets
from core.config.train import TrainSpec
from core.errors import AppError, ErrorInfo
from core.services.train import SpecProblems

_FIELD_OF_CODE = {
    "train.targets_unknown": "lora.target_modules",
    "train.warmup_too_long": "warmup_ratio",
    "train.combination": "method",
}
_FIELD_OF_KIND = {"model": "model", "adapter": "model", "data": "data"}


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
        self._presets = train_presets()
        self._base: dict[str, Any] = form.defaults()
        self.what = WhatCard(ctx, self._field_texts)
        self.how = HowCard(ctx, self._field_texts, self._presets)
        self.advanced = AdvancedCard(self._field_texts)
        self.plan_card = PlanCard(ctx, self._texts, self.values)
        self.forecast_card = ForecastCard()
        self.queue_card = QueueCard(ctx)
        self.start_button = self.plan_card.start_button
        self.queue_button = self.plan_card.queue_button
        self.rows: dict[str, FormRow] = {
            **self.what.rows,
            **self.how.rows,
            **self.advanced.rows,
        }
        self._lay_out()
        self._connect()
        self.retranslate()
        self.choose_preset(self._presets[-1].id if self._presets else "")

    def _lay_out(self) -> None:
        left, side = QVBoxLayout(), QVBoxLayout()
        for column, cards in (
            (left, (self.what, self.how, self.advanced)),
            (side, (self.plan_card, self.forecast_card, self.queue_card)),
        ):
            column.setSpacing(GAP)
            for card in cards:
                column.addWidget(card)
            column.addStretch(1)
        self.advanced.setVisible(False)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GAP)
        row.addLayout(left, 1)
        row.addLayout(side)

    def _connect(self) -> None:
        for card in (self.what, self.how, self.advanced):
            card.changed.connect(self.plan_card.ask_soon)
        self.plan_card.planned.connect(self.forecast_card.show_plan)
        self.forecast_card.measure_taken.connect(self._take_measure)
        self.what.bad_data.connect(self._place)
        self.what.look_asked.connect(self.look_at_samples)
        self.how.preset_chosen.connect(self.choose_preset)
        self.how.advanced_button.toggled.connect(self.advanced.setVisible)
        self.start_button.clicked.connect(self.start)
        self.queue_button.clicked.connect(self.queue)
        self._ctx.bridge.machine_sampled.connect(self._look_at_queue)

    def _look_at_queue(self) -> None:
        if self.isVisible():
            self.queue_card.refresh()

    # Choices

    def refresh_choices(self) -> None:
        """Read models, datasets, cards and the queue anew; what is chosen stays chosen."""
        self.how.refresh_devices()
        self.queue_card.refresh()
        self.what.refresh_choices()

    def choose(self, *, model: str | None = None, data: str | None = None) -> None:
        """Preselect what another page was about."""
        self.what.choose(model=model, data=data)

    def choose_data(self, path: Path) -> None:
        """Take a folder or file of the user's."""
        self.what.choose_data(path)

    def choose_preset(self, preset_id: str) -> None:
        """Fill the fields with its values; every one of them can be changed."""
        preset = next((p for p in self._presets if p.id == preset_id), None)
        self._base = form.defaults() | {"precision": self._ctx.settings.value.precision}
        if preset is not None:
            self._base = preset.over(self._base)
        self.fill(self._base, preset_id)

    def fill(self, values: dict[str, Any], preset_id: str = "") -> None:
        """Show the values of a spec, for example of an earlier run."""
        self._base = form.defaults() | values
        self.advanced.set_values(self._base)
        self.how.set_values(self._base, preset_id)

    def _take_measure(self, changes: dict[str, Any]) -> None:
        """Set what saves memory; the rest stays as it is typed."""
        self.fill(merge(self.values(), changes), str(self.how.preset_box.currentData()))

    # The spec

    def values(self) -> dict[str, Any]:
        """The spec as it is typed in, valid or not."""
        values = form.collect(self._base, self.advanced.field_values())
        values |= self.how.values()
        values["model"] = self.what.model_box.currentData() or ""
        values["data"] = self.what.data_box.currentData() or ""
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
            self._reveal(next((key for key in self.rows if key in found), "amount"))
            return None
        return TrainSpec.model_validate(values)

    def _reveal(self, key: str) -> None:
        wrong = next((k for k in self.advanced.rows if self.rows[k].error), "")
        if wrong:
            self.how.advanced_button.setChecked(True)
            self.advanced.show_field(wrong)
        reveal(self.rows[key])

    # What is asked for

    def start(self) -> None:
        """Check everything, then ask the page to start."""
        if (spec := self.check()) is not None:
            self.start_asked.emit(spec)

    def queue(self) -> None:
        """Check everything, then ask the page to let it wait for a card."""
        if (spec := self.check()) is not None:
            self.queue_asked.emit(spec)

    def look_at_samples(self) -> TokenDialog | None:
        """Open the token view for what is typed in."""
        if (spec := self.check()) is None:
            return None
        dialog = TokenDialog(self._ctx, spec, self)
        dialog.open()
        return dialog

    def show_problems(self, error: AppError) -> None:
        """What the service found: at its field where there is one, else in the page's card."""
        found = error.problems if isinstance(error, SpecProblems) else (error.info,)
        rest = [info for info in found if not self._place(info)]
        if rest:
            self.failed.emit(rest[0])

    def _place(self, info: ErrorInfo) -> bool:
        """Show an error under the field it is about."""
        kind = _FIELD_OF_KIND.get(info.code.partition(".")[0], "")
        key = _FIELD_OF_CODE.get(info.code, kind)
        if not key:
            return False
        text = messages.error_text(info, self._ctx.language.language)
        self.rows[key].set_error(f"{text.message} {text.hint}".strip())
        self._reveal(key)
        return True

    # Texts

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        sides = (self.plan_card, self.forecast_card, self.queue_card)
        for card in (self.what, self.how, self.advanced, *sides):
            card.retranslate()

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)
