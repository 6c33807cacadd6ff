"""Doctor: what was looked at, what is wrong, how to put it right."""

from __future__ import annotations

import platform

from PySide6.QtWidgets import QVBoxLayout

from app.diagnostics import redact
from app.pages.base import AppContext, Page
from app.texts.findings import finding_text
from app.widgets.buttons import Button
from app.widgets.card import Card, clear_layout
from app.widgets.copy_field import copy_text
from app.widgets.finding_row import FindingRow
from app.widgets.stat_strip import StatStrip
from core.errors import ErrorInfo
from core.services.doctor import Finding
from core.services.documents import own_version

_ORDER = {"broken": 0, "warning": 1, "ok": 2}


class DoctorPage(Page):
    """Checks at every show; a check takes a second or two, in the background."""

    page_id = "doctor"

    def __init__(self, ctx: AppContext) -> None:
        super().__init__(ctx)
        self.findings: list[Finding] = []
        self._checking = False
        self.copy_button = self.add_action(Button(icon_name="content-copy"))
        self.check_button = self.add_action(Button(icon_name="refresh"))
        self.copy_button.clicked.connect(self._copy)
        self.check_button.clicked.connect(self.check)
        self.strip = StatStrip(["ok", "warning", "broken"])
        self.content.addWidget(self.strip)
        self._cards = QVBoxLayout()
        self._cards.setSpacing(8)
        self.content.addLayout(self._cards)
        self.content.addStretch(1)

    def on_shown(self, args: dict[str, object]) -> None:
        """Look again."""
        self.check()

    def check(self) -> None:
        """Look at everything, in the background."""
        if self._checking:
            return
        self._checking = True
        self._show_state()
        self.ctx.background.run(self, self.ctx.services.doctor.check, self._checked, self._failed)

    def retranslate(self) -> None:
        """Every text of the page."""
        self.set_title(self.tr("Doctor"))
        self.set_facts(
            self.tr("Looks at what DeepDeck stands on. Changes nothing."),
        )
        self.strip.set_caption("ok", self.tr("In order"))
        self.strip.set_caption("warning", self.tr("Worth a look"))
        self.strip.set_caption("broken", self.tr("Broken"))
        self.strip.progress_bar.setAccessibleName(self.tr("Check"))
        self.check_button.set_text(self.tr("Check again"))
        self.copy_button.set_text(
            self.tr("Copy diagnostics"), self.tr("Keys and personal paths are left out")
        )
        self._show_findings()
        self._show_state()

    def diagnostics(self) -> str:
        """All findings as text, in English, redacted."""
        lines = [f"DeepDeck {own_version()} on {platform.platform()}"]
        for finding in self.findings:
            text = finding_text(finding, "en")
            hint = f" -> {text.hint}" if text.hint else ""
            lines.append(f"[{finding.level}] {text.title}: {text.message}{hint}")
            lines.append(f"    {finding.id} {finding.params}")
        return redact("\n".join(lines))

    def _checked(self, findings: list[Finding]) -> None:
        self._checking = False
        self.findings = findings
        self._show_findings()
        self._show_state()

    def _failed(self, error: ErrorInfo) -> None:
        self._checking = False
        self._show_state()
        self.show_error(error)

    def _show_findings(self) -> None:
        clear_layout(self._cards)
        calm = Card(self.tr("In order"))
        for finding in sorted(self.findings, key=lambda f: _ORDER[f.level]):
            if finding.level == "ok":
                calm.body.addWidget(FindingRow(finding))
            else:
                self._add_card(finding)
        calm.setVisible(any(f.level == "ok" for f in self.findings))
        self._cards.addWidget(calm)
        for level in ("ok", "warning", "broken"):
            count = sum(1 for f in self.findings if f.level == level)
            self.strip.set_value(level, str(count) if self.findings else "")

    def _add_card(self, finding: Finding) -> None:
        card = Card(surface="error" if finding.level == "broken" else "warning")
        card.body.addWidget(FindingRow(finding))
        self._cards.addWidget(card)

    def _show_state(self) -> None:
        self.check_button.setEnabled(not self._checking)
        self.copy_button.setEnabled(bool(self.findings))
        self.strip.set_progress(None, visible=self._checking)
        levels = {f.level for f in self.findings}
        if self._checking:
            self.chip.set_state(self.tr("checking"), "accent")
        elif "broken" in levels:
            self.chip.set_state(self.tr("needs you"), "error")
        elif "warning" in levels:
            self.chip.set_state(self.tr("worth a look"), "warning")
        elif levels:
            self.chip.set_state(self.tr("all in order"), "ok")

    def _copy(self) -> None:
        copy_text(self.diagnostics())
        self.ctx.notify(self.tr("Diagnostics copied."), "ok")
