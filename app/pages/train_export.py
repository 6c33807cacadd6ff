"""Taking away what was trained: the adapter alone, or merged into its base model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from app import messages
from app.i18n import LanguageManager
from app.pages.base import AppContext
from app.text import number_text, percent_text, size_text
from app.viewmodels.train_result import best_checkpoint, listed_model
from app.widgets.buttons import Button
from app.widgets.labels import label
from app.widgets.notice_card import ErrorCard
from app.widgets.progress import Progress
from core.config.export import ExportSpec
from core.errors import AppError, ErrorInfo
from core.runlog.run_dir import RunDir
from core.supervisor import RunView

_WIDTH_PX = 520
KINDS = ("merged", "adapter")
_ADAPTER_FILE = "adapter_config.json"


class ExportDialog(QDialog):
    """Asks what is wanted, shows how far it is, and what came of it. Closing leaves it at work."""

    def __init__(self, ctx: AppContext, view: RunView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ctx = ctx
        self._source = view
        self._quantized = bool(view.state.plan and view.state.plan.quantization != "none")
        self.run_id = ""
        """Of the export, once it was started."""
        self.kind_buttons = {kind: QRadioButton() for kind in KINDS}
        self._kind_helps = {kind: label("", "muted", wrap=True) for kind in KINDS}
        self.state_box = QComboBox()
        self.into_box = QComboBox()
        self.folder_line = QLineEdit()
        self.folder_button = Button(icon_name="folder-open-outline")
        self.error_card = ErrorCard()
        self._status = label("", wrap=True)
        self.progress = Progress()
        self.start_button = Button(kind="primary", icon_name="export-variant")
        self.close_button = Button()
        self.open_button = Button(icon_name="folder-open-outline")
        self.list_button = Button(icon_name="rocket-launch-outline")
        self._result: Path | None = None
        self._lay_out()
        self._connect()
        self._fill()

    def _lay_out(self) -> None:
        self.setMinimumWidth(_WIDTH_PX)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(8)
        group = QButtonGroup(self)
        for kind, button in self.kind_buttons.items():
            group.addButton(button)
            column.addWidget(button)
            column.addWidget(self._kind_helps[kind])
        self._state_label, self._into_label = label("", "muted"), label("", "muted")
        self._folder_label = label("", "muted")
        rows = ((self._state_label, self.state_box), (self._into_label, self.into_box))
        for name, box in rows:
            name.setBuddy(box)
            column.addWidget(name)
            column.addWidget(box)
        folder = QHBoxLayout()
        folder.addWidget(self.folder_line, 1)
        folder.addWidget(self.folder_button)
        self._folder_label.setBuddy(self.folder_line)
        column.addWidget(self._folder_label)
        column.addLayout(folder)
        for widget in (self.error_card, self._status, self.progress):
            column.addWidget(widget)
        buttons = QHBoxLayout()
        buttons.addWidget(self.open_button)
        buttons.addWidget(self.list_button)
        buttons.addStretch(1)
        buttons.addWidget(self.close_button)
        buttons.addWidget(self.start_button)
        column.addSpacing(6)
        column.addLayout(buttons)
        for hidden in (self._status, self.progress, self.open_button, self.list_button):
            hidden.setVisible(False)
        self.kind_buttons["merged"].setChecked(True)

    def _connect(self) -> None:
        self.kind_buttons["merged"].toggled.connect(self._show_into)
        self.folder_button.clicked.connect(self._choose_folder)
        self.start_button.clicked.connect(self._start)
        self.close_button.clicked.connect(self.reject)
        self.open_button.clicked.connect(self._open)
        self.list_button.clicked.connect(self._list)
        self._ctx.bridge.run_changed.connect(self._run_changed)

    def _fill(self) -> None:
        self.setWindowTitle(self.tr("Merge or export"))
        texts = {
            "merged": (
                self.tr("A whole model with the adapter in it"),
                self.tr("Any program can load it; as large as the base model."),
            ),
            "adapter": (
                self.tr("The adapter alone"),
                self.tr("Small; whoever uses it needs the same base model."),
            ),
        }
        for kind, (name, explanation) in texts.items():
            self.kind_buttons[kind].setText(name)
            self._kind_helps[kind].setText(explanation)
        self._state_label.setText(self.tr("Which state"))
        self.state_box.addItem(self.tr("The last one, as it was saved at the end"), "")
        best = best_folder(self._source.run, best_checkpoint(self._source.state))
        if best is not None and int(best.name.rpartition("-")[2]) < self._source.series.last_step:
            step = int(best.name.rpartition("-")[2])
            said = self.tr("The one with the lowest evaluation loss, of step {step}")
            self.state_box.addItem(said.format(step=f"{step:,}"), str(best))
        self._into_label.setText(self.tr("Merge into"))
        self.into_box.addItem(self.tr("The original 16-bit weights"), "original")
        self.into_box.addItem(
            self.tr("The dequantized weights that were trained on"), "dequantized"
        )
        self._folder_label.setText(self.tr("Folder"))
        self.folder_line.setPlaceholderText(self.tr("Empty: inside DeepDeck's own folder"))
        self.folder_button.set_text(self.tr("Choose"))
        self.start_button.set_text(self.tr("Export"))
        self.close_button.set_text(self.tr("Close"))
        self.open_button.set_text(self.tr("Open the folder"))
        self.list_button.set_text(
            self.tr("Deploy this model"), self.tr("It is added to the list of models first")
        )
        self._show_into()

    def _show_into(self) -> None:
        shown = self._quantized and self.kind_buttons["merged"].isChecked()
        self._into_label.setVisible(shown)
        self.into_box.setVisible(shown)

    @property
    def spec(self) -> ExportSpec:
        """What was chosen."""
        merged = self.kind_buttons["merged"].isChecked()
        chosen: dict[str, Any] = {
            "source": self._source.run_id,
            "kind": "merged" if merged else "adapter",
            "to": self.folder_line.text().strip(),
        }
        if self._quantized and merged:
            chosen["merge_into"] = self.into_box.currentData()
        if folder := self.state_box.currentData():
            chosen["source"] = folder
        return ExportSpec.parse(chosen)

    def _choose_folder(self) -> None:
        dialog = QFileDialog(self, self.tr("Folder for the export"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(self.folder_line.setText)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _start(self) -> None:
        self.error_card.clear()
        try:
            view = self._ctx.services.export.start(self.spec)
        except AppError as e:
            self.error_card.show_error(e.info)
            return
        self.run_id = view.run_id
        self.start_button.setEnabled(False)
        self._run_changed(view)

    def _run_changed(self, view: RunView) -> None:
        if view.run_id != self.run_id or not self.run_id:
            return
        working = view.alive or not view.finished
        self._status.setVisible(True)
        self.progress.setVisible(working)
        if working:
            language = LanguageManager.current().language
            self._status.setText(messages.phase_text(view.state.phase or "starting", language))
            self.progress.set_fraction(view.state.phase_fraction)
            return
        self.start_button.setEnabled(True)
        self._show_end(view)

    def _show_end(self, view: RunView) -> None:
        if view.status != "completed":
            self._status.setVisible(False)
            self.error_card.show_error(view.error or ErrorInfo(code="internal"))
            return
        result = view.state.result
        self._result = Path(str(result.get("path", view.run.path)))
        self._status.setText(self._result_text(result))
        self.open_button.setVisible(True)
        self.list_button.setVisible((self._result / "config.json").is_file())

    def _result_text(self, result: dict[str, Any]) -> str:
        lines = [
            self.tr("Written to {path}, {size}.").format(
                path=result.get("path", ""), size=size_text(float(result.get("size_bytes", 0)))
            )
        ]
        names = {
            "original": self.tr("Merged into the original weights"),
            "dequantized": self.tr("Merged into the dequantized weights"),
        }
        for key, name in names.items():
            distance, same = result.get(f"kl_{key}"), result.get(f"top1_{key}")
            if distance is None:
                continue
            said = self.tr("{name}: {kl} nats a token from what was trained").format(
                name=name, kl=number_text(float(distance), 2)
            )
            if same is not None:
                agree = self.tr("{share} of the next words are the same")
                said += ", " + agree.format(share=percent_text(float(same), 1))
            lines.append(said + ".")
        return "\n".join(lines)

    def _list(self) -> None:
        if self._result is None:
            return
        name = str(self._source.document.get("name") or self._source.run_id)
        try:
            model_id = listed_model(self._ctx.services.models, self._result, name)
        except AppError as e:
            self.error_card.show_error(e.info)
            return
        self.accept()
        self._ctx.navigate("deploy", model=model_id)

    def _open(self) -> None:
        if self._result is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._result)))


def best_folder(run: RunDir, step: int | None) -> Path | None:
    """The kept checkpoint of a step, when it is still there with an adapter in it."""
    if step is None:
        return None
    found = run.checkpoints / f"step-{step:06d}"
    return found if (found / _ADAPTER_FILE).is_file() else None
