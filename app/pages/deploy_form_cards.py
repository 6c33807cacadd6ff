"""The cards of the server's form: what, how, who may reach it, and everything else."""

from __future__ import annotations

from typing import Any, get_args

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from app.bridge import MachineSample
from app.pages.deploy_exposure import ExposureCard
from app.pages.deploy_field_texts import DeployFieldTexts
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.deploy_fields import AdapterPicker, PathField, Switch
from app.widgets.form_row import FormRow, form_grid
from app.widgets.labels import label
from core.config.serve import EngineChoice, Precision, ServeSpec

ENGINES: tuple[str, ...] = get_args(EngineChoice)
PRECISIONS = ("auto", "bf16", "fp16", "fp32", "8bit", "4bit")
REACHES = ("local", "network", "other")
_EVERYWHERE = "0.0.0.0"
_LOCAL = "127.0.0.1"
assert set(PRECISIONS) == set(get_args(Precision))


class _FormCard(Card):
    """`changed` on another value; rows and switches by field name."""

    changed = Signal()

    def __init__(self, texts: DeployFieldTexts, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._texts = texts
        self.rows: dict[str, FormRow] = {}
        self.switches: dict[str, Switch] = {}

    def add_switch(self, key: str) -> Switch:
        made = Switch(bool(ServeSpec.model_fields[key].default))
        made.toggled.connect(self.changed)
        self.switches[key] = made
        return made

    def name_rows(self) -> None:
        for key, row in self.rows.items():
            words = self._texts.field(key)
            row.set_texts(words.name, words.help, words.unit, help_visible=bool(words.help))
        for key, switch in self.switches.items():
            words = self._texts.field(key)
            switch.set_texts(words.name, words.help)


class WhatCard(_FormCard):
    """Model and adapters."""

    def __init__(self, texts: DeployFieldTexts, parent: QWidget | None = None) -> None:
        super().__init__(texts, parent)
        self.model_box = QComboBox()
        self.picker = AdapterPicker()
        self.rows = {
            "model": FormRow(self.model_box, key="model"),
            "adapters": FormRow(self.picker, key="adapters"),
        }
        self.more_models = Button(kind="link")
        self.train_link = Button(kind="link")
        links = QHBoxLayout()
        links.addWidget(self.more_models)
        links.addWidget(self.train_link)
        links.addStretch(1)
        self.body.addWidget(self.rows["model"])
        self.body.addLayout(links)
        self.body.addWidget(self.rows["adapters"])
        self.picker.changed.connect(self.changed)

    def retranslate(self) -> None:
        """All texts."""
        self.set_title(self.tr("What answers"))
        self.name_rows()
        self.rows["model"].set_texts(
            self._texts.field("model").name, self._texts.field("model").help
        )
        self.more_models.set_text(self.tr("More models…"))
        self.train_link.set_text(self.tr("Train an adapter for this model"))


class HowCard(_FormCard):
    """Engine, precision, device, and what makes it faster."""

    def __init__(self, texts: DeployFieldTexts, parent: QWidget | None = None) -> None:
        super().__init__(texts, parent)
        self.engine_box = _box(ENGINES)
        self.precision_box = _box(PRECISIONS)
        self.device_box = QComboBox()
        self.vllm_python = PathField()
        self.llama_server = PathField()
        self.parallel_box = _spin(1, 64, 1)
        self.ray_line = QLineEdit()
        self.layers_box = _spin(-1, 1000, -1)
        self.rows = {
            "engine": FormRow(self.engine_box, key="engine"),
            "precision": FormRow(self.precision_box, key="precision"),
            "device": FormRow(self.device_box, key="device"),
            "vllm_python": FormRow(self.vllm_python, key="vllm_python"),
            "tensor_parallel": FormRow(self.parallel_box, key="tensor_parallel"),
            "ray_address": FormRow(self.ray_line, key="ray_address"),
            "llama_server": FormRow(self.llama_server, key="llama_server"),
            "gpu_layers": FormRow(self.layers_box, key="gpu_layers"),
        }
        self._lay_out()
        self._connect()
        self._show_engine()

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setHorizontalSpacing(18)
        grid.setVerticalSpacing(10)
        top = Qt.AlignmentFlag.AlignTop
        grid.addWidget(self.rows["engine"], 0, 0, top)
        grid.addWidget(self.rows["precision"], 0, 1, top)
        grid.addWidget(self.rows["vllm_python"], 1, 0, 1, 2)
        grid.addWidget(self.rows["tensor_parallel"], 2, 0, top)
        grid.addWidget(self.rows["ray_address"], 2, 1, top)
        grid.addWidget(self.rows["llama_server"], 3, 0, 1, 2)
        grid.addWidget(self.rows["gpu_layers"], 4, 0, top)
        grid.addWidget(self.rows["device"], 5, 0, top)
        grid.addWidget(self.add_switch("cpu_offload"), 5, 1, top)
        grid.addWidget(self.add_switch("prefix_cache"), 6, 0, top)
        grid.addWidget(self.add_switch("cuda_graphs"), 6, 1, top)
        for column in (0, 1):
            grid.setColumnStretch(column, 1)
        self.body.addLayout(grid)

    def _connect(self) -> None:
        for box in (self.engine_box, self.precision_box, self.device_box):
            box.currentIndexChanged.connect(self.changed)
        self.engine_box.currentIndexChanged.connect(self._show_engine)
        self.precision_box.currentIndexChanged.connect(self._explain)
        self.parallel_box.valueChanged.connect(self.changed)
        self.vllm_python.changed.connect(self.changed)

    def _show_engine(self) -> None:
        engine = self.engine_box.currentData()
        for key in ("vllm_python", "tensor_parallel", "ray_address"):
            self.rows[key].setVisible(engine == "vllm")
        for key in ("llama_server", "gpu_layers"):
            self.rows[key].setVisible(engine == "llama_cpp")
        self._explain()

    def values(self) -> dict[str, Any]:
        """The fields that stand here; those of an engine that is not chosen keep their default."""
        engine = self.engine_box.currentData()
        found: dict[str, Any] = {
            "engine": engine,
            "precision": self.precision_box.currentData(),
            "device": self.device_box.currentData() or "auto",
            **{key: switch.on for key, switch in self.switches.items()},
        }
        if engine == "vllm":
            found["vllm_python"] = self.vllm_python.path or None
            found["tensor_parallel"] = self.parallel_box.value()
            found["ray_address"] = self.ray_line.text().strip() or None
        elif engine == "llama_cpp":
            found["llama_server"] = self.llama_server.path or None
            found["gpu_layers"] = self.layers_box.value()
        return found

    def refresh_devices(self, machine: MachineSample) -> None:
        """Offer the cards of this machine, by name."""
        items = [(self.tr("Automatic"), "auto")]
        items += [(f"GPU {gpu.index} · {gpu.name}", f"cuda:{gpu.index}") for gpu in machine.gpus]
        items.append((self.tr("Processor"), "cpu"))
        box, chosen = self.device_box, self.device_box.currentData()
        if [(box.itemText(i), box.itemData(i)) for i in range(box.count())] == items:
            return
        box.blockSignals(True)
        box.clear()
        for text, data in items:
            box.addItem(text, data)
        box.setCurrentIndex(max(0, box.findData(chosen)))
        box.blockSignals(False)

    def retranslate(self) -> None:
        """All texts."""
        self.set_title(self.tr("How it runs"))
        for number, engine in enumerate(ENGINES):
            self.engine_box.setItemText(number, self._texts.engine(engine)[0])
        for number, precision in enumerate(PRECISIONS):
            self.precision_box.setItemText(number, self._texts.precision(precision)[0])
        self.layers_box.setSpecialValueText(self.tr("all"))
        self.name_rows()
        self._explain()

    def _explain(self) -> None:
        """Say under the two boxes what the chosen one means."""
        choices = (
            ("engine", self._texts.engine(self.engine_box.currentData())[1]),
            ("precision", self._texts.precision(self.precision_box.currentData())[1]),
        )
        for key, text in choices:
            self.rows[key].set_texts(self._texts.field(key).name, text, help_visible=True)


class ReachCard(_FormCard):
    """Port, who may reach it, label and log."""

    def __init__(self, texts: DeployFieldTexts, parent: QWidget | None = None) -> None:
        super().__init__(texts, parent)
        self.port_box = _spin(0, 65_535, int(ServeSpec.model_fields["port"].default))
        self.port_box.setGroupSeparatorShown(False)
        self.reach_box = _box(REACHES)
        self.host_line = QLineEdit()
        self.hosts_line = QLineEdit()
        self.origins_line = QLineEdit()
        self.exposure = ExposureCard()
        self.rows = {
            "port": FormRow(self.port_box, key="port"),
            "reach": FormRow(self.reach_box, key="reach"),
            "host": FormRow(self.host_line, key="host"),
            "allowed_hosts": FormRow(self.hosts_line, key="allowed_hosts"),
            "allowed_origins": FormRow(self.origins_line, key="allowed_origins"),
        }
        grid = QGridLayout()
        grid.setHorizontalSpacing(18)
        grid.setVerticalSpacing(10)
        top = Qt.AlignmentFlag.AlignTop
        grid.addWidget(self.rows["port"], 0, 0, top)
        grid.addWidget(self.rows["reach"], 0, 1, top)
        grid.addWidget(self.rows["host"], 1, 1, top)
        grid.addWidget(self.add_switch("audit_log"), 2, 0, top)
        grid.addWidget(self.add_switch("ai_label"), 2, 1, top)
        for column in (0, 1):
            grid.setColumnStretch(column, 1)
        self.body.addLayout(grid)
        self.body.addWidget(self.exposure)
        for signal in (
            self.reach_box.currentIndexChanged, self.host_line.textChanged,
            self.port_box.valueChanged,
        ):  # fmt: skip
            signal.connect(self._reach_changed)
        self._reach_changed()

    @property
    def host(self) -> str:
        """The address to listen on."""
        reach = self.reach_box.currentData()
        if reach == "other":
            return self.host_line.text().strip()
        return _EVERYWHERE if reach == "network" else _LOCAL

    def values(self) -> dict[str, Any]:
        """The fields that stand here."""
        return {
            "port": self.port_box.value(),
            "host": self.host,
            "allowed_hosts": _listed(self.hosts_line.text()),
            "allowed_origins": _listed(self.origins_line.text()),
            **{key: switch.on for key, switch in self.switches.items()},
        }

    def _reach_changed(self) -> None:
        self.rows["host"].setVisible(self.reach_box.currentData() == "other")
        self.exposure.show_choice(self.host, self.port_box.value())
        self.changed.emit()

    def retranslate(self) -> None:
        """All texts."""
        self.set_title(self.tr("Who may reach it"))
        texts = (
            self.tr("Programs on this computer"),
            self.tr("Others on the network too"),
            self.tr("Another address"),
        )
        for number, text in enumerate(texts):
            self.reach_box.setItemText(number, text)
        self.host_line.setPlaceholderText("192.168.1.10")
        self.name_rows()


_NUMBERS: dict[str, tuple[int, int]] = {
    "max_context_tokens": (0, 10_000_000),
    "max_batch_size": (0, 512),
    "memory_share": (11, 98),
    "prefill_tokens": (0, 65_536),
    "max_new_tokens": (1, 131_072),
    "default_new_tokens": (1, 131_072),
    "queue_limit": (0, 100_000),
    "queue_limit_tokens": (1, 100_000_000),
    "queue_timeout_s": (1, 86_400),
    "request_timeout_s": (1, 86_400),
    "drain_s": (0, 3_600),
    "max_restarts": (0, 1_000),
    "remember_requests": (0, 10_000),
}
"""Field to its range; zero means "by itself" where the spec says so."""
BY_ITSELF = ("max_context_tokens", "max_batch_size", "prefill_tokens")


class AdvancedCard(_FormCard):
    """Limits, times and names: folded away until somebody wants them."""

    def __init__(
        self, texts: DeployFieldTexts, reach: ReachCard, parent: QWidget | None = None
    ) -> None:
        super().__init__(texts, parent)
        self.boxes: dict[str, QSpinBox] = {}
        for key, (low, high) in _NUMBERS.items():
            default = ServeSpec.model_fields[key].default
            value = round(default * 100) if key == "memory_share" else int(default)
            self.boxes[key] = _spin(low, high, value)
            self.boxes[key].valueChanged.connect(self.changed)
            self.rows[key] = FormRow(self.boxes[key], key=key)
        shown = [*self.rows.values(), reach.rows["allowed_hosts"], reach.rows["allowed_origins"]]
        self.body.addLayout(form_grid(shown, columns=2))
        self.body.addWidget(self.add_switch("merge_adapter"))
        self._note = label("", "muted", wrap=True)
        self.body.addWidget(self._note)

    def values(self) -> dict[str, Any]:
        """The fields that stand here."""
        found: dict[str, Any] = {key: box.value() for key, box in self.boxes.items()}
        found["memory_share"] = self.boxes["memory_share"].value() / 100
        return found | {key: switch.on for key, switch in self.switches.items()}

    def set_value(self, key: str, value: int) -> None:
        """Take a measure over."""
        self.boxes[key].setValue(value)

    def retranslate(self) -> None:
        """All texts."""
        self.set_title(self.tr("All settings"))
        self.name_rows()
        for key in BY_ITSELF:
            self.boxes[key].setSpecialValueText(self.tr("automatic"))
        self._note.setText(
            self.tr("Everything can also be given on the command line: deepdeck serve --set")
        )


def _box(values: tuple[str, ...]) -> QComboBox:
    made = QComboBox()
    for value in values:
        made.addItem("", value)
    return made


def _spin(low: int, high: int, value: int) -> QSpinBox:
    box = QSpinBox()
    box.setRange(low, high)
    box.setValue(value)
    box.setGroupSeparatorShown(True)
    return box


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
