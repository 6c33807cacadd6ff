"""What to do when memory ran out: what took it, and the measures that would save some."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QButtonGroup, QRadioButton, QVBoxLayout, QWidget

from app.i18n import LanguageManager
from app.pages.train_finding_words import finding_text, rung_text
from app.pages.train_memory import MemoryWords, memory_parts
from app.text import percent_text
from app.widgets.buttons import Button
from app.widgets.card import Card, clear_layout
from app.widgets.labels import label
from app.widgets.part_bar import PartList
from core.protocol.events import LadderRung, MemoryRanOut
from core.supervisor import RunView


class OutOfMemoryCard(Card):
    """Asks while the run stands still because of it; else tells quietly what was done."""

    rung_chosen = Signal(object)
    """LadderRung: go on with its changes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._words = MemoryWords(self)
        self._event: MemoryRanOut | None = None
        self._asks = False
        self._shown: tuple[object, ...] = ()
        self._what = label("", wrap=True)
        self.parts = PartList()
        self._found = label("", wrap=True)
        self._applied = label("", "strong", wrap=True)
        self._ask = label("", "strong", wrap=True)
        self._rows = QVBoxLayout()
        self._rows.setSpacing(3)
        self._group = QButtonGroup(self)
        self.rungs: list[QRadioButton] = []
        self.apply_button = Button(kind="primary", icon_name="play")
        self.apply_button.clicked.connect(self._apply)
        for widget in (self._what, self.parts, self._found, self._applied, self._ask):
            self.body.addWidget(widget)
        self.body.addLayout(self._rows)
        self.body.addWidget(self.apply_button)
        self.setVisible(False)

    def show_run(self, view: RunView) -> None:
        """The newest out-of-memory error of a run, if there was one."""
        event = view.state.memory_ran_out[-1] if view.state.memory_ran_out else None
        # A failure that came later has another cause.
        asks = event is not None and not view.alive and _ended_by_memory(view)
        key = (view.run_id, event, asks, LanguageManager.current().language)
        if key == self._shown:
            return
        self._shown = key
        self._event, self._asks = event, asks
        self._build()

    @property
    def choosable(self) -> list[LadderRung]:
        """Measures that the program can take by itself."""
        return [r for r in self._event.ladder if r.changes] if self._event else []

    def changeEvent(self, event: QEvent) -> None:
        """Another language: the next view brings the words."""
        if event.type() == QEvent.Type.LanguageChange:
            self._shown = ()
        super().changeEvent(event)

    def _build(self) -> None:
        event = self._event
        self.setVisible(event is not None)
        if event is None:
            return
        self.set_surface("error" if self._asks else "card")
        self.set_title(self.tr("Memory ran out at step {step}").format(step=f"{event.step:,}"))
        self._what.setText(self._what_text(event))
        self.parts.show_parts(memory_parts(self._words, event.parts_gib), event.limit_gib)
        self._tell(event)
        self._build_ladder(event)

    def _tell(self, event: MemoryRanOut) -> None:
        language = LanguageManager.current().language
        self._found.setText("\n".join(finding_text(f, language) for f in event.findings))
        applied = ""
        if event.applied:
            applied = self.tr("It went on with: {measure}").format(
                measure=rung_text(event.applied, language).name
            )
        self._applied.setText(applied)
        for shown in (self._found, self._applied):
            shown.setVisible(bool(shown.text()))

    def _what_text(self, event: MemoryRanOut) -> str:
        said = self.tr(
            "{needed} GiB more were asked for while {allocated} of {limit} GiB were in use; "
            "the longest sample had {tokens} tokens."
        ).format(
            needed=f"{event.needed_gib:.1f}",
            allocated=f"{event.allocated_gib:.1f}",
            limit=f"{event.limit_gib:.1f}",
            tokens=f"{event.longest_tokens:,}",
        )
        if not event.parts_gib:
            return said
        largest = max(event.parts_gib, key=lambda part: event.parts_gib[part])
        most = self.tr("Most of it: {part}.").format(part=self._words.part(largest))
        return f"{said} {most}"

    def _build_ladder(self, event: MemoryRanOut) -> None:
        for button in self.rungs:
            self._group.removeButton(button)
        clear_layout(self._rows)
        self.rungs = []
        shown = self._asks and bool(event.ladder)
        for widget in (self._ask, self.apply_button):
            widget.setVisible(shown)
        if not shown:
            return
        self._ask.setText(self.tr("What would help, gentlest first"))
        self.apply_button.set_text(self.tr("Apply and go on"))
        for rung in event.ladder:
            self._add_rung(rung)
        first = next((r for r in self.rungs if r.isEnabled()), None)
        self.apply_button.setEnabled(first is not None)
        if first is not None:
            first.setChecked(True)

    def _add_rung(self, rung: LadderRung) -> None:
        text = rung_text(rung.code, LanguageManager.current().language)
        button = QRadioButton(text.name)
        button.setToolTip(text.help)
        button.setEnabled(bool(rung.changes))
        self._group.addButton(button, len(self.rungs))
        self.rungs.append(button)
        self._rows.addWidget(button)
        self._rows.addWidget(label(self._costs(rung), "muted", wrap=True))

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


def _ended_by_memory(view: RunView) -> bool:
    error = view.error
    return error is not None and error.code == "train.out_of_memory"
