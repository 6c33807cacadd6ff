"""How busy the machine is: each card's memory, or the computer's where there is no card."""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app import messages
from app.bridge import MachineSample
from app.i18n import LanguageManager
from app.text import percent_text
from app.theme.tokens import Tone
from app.widgets.card import Card
from app.widgets.labels import ElidedLabel, label
from app.widgets.progress import Progress
from core.hardware import GpuSample

_MOST_CARDS = 4
_TIGHT, _FULL = 0.85, 0.95


def _tone(ratio: float) -> Tone:
    if ratio >= _FULL:
        return "error"
    return "warning" if ratio >= _TIGHT else "accent"


class _Gauge(QWidget):
    """A name, a figure at the right, a bar, a line below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = ElidedLabel("", "muted")
        self.corner = label("", "muted")
        self.bar = Progress()
        self.below = label("", "body")
        top = QHBoxLayout()
        top.addWidget(self.name, 1)
        top.addWidget(self.corner)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addLayout(top)
        column.addWidget(self.bar)
        column.addWidget(self.below)

    def show_values(self, name: str, corner: str, ratio: float, below: str) -> None:
        self.name.set_full_text(name)
        self.corner.setText(corner)
        self.bar.set_fraction(ratio)
        self.bar.set_tone(_tone(ratio))
        self.bar.setAccessibleName(f"{name}: {below}")
        self.below.setText(below)


class MachineCard(Card):
    """Shows a `MachineSample`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._sample = MachineSample()
        self._gauges: list[_Gauge] = []
        self._set_count(1)
        self._show()

    def show_sample(self, sample: MachineSample) -> None:
        """Show the newest figures."""
        self._sample = sample
        self._show()

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._show()
        super().changeEvent(event)

    def _show(self) -> None:
        gpus = self._sample.gpus[:_MOST_CARDS]
        self._set_count(max(1, len(gpus)))
        if not gpus:
            self._show_computer(self._gauges[0])
        for gauge, gpu in zip(self._gauges, gpus, strict=False):
            self._show_gpu(gauge, gpu)

    def _show_computer(self, gauge: _Gauge) -> None:
        s = self._sample
        ratio = s.ram_used_gib / s.ram_total_gib if s.ram_total_gib else 0.0
        used = f"{s.ram_used_gib:.1f} / {s.ram_total_gib:.1f} GiB"
        cpu = ""
        if s.cpu_ratio is not None:
            cpu = self.tr("CPU {percent}").format(percent=percent_text(s.cpu_ratio))
        gauge.show_values(self.tr("Memory"), cpu, ratio, used)
        language = LanguageManager.current().language
        reason = messages.gpu_reason_text(s.gpu_reason, language) if s.gpu_reason else ""
        self.setToolTip(reason)
        self.setAccessibleName(self.tr("This computer"))
        self.setAccessibleDescription(reason)

    def _show_gpu(self, gauge: _Gauge, gpu: GpuSample) -> None:
        used, total = gpu.memory_used_gib, gpu.memory_total_gib
        known = used is not None and total is not None and total > 0
        below = f"{used:.1f} / {total:.1f} GiB" if known else self.tr("memory not reported")
        warm = "" if gpu.temperature_c is None else f"{gpu.temperature_c:.0f} °C"
        name = f"GPU {gpu.index} • {short_gpu_name(gpu.name)}"
        gauge.show_values(name, warm, (used or 0) / total if known and total else 0.0, below)
        self.setAccessibleName(self.tr("Graphics cards"))
        self.setToolTip("")

    def _set_count(self, count: int) -> None:
        while len(self._gauges) < count:
            gauge = _Gauge()
            self._gauges.append(gauge)
            self.body.addWidget(gauge)
        for number, gauge in enumerate(self._gauges):
            gauge.setVisible(number < count)


def short_gpu_name(name: str) -> str:
    """Without the maker's words that all cards share."""
    for word in ("NVIDIA ", "GeForce "):
        name = name.replace(word, "")
    return name
