"""Data: the bundled dataset and the user's: splits, counts, first samples, what is wrong."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from app import messages
from app.pages.base import AppContext, Page
from app.pages.model_details import two_columns
from app.text import count_text, size_text
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card, clear_layout
from app.widgets.conversation import SampleCard
from app.widgets.labels import ElidedLabel, label
from app.widgets.notice_card import ErrorCard
from app.widgets.scroll_column import ScrollColumn
from app.widgets.stat_strip import StatStrip
from app.widgets.two_line_list import TwoLine, TwoLineList
from core.datasets import DataReport, Dataset, Sample, open_dataset, read_samples, validate
from core.errors import AppError, ErrorInfo
from core.paths import BUNDLED_DATASETS

_LIST_WIDTH = 290
_SAMPLES = 6
_KINDS = "*.jsonl *.json *.csv *.tsv *.txt"


@dataclass(frozen=True)
class Opened:
    """A dataset with its first samples by split and what a check found."""

    dataset: Dataset
    samples: dict[str, tuple[Sample, ...]]
    report: DataReport


def look_into(path: Path) -> Opened:
    """Open, read the first samples of each split, check; slow for large files.

    Raises:
        UsageError: `data.*`.
    """
    dataset = open_dataset(path)
    splits = {"train": dataset.train, **dataset.evals}
    samples: dict[str, tuple[Sample, ...]] = {}
    for split, files in splits.items():
        # One or two of each file, so that every category is seen.
        share = max(1, _SAMPLES // max(1, len(files)))
        found: list[Sample] = []
        for file in files:
            found += _first_samples(file, share)
        samples[split] = tuple(found[:_SAMPLES])
    return Opened(dataset, samples, validate(dataset))


def _first_samples(file: object, count: int) -> list[Sample]:
    try:
        return list(itertools.islice(read_samples(file), count))  # type: ignore[arg-type]
    except AppError:  # the check names the line
        return []


class DataPage(Page):
    """Folders and files that the user added are remembered in the settings."""

    page_id = "data"

    def __init__(self, ctx: AppContext) -> None:
        super().__init__(ctx)
        self._opened: dict[str, Opened] = {}
        self._errors: dict[str, ErrorInfo] = {}
        self._reading: set[str] = set()
        self.dialog: QFileDialog | None = None
        self.folder_button = self.add_action(Button(icon_name="folder-plus-outline"))
        self.file_button = self.add_action(Button(icon_name="file-plus-outline"))
        self.train_button = self.add_action(Button(kind="primary", icon_name="chart-line"))
        self.list = TwoLineList()
        self._list_card = Card()
        self._list_card.body.addWidget(self.list)
        self.strip = StatStrip(["train", "eval", "size", "licence"])
        self.problem = ErrorCard()
        self._more_problems = label("", "warning", wrap=True)
        self.split_box = QComboBox()
        self.split_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self._samples_card = Card()
        self._samples = QVBoxLayout()
        self._samples.setSpacing(8)
        self._later = label("", "muted", wrap=True)
        self.forget_button = Button(kind="link")
        self._path_label = ElidedLabel("", "muted", Qt.TextElideMode.ElideMiddle)
        self._build()
        self._connect()

    def _build(self) -> None:
        right, scroll = QWidget(), ScrollColumn()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addWidget(self.strip)
        column.addWidget(self.problem)
        column.addWidget(self._more_problems)
        self._samples_card.title_row.addWidget(self.split_box)
        self._samples_card.body.addLayout(self._samples)
        column.addWidget(self._samples_card)
        line = QHBoxLayout()
        line.addWidget(self._path_label, 1)
        line.addWidget(self.forget_button)
        column.addLayout(line)
        column.addWidget(self._later)
        column.addStretch(1)
        scroll.set_column(right)  # the list stays while the samples scroll
        self.content.addLayout(two_columns(self._list_card, scroll, _LIST_WIDTH), 1)

    def _connect(self) -> None:
        self.list.chosen.connect(self._chosen)
        self.split_box.currentIndexChanged.connect(self._split_chosen)
        self.folder_button.clicked.connect(self._choose_folder)
        self.file_button.clicked.connect(self._choose_file)
        self.train_button.clicked.connect(self._train)
        self.forget_button.clicked.connect(self._forget)

    def on_shown(self, args: dict[str, object]) -> None:
        """Read the list anew."""
        self._opened.clear()
        self._errors.clear()
        self._show_rows()
        if path := args.get("data"):
            self.list.choose(str(path))
        self._show_chosen()

    def retranslate(self) -> None:
        """Every text of the page."""
        self.set_title(self.tr("Data"))
        self.set_facts(self.tr("What a model learns from, and what it is measured on."))
        self._list_card.set_title(self.tr("Datasets"))
        self.list.setAccessibleName(self.tr("Datasets"))
        self.folder_button.set_text(
            self.tr("Add folder…"), self.tr("A folder with train/ and eval/, or with files")
        )
        self.file_button.set_text(self.tr("Add file…"))
        self.train_button.set_text(self.tr("Fine-tune with this"))
        self.forget_button.set_text(
            self.tr("Take off the list"), self.tr("The files stay where they are")
        )
        self.strip.set_caption("train", self.tr("Training samples"))
        self.strip.set_caption("eval", self.tr("Evaluation samples"))
        self.strip.set_caption("size", self.tr("Size"))
        self.strip.set_caption("licence", self.tr("License"))
        self.strip.progress_bar.setAccessibleName(self.tr("Reading"))
        self._samples_card.set_title(self.tr("First samples"))
        self.split_box.setAccessibleName(self.tr("Split"))
        self.split_box.setToolTip(self.tr("Which part of the dataset to show"))
        self._later.setText(
            self.tr(
                "Cleaning, labeling and augmentation will come to this page. DeepDeck reads "
                "JSON Lines, JSON, CSV, TSV and plain text, and never changes your files."
            )
        )
        self._show_rows()
        self._show_chosen()

    @property
    def paths(self) -> list[Path]:
        """The bundled dataset, those of the home, those that the user added."""
        found = [path for path in BUNDLED_DATASETS if path.is_dir()]
        made = self.ctx.services.home.datasets
        if made.is_dir():
            found += sorted(p for p in made.iterdir() if not p.name.startswith("."))
        return found + [Path(p) for p in self.ctx.settings.value.data_paths]

    def add(self, path: Path) -> None:
        """Remember a folder or file; it stays where it is."""
        known = self.ctx.settings.value.data_paths
        if str(path) not in known and path not in self.paths:
            self.ctx.settings.change(data_paths=(*known, str(path)))
        self._show_rows()
        self.list.choose(str(path))

    # what is shown

    def _show_rows(self) -> None:
        self.list.set_rows([self._row(path) for path in self.paths])

    def _row(self, path: Path) -> TwoLine:
        key = str(path)
        kind = self.tr("bundled") if path in BUNDLED_DATASETS else self.tr("added by you")
        if key in self._errors:
            return TwoLine(
                key, path.name, self.tr("cannot be read"), "alert-circle-outline", "error"
            )
        opened = self._opened.get(key)
        if opened is not None:
            count = count_text(sum(opened.dataset.counts.values()))
            samples = self.tr("{count} samples").format(count=count)
            kind = f"{kind} • {samples}"
        return TwoLine(key, path.stem, kind, "database-outline")

    def _chosen(self, _path: str) -> None:
        self._show_chosen()

    def _show_chosen(self) -> None:
        key = self.list.chosen_id
        if not key:
            return
        self._path_label.set_full_text(key)
        self.forget_button.setVisible(key in self.ctx.settings.value.data_paths)
        opened, error = self._opened.get(key), self._errors.get(key)
        if opened is None and error is None:
            self._read(key)
        self._show_opened(opened)
        self._show_problems(opened, error)
        self.train_button.setEnabled(opened is not None)

    def _read(self, key: str) -> None:
        if key not in self._reading:
            self._reading.add(key)
            self.ctx.background.run(
                self,
                lambda: look_into(Path(key)),
                lambda opened: self._was_read(key, opened, None),
                lambda error: self._was_read(key, None, error),
            )

    def _was_read(self, key: str, opened: Opened | None, error: ErrorInfo | None) -> None:
        self._reading.discard(key)
        if opened is not None:
            self._opened[key] = opened
        if error is not None:
            self._errors[key] = error
        self._show_rows()
        if key == self.list.chosen_id:
            self._show_chosen()

    def _show_opened(self, opened: Opened | None) -> None:
        reading = self.list.chosen_id in self._reading
        self.strip.set_progress(None, visible=reading)
        self._samples_card.setVisible(opened is not None)
        counts = opened.dataset.counts if opened else {}
        train = counts.get("train", 0)
        self.strip.set_value("train", count_text(train) if opened else "")
        evals = sum(n for split, n in counts.items() if split != "train")
        self.strip.set_value("eval", count_text(evals) if opened else "")
        self.strip.set_value("size", size_text(opened.dataset.size_bytes) if opened else "")
        licence = opened.dataset.licence if opened else ""
        mixed = licence.startswith("LicenseRef-mixed")  # SPDX's way to name a license of its own
        self.strip.set_value("licence", self.tr("mixed") if mixed else licence.split(":")[0])
        self.strip.setToolTip(licence)
        self._fill_splits(opened)

    def _fill_splits(self, opened: Opened | None) -> None:
        before = self.split_box.currentData()
        self.split_box.blockSignals(True)
        self.split_box.clear()
        for split, count in opened.dataset.counts.items() if opened else ():
            name = messages.split_text(split, self.ctx.language.language)
            self.split_box.addItem(f"{name} • {count_text(count)}", split)
        self.split_box.setCurrentIndex(max(0, self.split_box.findData(before)))
        self.split_box.blockSignals(False)
        self._split_chosen(0)

    def _split_chosen(self, _index: int) -> None:
        clear_layout(self._samples)
        opened = self._opened.get(self.list.chosen_id)
        split = self.split_box.currentData()
        if opened is None or split is None:
            return
        for number, sample in enumerate(opened.samples.get(split, ()), start=1):
            self._samples.addWidget(SampleCard(sample, number))

    def _show_problems(self, opened: Opened | None, error: ErrorInfo | None) -> None:
        problems = list(opened.report.problems) if opened else []
        first = error or (problems[0] if problems else None)
        if first is None:
            self.problem.clear()
        else:
            self.problem.show_error(first)
        more = len(problems) - 1
        self._more_problems.setVisible(more > 0)
        self._more_problems.setText(
            self.tr("Lines with a problem beside this one: {count}").format(count=more)
        )

    # what can be done

    def _train(self) -> None:
        self.ctx.navigate("train", data=self.list.chosen_id)

    def _forget(self) -> None:
        key = self.list.chosen_id
        kept = tuple(p for p in self.ctx.settings.value.data_paths if p != key)
        self.ctx.settings.change(data_paths=kept)
        self._show_rows()
        self._show_chosen()

    def _choose_folder(self) -> None:
        dialog = QFileDialog(self, self.tr("Add a dataset folder"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        self._open_dialog(dialog)

    def _choose_file(self) -> None:
        dialog = QFileDialog(self, self.tr("Add a data file"))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilter(self.tr("Data files ({kinds})").format(kinds=_KINDS))
        self._open_dialog(dialog)

    def _open_dialog(self, dialog: QFileDialog) -> None:
        dialog.fileSelected.connect(self._path_chosen)
        dialog.finished.connect(dialog.deleteLater)
        self.dialog = dialog
        dialog.open()

    def _path_chosen(self, path: str) -> None:
        self.add(Path(path))
