"""Look at samples as the model will read them, before anything is trained."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QHBoxLayout,
    QProgressBar,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from app import messages
from app.i18n import LanguageManager
from app.pages.base import AppContext
from app.texts.train_notes import train_note_text
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card
from app.widgets.form_row import FactList
from app.widgets.labels import label
from app.widgets.swatch import Swatch
from app.widgets.token_lengths import TokenLengths
from app.widgets.token_text import TokenText
from app.widgets.two_line_list import TwoLine, TwoLineList
from core.config.preview import PreviewSpec
from core.config.train import TrainSpec
from core.errors import AppError, ErrorInfo
from core.runlog.preview import Preview, PreviewSample
from core.supervisor import RunView

_PICKS = ("first", "random", "longest")
_COUNT = 12


class TokenDialog(QDialog):
    """Starts a preview worker and shows what it found; closing it ends the worker."""

    shown = Signal()
    """A preview, or why there is none, is on the screen."""

    def __init__(self, ctx: AppContext, spec: TrainSpec, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ctx = ctx
        self._spec = spec
        self._run_id = ""
        self._draw = 0
        self.preview: Preview | None = None
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.pick_box = QComboBox()
        for pick in _PICKS:
            self.pick_box.addItem("", pick)
        self.again_button = Button(kind="icon", icon_name="refresh")
        self.samples = TwoLineList()
        self.text = TokenText()
        self.lengths = TokenLengths()
        self.facts = FactList()
        self.problem = label("", "error", wrap=True)
        self.notes = label("", "body", wrap=True)
        self._sample_notes = label("", "muted", wrap=True)
        self._waiting = QProgressBar()
        self._waiting.setRange(0, 0)
        self._trained_key, self._read_key = label("", "muted"), label("", "muted")
        self._lengths_title = label("", "muted")
        self._lay_out()
        self._connect()
        self._retranslate()
        self.resize(1080, 680)
        self._ask()

    # Layout

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.pick_box)
        top.addWidget(self.again_button)
        top.addSpacing(16)
        for swatch, words in (
            (Swatch("accent_background", "accent"), self._trained_key),
            (Swatch("card", "border_strong"), self._read_key),
        ):
            top.addWidget(swatch)
            top.addWidget(words)
            top.addSpacing(8)
        top.addStretch(1)
        column = QVBoxLayout(self)
        column.setSpacing(GAP)
        column.addLayout(top)
        column.addWidget(self._waiting)
        column.addWidget(self.problem)
        column.addWidget(self._split(), 1)

    def _split(self) -> QSplitter:
        middle, side = QWidget(), Card()
        reading = QVBoxLayout(middle)
        reading.setContentsMargins(0, 0, 0, 0)
        reading.addWidget(self.text, 1)
        reading.addWidget(self._sample_notes)
        parts: tuple[QWidget, ...] = (self.facts, self._lengths_title, self.lengths, self.notes)
        for part in parts:
            side.body.addWidget(part)
        side.body.addStretch(1)
        self.split = QSplitter(Qt.Orientation.Horizontal)
        self.split.setHandleWidth(GAP)
        self.split.setChildrenCollapsible(False)
        for widget, stretch in ((self.samples, 2), (middle, 5), (side, 3)):
            self.split.addWidget(widget)
            self.split.setStretchFactor(self.split.count() - 1, stretch)
        return self.split

    def _connect(self) -> None:
        self.pick_box.activated.connect(self._ask)
        self.again_button.clicked.connect(self._ask)
        self.samples.chosen.connect(self._choose)
        self._ctx.bridge.run_changed.connect(self._run_changed)

    # The worker

    def _ask(self) -> None:
        self._draw += 1
        self.problem.setVisible(False)
        self._waiting.setVisible(True)
        self.split.setEnabled(False)
        pick = self.pick_box.currentData()
        try:
            spec = PreviewSpec.of(self._spec, pick=pick, count=_COUNT, seed=self._draw)
            self._run_id = self._ctx.services.preview.start(spec).run_id
        except AppError as e:
            self._say(e.info)

    def _run_changed(self, view: RunView) -> None:
        if view.run_id != self._run_id or view.alive:
            return
        if view.error is not None:
            self._say(view.error)
        elif view.finished:
            self._read()

    def _read(self) -> None:
        try:
            found = self._ctx.services.preview.result(self._run_id)
        except AppError as e:
            self._say(e.info)
            return
        if found is not None:
            self._show(found)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Nobody waits for the worker any more."""
        try:
            if self._run_id and self._ctx.services.supervisor.view(self._run_id).alive:
                self._ctx.services.supervisor.kill(self._run_id)
        except (AppError, KeyError):
            pass  # it has just ended by itself
        super().closeEvent(event)

    # What is shown

    def _say(self, error: ErrorInfo) -> None:
        text = messages.error_text(error, LanguageManager.current().language)
        self.problem.setText(f"{text.message} {text.hint}".strip())
        self.problem.setVisible(True)
        self._waiting.setVisible(False)
        self.shown.emit()

    def _show(self, preview: Preview) -> None:
        self.preview = preview
        self._waiting.setVisible(False)
        self.split.setEnabled(True)
        self._retranslate()
        self.samples.choose("0")
        self._choose("0")  # rows of the same ids are not announced again
        self.shown.emit()

    def _all(self) -> list[PreviewSample]:
        return [*self.preview.samples, *self.preview.dropped] if self.preview else []

    def _row(self, number: int, sample: PreviewSample) -> TwoLine:
        name = Path(sample.file).stem
        title = f"{name}:{sample.line}" if sample.line else name
        if sample.sample < 0:
            return TwoLine(str(number), title, self.tr("left out"), "alert-outline", "warning")
        words = self.tr("{trained} of {tokens} tokens").format(
            trained=sample.target_tokens, tokens=sample.tokens
        )
        return TwoLine(str(number), title, words, "text-box-outline")

    def _choose(self, row_id: str) -> None:
        found = self._all()
        sample = found[int(row_id)] if row_id else None
        self.text.show_sample(sample)
        language = LanguageManager.current().language
        notes = [train_note_text(f, language) for f in sample.findings] if sample else []
        self._sample_notes.setText("\n".join(notes))
        self._sample_notes.setVisible(bool(notes))

    # Texts

    def _retranslate(self) -> None:
        self.setWindowTitle(self.tr("What the model will read"))
        words = (self.tr("First samples"), self.tr("Random samples"), self.tr("Longest samples"))
        for index, text in enumerate(words):
            self.pick_box.setItemText(index, text)
        self.pick_box.setAccessibleName(self.tr("Which samples"))
        self.again_button.set_text(self.tr("Choose others"))
        self.samples.setAccessibleName(self.tr("Samples"))
        self.text.setAccessibleName(self.tr("Text of the sample, token by token"))
        self._trained_key.setText(self.tr("learned"))
        self._read_key.setText(self.tr("only read"))
        self._lengths_title.setText(self.tr("Lengths in tokens"))
        if self.preview is not None:
            self._tell(self.preview)

    def _tell(self, preview: Preview) -> None:
        self.facts.set_facts(self._facts(preview))
        self.samples.set_rows([self._row(i, sample) for i, sample in enumerate(self._all())])
        summary = self.tr("Longest {longest} tokens, limit {limit}; {cut} samples are cut").format(
            longest=preview.longest_tokens, limit=preview.limit_tokens, cut=preview.cut_count
        )
        self.lengths.show_lengths(preview.lengths, preview.limit_tokens, summary)
        language = LanguageManager.current().language
        notes = [train_note_text(f, language) for f in preview.findings]
        self.notes.setText("\n\n".join(notes))
        self.notes.setVisible(bool(notes))

    def _facts(self, preview: Preview) -> list[tuple[str, str]]:
        template = {
            "own": self.tr("the model's own"),
            "fallback": self.tr("DeepSeek-LLM's (the model has none)"),
        }.get(preview.template, self.tr("none, plain text"))
        more = "" if preview.complete else "+"
        facts = [
            (self.tr("Samples"), f"{preview.sample_count:,}{more}"),
            (self.tr("Left out"), f"{preview.dropped_count:,}" if preview.dropped_count else ""),
            (self.tr("Learned"), f"{preview.trained_share:.0%}"),
            (self.tr("Longest"), self.tr("{count} tokens").format(count=preview.longest_tokens)),
            (self.tr("Cut"), f"{preview.cut_count:,}" if preview.cut_count else ""),
            (self.tr("Template"), template),
        ]
        if preview.packing.rows:
            share = self.tr("{share} full, {padded} without").format(
                share=f"{preview.packing.share:.0%}", padded=f"{preview.packing.share_padded:.0%}"
            )
            facts.append((self.tr("Packing"), share))
        if preview.target_modules:
            facts.append((self.tr("Adapters on"), ", ".join(preview.target_modules)))
        return facts

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)
