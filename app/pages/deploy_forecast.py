"""The memory that a server will take, against its share of the card, while the form is filled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app import messages
from app.i18n import LanguageManager
from app.pages.base import AppContext
from app.text import percent_text
from app.widgets.buttons import Button
from app.widgets.card import Card, clear_layout
from app.widgets.labels import Role, label, set_role
from app.widgets.part_bar import Part, PartList
from core.config.base import field_errors
from core.config.serve import ServeSpec
from core.errors import AppError, ErrorInfo
from core.planning.serve_memory import LEAST_CONTEXT_TOKENS, ServeFit
from core.services.serve_arbiter import ServeArbiter
from core.services.serve_forecast import ServePlan

_DELAY_MS = 300
_SHORT_CHAT_TOKENS = 2_000
_ROLES = {
    "weights": "series:0",
    "adapters": "series:2",
    "working": "series:4",
    "driver": "faint",
    "cache": "series:5",
}
_FIT_ROLES: dict[ServeFit, Role] = {
    "roomy": "ok",
    "shared": "ok",
    "short": "warning",
    "does_not_fit": "error",
}


class ForecastCard(Card):
    """`measure_taken` carries a field and its value that would make it fit."""

    measure_taken = Signal(str, object)

    def __init__(
        self,
        ctx: AppContext,
        values: Callable[[], dict[str, Any]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent=parent)
        self._ctx = ctx
        self._values = values
        self._asked = 0
        self.plan: ServePlan | None = None
        self.verdict = label("", wrap=True)
        self.cache = label("", wrap=True)
        self.parts = PartList()
        self.where = label("", "muted", wrap=True)
        self._measures = QVBoxLayout()
        self._measures.setSpacing(2)
        self.buttons: dict[str, Button] = {}
        for widget in (self.verdict, self.parts, self.cache, self.where):
            self.body.addWidget(widget)
        self.body.addLayout(self._measures)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DELAY_MS)
        self._timer.timeout.connect(self.ask)

    def ask_soon(self) -> None:
        """Something changed: work it out when the typing pauses."""
        self._timer.start()

    def ask(self) -> None:
        """Work it out beside the window: a sleeping driver takes its time."""
        values = self._values()
        self._asked += 1
        if not values.get("model") or field_errors(ServeSpec, values):
            self._show(None)
            return
        number, spec, arbiter = self._asked, ServeSpec.parse(values), self._ctx.services.arbiter
        self._ctx.background.run(
            self, lambda: (number, _planned(arbiter, spec)), self._came, self._failed
        )

    def _came(self, answer: tuple[int, ServePlan | None]) -> None:
        if answer[0] == self._asked:  # an older question's answer may come later
            self._show(answer[1])

    def _failed(self, _error: ErrorInfo) -> None:
        self._show(None)

    def _show(self, plan: ServePlan | None) -> None:
        self.plan = plan
        self._fill()

    # what is shown

    def _fill(self) -> None:
        plan = self.plan
        for widget in (self.parts, self.cache, self.where):
            widget.setVisible(plan is not None)
        clear_layout(self._measures)
        self.buttons = {}
        if plan is None:
            self.verdict.setText(
                self.tr("Not known for this model: it shows once the engine has loaded it.")
            )
            set_role(self.verdict, "muted")
            return
        self.verdict.setText(self._verdict(plan))
        set_role(self.verdict, _FIT_ROLES[plan.forecast.fit])
        self._show_parts(plan)
        self.cache.setText(self._cache(plan))
        self.where.setText(self._where(plan))
        for key, value, text in self._offers(plan):
            self._offer(key, value, text)

    def _show_parts(self, plan: ServePlan) -> None:
        names = {
            "weights": self.tr("weights ({precision})").format(precision=plan.precision),
            "adapters": self.tr("adapters"),
            "working": self.tr("computing"),
            "driver": self.tr("driver and libraries"),
            "cache": self.tr("conversations (KV cache)"),
        }
        found = plan.forecast.parts_gib
        parts = [
            Part(names[key], gib, f"{gib:.1f} GiB", _ROLES[key])
            for key, gib in found.items()
            if gib >= 0.05 or key in ("weights", "cache")
        ]
        if plan.room.used_gib >= 0.05:
            used = plan.room.used_gib
            parts.append(Part(self.tr("in use by others"), used, f"{used:.1f} GiB", "muted"))
        limit = plan.room.budget_gib + plan.room.used_gib
        self.parts.show_parts(tuple(parts), plan.room.total_gib, limit)

    def _verdict(self, plan: ServePlan) -> str:
        forecast = plan.forecast
        total, budget = f"{forecast.total_gib:.1f}", f"{forecast.budget_gib:.1f}"
        match forecast.fit:
            case "roomy":
                return self.tr("It fits: {total} of {budget} GiB.").format(
                    total=total, budget=budget
                )
            case "shared":
                return self.tr("It fits, and fills all {budget} GiB with conversations.").format(
                    budget=budget
                )
            case "short":
                return self.tr("It fits with shorter conversations than the model could hold.")
            case _:
                return self.tr(
                    "It does not fit: {needed} GiB are needed, {budget} are free."
                ).format(needed=f"{forecast.fixed_gib:.1f}", budget=budget)

    def _cache(self, plan: ServePlan) -> str:
        forecast = plan.forecast
        if forecast.fit == "does_not_fit":
            return ""
        tokens = forecast.cache_tokens
        short = min(forecast.batch, tokens // _SHORT_CHAT_TOKENS)
        whole = min(forecast.batch, forecast.full_chats)
        room = self.tr("Room for {tokens} tokens of conversation ({kib} KiB each):").format(
            tokens=f"{tokens:,}", kib=f"{forecast.bytes_a_token / 1024:.4g}"
        )
        if whole < 1:
            chats = self.tr("at most {tokens} in one chat.").format(tokens=f"{tokens:,}")
        elif forecast.context_tokens <= _SHORT_CHAT_TOKENS:
            chats = self.tr("{whole} chats of {context} tokens at a time.").format(
                whole=whole, context=f"{forecast.context_tokens:,}"
            )
        else:
            chats = self.tr(
                "{whole} chats of {context} tokens at a time, or {short} of {n}."
            ).format(
                whole=whole,
                context=f"{forecast.context_tokens:,}",
                short=short,
                n=f"{_SHORT_CHAT_TOKENS:,}",
            )
        return messages.sentences_text((room, chats), LanguageManager.current().language)

    def _where(self, plan: ServePlan) -> str:
        room = plan.room
        share = self._values().get("memory_share") or 0.0
        name = room.name or self.tr("the computer's memory")
        return self.tr("On {name}: the line marks {share} of {total} GiB.").format(
            name=name, share=percent_text(float(share)), total=f"{room.total_gib:.1f}"
        )

    def _offers(self, plan: ServePlan) -> list[tuple[str, object, str]]:
        """What would help, the gentlest first."""
        found: list[tuple[str, object, str]] = []
        forecast = plan.forecast
        if forecast.fit == "short":
            tokens = max(LEAST_CONTEXT_TOKENS, forecast.cache_tokens // 256 * 256)
            text = self.tr("Limit conversations to {n} tokens").format(n=f"{tokens:,}")
            found.append(("max_context_tokens", tokens, text))
        if forecast.fit in ("short", "does_not_fit") and plan.room.on_card:
            if plan.can_quantize and plan.precision not in ("8bit", "4bit"):
                found.append(("precision", "8bit", self.tr("Load it in 8 bits")))
            if plan.can_quantize and plan.precision != "4bit":
                found.append(("precision", "4bit", self.tr("Load it in 4 bits")))
            if forecast.fit == "does_not_fit":
                text = self.tr("Use the computer's memory too")
                found.append(("cpu_offload", True, text))
        return found

    def _offer(self, key: str, value: object, text: str) -> None:
        button = Button(text, kind="link", icon_name="arrow-right")
        button.clicked.connect(lambda: self.measure_taken.emit(key, value))
        self.buttons[f"{key}={value}"] = button
        self._measures.addWidget(button)

    def retranslate(self) -> None:
        """All texts."""
        self.set_title(self.tr("Memory"))
        self._fill()


def _planned(arbiter: ServeArbiter, spec: ServeSpec) -> ServePlan | None:
    try:
        return arbiter.plan(spec)
    except AppError:
        return None  # the start says it
