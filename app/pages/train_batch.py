"""The batch behind an alarm: its samples, and the text of the chosen one as the model reads it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QVBoxLayout, QWidget

from app import messages
from app.i18n import LanguageManager
from app.pages.train_batch_table import SampleTable, place_text
from app.widgets.card import GAP, Card
from app.widgets.labels import label
from app.widgets.plot_ticks import format_value
from app.widgets.swatch import Swatch
from app.widgets.trained_text import TrainedText
from core.runlog.evidence import BatchEvidence, EvidenceSample

_TEXT_LEAST_PX = 170


class BatchCard(Card):
    """Read only; what happens to the checked samples is asked for by the buttons of the page."""

    checked_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._evidence: BatchEvidence | None = None
        self._facts = label("", "muted", wrap=True)
        self._missing = label("", "muted", wrap=True)
        self.table = SampleTable()
        self.text = TrainedText()
        self._of = label("", "strong", wrap=True)
        self._trained_key, self._read_key = label("", "muted"), label("", "muted")
        self._split = QSplitter(Qt.Orientation.Horizontal)
        self._lay_out()
        self.table.current_changed.connect(self._show_sample)
        self.table.checked_changed.connect(self.checked_changed)
        self._retranslate()

    def _lay_out(self) -> None:
        key = QHBoxLayout()
        key.setSpacing(6)
        swatches = (Swatch("accent_background", "accent"), Swatch("card", "border_strong"))
        for swatch, words in zip(swatches, (self._trained_key, self._read_key), strict=True):
            key.addWidget(swatch)
            key.addWidget(words)
            key.addSpacing(8)
        key.addStretch(1)
        right = QVBoxLayout()
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(6)
        right.addWidget(self._of)
        right.addWidget(self.text, 1)
        right.addLayout(key)
        beside = QWidget()
        beside.setLayout(right)
        self.text.setMinimumHeight(_TEXT_LEAST_PX)
        self._split.setChildrenCollapsible(False)
        self._split.setHandleWidth(GAP)
        self._split.addWidget(self.table)
        self._split.addWidget(beside)
        self._split.setStretchFactor(0, 1)
        self._split.setStretchFactor(1, 1)
        for widget in (self._facts, self._missing):
            self.body.addWidget(widget)
        self.body.addWidget(self._split, 1)

    def show_batch(self, evidence: BatchEvidence, excluded: frozenset[int]) -> None:
        """A batch that was kept."""
        self._evidence = evidence
        self.table.show_batch(evidence, excluded)
        self._retranslate()

    def show_nothing(self, *, reading: bool = False) -> None:
        """None was kept, or it is being read."""
        self._evidence = None
        self._split.setVisible(False)
        self._facts.setVisible(False)
        self._missing.setText(
            self.tr("Reading the batch …")
            if reading
            else self.tr("No batch was kept for this alarm: it is not about single samples.")
        )
        self._missing.setVisible(True)

    @property
    def has_batch(self) -> bool:
        """There are samples to choose from."""
        return self._evidence is not None and bool(self._evidence.samples)

    def set_narrow(self, narrow: bool) -> None:
        """On a narrow page the text goes under the samples."""
        wanted = Qt.Orientation.Vertical if narrow else Qt.Orientation.Horizontal
        if self._split.orientation() != wanted:
            self._split.setOrientation(wanted)

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)

    def _retranslate(self) -> None:
        self.set_title(self.tr("The batch that did it"))
        self.text.setAccessibleName(self.tr("The sample as the model reads it"))
        self._trained_key.setText(self.tr("learned"))
        self._read_key.setText(self.tr("read only"))
        if self._evidence is None:
            self.show_nothing()
            return
        self._missing.setVisible(False)
        self._split.setVisible(True)
        self._facts.setVisible(True)
        self._facts.setText(self._facts_text(self._evidence))
        if (sample := self.table.current) is not None:
            self._show_sample(sample)

    def _facts_text(self, batch: BatchEvidence) -> str:
        text = self.tr(
            "Step {step}, epoch {epoch}: loss {loss}, gradient norm {norm}, learning rate {rate}."
        ).format(
            step=f"{batch.step:,}",
            epoch=f"{batch.epoch:.2f}",
            loss=format_value(batch.loss),
            norm=format_value(batch.grad_norm),
            rate=format_value(batch.learning_rate),
        )
        if batch.left_out:
            left = self.tr("{count} more samples are not listed.").format(count=batch.left_out)
            text = messages.sentences_text((text, left), LanguageManager.current().language)
        return text

    def _show_sample(self, sample: EvidenceSample) -> None:
        self._of.setText(
            self.tr("Sample {number} · {place}").format(
                number=sample.sample, place=place_text(sample)
            )
        )
        rest = self.tr("… {count} more characters").format(count=f"{sample.cut_chars:,}")
        self.text.show_pieces(sample.pieces, rest if sample.cut_chars else "")
