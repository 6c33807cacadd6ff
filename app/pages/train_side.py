"""The cards beside the plots: what needs a person, what the model says, what comes next."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from app import messages
from app.i18n import LanguageManager
from app.pages.train_alarm_texts import AlarmWords
from app.text import duration_text
from app.widgets.buttons import Button
from app.widgets.card import Card, clear_layout
from app.widgets.labels import label
from app.widgets.notice_card import AlarmCard
from app.widgets.plot_ticks import format_value
from core.protocol.events import AlarmRaised, SampleGenerated
from core.runlog.state import RunState
from core.supervisor import RunView

_LISTED_ROWS = 6
_ROW_PX = 28
_MOST_CHARACTERS = 360
_STEP_ROLE = Qt.ItemDataRole.UserRole


class AlarmsCard(QWidget):
    """The newest alarm in words, all of them as a list; a click jumps to the step."""

    step_chosen = Signal(int)
    opened = Signal(int)
    """Show this one with its batch, by its place in the run."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._alarms: tuple[AlarmRaised, ...] = ()
        self._state = RunState()
        self._words = AlarmWords(self)
        self._newest: AlarmCard | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(8)
        self._list_card = Card()
        self.list = QListWidget()
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.itemClicked.connect(self._chosen)
        self.list.itemActivated.connect(self._chosen)
        self._quiet = label("", "muted", wrap=True)
        self._list_card.body.addWidget(self._quiet)
        self._list_card.body.addWidget(self.list)
        self._column.addWidget(self._list_card)
        self._retranslate()

    def show_alarms(self, state: RunState) -> None:
        """All alarms so far, oldest first, and what was done about them."""
        same = state.alarms == self._alarms and state.rollbacks == self._state.rollbacks
        self._state = state
        if not same:
            self._alarms = state.alarms
            self._build()

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)

    def _retranslate(self) -> None:
        self._quiet.setText(self.tr("None so far. Loss, gradients and progress are watched."))
        self.list.setAccessibleName(self.tr("Alarms; Enter shows the step on the plots"))
        self._build()

    def _build(self) -> None:
        if self._newest is not None:
            self._newest.hide()
            self._newest.deleteLater()
            self._newest = None
        self._list_card.set_title(
            self.tr("Alarms ({count})").format(count=len(self._alarms))
            if self._alarms
            else self.tr("Alarms")
        )
        self._quiet.setVisible(not self._alarms)
        self.list.setVisible(len(self._alarms) > 1)
        self._list_card.setVisible(len(self._alarms) != 1)
        self._fill_list()
        if self._alarms:
            self._show_newest(self._alarms[-1])

    def _show_newest(self, alarm: AlarmRaised) -> None:
        self._newest = AlarmCard(alarm, self._words.done(alarm, self._state))
        see = Button(icon_name="magnify")
        see.set_text(
            self.tr("See the batch") if alarm.evidence else self.tr("Details"),
            self.tr("What was seen, why, and what can be done"),
        )
        see.clicked.connect(self._open_clicked)
        show = Button(kind="icon", icon_name="crosshairs")
        show.set_text(self.tr("Show step {step}").format(step=f"{alarm.step:,}"))
        show.clicked.connect(self._show_clicked)
        self._newest.add_button(see)
        self._newest.add_button(show)
        self._column.insertWidget(0, self._newest)

    def _fill_list(self) -> None:
        language = LanguageManager.current().language
        self.list.clear()
        for alarm in reversed(self._alarms):
            title = messages.alarm_text(alarm, language).title
            text = self.tr("Step {step}: {title}").format(step=f"{alarm.step:,}", title=title)
            item = QListWidgetItem(text)
            item.setToolTip(messages.alarm_text(alarm, language).message)
            item.setData(_STEP_ROLE, alarm.step)
            self.list.addItem(item)
        rows = min(_LISTED_ROWS, max(1, len(self._alarms)))
        self.list.setFixedHeight(rows * _ROW_PX + 6)
        if self.list.count():
            self.list.setCurrentRow(0)

    def _show_clicked(self) -> None:
        if self._alarms:
            self.step_chosen.emit(self._alarms[-1].step)

    def _open_clicked(self) -> None:
        self.opened.emit(len(self._alarms) - 1)

    def _chosen(self, item: QListWidgetItem) -> None:
        self.step_chosen.emit(int(item.data(_STEP_ROLE)))


