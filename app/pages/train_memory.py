"""What the memory of a run is made of, against the forecast, and who else is on the card."""

from __future__ import annotations

import os
from collections.abc import Mapping

from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QWidget

from app.bridge import MachineSample
from app.i18n import LanguageManager
from app.text import percent_text
from app.widgets.card import Card
from app.widgets.labels import label
from app.widgets.part_bar import Part, PartList
from core.hardware import GpuSample
from core.hardware.gpu_users import spills_over, unnamed_gib, users_of
from core.supervisor import RunView

_LEAST_GIB = 0.05
_ROLES = {
    "weights": "series:0",
    "adapter": "series:2",
    "gradients": "series:2",
    "optimizer": "series:3",
    "activations": "series:4",
    "logits": "series:1",
}
_OTHERS_SHOWN = 3


class MemoryWords(QObject):
    """Names of the parts of a training's memory; a QObject for its `tr`."""

    def part(self, name: str, quantization: str = "none") -> str:
        """A key of `memory_parts_gib`; one that is newer than this program as it is."""
        if name == "weights" and quantization != "none":
            bits = "4" if quantization == "nf4" else "8"
            return self.tr("weights ({bits}-bit)").format(bits=bits)
        return {
            "weights": self.tr("weights"),
            "adapter": self.tr("adapter"),
            "gradients": self.tr("gradients"),
            "optimizer": self.tr("optimizer"),
            "activations": self.tr("activations"),
            "logits": self.tr("logits"),
            "fragmentation": self.tr("fragments"),
            "overhead": self.tr("libraries"),
            "context": self.tr("libraries"),
            "other": self.tr("other"),
        }.get(name, name)


def memory_parts(
    words: MemoryWords, parts: Mapping[str, float], quantization: str = "none"
) -> tuple[Part, ...]:
    """Parts that are worth a row, with their colors."""
    return tuple(
        Part(words.part(name, quantization), gib, f"{gib:.1f} GiB", _ROLES.get(name, "faint"))
        for name, gib in parts.items()
        if gib >= _LEAST_GIB
    )


class MemoryCard(Card):
    """Hidden while nothing is known."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._words = MemoryWords(self)
        self._shown: tuple[object, ...] = ()
        self.parts = PartList()
        self._against = label("", "muted", wrap=True)
        self._others = label("", "muted", wrap=True)
        self._spill = label("", "warning", wrap=True)
        for widget in (self.parts, self._against, self._others, self._spill):
            self.body.addWidget(widget)
        self._say_of_others([], spilled=False)
        self.setVisible(False)

    def show_run(self, view: RunView) -> None:
        """Parts as measured by the dry run, else as forecast."""
        if not view.alive:  # who is on the card now has nothing to do with it
            self._say_of_others([], spilled=False)
        tried, plan = view.state.dry_run, view.state.plan
        found = tried.memory_parts_gib if tried and tried.memory_parts_gib else None
        forecast = plan.memory_parts_gib if plan else {}
        parts = found or forecast
        peak = view.series.peak_memory_gib.last
        key = (found, forecast, peak and round(peak[1], 1), LanguageManager.current().language)
        if key == self._shown:
            return
        self._shown = key
        self.setVisible(bool(parts))
        if plan is None or not parts:
            return
        self.set_title(self.tr("Memory by part"))
        limit = plan.memory_limit_gib or 0.0
        self.parts.show_parts(memory_parts(self._words, parts, plan.quantization), limit)
        self._against.setText(self._against_text(forecast, peak[1] if peak else None))
        self._against.setVisible(bool(self._against.text()))

    def show_machine(self, sample: MachineSample, own_pids: set[int]) -> None:
        """Name the other programs on the cards; empty when there are none."""
        lines = [line for gpu in sample.gpus for line in self._other_lines(gpu, own_pids)]
        spilled = any(
            spills_over(gpu, sum((gpu.process_memory_gib or {}).get(p, 0.0) for p in own_pids))
            for gpu in sample.gpus
        )
        self._say_of_others(lines, spilled=spilled)

    def _say_of_others(self, lines: list[str], *, spilled: bool) -> None:
        self._others.setText("\n".join(lines))
        self._others.setVisible(bool(lines))
        self._spill.setText(
            self.tr(
                "The run holds more than the card has: the driver has moved the rest into the "
                "computer's memory, and every step is much slower."
            )
            if spilled
            else ""
        )
        self._spill.setVisible(spilled)

    def changeEvent(self, event: QEvent) -> None:
        """Another language: the next view brings the words."""
        if event.type() == QEvent.Type.LanguageChange:
            self._shown = ()
        super().changeEvent(event)

    def _against_text(self, forecast: Mapping[str, float], peak: float | None) -> str:
        total = sum(forecast.values())
        if not total:
            return ""
        if not peak:
            return self.tr("forecast {total} GiB").format(total=f"{total:.1f}")
        off = peak / total - 1
        return self.tr("forecast {total}, measured {peak} GiB ({off})").format(
            total=f"{total:.1f}",
            peak=f"{peak:.1f}",
            off=f"{'+' if off >= 0 else '−'}{percent_text(abs(off))}",
        )

    def _other_lines(self, gpu: GpuSample, own_pids: set[int]) -> list[str]:
        users = users_of(gpu, besides={os.getpid(), *own_pids})
        lines = [
            self.tr("{name} holds {gib} GiB").format(
                name=user.name or self.tr("another program"), gib=f"{user.memory_gib:.1f}"
            )
            for user in users[:_OTHERS_SHOWN]
            if user.memory_gib is not None
        ]
        if gpu.process_memory_gib:
            own = sum(gpu.process_memory_gib.get(p, 0.0) for p in own_pids)
            rest = unnamed_gib(gpu, users, own)
            if rest >= 0.5:
                said = self.tr("{gib} GiB held by the desktop and the driver")
                lines.append(said.format(gib=f"{rest:.1f}"))
        return lines
