"""How a run ended and what to do with what it made."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app import messages
from app.i18n import LanguageManager
from app.text import duration_text
from app.viewmodels.train_result import Outcome, outcome_of
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.labels import label
from app.widgets.plot_ticks import format_value
from core.supervisor import RunView

_SMALL = ("report", "csv", "folder")
_NEEDS_RESULT = ("deploy", "chat", "merge")


class ResultCard(Card):
    """Hidden while the run lives."""

    action_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._shown: tuple[object, ...] = ()
        self._has_model = False
        self._sentence = label("", wrap=True)
        self._loss = label("", "strong", wrap=True)
        self._hint = label("", "warning", wrap=True)
        for shown in (self._sentence, self._loss, self._hint):
            self.body.addWidget(shown)
        self.buttons: dict[str, Button] = {
            "deploy": Button(kind="primary", icon_name="rocket-launch-outline"),
            "chat": Button(icon_name="message-text-outline"),
            "merge": Button(icon_name="set-merge"),
            "capsule": Button(icon_name="archive-outline"),
            "report": Button(kind="icon", icon_name="file-document-outline"),
            "csv": Button(kind="icon", icon_name="export-variant"),
            "folder": Button(kind="icon", icon_name="folder-open-outline"),
        }
        small = QHBoxLayout()
        small.addStretch(1)
        for name, button in self.buttons.items():
            button.setProperty("action", name)
            button.clicked.connect(self._clicked)
            (small if name in _SMALL else self.body).addWidget(button)
        small.addStretch(1)
        self.body.addLayout(small)
        self.setVisible(False)
        self._retranslate()

    def show_run(self, view: RunView) -> None:
        """Show the end of a run, or nothing while it goes on."""
        ended = view.finished and not view.alive
        self.setVisible(ended)
        if not ended:
            self._shown = ()
            return
        outcome = outcome_of(view)
        language = LanguageManager.current().language
        key = (view.run_id, outcome, view.status, view.series.last_step, language)
        if key != self._shown:
            self._shown = key
            self._show(view, outcome)

    def _show(self, view: RunView, outcome: Outcome) -> None:
        self.set_title(self._heading(view))
        self._sentence.setText(self._ended(view, outcome))
        self._loss.setText(self._change(outcome))
        self._hint.setText(self._advice(outcome))
        for shown in (self._loss, self._hint):
            shown.setVisible(bool(shown.text()))
        usable = outcome.has_adapter or outcome.has_model
        for name in _NEEDS_RESULT:
            self.buttons[name].setVisible(usable)
        self.buttons["merge"].setVisible(outcome.has_adapter)
        self._has_model = outcome.has_model
        self._retranslate()

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)

    def _retranslate(self) -> None:
        deploy = self.tr("Deploy this model") if self._has_model else self.tr("Deploy this adapter")
        texts = {
            "deploy": (deploy, ""),
            "chat": (self.tr("Chat with it"), ""),
            "merge": (
                self.tr("Merge or export"),
                self.tr("Write a whole model with the adapter in it, or the adapter alone"),
            ),
            "capsule": (
                self.tr("Save a capsule"),
                self.tr(
                    "Settings, hashes of data and model, versions, seeds and curves in one file, "
                    "which opens as a new run anywhere"
                ),
            ),
            "report": (self.tr("Open the report"), ""),
            "csv": (self.tr("Export all data"), ""),
            "folder": (self.tr("Open the folder"), ""),
        }
        for name, (text, tooltip) in texts.items():
            self.buttons[name].set_text(text, tooltip)

    def _heading(self, view: RunView) -> str:
        if view.status == "completed":
            return self.tr("Training is done")
        return self.tr("Training ended at step {step}").format(step=f"{view.series.last_step:,}")

    def _ended(self, view: RunView, outcome: Outcome) -> str:
        seconds = view.series.elapsed_s.last
        text = self.tr("{steps} steps in {time}.").format(
            steps=f"{view.series.last_step:,}",
            time=duration_text(seconds[1] if seconds else 0.0),
        )
        if outcome.has_model:
            return _joined(text, self.tr("The model is saved."))
        if outcome.has_adapter:
            return _joined(text, self.tr("The adapter is saved."))
        return _joined(text, self.tr("There is no adapter yet."))

    def _change(self, outcome: Outcome) -> str:
        first, last = outcome.first, outcome.last
        if first is None or last is None or first == last:
            return ""
        return self.tr("Eval loss {before} → {after}").format(
            before=format_value(first), after=format_value(last)
        )

    def _advice(self, outcome: Outcome) -> str:
        if not outcome.overfit or outcome.best is None:
            return ""
        text = self.tr(
            "The evaluation loss was lowest at step {step} ({best}) and rose again: the model "
            "began to learn the training data by heart."
        ).format(step=f"{outcome.best_step:,}", best=format_value(outcome.best))
        if outcome.best_checkpoint is not None:
            kept = self.tr("The checkpoint of step {step} is kept.")
            text = _joined(text, kept.format(step=f"{outcome.best_checkpoint:,}"))
        return text

    def _clicked(self) -> None:
        self.action_requested.emit(str(self.sender().property("action")))


def _joined(*sentences: str) -> str:
    return messages.sentences_text(sentences, LanguageManager.current().language)
