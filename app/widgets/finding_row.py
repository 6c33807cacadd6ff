"""One finding of the doctor: an icon for its level, what was seen, what to do."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app import messages
from app.i18n import LanguageManager
from app.texts.findings import finding_text
from app.theme.icons import icon
from app.theme.manager import ThemeManager
from app.theme.tokens import Tone
from app.widgets.copy_field import CopyField
from app.widgets.labels import label
from app.widgets.status_chip import STATUS_TONES, StatusChip
from core.services.doctor import Finding

_ICONS = {"ok": "check-circle", "warning": "alert", "broken": "close-circle"}


class FindingRow(QWidget):
    """Calm while all is well; a chip and the fix appear when it is not."""

    def __init__(self, finding: Finding, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        language = LanguageManager.current().language
        text = finding_text(finding, language)
        self._level = finding.level
        self._tone: Tone = STATUS_TONES[finding.level]
        self._picture = QLabel()
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(label(text.title, "strong"))
        words.addWidget(label(text.message, "muted", wrap=True))
        if text.hint:
            words.addWidget(label(text.hint, wrap=True))
        if command := str(finding.fix_params.get("command", "")):
            field = CopyField(self.tr("Command"))
            field.set_text(command)
            words.addWidget(field)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 3, 0, 3)
        row.setSpacing(12)
        row.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)
        if finding.level != "ok":
            chip = StatusChip()
            chip.set_state(messages.status_text(finding.level, language), self._tone)
            row.addWidget(chip, 0, Qt.AlignmentFlag.AlignTop)
        self.setAccessibleName(f"{text.title}: {text.message}")
        self._draw()
        ThemeManager.current().changed.connect(self._draw)

    def _draw(self) -> None:
        self._picture.setPixmap(icon(_ICONS[self._level], self._tone).pixmap(QSize(18, 18)))
        self._picture.setContentsMargins(0, 1, 0, 0)
