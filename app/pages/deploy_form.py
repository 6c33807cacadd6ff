"""The form that starts a local API: what answers, how it runs, who may reach it."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.pages.base import AppContext
from app.pages.deploy_field_texts import DeployFieldTexts
from app.pages.deploy_forecast import ForecastCard
from app.pages.deploy_form_cards import AdvancedCard, HowCard, ReachCard, WhatCard
from app.pages.deploy_pending import PendingCard
from app.pages.train_reveal import reveal
from app.text import parameters_text
from app.viewmodels.serve import adapters_of, find_model
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card
from app.widgets.labels import label
from core.catalog import ModelInfo
from core.config.base import field_errors
from core.config.serve import ServeSpec
from core.errors import AppError
from core.runlog.index import RunSummary
from core.services.serve import check_address

_PORTS_TO_TRY = 20
_SIDE_PX = 300
_NARROW_SIDE_PX = 236
_NARROW_PX = 860
_WIDTH_PX = 900


class DeployForm(QWidget):
    """`start_asked` comes with a `ServeSpec` whose fields are valid."""

    start_asked = Signal(object)

    def __init__(self, ctx: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ctx = ctx
        self._models: list[ModelInfo] = []
        self._runs: list[RunSummary] = []
        self._port_chosen = False
        self._make_cards()
        self._lay_out()
        self._connect()
        self.retranslate()

    def _make_cards(self) -> None:
        texts = DeployFieldTexts(self)
        self._texts = texts
        self.what = WhatCard(texts)
        self.how = HowCard(texts)
        self.reach = ReachCard(texts)
        self.advanced = AdvancedCard(texts, self.reach)
        self.advanced.setVisible(False)
        self.advanced_button = Button(kind="link", icon_name="tune-variant")
        self.advanced_button.setCheckable(True)
        self.start_button = Button(kind="primary", icon_name="play")
        self.forecast = ForecastCard(self._ctx, self.values)
        self.pending = PendingCard(self._ctx)
        self.about = Card()
        self._points = [label("", "muted", wrap=True) for _ in range(4)]
        for point in self._points:
            self.about.body.addWidget(point)

    def _lay_out(self) -> None:
        left = QVBoxLayout()
        left.setSpacing(GAP)
        for card in (self.pending, self.what, self.how, self.reach):
            left.addWidget(card)
        left.addWidget(self.advanced_button, 0, Qt.AlignmentFlag.AlignLeft)
        left.addWidget(self.advanced)
        left.addStretch(1)
        holder = QWidget()
        holder.setMaximumWidth(_WIDTH_PX)
        left.setContentsMargins(0, 0, 0, 0)
        holder.setLayout(left)
        side = QVBoxLayout()
        side.setSpacing(GAP)
        for beside in (self.forecast, self.about):
            beside.setFixedWidth(_SIDE_PX)
            side.addWidget(beside)
        side.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GAP)
        row.addWidget(holder, 1000)
        row.addLayout(side)
        row.addStretch(1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Less room for what stands beside the fields in a narrow window."""
        super().resizeEvent(event)
        width = _NARROW_SIDE_PX if self.width() < _NARROW_PX else _SIDE_PX
        for beside in (self.forecast, self.about):
            beside.setFixedWidth(width)

    def _connect(self) -> None:
        self.what.model_box.currentIndexChanged.connect(self._model_changed)
        self.reach.port_box.valueChanged.connect(self._port_touched)
        self.advanced_button.toggled.connect(self._show_advanced)
        self.what.more_models.clicked.connect(self._open_models)
        self.what.train_link.clicked.connect(self._open_train)
        self.start_button.clicked.connect(self.start)
        self.forecast.measure_taken.connect(self._take_measure)
        for card in (self.what, self.how, self.advanced):
            card.changed.connect(self.forecast.ask_soon)

    def _show_advanced(self, shown: bool) -> None:
        self.advanced.setVisible(shown)
        self.advanced_button.refresh_icon()

    # choices

    def refresh_choices(self) -> None:
        """Read models and adapters anew; what is chosen stays chosen."""
        services = self._ctx.services
        self._models = [m for m in services.models.list() if m.fetched and m.problem is None]
        self._runs = services.runs.list()
        box, chosen = self.what.model_box, self.what.model_box.currentData()
        box.blockSignals(True)
        box.clear()
        for model in self._models:
            size = parameters_text(model.parameters) if model.parameters else ""
            box.addItem(" · ".join(p for p in (model.name, size, model.dtype) if p), model.id)
        box.setProperty("verbatim", True)
        box.setCurrentIndex(max(0, box.findData(chosen)))
        box.blockSignals(False)
        self.how.refresh_devices(self._ctx.bridge.machine)
        self._model_changed()
        self._suggest_port()
        self.pending.refresh()

    def choose(self, *, model: str = "", adapter: str = "") -> None:
        """Preselect what another page was about."""
        found = find_model(self._models, model) if model else None
        if found is None and adapter:
            found = next((m for m in self._models if adapter in self._adapter_ids(m)), None)
        if found is not None:
            self.what.model_box.setCurrentIndex(self.what.model_box.findData(found.id))
        if adapter:
            self.what.picker.choose(adapter)

    def _adapter_ids(self, model: ModelInfo) -> set[str]:
        return {r.run_id for r in adapters_of(model, self._runs)}

    @property
    def _model(self) -> ModelInfo | None:
        return find_model(self._models, str(self.what.model_box.currentData() or ""))

    def _model_changed(self) -> None:
        model = self._model
        runs = adapters_of(model, self._runs) if model else []
        texts = [(r.run_id, f"{r.name} · {r.run_id}" if r.name else r.run_id) for r in runs]
        self.what.picker.offer(texts)
        self.start_button.setEnabled(bool(self._models))
        self.forecast.ask_soon()

    def _suggest_port(self) -> None:
        """The usual port, or the next one that is free; never over the user's own choice."""
        if self._port_chosen:
            return
        first = ServeSpec.model_fields["port"].default
        for port in range(first, first + _PORTS_TO_TRY):
            try:
                check_address("127.0.0.1", port)
            except AppError:
                continue
            self.reach.port_box.setValue(port)
            self._port_chosen = False
            return

    def _port_touched(self) -> None:
        self._port_chosen = True

    def _open_models(self) -> None:
        self._ctx.navigate("models")

    def _open_train(self) -> None:
        self._ctx.navigate("train", model=str(self.what.model_box.currentData() or ""))

    def _take_measure(self, key: str, value: object) -> None:
        if key == "precision":
            box = self.how.precision_box
            box.setCurrentIndex(box.findData(value))
        elif key == "cpu_offload":
            self.how.switches["cpu_offload"].set_on(True)
        elif isinstance(value, int):
            self.advanced.set_value(key, value)
            self.advanced_button.setChecked(True)
        self.forecast.ask_soon()

    # the spec

    def values(self) -> dict[str, Any]:
        """The spec as it stands."""
        adapters = self.what.picker.chosen
        return {
            "model": self.what.model_box.currentData() or "",
            "adapter": adapters[0] if adapters else None,
            "adapters": tuple(adapters[1:]),
            **self.how.values(),
            **self.advanced.values(),
            **self.reach.values(),
        }

    def start(self) -> None:
        """Mark every wrong field at once, or ask the page to start."""
        values = self.values()
        # "allowed_hosts.0" is the first of a list: its row is marked.
        found = {key.partition(".")[0] for key in field_errors(ServeSpec, values)}
        if not values["model"]:
            found.add("model")
        for key in ("vllm_python", "llama_server"):
            if key in values and not values[key]:
                found.add(key)
        cards = (self.what, self.how, self.reach, self.advanced)
        rows = [row for card in cards for row in card.rows.values()]
        for row in rows:
            row.set_error(self._texts.problem(row.key) if row.key in found else "")
        if not found:
            self.start_asked.emit(ServeSpec.parse(values))
            return
        if found & {*self.advanced.rows, "allowed_hosts", "allowed_origins"}:
            self.advanced_button.setChecked(True)
        if (first := next((row for row in rows if row.key in found), None)) is not None:
            reveal(first)

    # words

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """All texts."""
        for card in (self.what, self.how, self.reach, self.advanced, self.forecast, self.pending):
            card.retranslate()
        self.how.refresh_devices(self._ctx.bridge.machine)
        self.advanced_button.set_text(self.tr("All settings"))
        self.start_button.set_text(self.tr("Start the API"))
        self.about.set_title(self.tr("What happens then"))
        texts = (
            self.tr("A process of its own loads the model and answers on this computer."),
            self.tr("Programs that speak to OpenAI can speak to it: address and key are shown."),
            self.tr("It goes on when this window is closed, until you stop it."),
            self.tr("Should the engine crash, it is started again; the address stays."),
        )
        for point, text in zip(self._points, texts, strict=True):
            point.setText(text)
