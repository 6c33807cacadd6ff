"""Adapters of a server that runs: load another, unload one, say which answers by default."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.widgets.buttons import Button
from app.widgets.card import Card, clear_layout, line
from app.widgets.form_row import FormRow
from app.widgets.labels import ElidedLabel, label
from app.widgets.status_chip import StatusChip
from core.runlog.index import RunSummary
from core.runlog.state import RunState


class AdapterLine(QWidget):
    """One model name; `wanted` carries "default" or "unload"."""

    wanted = Signal(str, str)

    def __init__(
        self, name: str, *, base: bool, default: bool, busy: bool, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.name = name
        words = QVBoxLayout()
        words.setSpacing(0)
        shown = ElidedLabel(name, "strong")
        shown.setProperty("verbatim", True)
        words.addWidget(shown)
        about = self.tr("The base model, without an adapter") if base else self.tr("Adapter")
        words.addWidget(ElidedLabel(about, "muted"))
        chip = StatusChip()
        chip.set_state(self.tr("answers by default") if default else "", "ok")
        self.default_button = Button(self.tr("Make default"))
        self.unload_button = Button(self.tr("Unload"), icon_name="eject-outline")
        self.default_button.setVisible(not default)
        self.unload_button.setVisible(not base)
        for button in (self.default_button, self.unload_button):
            button.setEnabled(not busy)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 2, 0, 2)
        row.addLayout(words, 1)
        for widget in (chip, self.default_button, self.unload_button):
            row.addWidget(widget)
        self.default_button.clicked.connect(lambda: self.wanted.emit("default", name))
        self.unload_button.clicked.connect(lambda: self.wanted.emit("unload", name))


class AdaptersCard(Card):
    """Signals carry a run id or a folder (`load_asked`) or a public name."""

    load_asked = Signal(str)
    unload_asked = Signal(str)
    default_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._shown: object = None
        self._runs: list[RunSummary] = []
        self.lines: dict[str, AdapterLine] = {}
        self.about = label("", "muted", wrap=True)
        self._list = QVBoxLayout()
        self._list.setSpacing(4)
        self.run_box = QComboBox()
        self.run_row = FormRow(self.run_box)
        self.load_button = Button(icon_name="plus")
        self.folder_button = Button(icon_name="folder-open-outline")
        self.body.addWidget(self.about)
        self.body.addLayout(self._list)
        self.body.addWidget(line())
        bottom = QHBoxLayout()
        bottom.setSpacing(8)
        bottom.addWidget(self.run_row, 1)
        for button in (self.load_button, self.folder_button):
            bottom.addWidget(button, 0, Qt.AlignmentFlag.AlignBottom)
        self.body.addLayout(bottom)
        self.load_button.clicked.connect(self._load)
        self.folder_button.clicked.connect(self._choose_folder)
        self.retranslate()

    def show_state(self, state: RunState, runs: list[RunSummary], *, busy: bool) -> None:
        """What is loaded, what could be, and whether an answer is awaited."""
        if state.ready is None:
            return
        base = state.ready.model_id.partition(":")[0]
        default = state.default_model or base
        key = (base, state.adapters, default, busy, tuple(r.run_id for r in runs))
        if key == self._shown:
            return
        self._shown, self._runs = key, runs
        clear_layout(self._list)
        self.lines = {}
        for name in (base, *state.adapters):
            made = AdapterLine(name, base=name == base, default=name == default, busy=busy)
            made.wanted.connect(self._act)
            self.lines[name] = made
            self._list.addWidget(made)
        self._offer_runs()
        self.load_button.setEnabled(not busy and self.run_box.currentData() is not None)
        self.folder_button.setEnabled(not busy)

    def _offer_runs(self) -> None:
        chosen = self.run_box.currentData()
        self.run_box.clear()
        for run in self._runs:
            text = f"{run.name} · {run.run_id}" if run.name else run.run_id
            self.run_box.addItem(text, run.run_id)
        if not self._runs:
            self.run_box.addItem(self.tr("No other training of this model has an adapter"))
        self.run_box.setEnabled(bool(self._runs))
        self.run_box.setProperty("verbatim", bool(self._runs))
        self.run_box.setCurrentIndex(max(0, self.run_box.findData(chosen)))

    def _act(self, what: str, name: str) -> None:
        (self.unload_asked if what == "unload" else self.default_asked).emit(name)

    def _load(self) -> None:
        if run_id := self.run_box.currentData():
            self.load_asked.emit(str(run_id))

    def _choose_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(self, self.tr("Folder with an adapter"))
        if found:
            self.load_asked.emit(found)

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._shown = None
            self.retranslate()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """All texts; the lines are made anew with the next state."""
        self.set_title(self.tr("Adapters"))
        self.about.setText(
            self.tr(
                "Each is a model name of its own. Swapping drops no request: open ones of an "
                "adapter are finished before it is unloaded."
            )
        )
        self.run_row.set_texts(
            self.tr("Load another one"), self.tr("From a training of the same model.")
        )
        self.load_button.set_text(self.tr("Load"))
        self.folder_button.set_text(self.tr("Folder…"), self.tr("An adapter from elsewhere"))
