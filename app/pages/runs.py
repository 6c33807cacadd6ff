"""Runs: everything that was started, from any window or script; compare, open, resume, delete."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

from PySide6.QtCore import QItemSelection, QModelIndex, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from app import messages
from app.models.run_table import RunTableModel, figure_text, run_title
from app.pages.base import AppContext, Page
from app.pages.runs_compare import ComparePlot
from app.pages.runs_table import RunTable
from app.viewmodels.runs import CompareModel, RunListModel
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card
from app.widgets.empty_state import EmptyState
from app.widgets.form_row import FactList
from app.widgets.metric_plot import MetricPlot
from app.widgets.plot_export import free_path, save_png, save_svg
from core.runlog.index import RunSummary

_SIDE_PX = 264
_NARROW_PX = 1000
_JOBS = ("", "train", "serve", "fetch")


class RunsPage(Page):
    """The list of all runs."""

    page_id: ClassVar[str] = "runs"

    def __init__(self, ctx: AppContext) -> None:
        super().__init__(ctx)
        self.list = RunListModel(ctx.services, ctx.background, self)
        self.compare_model = CompareModel(ctx.services, ctx.bridge, self)
        self.table_model = RunTableModel()
        self.table = RunTable(self.table_model)
        self.filter = self.table.filter
        self._question: QMessageBox | None = None
        self._wanted: set[str] = set()
        self._make_actions()
        self._arrange()
        self._connect()

    # Widgets

    def _make_actions(self) -> None:
        self.open_button = self.add_action(Button(icon_name="open-in-app"))
        self.resume_button = self.add_action(Button(icon_name="play"))
        self.export_button = self.add_action(Button(icon_name="export-variant"))
        self.report_button = self.add_action(Button(icon_name="file-document-outline"))
        self.stop_button = self.add_action(Button(kind="danger", icon_name="stop"))
        self.delete_button = self.add_action(Button(kind="danger", icon_name="delete-outline"))

    def _arrange(self) -> None:
        self.search_line = QLineEdit()
        self.search_line.setClearButtonEnabled(True)
        self.job_box = QComboBox()
        for job in _JOBS:
            self.job_box.addItem("", job)
        tools = QHBoxLayout()
        tools.setSpacing(8)
        tools.addWidget(self.search_line, 1)
        tools.addWidget(self.job_box)
        table_card = Card()
        table_card.body.addWidget(self.table)
        table_card.body.setContentsMargins(0, 0, 0, 0)
        self.compare = ComparePlot(self.compare_model)
        self.details = Card()
        self.facts = FactList()
        self.details.body.addWidget(self.facts)
        side = QVBoxLayout()
        side.setSpacing(GAP)
        side.addWidget(self.compare.legend_card)
        side.addWidget(self.details)
        side.addStretch(1)
        side.setContentsMargins(0, 0, 0, 0)
        self._side = QWidget()
        self._side.setLayout(side)
        self._below = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._below.setSpacing(GAP)
        self._below.addWidget(self.compare, 1)
        self._below.addWidget(self._side)
        self._filled = QWidget()
        column = QVBoxLayout(self._filled)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addLayout(tools)
        column.addWidget(table_card, 3)
        column.addLayout(self._below, 4)
        self.empty = EmptyState("history")
        self.content.addWidget(self._filled, 1)
        self.content.addWidget(self.empty, 1)
        self._filled.setVisible(False)
        self.empty.setVisible(False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """On a narrow window legend and facts go under the plot."""
        super().resizeEvent(event)
        narrow = self.width() < _NARROW_PX
        directions = QBoxLayout.Direction
        self._below.setDirection(directions.TopToBottom if narrow else directions.LeftToRight)
        self._side.setMaximumWidth(16_777_215 if narrow else _SIDE_PX)
        self._side.setMinimumWidth(0 if narrow else _SIDE_PX)
        self.table.set_narrow(narrow)

    def _connect(self) -> None:
        self.list.listed.connect(self._listed)
        self.list.failed.connect(self.show_error)
        self.ctx.bridge.run_changed.connect(self._run_changed)
        self.search_line.textChanged.connect(self._search)
        self.job_box.currentIndexChanged.connect(self._search)
        self.table.selectionModel().selectionChanged.connect(self._selected)
        self.table.doubleClicked.connect(self._open_index)
        self.table.activated.connect(self._open_index)
        self.compare.export_requested.connect(self._export_plot)
        self.empty.button.clicked.connect(self._go_training)
        self.open_button.clicked.connect(self._open)
        self.resume_button.clicked.connect(self._resume)
        self.export_button.clicked.connect(self._export)
        self.report_button.clicked.connect(self._report)
        self.stop_button.clicked.connect(self._stop)
        self.delete_button.clicked.connect(self._ask_delete)
        self.ctx.theme.changed.connect(self.table_model.redraw)

    # Coming and going

    def on_shown(self, args: dict[str, object]) -> None:
        """Refresh; `run_id` selects one."""
        if run_id := args.get("run_id"):
            self._wanted = {str(run_id)}
        self.list.watch(True)
        self._selected()

    def on_hidden(self) -> None:
        """Nobody looks: ask no more, follow no run just for its curve."""
        self.list.watch(False)
        self.compare_model.release()

    def _listed(self, runs: list[RunSummary]) -> None:
        self.table_model.set_runs(runs)
        self._filled.setVisible(bool(runs))
        self.empty.setVisible(not runs)
        self._select_wanted()
        self._show_count()
        self._show_actions()
        self._show_details()

    def _select_wanted(self) -> None:
        if not self._wanted and self.table_model.runs and not self.selected_runs():
            # Screen readers need a current row, and only training runs have curves to show.
            self.table.setCurrentIndex(self.filter.index(self.table.first_row_of("train"), 0))
            return
        rows = [self.table_model.row_of(run_id) for run_id in self._wanted]
        self._wanted = set()
        for row in rows:
            if row >= 0:
                index = self.filter.mapFromSource(self.table_model.index(row, 0))
                self.table.selectRow(index.row())

    def _run_changed(self, view: object) -> None:
        """A run that begins or ends is worth a look at the list before the next turn."""
        if self.isVisible() and getattr(view, "finished", False):
            self.list.refresh()

    # Selection

    def selected_runs(self) -> list[RunSummary]:
        """What the user chose, in the order of the list."""
        rows = self.table.selectionModel().selectedRows()
        found = [self.table_model.run_at(self.filter.mapToSource(i).row()) for i in rows]
        return sorted(found, key=lambda r: r.created_utc)

    def _selected(
        self, _on: QItemSelection | None = None, _off: QItemSelection | None = None
    ) -> None:
        chosen = [r.run_id for r in self.selected_runs() if r.job == "train" and r.problem is None]
        if chosen != list(self.compare_model.views):
            errors = self.compare_model.choose(chosen)
            if errors:
                self.show_error(errors[0])
        self._show_actions()
        self._show_details()

    def _show_actions(self) -> None:
        runs = self.selected_runs()
        one = runs[0] if len(runs) == 1 else None
        self.open_button.setEnabled(one is not None and one.problem is None)
        self.resume_button.setVisible(one is not None and (one.resumable or _restartable(one)))
        self.export_button.setEnabled(bool(runs) and all(r.problem is None for r in runs))
        self.report_button.setVisible(one is not None and one.job == "train" and one.step > 0)
        living = {r.job for r in runs if r.alive}
        self.stop_button.setVisible(bool(living))
        stop = self.tr("Stop and save") if "train" in living else self.tr("Stop")
        self.stop_button.set_text(stop)
        self.delete_button.setVisible(bool(runs) and not any(r.alive for r in runs))

    def _show_details(self) -> None:
        runs = self.selected_runs()
        self.details.setVisible(bool(runs))
        if not runs:
            return
        if len(runs) > 1:
            self.details.set_title(self.tr("{count} runs chosen").format(count=len(runs)))
            self.facts.set_facts([])
            return
        self.details.set_title(self.tr("Details"))
        self.facts.set_facts(self._facts(runs[0]))

    def _facts(self, run: RunSummary) -> list[tuple[str, str]]:
        language = self.ctx.language.language
        if run.problem is not None:
            text = messages.error_text(run.problem, language)
            return [(self.tr("Problem"), text.message), (self.tr("Run"), run.run_id)]
        return [
            (self.tr("Name"), run_title(run)),
            (self.tr("Status"), messages.status_text(run.status, language)),
            (self.tr("Model"), Path(run.model).name),
            (self.tr("Data"), Path(run.data).name),
            (self.tr("Loss"), figure_text(run.last_loss)),
            (self.tr("Eval loss"), figure_text(run.last_eval_loss)),
            (self.tr("Alarms"), str(run.alarms) if run.job == "train" else ""),
            (self.tr("Adapter"), self.tr("saved") if run.adapter else ""),
            (self.tr("Run"), run.run_id),
        ]

    # Actions

    def _open_index(self, _index: QModelIndex) -> None:
        self._open()

    def _open(self) -> None:
        runs = self.selected_runs()
        if len(runs) != 1 or runs[0].problem is not None:
            return
        page = {"train": "train", "serve": "deploy", "fetch": "models"}.get(runs[0].job)
        if page:
            self.ctx.navigate(page, run_id=runs[0].run_id)

    def _resume(self) -> None:
        run = self.selected_runs()[0]
        if self.attempt(lambda: self.ctx.services.runs.resume(run.run_id)):
            self._open()

    def _stop(self) -> None:
        for run in self.selected_runs():
            if run.alive:
                self.attempt(partial(self._stop_one, run.run_id))

    def _stop_one(self, run_id: str) -> None:
        if run_id not in self.ctx.services.supervisor.attached:
            self.ctx.services.supervisor.attach(run_id)
        self.ctx.services.runs.stop(run_id)

    def _export(self) -> None:
        ids = [r.run_id for r in self.selected_runs()]
        service = self.ctx.services.runs
        self._later(lambda: [service.export_csv(i) for i in ids][-1], self._say_saved)

    def _report(self) -> None:
        run_id, service = self.selected_runs()[0].run_id, self.ctx.services.runs
        self._later(lambda: service.report(run_id), _open_path)

    def _later(self, work: Callable[[], Path], done: Callable[[Path], None]) -> None:
        self.ctx.background.run(self, work, done, self.show_error)

    def _export_plot(self, kind: str, plot: MetricPlot | None) -> None:
        if kind == "csv":
            self._export()
        elif runs := self.selected_runs():
            folder = self.ctx.services.home.runs / runs[-1].run_id / "exports"
            save = save_svg if kind == "svg" else save_png
            path = free_path(folder, f"compare-{self.compare.chosen_metric}", f".{kind}")
            self.attempt(lambda: self._say_saved(save(plot or self.compare.plot, path)))

    def _say_saved(self, path: Path) -> None:
        self.ctx.notify(
            self.tr("Saved {name}").format(name=path.name),
            "ok",
            action=self.tr("Open the folder"),
            on_action=lambda: _open_path(path.parent),
        )

    def _ask_delete(self) -> None:
        runs = self.selected_runs()
        box = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Warning)
        box.setWindowTitle(self.tr("Delete"))
        names = "\n".join(run_title(r) for r in runs[:5]) + ("\n…" if len(runs) > 5 else "")
        question = (
            self.tr("Delete this run for good?")
            if len(runs) == 1
            else self.tr("Delete {count} runs for good?").format(count=len(runs))
        )
        box.setText(f"{question}\n\n{names}")
        box.setInformativeText(
            self.tr("Adapters, checkpoints and curves go with them. This cannot be undone.")
        )
        delete = box.addButton(self.tr("Delete"), QMessageBox.ButtonRole.DestructiveRole)
        cancel = box.addButton(self.tr("Keep"), QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(cancel)
        delete.clicked.connect(self._delete)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._question = box
        box.open()

    def _delete(self) -> None:
        runs = self.selected_runs()
        self.compare_model.release()
        for run in runs:
            self.attempt(partial(self.ctx.services.runs.delete, run.run_id))
        self.list.refresh()

    def _go_training(self) -> None:
        self.ctx.navigate("train")

    # Texts

    def _search(self) -> None:
        self.filter.look_for(self.search_line.text(), str(self.job_box.currentData()))
        self._show_count()

    def _show_count(self) -> None:
        total, shown = len(self.table_model.runs), self.filter.rowCount()
        living = sum(r.alive for r in self.table_model.runs)
        if not total:
            self.set_facts(self.tr("Everything that was started, from any window or script."))
            return
        count = self.tr("{shown} of {total} runs").format(shown=shown, total=total)
        if shown == total:
            count = self.tr("1 run") if total == 1 else self.tr("{n} runs").format(n=total)
        self.set_facts(
            count,
            self.tr("{n} alive").format(n=living) if living else "",
            self.tr("select several to compare them"),
        )

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        self.set_title(self.tr("Runs"))
        self.open_button.set_text(self.tr("Open"))
        self.resume_button.set_text(self.tr("Resume"))
        self.export_button.set_text(self.tr("Export"), self.tr("All data as CSV"))
        self.report_button.set_text(self.tr("Report"))
        self.delete_button.set_text(self.tr("Delete"))
        self.search_line.setPlaceholderText(self.tr("Search name, model, data"))
        self.search_line.setAccessibleName(self.tr("Search runs"))
        kinds = [self.tr("All kinds"), self.tr("Training"), self.tr("API"), self.tr("Fetch")]
        for index, text in enumerate(kinds):
            self.job_box.setItemText(index, text)
        self.job_box.setAccessibleName(self.tr("Kind of run"))
        self.table.setAccessibleName(self.tr("All runs"))
        self.table_model.set_titles(self._titles())
        self.empty.set_texts(
            self.tr("No runs yet"),
            self.tr("Every training, server and download will be listed here with its curves."),
            self.tr("Train a model"),
        )
        self._show_count()
        self._show_actions()
        self._show_details()

    def _titles(self) -> dict[str, str]:
        return {
            "status": self.tr("Status"),
            "name": self.tr("Name"),
            "job": self.tr("Kind"),
            "model": self.tr("Model"),
            "data": self.tr("Data"),
            "steps": self.tr("Steps"),
            "loss": self.tr("Loss"),
            "eval_loss": self.tr("Eval loss"),
            "created": self.tr("Created"),
        }


def _restartable(run: RunSummary) -> bool:
    return run.job == "fetch" and not run.alive and run.status in ("stopped", "failed", "lost")


def _open_path(path: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))
