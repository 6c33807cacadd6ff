"""The same questions over and over: what training does to the answers."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QSlider, QVBoxLayout, QWidget

from app.widgets.card import Card, clear_layout
from app.widgets.labels import label
from core.protocol.events import SampleGenerated

_MOST_CHARACTERS = 360


class SamplesCard(Card):
    """A slider over the evaluations; under each answer the one from before training.

    Follows the newest answers until somebody moves the slider back.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._samples: tuple[SampleGenerated, ...] = ()
        self._steps: list[int] = []
        self._follows = True
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setPageStep(1)
        self.slider.valueChanged.connect(self._moved)
        self._rows = QVBoxLayout()
        self._rows.setSpacing(6)
        self.body.addWidget(self.slider)
        self.body.addLayout(self._rows)
        self._retranslate()

    def show_samples(self, samples: tuple[SampleGenerated, ...]) -> None:
        """All answers so far."""
        if samples == self._samples:
            return
        another = not samples or not self._samples or samples[0] != self._samples[0]
        self._follows = self._follows or another
        self._samples = samples
        self._steps = sorted({s.step for s in samples})
        self._set_range()
        self._build()

    @property
    def step(self) -> int:
        """Whose answers are shown."""
        place = self.slider.value()
        return self._steps[place] if place < len(self._steps) else 0

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)

    def _set_range(self) -> None:
        last = max(0, len(self._steps) - 1)
        self.slider.blockSignals(True)
        self.slider.setRange(0, last)
        if self._follows:
            self.slider.setValue(last)
        self.slider.blockSignals(False)
        self.slider.setVisible(last > 0)

    def _moved(self, place: int) -> None:
        self._follows = place == self.slider.maximum()
        self._build()

    def _retranslate(self) -> None:
        self.slider.setAccessibleName(self.tr("Step whose answers are shown"))
        self.slider.setToolTip(self.tr("Answers at each evaluation"))
        self._build()

    def _build(self) -> None:
        clear_layout(self._rows)
        self.setVisible(bool(self._samples))
        if not self._samples:
            return
        self.set_title(self._title())
        for prompt in dict.fromkeys(s.prompt for s in self._samples):
            self._add_question(prompt)

    def _title(self) -> str:
        if self.step == self._steps[0] == 0:
            return self.tr("Answers before training")
        return self.tr("Answers at step {step}").format(step=f"{self.step:,}")

    def _add_question(self, prompt: str) -> None:
        answers = {s.step: s for s in self._samples if s.prompt == prompt}
        self._rows.addWidget(label(prompt, "strong", wrap=True))
        if self.step in answers:
            self._rows.addWidget(self._answer(answers[self.step], "body"))
        first = answers[min(answers)]
        if first.step < self.step:
            self._rows.addWidget(label(self.tr("Before training"), "muted"))
            self._rows.addWidget(self._answer(first, "muted"))

    def _answer(self, sample: SampleGenerated, role: str) -> QWidget:
        whole = sample.answer.strip()
        short = whole if len(whole) <= _MOST_CHARACTERS else whole[:_MOST_CHARACTERS] + "…"
        text = short or self.tr("(no answer)")
        shown = label(text, "muted" if role == "muted" else "body", wrap=True)
        shown.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        shown.setToolTip(whole if short != whole else "")
        return shown