class SamplesCard(Card):
    """The same question before and after: what training does to the answers."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._samples: tuple[SampleGenerated, ...] = ()
        self._rows = QVBoxLayout()
        self._rows.setSpacing(6)
        self.body.addLayout(self._rows)
        self._retranslate()

    def show_samples(self, samples: tuple[SampleGenerated, ...]) -> None:
        """All answers so far."""
        if samples != self._samples:
            self._samples = samples
            self._build()

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)

    def _retranslate(self) -> None:
        self.set_title(self.tr("Answers"))
        self._build()

    def _build(self) -> None:
        clear_layout(self._rows)
        self.setVisible(bool(self._samples))
        for prompt in dict.fromkeys(s.prompt for s in self._samples):
            answers = [s for s in self._samples if s.prompt == prompt]
            self._rows.addWidget(label(prompt, "strong", wrap=True))
            self._add_answer(answers[0])
            if len(answers) > 1:
                self._add_answer(answers[-1])

    def _add_answer(self, sample: SampleGenerated) -> None:
        caption = (
            self.tr("After step {step}").format(step=f"{sample.step:,}")
            if sample.step
            else self.tr("Before training")
        )
        self._rows.addWidget(label(caption, "muted"))
        whole = sample.answer.strip()
        short = whole if len(whole) <= _MOST_CHARACTERS else whole[:_MOST_CHARACTERS] + "…"
        shown = label(short or self.tr("(no answer)"), wrap=True)
        shown.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        shown.setToolTip(whole if short != whole else "")
        self._rows.addWidget(shown)


class ResultCard(Card):
    """How it ended and what to do with it. Hidden while the run lives."""

    action_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._shown: tuple[object, ...] = ()
        self._sentence = label("", wrap=True)
        self._loss = label("", "strong", wrap=True)
        self.body.addWidget(self._sentence)
        self.body.addWidget(self._loss)
        self.buttons: dict[str, Button] = {
            "deploy": Button(kind="primary", icon_name="rocket-launch-outline"),
            "chat": Button(icon_name="message-text-outline"),
            "report": Button(icon_name="file-document-outline"),
            "csv": Button(icon_name="export-variant"),
            "folder": Button(icon_name="folder-open-outline"),
        }
        for name, button in self.buttons.items():
            button.setProperty("action", name)
            button.clicked.connect(self._clicked)
            self.body.addWidget(button)
        self.setVisible(False)
        self._retranslate()

    def show_run(self, view: RunView, first_eval: float | None, last_eval: float | None) -> None:
        """Show the end of a run, or nothing while it goes on."""
        ended = view.finished and not view.alive
        has_adapter = view.run.adapter.is_dir() if ended else False
        key = (ended, has_adapter, view.status, view.series.last_step, first_eval, last_eval)
        language = LanguageManager.current().language
        if (*key, language) == self._shown:
            return
        self._shown = (*key, language)
        self.setVisible(ended)
        if not ended:
            return
        self.set_title(self._heading(view))
        self._sentence.setText(self._ended(view, has_adapter=has_adapter))
        self._loss.setText(self._change(first_eval, last_eval))
        self._loss.setVisible(bool(self._loss.text()))
        self.buttons["deploy"].setVisible(has_adapter)
        self.buttons["chat"].setVisible(has_adapter)

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)

    def _retranslate(self) -> None:
        texts = {
            "deploy": self.tr("Deploy this adapter"),
            "chat": self.tr("Chat with it"),
            "report": self.tr("Open the report"),
            "csv": self.tr("Export all data"),
            "folder": self.tr("Open the folder"),
        }
        for name, text in texts.items():
            self.buttons[name].set_text(text)

    def _heading(self, view: RunView) -> str:
        if view.status == "completed":
            return self.tr("Training is done")
        return self.tr("Training ended at step {step}").format(step=f"{view.series.last_step:,}")

    def _ended(self, view: RunView, *, has_adapter: bool) -> str:
        seconds = view.series.elapsed_s.last
        text = self.tr("{steps} steps in {time}.").format(
            steps=f"{view.series.last_step:,}",
            time=duration_text(seconds[1] if seconds else 0.0),
        )
        if has_adapter:
            return text + " " + self.tr("The adapter is saved.")
        return text + " " + self.tr("There is no adapter yet.")

    def _change(self, first: float | None, last: float | None) -> str:
        if first is None or last is None or first == last:
            return ""
        return self.tr("Eval loss {before} → {after}").format(
            before=format_value(first), after=format_value(last)
        )

    def _clicked(self) -> None:
        self.action_requested.emit(str(self.sender().property("action")))
