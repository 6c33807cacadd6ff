"""All alarms of a run: what was seen, why, what was done, and the batch behind each."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app import messages
from app.background import Background
from app.i18n import LanguageManager
from app.pages.train_alarm_texts import ICONS, AlarmWords
from app.pages.train_batch import BatchCard
from app.pages.train_finding_words import finding_text
from app.theme.tokens import Tone
from app.viewmodels.train_alarms import Remedy, is_paused, remedies
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card
from app.widgets.flow_row import FlowRow
from app.widgets.labels import label
from app.widgets.scroll_column import ScrollColumn
from app.widgets.two_line_list import TwoLine, TwoLineList
from core.errors import ErrorInfo
from core.protocol.events import AlarmRaised
from core.runlog.evidence import BatchEvidence, read_evidence
from core.supervisor import RunView

_LEFT_PX = 308
_NARROW_PX = 1000
_LEAST_PX = 470
_LISTED_ROWS = 4
_ROW_PX = 54
_REMEDIES: tuple[Remedy, ...] = ("exclude", "roll_back", "lower_rate", "continue", "stop")
TONES: dict[str, Tone] = {"note": "neutral", "warning": "warning", "error": "error"}


class StoryCard(Card):
    """What was seen, what the guard did, what was found, in this order."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._words = AlarmWords(self)
        self.heading = label("", "heading", wrap=True)
        self.seen = label("", wrap=True)
        self.done = label("", "strong", wrap=True)
        self.found_title = label("", "muted")
        self.found = label("", wrap=True)
        self.hint = label("", "muted", wrap=True)
        for shown in (self.heading, self.seen, self.done, self.found_title, self.found, self.hint):
            shown.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self.body.addWidget(shown)

    def show_alarm(self, alarm: AlarmRaised, view: RunView) -> None:
        """Tell one alarm in the language that is on."""
        language = LanguageManager.current().language
        text = messages.alarm_text(alarm, language)
        self.set_surface("error" if alarm.severity == "error" else "warning")
        heading = self.tr("Step {step} · {title}")
        found = [finding_text(finding, language) for finding in alarm.diagnosis]
        self.heading.setText(heading.format(step=f"{alarm.step:,}", title=text.title))
        self.found_title.setText(self.tr("What was found, most telling first"))
        parts = (
            (self.seen, text.message),
            (self.done, self._words.done(alarm, view.state)),
            (self.found, _numbered(found)),
            (self.hint, "" if alarm.action == "rollback" else text.hint),  # it is done
        )
        for shown, words in parts:
            shown.setText(words)
            shown.setVisible(bool(words))
        self.found_title.setVisible(bool(found))


