"""The figures of a run, large, in one row."""

from __future__ import annotations

import math

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QWidget

from app import messages
from app.i18n import LanguageManager
from app.text import duration_text, percent_text
from app.viewmodels.train_eta import Eta
from app.viewmodels.train_run import TrainRunModel
from app.viewmodels.train_speed import efficiency, recent_speed
from app.widgets.plot_ticks import format_value
from app.widgets.stat_strip import StatStrip
from core.supervisor import RunView

_STATS = ["step", "epoch", "remaining", "speed", "mfu", "tokens", "loss", "eval_loss"]


class RunStats(StatStrip):
    """Steps, time, speed, losses; efficiency only where a card was measured."""

    def __init__(self, model: TrainRunModel, parent: QWidget | None = None) -> None:
        super().__init__(_STATS, parent)
        self._model = model
        self._narrow = False
        self.retranslate()

    def set_narrow(self, narrow: bool) -> None:
        """Leave the least important figure out, so that the others are not cut."""
        self._narrow = narrow

    def show_run(self, view: RunView) -> None:
        """The newest figures."""
        self._show_progress(view)
        self._show_speed(view)
        step = view.state.step
        loss = view.series.loss.last
        finite = step is None or math.isfinite(step.loss)
        self._stat("loss", format_value(loss[1]) if loss and finite else ("NaN" if step else ""))
        evaluated = self._model.last_eval
        self._stat("eval_loss", format_value(evaluated) if evaluated is not None else "")

    def _show_progress(self, view: RunView) -> None:
        state, plan, last = view.state, view.state.plan, view.series.last_step
        total = plan.total_steps if plan else None
        self._stat("step", f"{last:,} / {total:,}" if total else (f"{last:,}" if last else ""))
        if plan is not None and state.step is not None and last:
            self._stat("epoch", epochs_text(state.step.epoch, plan.epochs))
        else:
            self._stat("epoch", "")
        self._stat("remaining", self._remaining_text(view))
        caption = self.tr("Remaining") if view.alive else self.tr("Time taken")
        self.set_caption("remaining", caption)
        self.set_progress(self._fraction(view, last / total if total else state.progress))

    def _fraction(self, view: RunView, done: float | None) -> float | None:
        state = view.state
        if view.alive and state.phase not in ("training", "evaluating") and state.phase_fraction:
            return state.phase_fraction
        if done is not None:
            return done
        return None if view.alive else 0

    def _show_speed(self, view: RunView) -> None:
        plan = view.state.plan
        speed = recent_speed(view.series)
        self._stat("speed", self.tr("{n} tok/s").format(n=f"{speed:,.0f}") if speed else "")
        share = efficiency(plan, speed)
        self.set_shown("mfu", plan is not None and plan.matmul_peak_flops is not None)
        self._stat("mfu", percent_text(share) if share is not None else "")
        tokens = plan.tokens_per_step if plan else None
        self.set_shown("tokens", tokens is not None and not self._narrow)
        self._stat("tokens", f"{tokens:,.0f}" if tokens else "")
        if plan is not None and plan.matmul_peak_flops and plan.flops_per_token:
            self.stats["mfu"].setToolTip(self._mfu_help(plan.matmul_peak_flops, plan.world_size))

    def _mfu_help(self, peak_flops: float, cards: int) -> str:
        text = self.tr(
            "Model FLOPs utilization: the arithmetic that the model needs, against what this card "
            "reached in a measured matrix product ({peak} TFLOPS). Recomputation is not counted."
        ).format(peak=f"{peak_flops / 1e12:,.0f}")
        if cards > 1:
            more = self.tr("Over {count} cards.").format(count=cards)
            text = messages.sentences_text((text, more), LanguageManager.current().language)
        return text

    def _stat(self, key: str, text: str) -> None:
        if self.stats[key].value != (text or "–"):
            self.set_value(key, text)

    def _remaining_text(self, view: RunView) -> str:
        if not view.alive:
            seconds = view.series.elapsed_s.last
            return duration_text(seconds[1]) if seconds else ""
        if self._model.paused:
            return self.tr("paused")
        if view.state.phase not in ("training", "evaluating", "saving"):
            return ""
        return self._eta_text(self._model.eta)

    def _eta_text(self, eta: Eta | None) -> str:
        if eta is None:
            return self.tr("estimating…")
        if eta.seconds < 90:
            return self.tr("{n} s ± {spread}").format(
                n=round(eta.seconds), spread=max(1, round(eta.spread_s))
            )
        if eta.seconds < 5400:
            return self.tr("{n} min ± {spread}").format(
                n=round(eta.seconds / 60), spread=max(1, round(eta.spread_s / 60))
            )
        return self.tr("{n} h ± {spread}").format(
            n=f"{eta.seconds / 3600:.1f}", spread=f"{max(0.1, eta.spread_s / 3600):.1f}"
        )

    def retranslate(self) -> None:
        """All captions in the language that is on."""
        texts = {
            "step": self.tr("Step"),
            "epoch": self.tr("Epoch"),
            "speed": self.tr("Speed"),
            "mfu": self.tr("MFU"),
            "tokens": self.tr("Tokens a step"),
            "loss": self.tr("Loss"),
            "eval_loss": self.tr("Eval loss"),
        }
        for key, text in texts.items():
            self.set_caption(key, text)
        self.stats["tokens"].setToolTip(
            self.tr("Expected, over all cards and micro-steps, padding left out")
        )
        self.progress_bar.setAccessibleName(self.tr("Progress of the run"))

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)


def epochs_text(done: float, planned: float) -> str:
    """Both with as many digits as tell two steps of a short run apart, so that neither jumps."""
    digits = 1 if planned >= 10 else (2 if planned >= 0.1 else 4)
    return f"{done:.{digits}f} / {planned:.{digits}f}"
