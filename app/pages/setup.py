"""Setup: what the runtime has today, and what the setup wizard will do once it is here."""

from __future__ import annotations

from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.pages.base import AppContext, Page
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card, clear_layout
from app.widgets.finding_row import FindingRow
from app.widgets.labels import label
from app.widgets.status_chip import StatusChip
from core.services.doctor import Finding

_SHOWN = ("python", "venv", "packages", "torch", "gpu", "memory", "disk", "home")


class _Step(QWidget):
    """A numbered line of what will come."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = StatusChip()
        self._number.set_state(str(number), "neutral")
        self._number.setText(str(number))
        self._heading = label("", "strong")
        self._text = label("", "muted", wrap=True)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self._heading)
        words.addWidget(self._text)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 4, 0, 4)
        row.setSpacing(12)
        row.addWidget(self._number)
        row.addLayout(words, 1)

    def set_texts(self, heading: str, text: str) -> None:
        self._heading.setText(heading)
        self._text.setText(text)


class SetupPage(Page):
    """`./deepdeck` set up the runtime that is used now; this page shows it."""

    page_id = "setup"

    def __init__(self, ctx: AppContext) -> None:
        super().__init__(ctx)
        self._findings: list[Finding] = []
        self.doctor_button = self.add_action(Button(kind="primary", icon_name="stethoscope"))
        self.doctor_button.clicked.connect(self._open_doctor)
        self.now_card = Card()
        self.later_card = Card()
        self._intro = label("", "muted", wrap=True)
        self._facts = QVBoxLayout()
        self._facts.setSpacing(6)
        self.now_card.body.addLayout(self._facts)
        self.now_card.body.addStretch(1)
        self.steps = [_Step(n) for n in range(1, 5)]
        self.later_card.body.addWidget(self._intro)
        for step in self.steps:
            self.later_card.body.addWidget(step)
        self.later_card.body.addStretch(1)
        grid = QGridLayout()
        grid.setSpacing(GAP)
        grid.addWidget(self.now_card, 0, 0)
        grid.addWidget(self.later_card, 0, 1)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        self.content.addLayout(grid)
        self.content.addStretch(1)

    def on_shown(self, args: dict[str, object]) -> None:
        """Ask the doctor."""
        if not self._findings:
            self.chip.set_state(self.tr("checking"), "accent")
        check = self.ctx.services.doctor.check
        self.ctx.background.run(self, check, self._checked, self.show_error)

    def retranslate(self) -> None:
        """Every text of the page."""
        self.set_title(self.tr("Setup"))
        self.set_facts(self.tr("The Python runtime that trains and serves your models."))
        self.doctor_button.set_text(
            self.tr("Open Doctor"), self.tr("Shows each finding with its fix")
        )
        self.now_card.set_title(self.tr("What is here now"))
        self.later_card.set_title(self.tr("What will come here"))
        self._intro.setText(
            self.tr(
                "DeepDeck works with the runtime that ./deepdeck set up. A wizard will let you "
                "make others, for example one for each version of CUDA:"
            )
        )
        self._translate_steps()
        self._show()

    def _translate_steps(self) -> None:
        first, second, third, fourth = self.steps
        first.set_texts(
            self.tr("Look at the machine"),
            self.tr("Card, driver, memory and disk, in plain words."),
        )
        second.set_texts(
            self.tr("Choose what fits"),
            self.tr("CPU or the build of PyTorch that your driver supports, with its size."),
        )
        third.set_texts(
            self.tr("Install and prove it"),
            self.tr("In a folder of its own; the old runtime stays until the new one works."),
        )
        fourth.set_texts(
            self.tr("Repair or go back"),
            self.tr("Find what broke, put it right, or switch back with one click."),
        )

    def _checked(self, findings: list[Finding]) -> None:
        self._findings = [f for f in findings if f.id in _SHOWN]
        self._show()

    def _show(self) -> None:
        clear_layout(self._facts)
        for finding in self._findings:
            self._facts.addWidget(FindingRow(finding))
        if not self._findings:
            self._facts.addWidget(label(self.tr("Looking at the machine…"), "muted"))
            return
        if any(f.level == "broken" for f in self._findings):
            self.chip.set_state(self.tr("incomplete"), "error")
        else:
            self.chip.set_state(self.tr("ready"), "ok")

    def _open_doctor(self) -> None:
        self.ctx.navigate("doctor")
