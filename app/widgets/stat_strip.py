"""The few figures that matter, large, in one row."""

from __future__ import annotations

from PySide6.QtWidgets import QGridLayout, QProgressBar, QVBoxLayout, QWidget

from app.widgets.card import Card
from app.widgets.labels import ElidedLabel, set_role
from app.widgets.progress import Progress


class Stat(QWidget):
    """One figure: a quiet caption above, the value below."""

    def __init__(self, caption: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        self._caption = ElidedLabel(caption, "muted")
        self._value = ElidedLabel("–", "figure")
        column.addWidget(self._caption)
        column.addWidget(self._value)

    def set_caption(self, text: str) -> None:
        """What the figure is."""
        self._caption.set_full_text(text)
        self._name()

    def set_value(self, text: str) -> None:
        """The figure with its unit; empty shows a dash."""
        self._value.set_full_text(text or "–")
        self._name()

    @property
    def value(self) -> str:
        """What is shown."""
        return self._value.full_text

    def make_large(self) -> None:
        """For the figure of a card that stands alone."""
        set_role(self._value, "large_figure")

    def _name(self) -> None:
        self.setAccessibleName(f"{self._caption.full_text}: {self.value}")


class StatStrip(Card):
    """Figures by key in one card, with an optional progress bar under them.

    `strip = StatStrip(["step", "loss"]); strip.set_caption("step", self.tr("Step"))`.
    """

    def __init__(self, keys: list[str], parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(14)
        self.stats: dict[str, Stat] = {key: Stat() for key in keys}
        for column, stat in enumerate(self.stats.values()):
            self._grid.addWidget(stat, 0, column)
            self._grid.setColumnStretch(column, 1)
        self.body.addLayout(self._grid)
        self._progress = Progress()
        self._progress.setVisible(False)
        self.body.addWidget(self._progress)

    def set_caption(self, key: str, text: str) -> None:
        """Name a figure."""
        self.stats[key].set_caption(text)

    def set_value(self, key: str, text: str) -> None:
        """Show a figure."""
        self.stats[key].set_value(text)

    def set_shown(self, key: str, shown: bool) -> None:
        """Leave a figure out where it has no meaning; the others take its room."""
        stat = self.stats[key]
        if stat.isHidden() == shown:
            stat.setVisible(shown)
            self._grid.setColumnStretch(list(self.stats).index(key), 1 if shown else 0)

    def set_progress(self, fraction: float | None, *, visible: bool = True) -> None:
        """0 to 1; None shows that work goes on without saying how far."""
        self._progress.setVisible(visible)
        self._progress.set_fraction(fraction)

    @property
    def progress_bar(self) -> QProgressBar:
        """The bar under the figures, to give it an accessible name."""
        return self._progress
