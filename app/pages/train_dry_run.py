"""What the try-out before the first step found."""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QGridLayout, QWidget

from app.i18n import LanguageManager
from app.pages.train_finding_words import finding_text
from app.text import duration_text, size_text
from app.widgets.card import Card, clear_layout
from app.widgets.labels import label
from core.protocol.events import DryRunDone


class DryRunCard(Card):
    """Hidden when there was none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._tried: DryRunDone | None = None
        self._rows = QGridLayout()
        self._rows.setHorizontalSpacing(10)
        self._rows.setVerticalSpacing(4)
        self._rows.setColumnStretch(0, 1)
        self._problems = label("", "warning", wrap=True)
        self._what = label("", "muted", wrap=True)
        self.body.addWidget(self._what)
        self.body.addLayout(self._rows)
        self.body.addWidget(self._problems)
        self.setVisible(False)

    def show_tried(self, tried: DryRunDone | None) -> None:
        """The newest try-out of the run."""
        if tried != self._tried:
            self._tried = tried
            self._build()

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Name and figure of each row."""
        return self._facts(self._tried) if self._tried else []

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._build()
        super().changeEvent(event)

    def _build(self) -> None:
        self.setVisible(self._tried is not None)
        if self._tried is None:
            return
        tried, language = self._tried, LanguageManager.current().language
        self.set_title(self.tr("Try-out before the start"))
        self._what.setText(
            self.tr("The longest micro-batch: {rows} × {tokens} tokens").format(
                rows=tried.rows, tokens=f"{tried.longest_tokens:,}"
            )
        )
        clear_layout(self._rows)
        for row, (name, value) in enumerate(self.facts):
            self._rows.addWidget(label(name), row, 0)
            self._rows.addWidget(label(value, "strong"), row, 1)
        texts = [finding_text(problem, language) for problem in tried.problems]
        if not tried.finite:
            texts.insert(0, self.tr("The loss was not a finite number."))
        self._problems.setText("\n".join(texts))
        self._problems.setVisible(bool(texts))
        self.set_surface("warning" if texts else "card")

    def _facts(self, tried: DryRunDone) -> list[tuple[str, str]]:
        peak = f"{tried.peak_memory_gib:.1f} GiB"
        if tried.memory_limit_gib:
            peak = self.tr("{peak} of {limit} GiB").format(
                peak=f"{tried.peak_memory_gib:.1f}", limit=f"{tried.memory_limit_gib:.1f}"
            )
        facts = [
            (self.tr("Peak memory"), peak),
            (self.tr("A step"), self.tr("{n} s").format(n=f"{tried.step_time_s:.2g}")),
            (self.tr("The whole run"), duration_text(tried.total_time_s)),
        ]
        if tried.energy_kwh is not None:
            facts.append((self.tr("Energy"), f"{tried.energy_kwh:.2g} kWh"))
        if tried.checkpoint_bytes:
            facts.append((self.tr("A checkpoint"), size_text(tried.checkpoint_bytes)))
        return facts
