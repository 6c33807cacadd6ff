"""Models: what is here, what can be fetched, what the user brought."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QFileDialog

from app import messages
from app.pages.base import AppContext, Page
from app.pages.model_details import ModelDetails, two_columns
from app.text import parameters_text, size_text
from app.theme.tokens import Tone
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.two_line_list import TwoLine, TwoLineList
from core.catalog import ModelInfo
from core.errors import ErrorInfo
from core.supervisor import RunView

_LIST_WIDTH = 330


class ModelsPage(Page):
    """The list is read in the background: it looks into the headers of every model."""

    page_id = "models"

    def __init__(self, ctx: AppContext) -> None:
        super().__init__(ctx)
        self.models: dict[str, ModelInfo] = {}
        self._fetches: dict[str, RunView] = {}
        self._wanted = ""
        self.dialog: QFileDialog | None = None
        self.folder_button = self.add_action(Button(icon_name="folder-plus-outline"))
        self.file_button = self.add_action(Button(icon_name="file-plus-outline"))
        self.list = TwoLineList()
        self.details = ModelDetails()
        self._list_card = Card()
        self._list_card.body.addWidget(self.list)
        self.content.addLayout(two_columns(self._list_card, self.details, _LIST_WIDTH), 1)
        self._connect()

    def _connect(self) -> None:
        self.list.chosen.connect(self._chosen)
        self.folder_button.clicked.connect(self._choose_folder)
        self.file_button.clicked.connect(self._choose_file)
        self.details.train_asked.connect(self._train)
        self.details.deploy_asked.connect(self._deploy)
        self.details.fetch_asked.connect(self._fetch)
        self.details.cancel_asked.connect(self._cancel_fetch)
        self.details.verify_asked.connect(self._verify)
        self.details.forget_asked.connect(self._forget)
        self.ctx.bridge.run_changed.connect(self._run_changed)

    def on_shown(self, args: dict[str, object]) -> None:
        """Read the list anew; `model=` chooses one."""
        self._wanted = str(args.get("model", ""))
        self.refresh()

    def refresh(self) -> None:
        """Read the list in the background."""
        self.ctx.background.run(self, self.ctx.services.models.list, self._show, self.show_error)

    def retranslate(self) -> None:
        """Every text of the page."""
        self.set_title(self.tr("Models"))
        self.set_facts(self.tr("Base models to fine-tune and to serve."))
        self._list_card.set_title(self.tr("Library"))
        self.list.setAccessibleName(self.tr("Models"))
        self.folder_button.set_text(
            self.tr("Add folder…"), self.tr("A model folder with config.json and .safetensors")
        )
        self.file_button.set_text(self.tr("Add GGUF file…"))
        self._show_rows()

    def add(self, path: Path) -> None:
        """Put a folder or a GGUF file into the library; it stays where it is."""
        add = self.ctx.services.models.add
        self.ctx.background.run(self, lambda: add(path), self._added, self.show_error)

    def _added(self, model: ModelInfo) -> None:
        self.error_card.clear()
        self._wanted = model.id
        self.ctx.notify(self.tr("{name} was added.").format(name=model.name), "ok")
        self.refresh()

    # what is shown

    def _show(self, models: list[ModelInfo]) -> None:
        self.models = {m.id: m for m in models}
        self._show_rows()
        if self._wanted in self.models:
            self.list.choose(self._wanted)
            self._wanted = ""
        self._show_details()

    def _show_rows(self) -> None:
        self.list.set_rows([self._row(m) for m in self.models.values()])

    def _row(self, model: ModelInfo) -> TwoLine:
        language = self.ctx.language.language
        parts = [
            messages.source_text(model.source, language),
            parameters_text(model.parameters) if model.parameters else "",
            size_text(model.size_bytes) if model.size_bytes else "",
            "" if model.fetched else self.tr("not fetched"),
        ]
        icon, tone = _look(model)
        return TwoLine(model.id, model.name, " • ".join(p for p in parts if p), icon, tone)

    def _chosen(self, _model_id: str) -> None:
        self._show_details()

    def _show_details(self) -> None:
        model = self.models.get(self.list.chosen_id)
        self.details.show_model(model, self._fetches.get(model.id) if model else None)

    def _run_changed(self, view: RunView) -> None:
        if view.job != "fetch":
            return
        model_id = str(view.document.get("spec", {}).get("model", ""))
        before = self._fetches.get(model_id)
        self._fetches[model_id] = view
        if view.finished and (before is None or not before.finished):
            self.refresh()
        elif model_id == self.list.chosen_id:
            self._show_details()

    # what can be done

    @property
    def chosen(self) -> str:
        """Id of the chosen model."""
        return self.list.chosen_id

    def _train(self) -> None:
        self.ctx.navigate("train", model=self.chosen)

    def _deploy(self) -> None:
        self.ctx.navigate("deploy", model=self.chosen)

    def _fetch(self) -> None:
        self.attempt(self._start_fetch)

    def _start_fetch(self) -> None:
        view = self.ctx.services.models.fetch(self.chosen)
        self._fetches[self.chosen] = view
        self._show_details()

    def _cancel_fetch(self) -> None:
        view = self._fetches.get(self.chosen)
        if view is not None:
            self.attempt(lambda: self.ctx.services.runs.stop(view.run_id))

    def _verify(self) -> None:
        verify, model_id = self.ctx.services.models.verify, self.chosen
        self.details.verify_button.setEnabled(False)
        self.ctx.background.run(self, lambda: verify(model_id), self._verified, self._verify_failed)

    def _verified(self, problems: list[ErrorInfo]) -> None:
        self.details.verify_button.setEnabled(True)
        if problems:
            self.show_error(problems[0])
        else:
            self.ctx.notify(self.tr("All files are whole."), "ok")

    def _verify_failed(self, error: ErrorInfo) -> None:
        self.details.verify_button.setEnabled(True)
        self.show_error(error)

    def _forget(self) -> None:
        if self.attempt(lambda: self.ctx.services.models.forget(self.chosen)):
            self.refresh()

    def _choose_folder(self) -> None:
        self._open_dialog(QFileDialog(self, self.tr("Add a model folder")), folder=True)

    def _choose_file(self) -> None:
        dialog = QFileDialog(self, self.tr("Add a GGUF file"))
        dialog.setNameFilter(self.tr("GGUF files (*.gguf)"))
        self._open_dialog(dialog, folder=False)

    def _open_dialog(self, dialog: QFileDialog, *, folder: bool) -> None:
        mode = QFileDialog.FileMode.Directory if folder else QFileDialog.FileMode.ExistingFile
        dialog.setFileMode(mode)
        dialog.fileSelected.connect(self._path_chosen)
        dialog.finished.connect(dialog.deleteLater)
        self.dialog = dialog
        dialog.open()

    def _path_chosen(self, path: str) -> None:
        self.add(Path(path))


def _look(model: ModelInfo) -> tuple[str, Tone]:
    if model.problem is not None:
        return "alert-circle-outline", "error"
    if not model.fetched:
        return "cloud-download-outline", "neutral"
    return "cube-outline", "neutral"