class AlarmView(QWidget):
    """Lies over the plots while it is open; the header with its buttons stays."""

    closed = Signal()
    step_chosen = Signal(int)
    remedy_chosen = Signal(str, object)
    """(Remedy, numbers of the checked samples)."""

    def __init__(self, background: Background, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._background = background
        self._words = AlarmWords(self)
        self._view: RunView | None = None
        self._waiting = False
        self._alarm: AlarmRaised | None = None
        self._listed: tuple[object, ...] = ()
        self.list = TwoLineList()
        self.story = StoryCard()
        self.batch = BatchCard()
        self.back_button = Button(icon_name="arrow-left")
        self.show_button = Button(icon_name="crosshairs")
        self.buttons: dict[Remedy, Button] = {
            r: Button(kind="danger" if r == "stop" else "secondary", icon_name=ICONS[r])
            for r in _REMEDIES
        }
        self._lay_out()
        self._connect()
        self.retranslate()

    def _lay_out(self) -> None:
        self._actions = FlowRow(8)
        for button in self.buttons.values():
            self._actions.add(button)
        self._list_card = Card()
        self._list_card.body.addWidget(self.list)
        self._list_card.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        told = QWidget()
        column = QVBoxLayout(told)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addWidget(self._list_card)
        column.addWidget(self.story)
        column.addStretch(1)
        left = ScrollColumn()
        left.setFixedWidth(_LEFT_PX)
        left.set_column(told)
        right = QVBoxLayout()
        right.setSpacing(GAP)
        right.addWidget(self._actions)
        right.addWidget(self.batch, 1)
        below = QHBoxLayout()
        below.setSpacing(GAP)
        below.addWidget(left)
        below.addLayout(right, 1)
        top = QHBoxLayout()
        top.addWidget(self.back_button)
        top.addStretch(1)
        top.addWidget(self.show_button)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(GAP)
        outer.addLayout(top)
        outer.addLayout(below, 1)
        self.setMinimumHeight(_LEAST_PX)

    def _connect(self) -> None:
        self.list.chosen.connect(self._chosen)
        self.back_button.clicked.connect(self.closed)
        self.show_button.clicked.connect(self._show_step)
        self.batch.checked_changed.connect(self._show_actions)
        for remedy, button in self.buttons.items():
            button.clicked.connect(partial(self._ask, remedy))

    # What is shown

    def show_run(self, view: RunView, *, waiting: bool) -> None:
        """The newest view of the run."""
        self._view, self._waiting = view, waiting
        self._show_list(view)
        self.batch.table.show_excluded(view.state.excluded)
        if self._alarm is not None:
            self.story.show_alarm(self._alarm, view)
        self._show_actions()

    def open_alarm(self, index: int) -> None:
        """Show one alarm by its place in the run, the first is 0."""
        self.list.choose(str(index))
        self._chosen(str(index))
        self.list.setFocus()

    def set_room(self, width: int) -> None:
        """The page is so many pixels wide."""
        self.batch.set_narrow(width - _LEFT_PX < _NARROW_PX)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape leads back."""
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Arrange for the width that there is."""
        super().resizeEvent(event)
        self.set_room(self.width())

    def _show_list(self, view: RunView) -> None:
        language = LanguageManager.current().language
        key = (view.run_id, view.state.alarms, view.state.rollbacks, language)
        if key == self._listed:
            return
        self._listed = key
        self.list.set_rows(
            [self._row(n, a, view) for n, a in reversed(list(enumerate(view.state.alarms)))]
        )
        rows = min(_LISTED_ROWS, max(1, len(view.state.alarms)))
        self.list.setFixedHeight(rows * _ROW_PX + 6)
        self._list_card.set_title(self.tr("Alarms ({count})").format(count=len(view.state.alarms)))

    def _row(self, number: int, alarm: AlarmRaised, view: RunView) -> TwoLine:
        title = messages.alarm_text(alarm, LanguageManager.current().language).title
        where = self.tr("Step {step}").format(step=f"{alarm.step:,}")
        done = self._words.done(alarm, view.state)
        icon = "information-outline" if alarm.severity == "note" else "alert"
        subtitle = f"{where} · {done}" if done else where
        return TwoLine(str(number), title, subtitle, icon, TONES[alarm.severity])

    def _chosen(self, row_id: str) -> None:
        view = self._view
        if view is None or not row_id.isdigit() or int(row_id) >= len(view.state.alarms):
            return
        alarm = view.state.alarms[int(row_id)]
        if alarm == self._alarm:
            return
        self._alarm = alarm
        self.story.show_alarm(alarm, view)
        self._read(alarm, view)
        self._show_actions()

    # The batch

    def _read(self, alarm: AlarmRaised, view: RunView) -> None:
        """Half a megabyte at most, but maybe from a slow disk: beside the window."""
        self.batch.show_nothing(reading=bool(alarm.evidence))
        if not alarm.evidence:
            return
        path, name = view.run.path, alarm.evidence
        self._background.run(
            self,
            lambda: read_evidence(path, name),
            partial(self._batch_read, alarm),
            partial(self._batch_missing, alarm),
        )

    def _batch_read(self, alarm: AlarmRaised, evidence: BatchEvidence) -> None:
        if alarm == self._alarm and self._view is not None:
            self.batch.show_batch(evidence, self._view.state.excluded)

    def _batch_missing(self, alarm: AlarmRaised, error: ErrorInfo) -> None:
        if alarm == self._alarm:
            self.batch.show_nothing()

    # Actions

    def _show_actions(self) -> None:
        view = self._view
        offered = remedies(view, waiting=False) if view else ()
        chosen = self.batch.table.checked if self.batch.has_batch else []
        paused = bool(view and is_paused(view))
        for remedy, button in self.buttons.items():
            button.setVisible(remedy in offered and self._fits(remedy))
            button.setEnabled(not self._waiting and (remedy != "exclude" or bool(chosen)))
            back_to = self._alarm.can_go_back_to if self._alarm and paused else None
            words = self._words.remedy(remedy, chosen=len(chosen), paused=paused, to_step=back_to)
            button.set_text(*words)
        self._actions.setVisible(bool(offered))
        self._actions.rearrange()

    def _fits(self, remedy: Remedy) -> bool:
        """Nothing is offered that this alarm has nothing for."""
        if remedy == "exclude":
            return self.batch.has_batch
        return remedy != "roll_back" or bool(self._alarm and self._alarm.action != "rollback")

    def _ask(self, remedy: Remedy) -> None:
        samples = self.batch.table.checked if remedy == "exclude" else []
        self.remedy_chosen.emit(remedy, samples)

    def _show_step(self) -> None:
        if self._alarm is not None:
            self.step_chosen.emit(self._alarm.step)

    # Texts

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        self.back_button.set_text(self.tr("Back to the plots"))
        self.show_button.set_text(self.tr("Show this step on the plots"))
        self.list.setAccessibleName(self.tr("Alarms, newest first"))
        if self._view is not None:
            self.show_run(self._view, waiting=self._waiting)

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)


def _numbered(texts: list[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))
