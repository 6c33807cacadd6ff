"""The muted line under a run's name: what is trained on what, where, and who watches."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject

from app import messages
from app.i18n import LanguageManager
from app.pages.train_field_texts import TrainFieldTexts
from core.protocol.events import TrainPlanned
from core.supervisor import RunView

GUARDS = ("mark", "notify", "save", "pause", "rollback")


class RunFacts(QObject):
    """A QObject for its `tr`."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._fields = TrainFieldTexts(self)

    def facts(self, view: RunView) -> list[str]:
        """What to say of a run, in reading order; empty ones are left out by the page."""
        spec = view.document.get("spec") or {}
        plan = view.state.plan
        return [
            Path(str(spec.get("model", ""))).name,
            str(view.document.get("dataset") or Path(str(spec.get("data", ""))).name),
            method_text(spec, plan),
            *(self._planned(plan) if plan else ()),
            self._guard(spec),
            *self._when(view),
        ]

    def _planned(self, plan: TrainPlanned) -> list[str]:
        where = f"{plan.device} {plan.dtype}"
        if plan.world_size > 1:
            where = self.tr("{count} cards {strategy} {dtype}").format(
                count=plan.world_size, strategy=plan.strategy.upper(), dtype=plan.dtype
            )
        return [self.tr("{count} samples").format(count=f"{plan.train_samples:,}"), where]

    def _guard(self, spec: dict[str, Any]) -> str:
        level = str(spec.get("guard") or "")
        if level not in GUARDS:
            return ""
        return self.tr("when it goes wrong: {action}").format(
            action=_lower_first(self._fields.guard(level)[0])
        )

    def _when(self, view: RunView) -> list[str]:
        facts = []
        if view.state.started_utc:
            clock = time.strftime("%H:%M", time.localtime(view.state.started_utc))
            facts.append(self.tr("started {clock}").format(clock=clock))
        if view.alive:
            facts.append(self.tr("goes on when this window is closed"))
        elif view.status not in ("completed", "running"):
            reason = view.verdict.reason if view.verdict else view.state.reason
            language = LanguageManager.current().language
            facts.append(messages.reason_text(reason, language).rstrip(".。"))
        return facts


def method_text(spec: dict[str, Any], plan: TrainPlanned | None) -> str:
    """QLoRA r16, DoRA r8, Full: names that are the same in every language."""
    if spec.get("method") == "full":
        return "Full"
    lora = spec.get("lora") or {}
    if "r" not in lora:
        return ""
    name = "DoRA" if lora.get("use_dora") else "LoRA"
    four = spec.get("load_in_4bit") or (plan is not None and plan.quantization == "nf4")
    eight = spec.get("load_in_8bit") or (plan is not None and plan.quantization == "int8")
    prefix = "Q" if four else ("8-bit " if eight else "")
    return f"{prefix}{name} r{lora['r']}"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
