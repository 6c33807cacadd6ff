"""The form that starts a local API: model, adapter, port; the rest folded away."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QSpinBox, QVBoxLayout, QWidget

from app.pages.base import AppContext
from app.text import parameters_text
from app.viewmodels.serve import adapters_of, find_model
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card
from app.widgets.form_row import FormRow, form_grid
from app.widgets.labels import label
from core.catalog import ModelInfo
from core.config.base import field_errors
from core.config.serve import ServeSpec
from core.errors import AppError
from core.runlog.index import RunSummary
from core.services.serve import check_address

_PORTS_TO_TRY = 20
_WIDTH = 640


class DeployForm(QWidget):
    """`start_asked` comes with a `ServeSpec` whose fields are valid."""

    start_asked = Signal(object)

    def __init__(self, ctx: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ctx = ctx
        self._models: list[ModelInfo] = []
        self._runs: list[RunSummary] = []
        self._port_chosen = False
        self._make_fields()
        self._lay_out()
        self.model_box.currentIndexChanged.connect(self._model_changed)
        self.port_box.valueChanged.connect(self._port_touched)
        self.advanced_button.toggled.connect(self.advanced.setVisible)
        self.more_models.clicked.connect(self._open_models)
        self.train_link.clicked.connect(self._open_train)
        self.start_button.clicked.connect(self.start)
        self.retranslate()

    def _make_fields(self) -> None:
        self.model_box = QComboBox()
        self.adapter_box = QComboBox()
        self.port_box = QSpinBox()
        self.port_box.setRange(0, 65535)
        self.port_box.setGroupSeparatorShown(False)
        self.host_line = QLineEdit("127.0.0.1")
        self.precision_box = QComboBox()
        for precision in ("auto", "fp32", "bf16", "fp16"):
            self.precision_box.addItem(precision, precision)
        self.device_line = QLineEdit("auto")
        self.batch_box = _number(1, 512, 16)
        self.queue_box = _number(0, 100_000, 256)
        self.tokens_box = _number(1, 131_072, 2048)
        self.default_tokens_box = _number(1, 131_072, 200)
        self.rows = {
            "model": FormRow(self.model_box, key="model"),
            "adapter": FormRow(self.adapter_box, key="adapter"),
            "port": FormRow(self.port_box, key="port"),
            "host": FormRow(self.host_line, key="host"),
            "precision": FormRow(self.precision_box, key="precision"),
            "device": FormRow(self.device_line, key="device"),
            "max_batch_size": FormRow(self.batch_box, key="max_batch_size"),
            "queue_limit": FormRow(self.queue_box, key="queue_limit"),
            "max_new_tokens": FormRow(self.tokens_box, key="max_new_tokens"),
            "default_new_tokens": FormRow(self.default_tokens_box, key="default_new_tokens"),
        }

    def _lay_out(self) -> None:
        self.more_models = Button(kind="link")
        self.train_link = Button(kind="link")
        self.advanced_button = Button(kind="link", icon_name="tune-variant")
        self.advanced_button.setCheckable(True)
        self.start_button = Button(kind="primary", icon_name="play")
        column = QVBoxLayout()
        column.setSpacing(GAP)
        column.addWidget(self._what_card())
        column.addWidget(self._advanced_card())
        column.addStretch(1)
        holder = QWidget()
        holder.setMinimumWidth(420)
        holder.setMaximumWidth(_WIDTH)
        holder.setLayout(column)
        column.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GAP)
        row.addWidget(holder, 3)
        row.addWidget(self._about_card(), 2, Qt.AlignmentFlag.AlignTop)
        row.addStretch(0)

    def _what_card(self) -> Card:
        card = Card()
        card.body.addWidget(self.rows["model"])
        card.body.addWidget(self.more_models, 0, Qt.AlignmentFlag.AlignLeft)
        card.body.addWidget(self.rows["adapter"])
        card.body.addWidget(self.train_link, 0, Qt.AlignmentFlag.AlignLeft)
        card.body.addWidget(self.rows["port"])
        line = QHBoxLayout()
        line.addWidget(self.advanced_button)
        line.addStretch(1)
        line.addWidget(self.start_button)
        card.body.addLayout(line)
        return card

    def _advanced_card(self) -> Card:
        self.advanced = Card()
        names = [n for n in self.rows if n not in ("model", "adapter", "port")]
        self.advanced.body.addLayout(form_grid([self.rows[n] for n in names], columns=2))
        self.advanced.setVisible(False)
        return self.advanced

    def _about_card(self) -> Card:
        self._about = Card()
        self._points = [label("", "muted", wrap=True) for _ in range(4)]
        for point in self._points:
            self._about.body.addWidget(point)
        return self._about

    # choices

    def refresh_choices(self) -> None:
        """Read models and adapters anew; what is chosen stays chosen."""
        self._models = [
            m for m in self._ctx.services.models.list() if m.fetched and m.problem is None
        ]
        self._runs = self._ctx.services.runs.list()
        chosen = self.model_box.currentData()
        self.model_box.blockSignals(True)
        self.model_box.clear()
        for model in self._models:
            size = parameters_text(model.parameters) if model.parameters else ""
            text = " · ".join(p for p in (model.name, size, model.dtype) if p)
            self.model_box.addItem(text, model.id)
        self.model_box.setCurrentIndex(max(0, self.model_box.findData(chosen)))
        self.model_box.blockSignals(False)
        self._model_changed()
        self._suggest_port()

    def choose(self, *, model: str = "", adapter: str = "") -> None:
        """Preselect what another page was about."""
        found = find_model(self._models, model) if model else None
        if found is None and adapter:
            found = next((m for m in self._models if adapter in self._adapter_ids(m)), None)
        if found is not None:
            self.model_box.setCurrentIndex(self.model_box.findData(found.id))
        if adapter and (index := self.adapter_box.findData(adapter)) >= 0:
            self.adapter_box.setCurrentIndex(index)

    def _adapter_ids(self, model: ModelInfo) -> set[str]:
        return {r.run_id for r in adapters_of(model, self._runs)}

    def _model_changed(self) -> None:
        chosen = self.adapter_box.currentData()
        model = find_model(self._models, str(self.model_box.currentData() or ""))
        self.adapter_box.clear()
        self.adapter_box.addItem(self.tr("None: the base model alone"), "")
        for run in adapters_of(model, self._runs) if model else ():
            text = f"{run.name} · {run.run_id}" if run.name else run.run_id
            self.adapter_box.addItem(text, run.run_id)
        self.adapter_box.setCurrentIndex(max(0, self.adapter_box.findData(chosen)))
        self.start_button.setEnabled(bool(self._models))

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
            self.port_box.blockSignals(True)
            self.port_box.setValue(port)
            self.port_box.blockSignals(False)
            return

    def _port_touched(self) -> None:
        self._port_chosen = True

    def _open_models(self) -> None:
        self._ctx.navigate("models")

    def _open_train(self) -> None:
        self._ctx.navigate("train", model=str(self.model_box.currentData() or ""))

    # the spec

    def values(self) -> dict[str, Any]:
        """The spec as it stands."""
        return {
            "model": self.model_box.currentData() or "",
            "adapter": self.adapter_box.currentData() or None,
            "port": self.port_box.value(),
            "host": self.host_line.text().strip(),
            "precision": self.precision_box.currentData(),
            "device": self.device_line.text().strip(),
            "max_batch_size": self.batch_box.value(),
            "queue_limit": self.queue_box.value(),
            "max_new_tokens": self.tokens_box.value(),
            "default_new_tokens": self.default_tokens_box.value(),
        }

    def start(self) -> None:
        """Mark every wrong field at once, or ask the page to start."""
        found = field_errors(ServeSpec, self.values())
        if not self.model_box.currentData():
            found["model"] = "missing"
        for key, row in self.rows.items():
            row.set_error(self._problem(key) if key in found else "")
        if not found:
            self.start_asked.emit(ServeSpec.parse(self.values()))
        elif not {"model", "adapter", "port"} & set(found):
            self.advanced_button.setChecked(True)

    def _problem(self, key: str) -> str:
        texts = {
            "model": self.tr("Choose a model."),
            "host": self.tr("Enter an address, for example 127.0.0.1."),
            "device": self.tr("Enter auto, cpu, cuda or cuda:0."),
        }
        return texts.get(key, self.tr("This value is not possible."))

    # words

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """All texts."""
        self._name_rows()
        self._name_more_rows()
        self.more_models.set_text(self.tr("More models…"))
        self.train_link.set_text(self.tr("Train an adapter for this model"))
        self.advanced_button.set_text(self.tr("All settings"))
        self.start_button.set_text(self.tr("Start the API"))
        self.adapter_box.setItemText(0, self.tr("None: the base model alone"))
        self._about.set_title(self.tr("What happens then"))
        texts = (
            self.tr("A process of its own loads the model and answers on this computer alone."),
            self.tr("Programs that speak to OpenAI can speak to it: address and key are shown."),
            self.tr("It goes on when this window is closed, until you stop it."),
            self.tr("With an adapter, the base model stays available beside it to compare."),
        )
        for point, text in zip(self._points, texts, strict=True):
            point.setText(text)

    def _name_rows(self) -> None:
        self.rows["model"].set_texts(self.tr("&Model"), self.tr("What answers the requests."))
        self.rows["adapter"].set_texts(
            self.tr("&Adapter"), self.tr("What a training run on this model has learned.")
        )
        self.rows["port"].set_texts(self.tr("&Port"), self.tr("0 takes any free one."))
        self.rows["host"].set_texts(
            self.tr("&Address"),
            self.tr("127.0.0.1 is this computer alone. Any other lets others in, with the key."),
        )
        self.rows["precision"].set_texts(
            self.tr("P&recision"), self.tr("auto: bf16 on a card that has it, fp32 on the CPU.")
        )

    def _name_more_rows(self) -> None:
        requests, tokens = self.tr("requests"), self.tr("tokens")
        self.rows["device"].set_texts(self.tr("&Device"), self.tr("auto, cpu, cuda or cuda:0."))
        self.rows["max_batch_size"].set_texts(
            self.tr("&Together"), self.tr("Answers that are written at the same time."), requests
        )
        self.rows["queue_limit"].set_texts(
            self.tr("&Queue"), self.tr("As many may wait; more are told to come again."), requests
        )
        self.rows["max_new_tokens"].set_texts(
            self.tr("&Longest answer"), self.tr("The most a program may ask for."), tokens
        )
        self.rows["default_new_tokens"].set_texts(
            self.tr("&Usual answer"), self.tr("When a program does not say how long."), tokens
        )


def _number(low: int, high: int, value: int) -> QSpinBox:
    box = QSpinBox()
    box.setRange(low, high)
    box.setValue(value)
    return box
