"""What to do when memory ran out: what took it, and the measures that would save some."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QRadioButton, QVBoxLayout, QWidget

from app import messages
from app.i18n import LanguageManager
from app.pages.train_finding_words import finding_text, rung_text
from app.pages.train_memory import MemoryWords, memory_parts
from app.text import percent_text
from app.widgets.buttons import Button
from app.widgets.card import Card, clear_layout
from app.widgets.labels import label
from app.widgets.notice_card import NoticeCard
from app.widgets.part_bar import PartList
from core.planning.ladder import BY_HAND
from core.protocol.events import LadderRung, MemoryRanOut
from core.supervisor import RunView

_PARTS_PX = 226
_COLUMN_GAP = 28


def waits_for_memory(view: RunView) -> MemoryRanOut | None:
    """The error that ended a run; a failure that came later has another cause."""
    ran_out, error = view.state.memory_ran_out, view.error
    if view.alive or not ran_out or error is None or error.code != "train.out_of_memory":
        return None
    return ran_out[-1]


class OutOfMemoryCard(NoticeCard):
    """At the top while a run stands still because of it: parts, findings, ladder."""

    rung_chosen = Signal(object)
    """LadderRung: go on with its changes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("error", parent)
        self._words = MemoryWords(self)
        self._event: MemoryRanOut | None = None
        self._shown: tuple[object, ...] = ()
        self.parts = PartList()
        self._found = label("", wrap=True)
        self._ask = label("", "strong", wrap=True)
        self._rows = QVBoxLayout()
        self._rows.setSpacing(3)
        self._group = QButtonGroup(self)
        self.rungs: list[QRadioButton] = []
        self.apply_button = Button(kind="primary", icon_name="play")
        self.apply_button.clicked.connect(self._apply)
        self._lay_out()
        self.setVisible(False)

    def _lay_out(self) -> None:
        self.parts.setFixedWidth(_PARTS_PX)
        left = QVBoxLayout()
        left.addWidget(self.parts)
        left.addStretch(1)
        middle = QVBoxLayout()
        middle.addWidget(self._found)
        middle.addStretch(1)
        right = QVBoxLayout()
        right.setSpacing(6)
        right.addWidget(self._ask)
        right.addLayout(self._rows)
        right.addSpacing(6)
        right.addWidget(self.apply_button, 0, Qt.AlignmentFlag.AlignLeft)
        right.addStretch(1)
        columns = QHBoxLayout()
        columns.setSpacing(_COLUMN_GAP)
        columns.addLayout(left)
        columns.addLayout(middle, 2)
        columns.addLayout(right, 3)
        self.body.insertLayout(1, columns)

    def show_run(self, view: RunView) -> None:
        """Ask, or stop asking."""
        event = waits_for_memory(view)
        key = (view.run_id, event, LanguageManager.current().language)
        if key == self._shown:
            return
        self._shown, self._event = key, event
        self.setVisible(event is not None)
        if event is not None:
            self._build(event)

    def changeEvent(self, event: QEvent) -> None:
        """Another language: the next view brings the words."""
        if event.type() == QEvent.Type.LanguageChange:
            self._shown = ()
        super().changeEvent(event)

    def _build(self, event: MemoryRanOut) -> None:
        language = LanguageManager.current().language
        heading = self.tr("Memory ran out at step {step}").format(step=f"{event.step:,}")
        self.set_texts(heading, self._what_text(event))
        self.parts.show_parts(memory_parts(self._words, event.parts_gib), event.limit_gib)
        self.parts.setVisible(bool(event.parts_gib))
        self._found.setText("\n".join(f"• {finding_text(f, language)}" for f in event.findings))
        self._build_ladder(event)

    def _what_text(self, event: MemoryRanOut) -> str:
        return self.tr(
            "{needed} GiB more were asked for while {allocated} of {limit} GiB were in use; "
            "the longest sample had {tokens} tokens."
        ).format(
            needed=f"{event.needed_gib:.1f}",
            allocated=f"{event.allocated_gib:.1f}",
            limit=f"{event.limit_gib:.1f}",
            tokens=f"{event.longest_tokens:,}",
        )

    def _build_ladder(self, event: MemoryRanOut) -> None:
        for button in self.rungs:
            self._group.removeButton(button)
        clear_layout(self._rows)
        self.rungs = []
        self._ask.setVisible(bool(event.ladder))
        self.apply_button.setVisible(bool(event.ladder))
        self._ask.setText(self.tr("What would help, gentlest first"))
        self.apply_button.set_text(self.tr("Apply and go on"))
        for rung in event.ladder:
            self._add_rung(rung)
        first = next((r for r in self.rungs if r.isEnabled()), None)
        self.apply_button.setEnabled(first is not None)
        if first is not None:
            first.setChecked(True)

    def _add_rung(self, rung: LadderRung) -> None:
        """A measure that only a person can take is told, but cannot be chosen."""
        text = rung_text(rung.code, LanguageManager.current().language)
        button = QRadioButton(text.name)
        button.setToolTip(text.help)
        button.setAccessibleDescription(self._costs(rung))
        button.setEnabled(bool(rung.changes) and rung.code not in BY_HAND)
        self._group.addButton(button, len(self.rungs))
        self.rungs.append(button)
        line = QHBoxLayout()
        line.addWidget(button)
        line.addStretch(1)
        line.addWidget(label(self._costs(rung), "muted"))
        self._rows.addLayout(line)

    def _costs(self, rung: LadderRung) -> str:
        saves = self.tr("saves about {gib} GiB").format(gib=f"{rung.saves_gib:.1f}")
        if rung.slower <= 1.02:
            return saves
        slower = self.tr("steps take {share} longer").format(share=percent_text(rung.slower - 1))
        return self.tr("{saves}; {slower}").format(saves=saves, slower=slower)

    def _apply(self) -> None:
        chosen = self._group.checkedId()
        if self._event is not None and chosen >= 0:
            self.rung_chosen.emit(self._event.ladder[chosen])


class HelpedItselfCard(Card):
    """Tells what a run changed by itself to go on with less memory."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._shown: tuple[object, ...] = ()
        self.text = label("", wrap=True)
        self.body.addWidget(self.text)
        self.setVisible(False)

    def show_run(self, view: RunView) -> None:
        """Every measure that was taken, oldest first."""
        taken = tuple(e for e in view.state.memory_ran_out if e.applied)
        key = (taken, LanguageManager.current().language)
        if key == self._shown:
            return
        self._shown = key
        self.setVisible(bool(taken))
        self.set_title(self.tr("Made to fit"))
        self.text.setText("\n".join(self._line(event) for event in taken))

    def _line(self, event: MemoryRanOut) -> str:
        language = LanguageManager.current().language
        measure = rung_text(event.applied, language)
        said = self.tr("Memory ran out at step {step}; the run went on with: {measure}.").format(
            step=f"{event.step:,}", measure=measure.name
        )
        return messages.sentences_text((said, measure.help), language)

    def changeEvent(self, event: QEvent) -> None:
        """Another language: the next view brings the words."""
        if event.type() == QEvent.Type.LanguageChange:
            self._shown = ()
        super().changeEvent(event)
