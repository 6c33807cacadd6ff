"""The alarms of a run, beside the plots."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from app import messages
from app.i18n import LanguageManager
from app.pages.train_alarm_texts import AlarmWords
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.labels import label
from app.widgets.notice_card import AlarmCard
from core.protocol.events import AlarmRaised
from core.runlog.state import RunState

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
